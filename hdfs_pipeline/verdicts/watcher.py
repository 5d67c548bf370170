"""Incidents about the watcher itself: checks that fail, and runs that fail, until they succeed again."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.scoring.incidents import EXPIRED, OPEN, RESOLVED, SUPPRESSED
from hdfs_pipeline.store.keys import incident_id
from hdfs_pipeline.store.store import Connection, Store, dicts, publish_into
from hdfs_pipeline.verdicts.incidents import WATCHER

_LATEST: Final = """FROM incidents WHERE domain = ? AND entity = ? AND kind = ? AND details ->> 'of' = ?
    ORDER BY started_at DESC LIMIT 1"""


@dataclass(frozen=True)
class Trial:
    """How something went at a time: a check of an asset, or a run of a job.

    `kind` is what its failure is called, `entity` what was tried and `of` which of its trials, as the check's name;
    `evidence` says why it failed, and `step` what to do next.
    """

    kind: str
    entity: str
    of: str
    at: datetime
    passed: bool
    severity: str
    evidence: str = ""
    step: str = ""


def tell_trials(store: Store, trials: Iterable[Trial]) -> int:
    """Open an incident for each trial that failed, make it longer by each further failure, resolve it by a success.

    Trials that were told of before change nothing. Returns how many incidents have changed. Raises: SetupError while
    the store is busy.
    """
    trials = sorted(trials, key=lambda trial: trial.at)
    with store.read() as con:
        waiting = [trial for trial in trials if _after(_latest(con, trial), trial)]
    if not waiting:
        return 0
    with store.write() as con:
        return sum(_told(con, trial) for trial in waiting)


def _latest(con: Connection, trial: Trial) -> dict[str, Any]:
    """The latest incident of what was tried; {} where there is none."""
    return next(iter(dicts(con, _LATEST, [WATCHER, trial.entity, trial.kind, trial.of])), {})


def _after(row: dict[str, Any], trial: Trial) -> dict[str, Any]:
    """The incident after a trial; {} where it changes nothing."""
    goes_on = bool(row) and row["status"] not in (RESOLVED, EXPIRED)
    if row and trial.at <= row["ended_at"]:
        return {}
    if trial.passed:
        over = {"ended_at": trial.at, "duration_s": (trial.at - row["started_at"]).total_seconds()} if row else {}
        return row | over | {"status": RESOLVED} if goes_on and row["status"] != SUPPRESSED else {}
    name = f"{trial.entity}: {trial.of}" if trial.of else trial.entity
    said = {
        "ended_at": trial.at,
        "peak_at": trial.at,
        "severity": trial.severity,
        "evidence": trial.evidence,
        "title": f"{trial.kind} · {name}",
        "next_steps": [trial.step] if trial.step else [],
    }
    if goes_on:
        items = row["items"] + 1
        lasted = (trial.at - row["started_at"]).total_seconds()
        return row | said | {"items": items, "kinds": json.dumps({trial.kind: items}), "duration_s": lasted}
    return said | {
        "id": incident_id(WATCHER, trial.entity, f"{trial.kind} {trial.of}", trial.at.timestamp()),
        "domain": WATCHER,
        "entity": trial.entity,
        "kind": trial.kind,
        "started_at": trial.at,
        "opened_at": trial.at,
        "duration_s": 0.0,
        "status": OPEN,
        "items": 1,
        "detectors": "{}",
        "details": json.dumps({"of": trial.of}),
        "kinds": json.dumps({trial.kind: 1}),
        "related": [],
    }


def _told(con: Connection, trial: Trial) -> bool:
    """Bring the incident of a trial up to date; whether it has changed."""
    row = _after(_latest(con, trial), trial)
    if row:
        now = {"changed_at": datetime.now(UTC)}
        publish_into(con, "incidents", pa.Table.from_pylist([row | now]), replace="id = ?", parameters=[row["id"]])
    return bool(row)
