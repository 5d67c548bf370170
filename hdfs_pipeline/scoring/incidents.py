"""Incidents: anomalous items of one entity that belong together. Only what detectors flagged decides."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.feedback import Word
from hdfs_pipeline.scoring.runs import Persistence, Run, find_runs
from hdfs_pipeline.scoring.severity import CRITICAL, MAJOR, SEVERITIES, WARNING, Kind
from hdfs_pipeline.store.keys import incident_id

OPEN, ACKNOWLEDGED, RESOLVED, EXPIRED, SUPPRESSED = "open", "acknowledged", "resolved", "expired", "suppressed"
STATUSES: Final = (OPEN, ACKNOWLEDGED, RESOLVED, EXPIRED, SUPPRESSED)
"""What can become of an incident. `expired`: no items came any more that could have shown its end."""
GOING_ON: Final = (OPEN, ACKNOWLEDGED)
"""The statuses of an incident that is not over; as it stands it is also a list in SQL."""
_BY_RATIO: Final = ((10.0, CRITICAL), (3.0, MAJOR))
_FEW: Final = 2  # items of an incident that is no burst
_REAL: Final = "real"
_AT_ONCE_S: Final = 5.0  # from a symptom to what it surely follows from
_STEPS: Final = 3  # that people are told to take next


@dataclass(frozen=True)
class Flagged:
    """The items of an entity that one detector flagged: k items whose score reaches its threshold, in order of time.

    `times`: (k,) float64, Unix seconds; `scores`: (k,) float64; `items`: the items' ids; `ends`: (k,) float64 when the
    trouble of each item ended, where that is not the same as its time.
    """

    detector: str
    times: np.ndarray
    scores: np.ndarray
    threshold: float
    version: int
    items: Sequence[str] = ()
    ends: np.ndarray | None = None

    def between(self, start: float, end: float) -> slice:
        """Its items from `start` to `end`, both included."""
        return slice(int(np.searchsorted(self.times, start)), int(np.searchsorted(self.times, end, side="right")))


@dataclass(frozen=True)
class Incident:
    """Items of one entity that belong together. Times are Unix seconds.

    `opened` is when the incident had lasted long enough to be one. `detectors` holds, for each that flagged anything in
    the incident, its highest `score`, its `threshold` and `version`, and whether its own flags alone make an incident
    (`opened`). `kind`, `evidence` and `details` come from the domain: what is wrong, the evidence in words, and
    whatever else it knows. `kinds` counts the items by kind, and `next_steps` are for people.
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
    title: str = ""
    kinds: dict[str, int] = field(default_factory=dict)
    next_steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grouping:
    """How a domain's anomalies become incidents.

    `openers` are the detectors that open an incident, None for all; the others are a second opinion. With `steps` items
    follow each other regularly, and each counts for the time to the next one. An incident is over once `quiet_s`
    seconds were seen without another item of it. What comes again and again in ones and twos, with pauses of at most
    `lone_gap_s` seconds, is one incident as well. Each item of the detectors `episodes` is an incident by itself, from
    its first time to its last one, and goes on as long as it is provisional.
    """

    rule: Persistence
    openers: tuple[str, ...] | None = None
    steps: bool = False
    quiet_s: float = 0.0
    lone_gap_s: float = 0.0
    episodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scope:
    """Whose items are grouped, and how.

    `entity` is what the items belong to, such as a server, and `kind` what else they have in common. Each item counts
    for `step_s` seconds. `until` is the time up to which the entity was scored: an incident that may still go on there
    is open.
    """

    domain: str
    entity: str
    kind: str
    grouping: Grouping
    until: float
    step_s: float = 0.0


def find_incidents(flagged: Sequence[Flagged], scope: Scope) -> list[Incident]:
    """The incidents of an entity, in the order of time, from what each detector flagged of it."""
    rule, openers = scope.grouping.rule, scope.grouping.openers
    opening = [part for part in flagged if openers is None or part.detector in openers]
    # The flags of each detector alone must make an incident: items of different detectors do not add up.
    own = [(part, run) for part in opening for run in _runs(part.times, rule, scope.step_s)]
    if not own:
        return []
    times = np.unique(np.concatenate([part.times[run.first : run.last + 1] for part, run in own]))
    runs = _runs(times, rule, scope.step_s)
    starts = times[[run.first for run in runs]]
    opened: list[dict[str, float]] = [{} for _ in runs]
    for part, run in own:
        moments = opened[int(np.searchsorted(starts, part.times[run.first], side="right")) - 1]
        moments[part.detector] = min(moments.get(part.detector, np.inf), float(part.times[run.opened]))
    return [
        _incident(flagged, float(times[run.first]), float(times[run.last]), moments, scope)
        for run, moments in zip(runs, opened, strict=True)
    ]


