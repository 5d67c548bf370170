"""Why a NameNode is in trouble: the metrics behind an incident, who called, and a likely cause."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from hdfs_pipeline.detectors.series.base import Residuals, ScaledDetector, SeriesDetector
from hdfs_pipeline.domains.contract import Facts
from hdfs_pipeline.domains.namenode.detectors import MAIN, RULES
from hdfs_pipeline.domains.namenode.frames import rate_of, usable
from hdfs_pipeline.domains.namenode.item import namenode_and_time, parse_window_id
from hdfs_pipeline.domains.namenode.knowledge import Reading, likely_cause
from hdfs_pipeline.domains.namenode.process import TopUsers
from hdfs_pipeline.domains.namenode.series import Series, iso, load_series
from hdfs_pipeline.scoring.frames import Frame, Scale
from hdfs_pipeline.scoring.incidents import Flagged, Grouping, Incident, Scope, find_incidents
from hdfs_pipeline.scoring.runs import Persistence, step_seconds
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.store.store import Store

_BEFORE: Final = ("lstm_autoencoder", "deviation")
"""The detectors that open incidents in a home of a release that had no `MAIN`, until it trains one."""

_SHOWN: Final = 10


@dataclass(frozen=True)
class Judged:
    """One detector's answer for n steps: scores (n,) float64, NaN if unknown; their threshold; the residuals."""

    name: str
    scores: np.ndarray
    threshold: float
    residuals: Residuals
    version: int = 0
    rule: str = ""

    @property
    def over(self) -> np.ndarray:
        """Which steps reach the threshold, (n,) bool."""
        return np.nan_to_num(self.scores, nan=-np.inf) >= self.threshold

    @property
    def ratio(self) -> np.ndarray:
        """Scores as multiples of the threshold, (n,) float64; 0 where none."""
        return np.nan_to_num(self.scores) / self.threshold

    def flagged(self, frame: Frame) -> Flagged:
        """The steps of `frame` that reach the threshold."""
        over = self.over
        items = frame.keys[over].tolist()
        return Flagged(self.name, frame.times[over], self.scores[over], self.threshold, self.version, items)


@dataclass(frozen=True)
class Contribution:
    """One metric's part in an incident, at its own worst step; `share` of the score, `rate` in calls/s."""

    metric: str
    share: float
    actual: float
    expected: float
    direction: str
    spreads: float
    rate: float | None = None
    usual_rate: float | None = None


@dataclass(frozen=True)
class Caller:
    """A user's calls of an operation per minute: the highest number, and the mean in the baseline."""

    user: str
    operation: str
    calls: float
    usual: float


def openers(ready: Iterable[str]) -> tuple[str, ...]:
    """Of the detectors that can serve those that open incidents. The others are a second opinion: they may agree."""
    names = set(ready)
    return tuple(name for name in ((MAIN,) if MAIN in names else _BEFORE) + (RULES,) if name in names)


def judge(frame: Frame, scorers: Mapping[str, Scorer], factor: float = 1.0) -> list[Judged]:
    """What each detector says of `frame`. `factor` multiplies the learned thresholds."""
    answers = []
    for name, scorer in scorers.items():
        detector, card = scorer.detector, scorer.card
        assert isinstance(detector, SeriesDetector)
        residuals = detector.residuals(frame)
        threshold = card.threshold if detector.learns_from == "nothing" else card.threshold * factor
        answers.append(Judged(name, detector.scores_of(residuals), threshold, residuals, card.version, card.rule))
    return answers


@dataclass(frozen=True)
class Usual:
    """What was usual in a baseline: the `scale` of each metric, and mean calls a minute by operation and user."""

    scale: Scale
    users: Mapping[str, Mapping[str, float]]

    @classmethod
    def of(cls, scorers: Mapping[str, Scorer]) -> "Usual":
        """What was usual in the baseline of the first detector that learned."""
        learned = next(scorer for scorer in scorers.values() if isinstance(scorer.detector, ScaledDetector))
        assert isinstance(learned.detector, ScaledDetector)
        return cls(learned.detector.scale, learned.card.facts["users"])


