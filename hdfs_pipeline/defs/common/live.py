"""Sensors about incidents: they are brought up to date as anomalies come, and Dagster's own failures become some."""

import json
import time
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.failures import FAILED_TAG
from hdfs_pipeline.defs.common.metadata import markdown
from hdfs_pipeline.defs.common.naming import named
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.runs import FAILED
from hdfs_pipeline.domains import all_domains, domain_named
from hdfs_pipeline.errors import PipelineError, SetupError
from hdfs_pipeline.scoring.severity import MAJOR, WARNING
from hdfs_pipeline.verdicts.following import turn
from hdfs_pipeline.verdicts.live import Change, update_incidents
from hdfs_pipeline.verdicts.watcher import Trial, tell_trials

_RUNS: Final = 100  # the latest ones, that are looked at
_ENDED: Final = [*FAILED, dg.DagsterRunStatus.SUCCESS]
_WITHOUT_A_JOB: Final = "__ASSET_JOB"  # runs of assets that were chosen one by one, and those of the automation
_NAMED: Final = 3
_TELL_S: Final = 300.0  # between two reports of the same: each stays in Dagster's history
_SCORED: Final = "SELECT max(scored_at) FROM scores WHERE domain = ?"


@dg.sensor(
    target=None,
    name="incidents",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Brings the incidents of all domains up to date as anomalies come, and reports what has opened, grown "
    "and ended as a materialization. While `hdfs-pipeline incidents follow` does so, it reports each few minutes that "
    "items were judged.",
)
def incidents(context: dg.SensorEvaluationContext, home: Home) -> dg.SensorResult | dg.SkipReason:
    """One look: an event of each domain's incidents that have changed."""
    settings, store = home.settings, home.store_for_ticks
    if not store.path.exists():
        return dg.SkipReason("no store yet")
    try:
        with turn(settings) as ours:
            if not ours:
                return _judged_elsewhere(home, context.cursor)
            changes = update_incidents(store, settings)
    except PipelineError as error:
        return dg.SkipReason(str(error))
    events = []
    for name, own in groupby(sorted(changes, key=lambda change: change.incident["domain"]), _domain):
        rows = [[c.what, c.incident["started_at"][:19], c.incident["severity"], c.incident["title"]] for c in own]
        metadata: dict[str, Any] = {
            "changes": len(rows),
            "what": markdown(["", "since (UTC)", "severity", "what happened"], rows),
        }
        events.append(dg.AssetMaterialization(named(domain_named(name), "incidents"), metadata=metadata))
    if not events:
        return dg.SkipReason("no incident has changed")
    return dg.SensorResult(asset_events=events)


def _judged_elsewhere(home: Home, cursor: str | None) -> dg.SensorResult:
    """Events of the domains that `incidents follow` judges. The cursor: when, and until when items were scored."""
    why = "another process brings incidents up to date"
    at, until = json.loads(cursor or "[0, {}]")
    if time.time() - at < _TELL_S:
        return dg.SensorResult(skip_reason=why, cursor=cursor)
    events = []
    for domain in all_domains():
        if not (domain.follows or domain.latest(home.store_for_ticks)):
            continue
        with home.store_for_ticks.read() as con:
            scored = str(con.execute(_SCORED, [domain.name]).fetchall()[0][0])
        if scored != until.get(domain.name, scored):
            about = {"status": "judged as it came, by `hdfs-pipeline incidents follow`", "scored at": scored}
            events += [
                dg.AssetMaterialization(named(domain, part), metadata=about)
                for part in ("scores", "anomalies", "incidents")
            ]
        until[domain.name] = scored
    cursor = json.dumps([time.time(), until])
    return dg.SensorResult(asset_events=events, skip_reason=None if events else why, cursor=cursor)


@dg.sensor(
    target=None,
    name="watcher",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Opens an incident about the watcher itself for each asset check and each job whose latest run failed, "
    "and resolves it once that succeeds again.",
)
def watcher(context: dg.SensorEvaluationContext, home: Home) -> dg.SkipReason:
    """One look at the latest evaluation of each check, and at the latest runs."""
    store = home.store_for_ticks
    if not store.path.exists():
        return dg.SkipReason("no store yet")
    try:
        changed = tell_trials(store, [*_checks(context), *_runs(context.instance)])
    except SetupError as error:
        return dg.SkipReason(str(error))
    return dg.SkipReason(f"{changed} incidents have changed")


@dg.definitions
def live() -> dg.Definitions:
    """The sensors."""
    return dg.Definitions(sensors=[incidents, watcher])


def _domain(change: Change) -> str:
    return str(change.incident["domain"])


def _checks(context: dg.SensorEvaluationContext) -> list[Trial]:
    """The latest evaluation of each asset check; none of those that are being evaluated."""
    repository = context.repository_def
    keys = sorted(repository.asset_graph.asset_check_keys) if repository is not None else []
    latest = context.instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    return [trial for record in latest.values() for trial in _check(record)]


def _check(record: Any) -> list[Trial]:
    evaluation, event = record.evaluation, record.event
    if event is None or not isinstance(evaluation, dg.AssetCheckEvaluation):
        return []
    return [
        Trial(
            kind="check failed",
            entity=record.key.asset_key.to_user_string(),
            of=record.key.name,
            at=datetime.fromtimestamp(event.timestamp, UTC),
            passed=evaluation.passed,
            severity=WARNING if evaluation.severity == dg.AssetCheckSeverity.WARN else MAJOR,
            evidence=evaluation.description or "",
            step="look at the check on the asset's page in Dagster: its figures say what is wrong",
        )
    ]


def _runs(instance: dg.DagsterInstance) -> list[Trial]:
    """The latest ended run of each job."""
    trials: dict[str, Trial] = {}
    for record in instance.get_run_records(dg.RunsFilter(statuses=_ENDED), limit=_RUNS):
        run = record.dagster_run
        name = _name(run)
        if name not in trials and run.status is not dg.DagsterRunStatus.CANCELED:
            trials[name] = Trial(
                kind="run failed",
                entity=name,
                of="",
                at=datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC),
                passed=run.status is dg.DagsterRunStatus.SUCCESS,
                severity=MAJOR,
                evidence=run.tags.get(FAILED_TAG, ""),
                step=f"open run {run.run_id[:8]} in Dagster; mend what it says, then Re-execute from failure",
            )
    return [*trials.values()]


def _name(run: dg.DagsterRun) -> str:
    """What runs again and again: a job, or the same choice of assets."""
    if run.job_name != _WITHOUT_A_JOB:
        return run.job_name
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    more = f" and {len(assets) - _NAMED} more" if len(assets) > _NAMED else ""
    return ", ".join(assets[:_NAMED]) + more or "assets"