def _incident(
    flagged: Sequence[Flagged], start: float, last: float, opened: Mapping[str, float], scope: Scope
) -> Incident:
    """The incident whose items lie from `start` to `last`; `opened` says when each detector alone had made it one."""
    inside = [(part, rows) for part in flagged if (rows := part.between(start, last)).stop > rows.start]
    end = max([last, *(float(part.ends[rows].max()) for part, rows in inside if part.ends is not None)])
    openers = scope.grouping.openers
    peak, ratio = _peak([pair for pair in inside if openers is None or pair[0].detector in openers])
    items = _items(inside)
    return Incident(
        id=incident_id(scope.domain, scope.entity, scope.kind, start),
        domain=scope.domain,
        entity=scope.entity,
        kind=scope.kind,
        start=start,
        end=end,
        peak=peak,
        opened=min(opened.values()),
        duration_s=end - start + scope.step_s,
        status=OPEN if scope.until - end <= max(scope.grouping.quiet_s, scope.grouping.rule.gap_s) else RESOLVED,
        severity=next((name for level, name in _BY_RATIO if ratio >= level), WARNING),
        items=items,
        detectors={
            part.detector: {
                "score": float(part.scores[rows].max()),
                "threshold": part.threshold,
                "version": part.version,
                "opened": part.detector in opened,
            }
            for part, rows in inside
        },
        kinds={scope.kind: len(items)} if scope.kind else {},
    )


def with_words(
    incidents: Sequence[Incident], words: Sequence[Word], key_of: Callable[[str], Any] = str
) -> list[Incident]:
    """The incidents with what people said of them; `key_of` gives the key of an item's id.

    One that meets a stretch of time on which they gave a word is suppressed, and so is one of whose items they called
    each a false alarm or expected. A word that something was real suppresses nothing.
    """
    no_news = {
        key for key, verdict in {w.key: w.verdict for w in words if w.key is not None}.items() if verdict != _REAL
    }
    judged = []
    for incident in incidents:
        if no_news and incident.items and all(_is_among(no_news, item, key_of) for item in incident.items):
            judged.append(replace(incident, status=SUPPRESSED))
            continue
        verdicts = [
            word.verdict
            for word in words
            if word.key is None
            and word.entity in ("", incident.entity)
            and word.begin / 1e6 <= incident.end
            and word.end / 1e6 >= incident.start
        ]
        judged.append(replace(incident, status=SUPPRESSED) if verdicts and verdicts[-1] != _REAL else incident)
    return judged


def _is_among(keys: set[Any], item: str, key_of: Callable[[str], Any]) -> bool:
    try:
        return key_of(item) in keys
    except DataError:  # an incident may be made of what is no item of its domain, as of polls
        return False


def _runs(times: np.ndarray, rule: Persistence, step_s: float) -> list[Run]:
    """The runs among `times` (k,) of flagged items."""
    return find_runs(times, np.ones(len(times), bool), rule, step_s=step_s)


