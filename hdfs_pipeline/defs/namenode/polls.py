"""The sensor that polls NameNodes: each tick is one poll of each, and needs no run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common import naming
from hdfs_pipeline.defs.common.freshness import LIVE
from hdfs_pipeline.defs.common.metadata import OWNERS, as_text, markdown, picture, table_metadata
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.domains.namenode.collect import Collector, Polled
from hdfs_pipeline.domains.namenode.plots import state_png
from hdfs_pipeline.domains.namenode.state_reports import CHARTED, state_report, state_series
from hdfs_pipeline.errors import DataError, PipelineError, SetupError
from hdfs_pipeline.settings import Settings, load_settings

TELL_S: Final = 120.0  # seconds between two materializations: each stays in Dagster's history
STATE_S: Final = 300.0  # the same of the state of HDFS, whose picture is drawn then
_TICK_S: Final = 5
_SELDOM_S: Final = 60  # where there is nothing to poll: `hdfs-pipeline collect` may do so

namenode_metrics = dg.AssetSpec(
    "namenode_metrics",
    group_name="namenode",
    owners=OWNERS,
    kinds={"duckdb", "hadoop"},
    tags=naming.tags("namenode", naming.READ),
    metadata=table_metadata("namenode_metrics"),
    freshness_policy=LIVE,
    code_version=version_of("domains.namenode.process"),
    description="What each poll of a NameNode's `/jmx` measured: 28 metrics, their rates and context. Filled by the "
    "sensor `namenode_polls`, or by `hdfs-pipeline collect`.",
)

hdfs_state = dg.AssetSpec(
    "hdfs_state",
    group_name="namenode",
    owners=OWNERS,
    kinds={"duckdb", "hadoop"},
    tags=naming.tags("namenode", naming.READ),
    metadata=table_metadata("hdfs_state"),
    freshness_policy=LIVE,
    code_version=version_of("domains.namenode.state"),
    description="The state of HDFS at each poll: blocks that are missing, corrupt or under-replicated, DataNodes, "
    "capacity, safe mode, checkpoint, journals. What is wrong becomes anomalies with the poll that shows it. Filled "
    "with `namenode_metrics`.",
)


class NameNodes:
    """The resource that keeps the collector from tick to tick, in the process that evaluates the sensor."""

    def __init__(self) -> None:
        self._turn = Lock()
        self._home: tuple[Settings, Collector] | None = None

    @contextmanager
    def collector(self, settings: Settings) -> Iterator[Collector]:
        """The collector of a home, for one tick at a time; another one once a setting has changed."""
        with self._turn:
            if self._home is None or self._home[0] != settings:
                self._close()
                self._home = settings, Collector(settings, program="Dagster")
            yield self._home[1]

    def close(self) -> None:
        """Store what is queued, and let others poll."""
        with self._turn:
            self._close()

    def _close(self) -> None:
        if self._home is not None:
            self._home[1].close()
        self._home = None


def _interval() -> int:
    """Seconds between two ticks, as the settings are when the definitions are loaded."""
    try:
        return _TICK_S if load_settings().namenode_urls else _SELDOM_S
    except PipelineError:  # the definitions must load; code that uses the settings reports the error
        return _SELDOM_S


@dg.sensor(
    target=None,
    name="namenode_polls",
    minimum_interval_seconds=_interval(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Polls the `/jmx` of every NameNode in the setting namenode_urls into the store, as often as "
    "namenode_poll_s says, at most every 5 s. Rests where there is none, and while `hdfs-pipeline collect` polls, and "
    "reports now and then what that has stored. Reload the definitions once the setting names the first NameNode.",
)
def namenode_polls(
    context: dg.SensorEvaluationContext, home: Home, namenodes: dg.ResourceParam[NameNodes]
) -> dg.SensorResult | dg.SkipReason:
    """One poll of each NameNode; at most every two minutes an event of the asset reports it."""
    settings = home.settings
    polled: list[Polled] = []
    store_ms, sentence = 0.0, "no NameNode to poll: the setting namenode_urls is empty"
    if settings.namenode_urls:
        with namenodes.collector(settings) as collector:
            asked, every = collector.asked, settings.namenode_poll_s
            if asked is not None and time.monotonic() - asked < every - _TICK_S / 2:
                return dg.SkipReason(f"polled every {every:g} s")
            try:
                polled = collector.poll()
                store_ms = collector.flush()
            finally:
                collector.release()
        sentence = "; ".join(_line(poll) for poll in polled)
    last = float(context.cursor or 0)
    if time.time() - last < TELL_S:
        return dg.SkipReason(sentence)
    if any(poll.sample is not None for poll in polled):
        metadata = _metadata(polled, store_ms)
    else:
        metadata = _metadata_of_others(home, last)
    if not metadata:
        return dg.SkipReason(sentence)
    events = [dg.AssetMaterialization("namenode_metrics", metadata=metadata)]
    if time.time() // STATE_S != last // STATE_S:
        events += _state_events(home)
    return dg.SensorResult(asset_events=events, cursor=str(time.time()), skip_reason=sentence)


@dg.definitions
def polls() -> dg.Definitions:
    """The asset, its sensor, and what the sensor remembers."""
    return dg.Definitions(
        assets=[namenode_metrics, hdfs_state], sensors=[namenode_polls], resources={"namenodes": NameNodes()}
    )


def _state_events(home: Home) -> list[dg.AssetMaterialization]:
    """What is wrong with HDFS, and the picture of its last day; none while the store is in use."""
    try:
        report = state_report(home.store_for_ticks)
        series = state_series(home.store_for_ticks, report["namenode"])
    except (SetupError, DataError):
        return []
    troubles = [
        [trouble["severity"], trouble["entity"], trouble["kind"], trouble["reason"], trouble["since"]]
        for trouble in report["troubles"]
    ]
    metadata = {
        "polled_at": dg.MetadataValue.text(report["polled_at"]),
        "troubles": len(troubles),
        "what is wrong": markdown(["severity", "of", "kind", "what", "since"], troubles),
        "absent": dg.MetadataValue.text(", ".join(each["name"] for each in report["absent"]) or "nothing"),
        "last day": picture(state_png(series), "blocks in trouble, DataNodes, free capacity"),
        **{name: report["state"][name]["value"] for name in CHARTED if name in report["state"]},
    }
    return [dg.AssetMaterialization("hdfs_state", metadata=metadata)]


def _line(polled: Polled) -> str:
    health = polled.health
    if health.error:
        return f"{health.namenode}: {health.error}"
    return f"{health.namenode}: {health.role}, {health.fetch_ms:g} ms" + (f", {health.note}" if health.note else "")


def _metadata_of_others(home: Home, since: float) -> dict[str, Any]:
    """What `hdfs-pipeline collect` has stored since a time (Unix seconds); {} if it has stored nothing."""
    if not home.store.path.exists():
        return {}
    try:
        with home.store_for_ticks.read() as con:
            polls, latest = con.execute(
                "SELECT count(*), max(polled_at) FROM namenode_metrics WHERE polled_at > to_timestamp(?)", [since]
            ).fetchall()[0]
    except SetupError:  # the store is in use: the next tick comes soon
        return {}
    if not polls:
        return {}
    return {"polled_at": dg.MetadataValue.timestamp(latest), "polls": polls, "by": "hdfs-pipeline collect"}


def _metadata(polled: list[Polled], store_ms: float) -> dict[str, Any]:
    measured = sum(len(poll.sample.values) for poll in polled if poll.sample is not None)
    return {
        "polled_at": dg.MetadataValue.timestamp(datetime.now(UTC)),
        "measured": measured,
        "failing": sum(poll.sample is None for poll in polled),
        "fetch_ms": max(poll.health.fetch_ms or 0.0 for poll in polled),
        "store_ms": store_ms,
        "namenodes": dg.MetadataValue.md("\n".join(f"- {as_text(_line(poll))}" for poll in polled)),
    }
