"""Incidents: anomalous items of one entity that belong together. Only what detectors flagged decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from hdfs_pipeline.scoring.feedback import Word
from hdfs_pipeline.scoring.runs import Persistence, Run, find_runs
from hdfs_pipeline.store.keys import incident_id

ONGOING, RESOLVED = "ongoing", "resolved"

_SEVERITIES: Final = ((10.0, "critical"), (3.0, "major"))


@dataclass(frozen=True)
class Flagged:
    """The items of an entity that one detector flagged: k items whose score reaches its threshold, in order of time.

    `times`: (k,) float64, Unix seconds; `scores`: (k,) float64; `items`: the items' ids.
    """

    detector: str
    times: np.ndarray
    scores: np.ndarray
    threshold: float
    version: int
    items: Sequence[str] = ()


@dataclass(frozen=True)
class Incident:
    """Items of one entity that belong together. Times are Unix seconds.

    `opened` is when the incident had lasted long enough to be one. `detectors` holds, for each that flagged anything in
    the incident, its highest `score`, its `threshold` and `version`, and whether its own flags alone make an incident
    (`opened`). `kind`, `evidence` and `details` come from the domain: what is wrong, the evidence in words, and
    whatever else it knows.
    """

    id: str
    domain: str
    entity: str
    kind: str
    start: float
    end: float
    peak: float
    opened: float
    duration_s: float
    status: str
    severity: str
    items: tuple[str, ...]
    detectors: dict[str, dict[str, Any]]
    evidence: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Grouping:
    """How a domain's anomalies become incidents.

    `openers` are the detectors that open an incident; the others are a second opinion. With `steps` items follow each
    other regularly, and each counts for the time to the next one.
    """

    rule: Persistence
    openers: tuple[str, ...]
    steps: bool = False


def find_incidents(
    flagged: Sequence[Flagged],
    rule: Persistence,
    *,
    step_s: float,
    until: float,
    openers: Sequence[str],
    domain: str,
    entity: str,
    kind: str = "",
) -> list[Incident]:
    """The incidents of an entity, in the order of time.

    Args:
        flagged: what each detector flagged of the entity; only this kind, if the domain tells kinds apart.
        rule: how long a detector must flag, and which pauses do not end an incident.
        step_s: seconds from one item to the next; each item counts for so long.
        until: the time up to which the entity was scored; an incident that may still go on there is ongoing.
        openers: the detectors that open incidents. The others are a second opinion.
        domain: the domain's name.
        entity: what the items belong to, a server for instance.
        kind: what the items have in common beside the entity.
    """
    opening = [part for part in flagged if part.detector in openers]
    # The flags of each detector alone must make an incident: items of different detectors do not add up.
    own = {part.detector: _runs(part.times, rule, step_s) for part in opening}
    sure = [part.times[run.first : run.last + 1] for part in opening for run in own[part.detector]]
    if not sure:
        return []
    times = np.unique(np.concatenate(sure))
    incidents = []
    for run in _runs(times, rule, step_s):
        start, end = float(times[run.first]), float(times[run.last])
        inside = {part.detector: (part.times >= start) & (part.times <= end) for part in flagged}
        opened = {
            part.detector: [
                part.times[sure_run.opened] for sure_run in own[part.detector] if inside[part.detector][sure_run.first]
            ]
            for part in opening
        }
        peak, ratio = _peak(opening, inside)
        incidents.append(
            Incident(
                id=incident_id(domain, entity, kind, start),
                domain=domain,
                entity=entity,
                kind=kind,
                start=start,
                end=end,
                peak=peak,
                opened=float(min(moment for moments in opened.values() for moment in moments)),
                duration_s=end - start + step_s,
                status=ONGOING if until - end <= rule.gap_s else RESOLVED,
                severity=next((name for level, name in _SEVERITIES if ratio >= level), "warning"),
                items=_items(flagged, inside),
                detectors={
                    part.detector: {
                        "score": float(part.scores[inside[part.detector]].max()),
                        "threshold": part.threshold,
                        "version": part.version,
                        "opened": bool(opened.get(part.detector)),
                    }
                    for part in flagged
                    if inside[part.detector].any()
                },
            )
        )
    return incidents


def with_words(incidents: Sequence[Incident], words: Sequence[Word]) -> list[Incident]:
    """The incidents. If people gave words on a stretch of time that meets one, the last word becomes its status."""
    judged = []
    for incident in incidents:
        verdicts = [
            word.verdict
            for word in words
            if word.key is None
            and word.entity in ("", incident.entity)
            and word.begin / 1e6 <= incident.end
            and word.end / 1e6 >= incident.start
        ]
        judged.append(replace(incident, status=verdicts[-1]) if verdicts else incident)
    return judged


def _runs(times: np.ndarray, rule: Persistence, step_s: float) -> list[Run]:
    """The runs among `times` (k,) of flagged items."""
    return find_runs(times, np.ones(len(times), bool), rule, step_s=step_s)


def _peak(opening: Sequence[Flagged], inside: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The time of the score that is the highest multiple of its detector's threshold, and that multiple."""
    worst = []
    for part in opening:
        rows = inside[part.detector]
        if rows.any():
            ratios = part.scores[rows] / part.threshold
            row = int(ratios.argmax())
            worst.append((-float(ratios[row]), float(part.times[rows][row])))
    ratio, peak = min(worst)  # the earliest of equal ratios
    return peak, -ratio


def _items(flagged: Sequence[Flagged], inside: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The ids of the items in an incident, each once, in the order of time."""
    times: dict[str, float] = {}
    for part in flagged:
        rows = np.flatnonzero(inside[part.detector]).tolist() if len(part.items) else []
        for row in rows:
            times.setdefault(part.items[row], float(part.times[row]))
    return tuple(sorted(times, key=lambda item: (times[item], item)))
