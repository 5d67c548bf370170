"""NameNodes polled by a sensor: each tick is one poll of each, and needs no run."""

import threading
import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from hdfs_pipeline.defs.metadata import OWNERS, table_metadata
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.domains.namenode.collect import Collector, Polled
from hdfs_pipeline.settings import Settings

TELL_S = 30.0  # seconds between two materializations: each stays in Dagster's history

namenode_metrics = dg.AssetSpec(
    "namenode_metrics",
    group_name="namenode",
    owners=OWNERS,
    kinds={"duckdb", "hadoop"},
    metadata=table_metadata("namenode_metrics"),
    description="What each poll of a NameNode's `/jmx` measured: 28 metrics, their rates and context. Filled by the "
    "sensor `namenode_polls`, or by `hdfs-pipeline collect`.",
)

_TICK_S = 5
_turn = threading.Lock()
_collectors: dict[str, tuple[Settings, Collector]] = {}


def _collector(settings: Settings) -> Collector:
    """The collector of a home, which remembers each NameNode from tick to tick; another one once a setting changed."""
    key = str(settings.home.resolve())
    known = _collectors.get(key)
    if known is not None and known[0] == settings:
        return known[1]
    if known is not None:
        known[1].close()
    _collectors[key] = settings, Collector(settings, program="Dagster")
    return _collectors[key][1]


@dg.sensor(
    target=None,
    name="namenode_polls",
    minimum_interval_seconds=_TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Polls the `/jmx` of every NameNode in the setting namenode_urls into the store, as often as "
    "namenode_poll_s says, at most every 5 s. Rests where there is none, and while `hdfs-pipeline collect` polls.",
)
def namenode_polls(context: dg.SensorEvaluationContext, home: Home) -> dg.SensorResult | dg.SkipReason:
    """One poll of each NameNode; at most every half a minute an event of the asset says how it goes."""
    settings = home.settings
    if not settings.namenode_urls:
        return dg.SkipReason("no NameNode to poll: the setting namenode_urls is empty")
    with _turn:
        collector = _collector(settings)
        if collector.asked is not None and time.monotonic() - collector.asked < settings.namenode_poll_s - _TICK_S / 2:
            return dg.SkipReason(f"polled every {settings.namenode_poll_s:g} s")
        try:
            polled = collector.poll()
            store_ms = collector.flush()
        finally:
            collector.release()
    said = "; ".join(_line(each) for each in polled)
    told = float(context.cursor or 0)
    if time.time() - told < TELL_S or all(each.sample is None for each in polled):
        return dg.SkipReason(said)
    event = dg.AssetMaterialization("namenode_metrics", metadata=_metadata(polled, store_ms))
    return dg.SensorResult(asset_events=[event], cursor=str(time.time()), skip_reason=said)


def _line(polled: Polled) -> str:
    health = polled.health
    if health.error:
        return f"{health.namenode}: {health.error}"
    return f"{health.namenode}: {health.role}, {health.fetch_ms:g} ms" + (f", {health.note}" if health.note else "")


def _metadata(polled: list[Polled], store_ms: float) -> dict[str, Any]:
    measured = sum(len(each.sample.values) for each in polled if each.sample is not None)
    return {
        "polled_at": dg.MetadataValue.timestamp(datetime.now(UTC)),
        "measured": measured,
        "failing": sum(each.sample is None for each in polled),
        "fetch_ms": max(each.health.fetch_ms or 0.0 for each in polled),
        "store_ms": store_ms,
        "namenodes": dg.MetadataValue.md("\n".join(f"- {_line(each)}" for each in polled)),
    }
