"""Incidents of a home: anomalies of one entity that belong together, kept up to date, and what people said of them."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.scoring.feedback import words_of
from hdfs_pipeline.scoring.incidents import Flagged, Grouping, Incident, find_incidents, with_words
from hdfs_pipeline.scoring.runs import step_seconds
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store, publish_into

_ANOMALIES: Final = """SELECT entity, kind, detector, item, version, score, threshold, epoch(last_time) AS ended
    FROM anomalies WHERE domain = $domain AND status <> 'withdrawn' AND last_time >= to_timestamp($since)
    ORDER BY entity, kind, detector, ended, item"""
_SCORED: Final = """SELECT entity, epoch(time) AS seconds FROM scores
    WHERE domain = $domain AND time >= to_timestamp($since) GROUP BY ALL ORDER BY ALL"""


def publish_incidents(store: Store, settings: Settings, domain: Domain, since: float = 0.0) -> int:
    """Group a domain's anomalies from `since` (Unix seconds) on into incidents, over those that ended then or later.

    The same anomalies give the same incidents with the same ids. How many there are; 0 for a domain whose anomalies
    are not grouped.
    """
    grouping = domain.grouping(settings)
    if grouping is None:
        return 0
    with store.read() as con:
        incidents = list(_grouped(con, domain, grouping, since))
    incidents = domain.incidents(store, settings, incidents)
    with store.write() as con:
        replace_incidents(con, domain, with_feedback(con, domain, incidents), since)
    return len(incidents)


def _grouped(con: Connection, domain: Domain, grouping: Grouping, since: float) -> Iterable[Incident]:
    about = {"domain": domain.name, "since": since}
    scored: dict[str, list[float]] = {}
    for entity, at in con.execute(_SCORED, about).fetchall():
        scored.setdefault(entity, []).append(at)
    groups: dict[tuple[str, str], dict[str, list[tuple[Any, ...]]]] = {}
    for entity, kind, detector, *row in con.execute(_ANOMALIES, about).fetchall():
        groups.setdefault((entity, kind), {}).setdefault(detector, []).append(tuple(row))
    for (entity, kind), by_detector in groups.items():
        flagged = [_flagged(detector, rows) for detector, rows in by_detector.items()]
        yield from incidents_of(flagged, grouping, np.array(scored.get(entity, [0.0])), domain, entity, kind)


def incidents_of(
    flagged: Sequence[Flagged], grouping: Grouping, times: np.ndarray, domain: Domain, entity: str, kind: str = ""
) -> list[Incident]:
    """The incidents of an entity from what was flagged of it, as its domain groups anomalies.

    `times` (n,) are those of all its scored items, in order, Unix seconds.
    """
    return find_incidents(
        flagged,
        grouping.rule,
        step_s=step_seconds(times) if grouping.steps else 0.0,
        until=max([float(times[-1]), *(float(part.times[-1]) for part in flagged if len(part.times))]),
        openers=grouping.openers,
        domain=domain.name,
        entity=entity,
        kind=kind,
    )


def _flagged(detector: str, rows: Sequence[tuple[Any, ...]]) -> Flagged:
    items, versions, scores, thresholds, times = zip(*rows, strict=True)
    return Flagged(detector, np.array(times), np.array(scores), thresholds[-1], versions[-1], items)


def with_feedback(con: Connection, domain: Domain, incidents: Sequence[Incident]) -> list[Incident]:
    """The incidents, those that meet a stretch with a person's word with that word as their status."""
    return with_words(incidents, words_of(con, domain.name, domain.item.parse))


def replace_incidents(
    con: Connection, domain: Domain, incidents: Sequence[Incident], since: float, entity: str | None = None
) -> None:
    """Put incidents into the store, in place of the domain's (of an entity) that ended at `since` or later."""
    rows = pa.Table.from_pylist([_row(incident) for incident in incidents]) if incidents else []
    same, parameters = "domain = ? AND ended_at >= to_timestamp(?)", [domain.name, since]
    if entity is not None:
        same, parameters = f"{same} AND entity = ?", [*parameters, entity]
    publish_into(con, "incidents", rows, replace=same, parameters=parameters)


def _row(incident: Incident) -> dict[str, Any]:
    times = {
        "started_at": incident.start,
        "ended_at": incident.end,
        "peak_at": incident.peak,
        "opened_at": incident.opened,
    }
    same = ("id", "domain", "entity", "kind", "duration_s", "status", "severity", "evidence")
    return (
        {name: getattr(incident, name) for name in same}
        | {name: datetime.fromtimestamp(at, UTC) for name, at in times.items()}
        | {"items": len(incident.items)}
        | {name: json.dumps(getattr(incident, name)) for name in ("detectors", "details")}
    )
