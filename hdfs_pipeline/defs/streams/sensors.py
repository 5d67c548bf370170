"""Sensors that start a run for new messages of a Kafka topic: one run at a time for each topic."""

import hashlib
import json
import time
from typing import Any

import dagster as dg
from filelock import Timeout

from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.runs import FAILED, RUNNING, WAITING, wait_s
from hdfs_pipeline.defs.streams.assets import STREAM_ASSETS, stream_jobs
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.topics import next_ranges, turn_lock
from hdfs_pipeline.sources.ranges import Plan, Watermarks, reachable

RANGE_TAG = "hdfs_pipeline/kafka_range"
_TIMEOUT_S = 3.0  # for Kafka: a tick must not hang
_ABANDONED_S = 120.0  # after this time a run that holds no lock counts as killed
_REMEMBERED = 8  # runs that a sensor looks at
_ENDED = [*FAILED, dg.DagsterRunStatus.SUCCESS]


def _sensor(asset: str, topic: str, job: Any) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{asset}_ranges",
        job=job,
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Stores what is new in the Kafka topic {topic}, up to sink_max_records messages a run, while no "
        "other run of it waits or works. After a run that failed it waits, longer each time.",
    )
    def ranges(context: dg.SensorEvaluationContext, home: Home) -> dg.RunRequest | dg.SkipReason:
        settings = home.settings
        why = _busy(context.instance, job.name, settings, topic) or _waits(context.instance, job.name)
        if why:
            return dg.SkipReason(why)
        try:
            if not reachable(settings):
                return dg.SkipReason("the Kafka broker does not answer")
            marks, waiting = next_ranges(home.store_for_ticks, settings, topic, _TIMEOUT_S)
        except PipelineError as error:
            return dg.SkipReason(str(error))
        if not waiting.ranges:
            return dg.SkipReason(f"nothing new in {topic}")
        return _request(context.instance, asset, job.name, marks, waiting)

    return ranges


def _busy(instance: dg.DagsterInstance, job: str, settings: Settings, topic: str) -> str:
    """Why no run should start now; '' if one may."""
    if instance.get_runs(dg.RunsFilter(job_name=job, statuses=WAITING), limit=1):
        return f"a run of {job} waits for its turn"
    records = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=RUNNING), limit=_REMEMBERED)
    if not records:
        return ""
    # A run whose process was killed stays `started` for ever, but its lock is released. If it is alive after all, the
    # offsets in the store ensure that only one of the two runs counts.
    young = any(time.time() - record.update_timestamp.timestamp() < _ABANDONED_S for record in records)
    return f"a run of {job} is at work" if young or _is_held(settings, topic) else ""


def _is_held(settings: Settings, topic: str) -> bool:
    try:
        with turn_lock(settings, topic, 0):
            return False
    except (Timeout, OSError):
        return True


def _waits(instance: dg.DagsterInstance, job: str) -> str:
    """Why to wait after runs that failed; '' if there is no need."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_ENDED), limit=_REMEMBERED)
    failed = 0
    while failed < len(records) and records[failed].dagster_run.status in FAILED:
        failed += 1
    if not failed:
        return ""
    wait = wait_s(failed)
    since = time.time() - (records[0].end_time or records[0].update_timestamp.timestamp())
    return f"{failed} runs of {job} failed one after the other: waiting {wait - since:.0f} s" if since < wait else ""


def _request(instance: dg.DagsterInstance, asset: str, job: str, marks: Watermarks, waiting: Plan) -> dg.RunRequest:
    config = {
        "ranges": {str(part): list(bounds) for part, bounds in sorted(waiting.ranges.items())},
        "cluster_id": marks.cluster_id,
        "topic_id": marks.topic_id,
    }
    digest = hashlib.sha256(json.dumps([marks.topic, config]).encode()).hexdigest()[:16]
    tags = {RANGE_TAG: digest}
    # Ended runs of these ranges, which are still unread: the runs have failed, or the store is an older copy.
    attempts = instance.get_runs_count(dg.RunsFilter(job_name=job, tags=tags, statuses=_ENDED))
    return dg.RunRequest(f"{digest}-{attempts}", run_config={"ops": {asset: {"config": config}}}, tags=tags)


stream_sensors = [
    _sensor(asset, topic, job) for (asset, topic), job in zip(STREAM_ASSETS.items(), stream_jobs, strict=True)
]
