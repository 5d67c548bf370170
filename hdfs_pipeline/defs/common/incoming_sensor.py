"""Factory of the sensor that starts a run for new files in the home's folder `incoming`, until they are stored."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg
from filelock import FileLock, Timeout

from hdfs_pipeline.defs.common.failures import FAILED_TAG
from hdfs_pipeline.defs.common.incoming import LABELS_FILE, Stamp, rested
from hdfs_pipeline.defs.common.incoming_cursor import Asked, Cursor, Outcome
from hdfs_pipeline.defs.common.naming import named
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.runs import RUNNING, WAITING
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.scoring.models import trained_detectors

ASKED_TAG: Final = "hdfs_pipeline/incoming"
"""Names the files that the sensor has asked a run for."""
UNREAD_TAG: Final = "hdfs_pipeline/unread"
"""What a run could not read, as JSON: a list of sentences that begin with the path."""
_ABANDONED_S: Final = 120.0  # after this time a run counts as killed that has not begun, or holds no lock


def remember_unread(context: dg.AssetExecutionContext, unread: Iterable[str]) -> None:
    """Say what a run could not read, and leave it in the run's tag `UNREAD_TAG`: the sensor asks for it again."""
    sentences = list(unread)
    for sentence in sentences:
        context.log.error(f"not read: {sentence}")
    if sentences:
        context.instance.add_run_tags(context.run_id, {UNREAD_TAG: json.dumps(sentences)})


def incoming_sensor(
    domain: Domain, *, read: str, labels: str | None, job: Any, first_job: Any, first_tags: Mapping[str, str]
) -> dg.SensorDefinition:
    """One run for all new and changed files of a domain: `job`, or `first_job` in a home without a model.

    `read` is the asset that takes the paths of logs, `labels` the one that takes the path of labels, if
    there is one. `first_tags` say which detectors the first job trains. The cursor moves with what these assets have
    stored.
    """

    @dg.sensor(
        name=named(domain, "incoming_files"),
        jobs=[job, first_job],
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Reads and scores what is new or has changed in the home's folder incoming/{domain.name}, once it "
        f"has come to rest for a few seconds; {LABELS_FILE} is taken as labels. What a run did not store is asked for "
        f"again, after a wait that grows. In a home without a model {first_job.name} runs.",
    )
    def incoming_files(context: dg.SensorEvaluationContext, home: Home) -> dg.SensorResult:
        settings, now = home.settings, time.time()
        incoming = settings.incoming.resolve()
        lock = settings.home / "dagster" / "ingest.lock"
        cursor = Cursor.of(context.cursor)
        cursor.settle(lambda asked: _outcome(context.instance, asked, read, labels, lock, now), now)
        there = {path: stamp for path, stamp in rested(incoming, domain).items() if labels or not _is_labels(path)}
        changed = _one_of_labels(cursor.look(there))
        asked = cursor.again(now) + ([cursor.ask(changed, now)] if changed else [])
        if not asked:
            why = _waiting(cursor, now) or f"nothing new in {incoming}"
            return dg.SensorResult(skip_reason=why, cursor=cursor.text())
        trained = bool(trained_detectors(settings, domain.name))
        requests = [
            dg.RunRequest(
                run_key=entry.key,
                job_name=job.name if trained else first_job.name,
                run_config={"ops": _ops(entry.files, cursor.done)},
                tags={ASKED_TAG: entry.key, **({} if trained else first_tags)},
            )
            for entry in asked
        ]
        return dg.SensorResult(requests, cursor=cursor.text())

    def _ops(files: Mapping[str, Stamp], done: Mapping[str, Stamp]) -> dict[str, Any]:
        # Without any path a run would read the whole folder, with what is being written: one that is stored costs less.
        logs = _logs(files) or _logs(done)[:1]
        ops: dict[str, Any] = {read: {"config": {"paths": logs}}}
        for path in filter(_is_labels, files if labels else ()):
            ops[labels or ""] = {"config": {"path": path}}
        return ops

    return incoming_files


def _outcome(
    instance: dg.DagsterInstance, asked: Asked, read: str, labels: str | None, lock: Path, now: float
) -> Outcome | None:
    """What became of the run for some files; None while it may still store them."""
    records = instance.get_run_records(dg.RunsFilter(tags={ASKED_TAG: asked.key}), limit=1)
    if not records:
        lost = now - asked.at > _ABANDONED_S
        return Outcome(frozenset(), "the run that was asked for never began") if lost else None
    run = records[0].dagster_run
    if run.status in WAITING:
        return None
    of_type = {dg.DagsterEventType.ASSET_MATERIALIZATION}
    events = [entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=of_type)]
    made = {event.asset_key.to_user_string() for event in events if event and event.asset_key}
    unread = json.loads(run.tags.get(UNREAD_TAG, "[]"))
    stored = frozenset(
        path
        for path in asked.files
        if (labels if _is_labels(path) else read) in made
        and not any(sentence.startswith(f"{_shown(path)}: ") for sentence in unread)
    )
    if run.status in RUNNING and len(stored) < len(asked.files):
        # A run whose process was killed stays `started` for ever, but its lock is released.
        young = now - records[0].update_timestamp.timestamp() < _ABANDONED_S
        return None if young or _is_held(lock) else Outcome(stored, f"run {run.run_id} was killed")
    reason = "; ".join(unread) or run.tags.get(FAILED_TAG) or f"run {run.run_id} ended as {run.status.value.lower()}"
    return Outcome(stored, reason)


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _waiting(cursor: Cursor, now: float) -> str:
    """What waits to be asked for again, and why; '' if nothing does."""
    entries = sorted((entry for entry in cursor.asked if entry.due), key=lambda entry: entry.due)
    return "; ".join(
        f"{entry.failed} run{'s' * (entry.failed > 1)} did not store {_named(entry.files)}: {entry.reason} "
        f"Asking again in {max(entry.due - now, 0):.0f} s"
        for entry in entries
    )


def _named(files: Iterable[str]) -> str:
    names = sorted(Path(_shown(path)).name for path in files)
    return names[0] + (f" and {len(names) - 1:,} more" if len(names) > 1 else "")


def _shown(path: str) -> str:
    return os.fsencode(path).decode(errors="replace")


def _one_of_labels(changed: dict[str, Stamp]) -> dict[str, Stamp]:
    """All files except further files of labels: a run takes one of these, and the others wait for the next run."""
    waiting = sorted(filter(_is_labels, changed))[1:]
    return {path: stamp for path, stamp in changed.items() if path not in waiting}


def _logs(paths: Iterable[str]) -> list[str]:
    return sorted(path for path in paths if not _is_labels(path))


def _is_labels(path: str) -> bool:
    return Path(path).name == LABELS_FILE
