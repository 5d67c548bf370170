"""The sensor that starts a run for what is new in Kafka: one run for all topics, and one at a time.

It starts once enough waits, or what waits is old enough. It rests while `hdfs-pipeline sink` stores what comes.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

import dagster as dg
from filelock import Timeout

from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.runs import FAILED, RUNNING, WAITING, ticked, wait_s
from hdfs_pipeline.defs.streams.assets import STREAM_ASSETS, kafka_job
from hdfs_pipeline.errors import PipelineError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.following import is_followed
from hdfs_pipeline.sinks.topics import Waiting, turn_lock, what_waits
from hdfs_pipeline.sources.ranges import Admin, Plan, Watermarks, reachable

RANGE_TAG = "hdfs_pipeline/kafka_range"
_TIMEOUT_S = 3.0  # for Kafka: a tick must not hang
_ABANDONED_S = 120.0  # after this time a run that holds no lock counts as killed
_REMEMBERED = 8  # runs that the sensor looks at
_ENDED = [*FAILED, dg.DagsterRunStatus.SUCCESS]
_TICK_S: Final = 30
_JOB: Final = kafka_job.name


class KafkaClient:
    """The resource that keeps a client of Kafka from tick to tick, in the process that evaluates the sensor."""

    def __init__(self) -> None:
        self._turn = Lock()
        self._admin = Admin()

    @contextmanager
    def admin(self) -> Iterator[Admin]:
        """The client, for one tick at a time."""
        with self._turn:
            yield self._admin


@dg.sensor(
    name="kafka_ranges",
    job=kafka_job,
    minimum_interval_seconds=_TICK_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Stores what is new in Kafka, of all topics in one run, up to sink_max_records messages of each: once "
    "run_records wait, or every run_wait_s, and while no other such run waits or works. A topic that a run could not "
    "store is asked for again, later each time. Rests while `hdfs-pipeline sink` stores what comes.",
)
def kafka_ranges(
    context: dg.SensorEvaluationContext, home: Home, kafka: dg.ResourceParam[KafkaClient]
) -> dg.SensorResult:
    """One look: a request for a run, or why there is none. The cursor is the time since when something waits."""
    settings, instance, now = home.settings, context.instance, time.time()
    if is_followed(settings):
        return _rest("`hdfs-pipeline sink` stores what comes")
    try:
        waiting = _waiting(home, kafka)
    except PipelineError as error:
        return _rest(str(error), context.cursor)
    if not waiting.plans:
        return _rest("; ".join(map(str, waiting.refused.values())) or "nothing new in Kafka")
    since = float(context.cursor or now)
    if waiting.records < settings.run_records and not ticked(settings, since, now):
        return _rest(f"{waiting.records:,} records wait for the clock, which ticks every run_wait_s", str(since))
    why = _busy(instance, settings)
    plans, held_back = ({}, [why]) if why else _due(instance, waiting, now)
    if not plans:
        return _rest("; ".join(held_back), str(since))
    return dg.SensorResult(run_requests=[_request(instance, plans)], cursor="")


def _rest(why: str, cursor: str | None = "") -> dg.SensorResult:
    return dg.SensorResult(skip_reason=why, cursor=cursor)


def _waiting(home: Home, kafka: KafkaClient) -> Waiting:
    """What waits in all topics. Raises: SetupError where Kafka or the store does not answer."""
    with kafka.admin() as admin:
        if not reachable(home.settings):
            admin.close()
            raise SetupError("the Kafka broker does not answer")
        return what_waits(home.store_for_ticks, home.settings, [*STREAM_ASSETS.values()], _TIMEOUT_S, admin=admin)


def _busy(instance: dg.DagsterInstance, settings: Settings) -> str:
    """Why no run should start now; '' if one may."""
    if instance.get_runs(dg.RunsFilter(job_name=_JOB, statuses=WAITING), limit=1):
        return f"a run of {_JOB} waits for its turn"
    records = instance.get_run_records(dg.RunsFilter(job_name=_JOB, statuses=RUNNING), limit=_REMEMBERED)
    if not records:
        return ""
    # A run whose process was killed stays `started` for ever, but its locks are released. If it is alive after all, the
    # offsets in the store ensure that only one of the two runs counts.
    young = any(time.time() - record.update_timestamp.timestamp() < _ABANDONED_S for record in records)
    held = young or any(_is_held(settings, topic) for topic in STREAM_ASSETS.values())
    return f"a run of {_JOB} is at work" if held else ""


def _is_held(settings: Settings, topic: str) -> bool:
    try:
        with turn_lock(settings, topic, 0):
            return False
    except (Timeout, OSError):
        return True


def _due(
    instance: dg.DagsterInstance, waiting: Waiting, now: float
) -> tuple[dict[str, tuple[Watermarks, Plan]], list[str]]:
    """The plans, by asset, of what may be read now; and why the others wait: runs could not store them."""
    records = instance.get_run_records(dg.RunsFilter(job_name=_JOB, statuses=_ENDED), limit=_REMEMBERED)
    failed = [record for record in records if record.dagster_run.status in FAILED]
    stored = {record.dagster_run.run_id: _stored(instance, record.dagster_run.run_id) for record in failed}
    due, held_back = {}, []
    for asset, topic in STREAM_ASSETS.items():
        if topic not in waiting.plans:
            continue
        number, since = _failures(records, stored, asset)
        if number and now - since < wait_s(number):
            wait = wait_s(number) - now + since
            held_back.append(f"{number} runs of {asset} failed one after the other: waiting {wait:.0f} s")
        else:
            due[asset] = waiting.plans[topic]
    return due, held_back


def _stored(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    """The assets that a run which failed has stored all the same."""
    events = instance.all_logs(run_id, of_type={dg.DagsterEventType.ASSET_MATERIALIZATION})
    keys = (entry.dagster_event.asset_key for entry in events if entry.dagster_event is not None)
    return {key.to_user_string() for key in keys if key is not None}


def _failures(records: Sequence[Any], stored: Mapping[str, set[str]], asset: str) -> tuple[int, float]:
    """How many of the latest runs of an asset did not store it, and when the last one ended."""
    number, last = 0, 0.0
    for record in records:
        run = record.dagster_run
        if run.asset_selection is not None and dg.AssetKey(asset) not in run.asset_selection:
            continue
        if asset in stored.get(run.run_id, {asset}):
            break
        last = last or record.end_time or record.update_timestamp.timestamp()
        number += 1
    return number, last


def _request(instance: dg.DagsterInstance, plans: Mapping[str, tuple[Watermarks, Plan]]) -> dg.RunRequest:
    configs = {
        asset: {
            "ranges": {str(part): list(bounds) for part, bounds in sorted(planned.ranges.items())},
            "cluster_id": marks.cluster_id,
            "topic_id": marks.topic_id,
        }
        for asset, (marks, planned) in plans.items()
    }
    digest = hashlib.sha256(json.dumps(configs).encode()).hexdigest()[:16]
    tags = {RANGE_TAG: digest}
    # Ended runs of these ranges, which are still unread: the runs have failed, or the store is an older copy.
    attempts = instance.get_runs_count(dg.RunsFilter(job_name=_JOB, tags=tags, statuses=_ENDED))
    return dg.RunRequest(
        f"{digest}-{attempts}",
        run_config={"ops": {asset: {"config": config} for asset, config in configs.items()}},
        tags=tags,
        asset_selection=[dg.AssetKey(asset) for asset in configs],
    )


@dg.definitions
def sensors() -> dg.Definitions:
    """The sensor, and what it remembers."""
    return dg.Definitions(sensors=[kafka_ranges], resources={"kafka": KafkaClient()})