def _peak(opening: Sequence[tuple[Flagged, slice]]) -> tuple[float, float]:
    """The time of the score that is the highest multiple of its detector's threshold, and that multiple."""
    worst = []
    for part, rows in opening:
        scores = np.nan_to_num(part.scores[rows], nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        row = int(scores.argmax())
        worst.append((-_multiple(float(scores[row]), part.threshold), float(part.times[rows][row])))
    ratio, peak = min(worst)  # the earliest of equal ratios
    return peak, -ratio


def _multiple(score: float, threshold: float) -> float:
    """How many times its threshold a score is. 1 where that says nothing: the threshold is no positive number."""
    return score / threshold if 0 < threshold < np.inf and np.isfinite(score) else 1.0


def _items(inside: Sequence[tuple[Flagged, slice]]) -> tuple[str, ...]:
    """The ids of the items in an incident, each once, in the order of time."""
    times: dict[str, float] = {}
    for part, rows in inside:
        for item, time in zip(part.items[rows], part.times[rows].tolist(), strict=False):
            times.setdefault(item, time)
    return tuple(sorted(times, key=lambda item: (times[item], item)))


def merged(incidents: Iterable[Incident], kinds: Mapping[str, Kind], gap_s: float) -> list[Incident]:
    """The incidents of a domain whose items tell of different kinds, each cause with its symptoms in one incident.

    A kind that follows from others is a symptom. It belongs to the incident of such a kind, or of another symptom, on
    the same entity at the same time, give or take `gap_s` seconds. A symptom without an entity belongs to what it
    follows from at that time, if that is on one entity. What is left stays by itself, unless its kind needs more items
    to be an incident. Each incident gets severity and next steps from its kinds.
    """
    joined = (
        _joined(group, kinds)
        for some in _at_one_time(incidents, max(gap_s, _AT_ONCE_S))
        for group in _by_cause(some, kinds, gap_s)
    )
    large = (incident for incident in joined if len(incident.items) >= kinds.get(incident.kind, Kind()).least)
    return sorted(large, key=lambda incident: (incident.start, incident.id))


def _at_one_time(incidents: Iterable[Incident], gap_s: float) -> list[list[Incident]]:
    """The incidents in the order of time, apart where more than `gap_s` seconds lie between: no cause reaches over."""
    apart: list[list[Incident]] = []
    end = -np.inf
    for incident in sorted(incidents, key=lambda incident: (incident.start, incident.entity, incident.kind)):
        if not incident.start - end <= gap_s:
            apart.append([])
        apart[-1].append(incident)
        end = max(end, incident.end)
    return apart


def _by_cause(ordered: Sequence[Incident], kinds: Mapping[str, Kind], gap_s: float) -> list[list[Incident]]:
    """The incidents in groups, each cause first and then its symptoms."""
    groups = [[incident] for incident in ordered if not _causes(incident, kinds)]
    symptoms = [incident for incident in ordered if _causes(incident, kinds)]
    for symptom in sorted(symptoms, key=lambda incident: not incident.entity):
        at_once = [group for group in groups if _explains(group, symptom, kinds, _AT_ONCE_S)]
        near = at_once or [group for group in groups if _explains(group, symptom, kinds, gap_s)]
        if near and (symptom.entity or len({group[0].entity for group in near}) == 1):
            min(near, key=lambda group: abs(group[0].start - symptom.start)).append(symptom)
        else:
            groups.append([symptom])
    return groups


def with_lone_ones(incidents: Iterable[Incident], kinds: Mapping[str, Kind], gap_s: float) -> list[Incident]:
    """The incidents, those of one or two items together with the next such one of their kind and entity.

    Between two of them lie at most `gap_s` seconds: trouble that comes again and again is one incident.
    """
    done: list[Incident] = []
    last: dict[tuple[str, str], list[Incident]] = {}
    for incident in sorted(incidents, key=lambda incident: (incident.start, incident.id)):
        if len(incident.items) > _FEW:
            done.append(incident)
            continue
        lone = last.setdefault((incident.entity, incident.kind), [])
        if lone and incident.start - lone[-1].end > gap_s:
            done.append(_joined(lone, kinds))
            lone.clear()
        lone.append(incident)
    done += [_joined(lone, kinds) for lone in last.values()]
    return sorted(done, key=lambda incident: (incident.start, incident.id))


def _causes(incident: Incident, kinds: Mapping[str, Kind]) -> frozenset[str]:
    return kinds[incident.kind].follows if incident.kind in kinds else frozenset()


def _explains(group: Sequence[Incident], symptom: Incident, kinds: Mapping[str, Kind], gap_s: float) -> bool:
    """Whether a symptom belongs to the incidents of a group, of which the first leads."""
    lead = group[0]
    if symptom.entity not in ("", lead.entity):
        return False
    if lead.kind not in _causes(symptom, kinds) and not (symptom.entity and _causes(lead, kinds)):
        return False
    begin, end = min(part.start for part in group), max(part.end for part in group)
    return begin - gap_s <= symptom.end and symptom.start <= end + gap_s


def _joined(parts: Sequence[Incident], kinds: Mapping[str, Kind]) -> Incident:
    """Several incidents as one, of the kind of the first, which leads."""
    lead = parts[0]
    entity = next((part.entity for part in parts if part.entity), "")
    counts = sum((Counter(part.kinds) for part in parts), Counter[str]())
    ordered = dict(sorted(counts.items(), key=lambda pair: (pair[0] != lead.kind, -pair[1], pair[0])))
    start, end = min(part.start for part in parts), max(part.end for part in parts)
    known = [kinds[kind] for kind in ordered if kind in kinds]
    hints = dict.fromkeys(hint for kind in known for hint in kind.hints)
    severities = [kind.severity for kind in known] or [part.severity for part in parts]
    return replace(
        lead,
        id=incident_id(lead.domain, entity, lead.kind, start),
        entity=entity,
        start=start,
        end=end,
        opened=min(part.opened for part in parts),
        duration_s=max(end - start, *(part.duration_s for part in parts)),
        status=OPEN if any(part.status == OPEN for part in parts) else lead.status,
        severity=max(severities, key=SEVERITIES.index),
        items=tuple(dict.fromkeys(item for part in parts for item in part.items)),
        detectors={name: about for part in reversed(parts) for name, about in part.detectors.items()},
        kinds=ordered,
        next_steps=tuple(hints)[:_STEPS],
    )