def incident_json(incident: Incident) -> dict[str, Any]:
    """An incident of a NameNode as a dict with ISO times."""
    return {
        **{name: iso(getattr(incident, name)) for name in ("start", "end", "peak", "opened")},
        **{name: getattr(incident, name) for name in ("duration_s", "status", "severity")},
        "cause": {"name": incident.kind, "evidence": incident.evidence},
        "detectors": incident.detectors,
        **incident.details,
    }


def explained_incidents(
    frame: Frame,
    judged: Sequence[Judged],
    usual: Usual,
    rule: Persistence,
    *,
    namenode: str = "",
    users: Sequence[TopUsers] | None = None,
    opening: Sequence[str] | None = None,
) -> list[Incident]:
    """The incidents in `frame`, in order, each with its cause, its metrics and who called.

    Args:
        frame: the steps.
        judged: each detector's answer for them.
        usual: what was usual in the baseline.
        rule: how long steps must be anomalous.
        namenode: whose steps these are.
        users: the top users at each step of the frame.
        opening: which detectors open incidents; by default `openers` says it.
    """
    if not len(frame):
        return []
    opening = openers(answer.name for answer in judged) if opening is None else opening
    incidents = find_incidents(
        [answer.flagged(frame) for answer in judged],
        Scope(
            domain="namenode",
            entity=namenode,
            kind="",
            grouping=Grouping(rule, tuple(opening), steps=True),
            until=float(frame.times[-1]),
            step_s=step_seconds(frame.times),
        ),
    )
    asked = [answer for answer in judged if answer.name in opening]
    return [_explained(incident, frame, asked, usual, users) for incident in incidents]


def explain_incident(
    store: Store, scorers: Mapping[str, Scorer], role: str | None, lead_s: float, incident: Incident
) -> Incident:
    """An incident with its cause, its metrics and who called, from the stored samples and the opening detectors.

    Scores depend on the `lead_s` seconds before a step; only steps in `role` count.
    """
    series = load_series(store, incident.entity, incident.start - lead_s, incident.end + 1e-3, users=True)
    frame = usable(series, role=role)
    return _explained(incident, frame, judge(frame, scorers), Usual.of(scorers), users_at(series, frame))


def users_at(series: Series, frame: Frame) -> list[TopUsers]:
    """The top users at each step of a frame, which holds steps of the series."""
    kept = np.isin(series.times, frame.times)
    return [users for users, keep in zip(series.users or [{}] * len(series), kept, strict=True) if keep]


def _explained(
    incident: Incident, frame: Frame, opening: Sequence[Judged], usual: Usual, users: Sequence[TopUsers] | None
) -> Incident:
    """The incident with kind, evidence and details: the `metrics` and `users` behind it.

    The metrics are those of the detector whose score is the highest multiple of its threshold. Static rules, which look
    at three metrics only, count if no other detector opens incidents.
    """
    rows = slice(
        int(np.searchsorted(frame.times, incident.start)), int(np.searchsorted(frame.times, incident.end, side="right"))
    )
    learned = [answer for answer in opening if answer.name != RULES] or opening
    leading = max(learned, key=lambda answer: answer.ratio[rows].max())
    metrics, readings = contributions(frame, leading.residuals, usual.scale, rows)
    cause = likely_cause(readings)
    details = {
        "metrics": [asdict(metric) for metric in metrics[:_SHOWN]],
        "users": [asdict(caller) for caller in callers(users[rows], usual.users)] if users is not None else [],
    }
    return replace(incident, kind=cause.name, evidence=cause.evidence, details=details)


