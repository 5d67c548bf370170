"""Factories of what starts a domain's retraining: sensors on new items, people's words and drift, and a schedule."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.naming import named
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.runs import RUNNING, WAITING
from hdfs_pipeline.defs.learning.drift import failed_checks
from hdfs_pipeline.domains.champions import serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.learning.retraining import changed_feedback, waiting_items
from hdfs_pipeline.scoring.models import champion_version, newest_version, trained_detectors
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

NIGHTLY: Final = "30 2 * * *"
_LATEST_RUNS: Final = 200
_TICK_S: Final = 300


def enough_new_sensor(domain: Domain, retrain_job: Any) -> dg.SensorDefinition:
    """A run for each batch of new items. After a run that failed, only one more batch starts another."""
    plural = domain.item.plural

    @dg.sensor(
        name=f"enough_new_{plural.replace(' ', '_')}",
        job=retrain_job,
        minimum_interval_seconds=_TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Retrains once `retrain_batch_size` labelled or scored {plural}, or `retrain_feedback` words of "
        "people, are new to a detector, and not while another retraining runs. New items wait for `retrain_rest_hours` "
        "since the last one.",
    )
    def enough_new(context: dg.SensorEvaluationContext, home: Home) -> dg.RunRequest | dg.SkipReason:
        settings = home.settings
        if context.instance.get_runs(dg.RunsFilter(job_name=retrain_job.name, statuses=[*WAITING, *RUNNING]), limit=1):
            return dg.SkipReason("a retraining is under way")
        try:
            words = _by_detector(home, domain, changed_feedback)
            until = _rests_until(context.instance, retrain_job.name, settings)
            if until > datetime.now(UTC) and max(words.values(), default=0) < settings.retrain_feedback:
                return dg.SkipReason(f"new {plural} ask for another retraining from {until:%H:%M}Z on")
            waiting = _by_detector(home, domain, waiting_items)
        except PipelineError as error:
            return dg.SkipReason(str(error))
        batches = {
            name: count // settings.retrain_batch_size + words[name] // settings.retrain_feedback
            for name, count in waiting.items()
        }
        if not any(batches.values()):
            most, most_words = max(waiting.values(), default=0), max(words.values(), default=0)
            return dg.SkipReason(
                f"{most:,} new {plural} of the {settings.retrain_batch_size:,} that a retraining waits for, and "
                f"{most_words:,} words of people of the {settings.retrain_feedback:,}"
            )
        state = ",".join(
            f"{name}.{newest_version(settings, domain.name, name)}.{count}" for name, count in sorted(batches.items())
        )
        most, most_words = max(waiting.values()), max(words.values())
        reason = f"{most:,} new {plural} and {most_words:,} words of people"
        return dg.RunRequest(run_key=f"retrain-{_digest(state)}", tags={"reason": reason})

    return enough_new


def nightly_schedule(domain: Domain, retrain_job: Any, cron: str) -> dg.ScheduleDefinition:
    """A run a night if `retrain_holdout_blocks` items or more are new to a detector."""

    @dg.schedule(
        name=named(domain, "retrain_nightly"),
        job=retrain_job,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Retrains where enough {domain.item.plural} are new to be judged on, though they are no full "
        "batch. A challenger that is not shown to be better than the champion does not serve.",
    )
    def retrain_nightly(home: Home) -> dg.RunRequest | dg.SkipReason:
        least = home.settings.retrain_holdout_blocks
        try:
            most = max(_by_detector(home, domain, waiting_items).values(), default=0)
        except PipelineError as error:
            return dg.SkipReason(str(error))
        if most < least:
            return dg.SkipReason(
                f"{most:,} new {domain.item.plural}: fewer than the {least:,} to judge a challenger on"
            )
        return dg.RunRequest(run_config=_with_at_least(domain, least))

    return retrain_nightly


def drifted_sensor(domain: Domain, retrain_job: Any) -> dg.SensorDefinition:
    """A run for each version that serves and each set of its drift checks that failed."""
    judged = dg.AssetKey(named(domain, "anomalies"))

    @dg.sensor(
        name=named(domain, "drifted"),
        job=retrain_job,
        minimum_interval_seconds=_TICK_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Retrains once where the serving model's drift checks have failed; again only for another version, "
        "or where other checks fail, and not before `retrain_pause_hours` have passed. The tag `reason` says why.",
    )
    def drifted(context: dg.SensorEvaluationContext, home: Home) -> dg.RunRequest | dg.SkipReason:
        settings = home.settings
        name = serving_detector(settings, domain)
        if name not in trained_detectors(settings, domain.name):
            return dg.SkipReason("no model in this home yet")
        version = champion_version(settings, domain.name, name)
        failed = failed_checks(context.instance, judged, name, version)
        if not failed:
            return dg.SkipReason(f"no drift is known since version {version} of {name} was trained")
        state = f"{name}.{version}.{','.join(failed)}"
        key = f"drift-{_digest(state)}"
        if context.instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": key}), limit=1):
            return dg.SkipReason(f"{', '.join(failed)} failed, and a retraining was asked for already")
        reason = f"drift since version {version} of {name} learned: {', '.join(failed)} failed"
        asked = _last_asked(context.instance, retrain_job.name)
        until = None if asked is None else asked + timedelta(hours=settings.retrain_pause_hours)
        if until is not None and until > datetime.now(UTC):
            return dg.SkipReason(
                f"{reason}; drift asked for a retraining at {asked:%Y-%m-%d %H:%M}Z already, and may do so again from "
                f"{until:%Y-%m-%d %H:%M}Z on (`retrain_pause_hours`)"
            )
        config = _with_at_least(domain, settings.retrain_holdout_blocks)
        return dg.RunRequest(run_key=key, run_config=config, tags={"drift": ",".join(failed), "reason": reason})

    return drifted


def _rests_until(instance: dg.DagsterInstance, job: str, settings: Settings) -> datetime:
    """From when on new items may ask for a run of a job again."""
    records = instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    last = records[0].create_timestamp.astimezone(UTC) if records else datetime.fromtimestamp(0, UTC)
    return last + timedelta(hours=settings.retrain_rest_hours)


def _last_asked(instance: dg.DagsterInstance, job: str) -> datetime | None:
    """When drift last asked for a run of a job."""
    for record in instance.get_run_records(dg.RunsFilter(job_name=job), limit=_LATEST_RUNS):
        if "drift" in record.dagster_run.tags:
            return record.create_timestamp.astimezone(UTC)
    return None


def _by_detector(home: Home, domain: Domain, count: Callable[[Store, Settings, Domain, str], int]) -> dict[str, int]:
    """What is counted of each trained detector; {} in a home without a store."""
    settings, store = home.settings, home.store
    if not store.path.exists():
        return {}
    return {name: count(store, settings, domain, name) for name in trained_detectors(settings, domain.name)}


def _with_at_least(domain: Domain, items: int) -> dict[str, Any]:
    return {"ops": {named(domain, "champion"): {"config": {"at_least": items}}}}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