def contributions(
    frame: Frame, residuals: Residuals, scale: Scale, rows: slice
) -> tuple[list[Contribution], dict[str, Reading]]:
    """The metrics of the steps `rows` by their share in the errors, largest first; and their readings by name."""
    errors = np.nan_to_num(residuals.errors[rows].astype(np.float64))
    known = ~np.isnan(residuals.errors[rows])
    distance = (frame.values[rows] - residuals.expected[rows]) / scale.spread * frame.weight[rows]
    distance = np.where(known, np.nan_to_num(distance), 0.0)
    means = errors.mean(axis=0)
    total = max(float(means.sum()), 1e-12)
    # Errors are capped at FARTHEST: among metrics beyond it the distance itself decides.
    order = np.lexsort((-np.abs(distance).max(axis=0), -np.round(means / total, 2)))
    worst = np.abs(distance).argmax(axis=0)
    parts, readings = [], {}
    for at in order:
        if not known[:, at].any():
            continue
        name, row = frame.columns[at], int(worst[at])
        if not known[row, at]:
            row = int(np.flatnonzero(known[:, at])[0])
        actual, expected = float(frame.values[rows][row, at]), float(residuals.expected[rows][row, at])
        spreads = float(distance[row, at])
        readings[name] = Reading(actual, expected, spreads)
        rate = rate_of(name)
        rate_column = frame.columns.index(rate) if rate in frame.columns else None
        parts.append(
            Contribution(
                metric=name,
                share=float(means[at] / total),
                actual=actual,
                expected=expected,
                direction="up" if spreads >= 0 else "down",
                spreads=spreads,
                rate=None if rate_column is None else _number(frame.values[rows][row, rate_column]),
                usual_rate=None if rate_column is None else float(scale.middle[rate_column]),
            )
        )
    return parts, readings


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def usual_callers(users: Sequence[TopUsers]) -> dict[str, dict[str, float]]:
    """Mean calls a minute by operation and user over the samples of a baseline."""
    totals: dict[str, dict[str, float]] = {}
    samples = [sample for sample in users if sample]
    for sample in samples:
        for operation, pairs in sample.items():
            by_user = totals.setdefault(operation, {})
            for user, count in pairs:
                by_user[user] = by_user.get(user, 0.0) + count
    return {
        operation: {user: round(count / len(samples), 2) for user, count in by_user.items()}
        for operation, by_user in totals.items()
    }


def callers(users: Sequence[TopUsers], usual: Mapping[str, Mapping[str, float]], most: int = 5) -> list[Caller]:
    """Who called most beyond the usual, by operation; `*`, the sum of all, is left out if others are known."""
    peaks: dict[tuple[str, str], float] = {}
    for sample in users:
        for operation, pairs in sample.items():
            for user, count in pairs:
                peaks[user, operation] = max(peaks.get((user, operation), 0.0), count)
    everybody = [
        Caller(user, operation, calls, usual.get(operation, {}).get(user, 0.0))
        for (user, operation), calls in peaks.items()
    ]
    beyond = [caller for caller in everybody if caller.calls > caller.usual]
    beyond.sort(key=lambda caller: caller.usual - caller.calls)
    return ([caller for caller in beyond if caller.operation != "*"] or beyond)[:most]


def facts(store: Store, windows: Sequence[str] | None = None) -> dict[str, Facts]:
    """Facts of windows, by default of all: the time of the last step, which is a window's one record."""
    rows = _samples(store, windows, "namenode, polled_at")
    return {window: Facts(polled_at, polled_at, 1) for window, (_, polled_at) in rows.items()}


def evidence(store: Store, window: str, limit: int) -> list[dict[str, Any]]:
    """What was measured at the last step of a window: `time`, and role and metrics as `line`."""
    rows = _samples(store, [window], "namenode, polled_at, role, metrics")
    return [
        {"time": polled_at, "line": f"{role}: " + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())}
        for _, polled_at, role, metrics in list(rows.values())[:limit]
    ]


def _samples(store: Store, windows: Sequence[str] | None, columns: str) -> dict[str, tuple[Any, ...]]:
    """Samples by the id of the window that ends with them. `columns` begin with namenode and polled_at."""
    condition, parameters = "true", []
    if windows is not None:
        ends = [namenode_and_time(window) for window in windows]
        names, times = [name for name, _ in ends], [at for _, at in ends] or [0.0]
        condition = "list_contains(?::VARCHAR[], namenode) AND polled_at BETWEEN to_timestamp(?) AND to_timestamp(?)"
        parameters = [[*set(names)], min(times), max(times) + 1e-3]
    with store.read() as con:
        rows = con.execute(
            f"SELECT {columns} FROM namenode_metrics WHERE {condition} ORDER BY namenode, polled_at", parameters
        ).fetchall()
    samples = {parse_window_id(f"{row[0]} {row[1].isoformat()}"): row for row in rows}
    return samples if windows is None else {window: samples[window] for window in windows if window in samples}
