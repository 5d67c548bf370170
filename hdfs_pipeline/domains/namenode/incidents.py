"""Incidents: anomalous steps that belong together, with the metrics behind them, who called, and a likely cause."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.namenode.causes import Cause, Reading, likely_cause
from hdfs_pipeline.domains.namenode.detectors import Residuals
from hdfs_pipeline.domains.namenode.process import TopUsers
from hdfs_pipeline.domains.namenode.runs import Persistence, Run, find_runs, step_seconds
from hdfs_pipeline.domains.namenode.windows import Frame, Scale, rate_of

OPENERS: Final = ("lstm_autoencoder", "deviation", "static_rules")
"""Detectors that open an incident. PCA's residual, a second opinion, is told where it agrees."""

_SEVERITIES: Final = ((10.0, "critical"), (3.0, "major"))
_SHOWN: Final = 10


@dataclass(frozen=True)
class Judged:
    """One detector's answer for n steps: scores (n,) float64, NaN where none; their threshold; residuals."""

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
    """A user's calls of an operation in a minute, at most, and in the baseline on average."""

    user: str
    operation: str
    calls: float
    usual: float


@dataclass(frozen=True)
class Incident:
    """Times are Unix seconds. `detectors`: of each that saw it its peak score, its threshold, whether it opened it."""

    start: float
    end: float
    peak: float
    opened: float
    duration_s: float
    status: str
    severity: str
    cause: Cause
    detectors: dict[str, dict[str, Any]]
    metrics: list[Contribution]
    users: list[Caller] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As a dict with ISO times."""
        found = asdict(self)
        for name in ("start", "end", "peak", "opened"):
            found[name] = iso(found[name])
        return found


def iso(seconds: float) -> str:
    """Unix seconds as ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def find_incidents(
    frame: Frame,
    judged: Sequence[Judged],
    scale: Scale,
    rule: Persistence,
    *,
    users: Sequence[TopUsers] | None = None,
    usual_users: Mapping[str, Mapping[str, float]] | None = None,
    openers: Sequence[str] = OPENERS,
) -> list[Incident]:
    """The incidents in `frame`, in order.

    Args:
        frame: the steps.
        judged: each detector's answer for them.
        scale: what is usual of each metric.
        rule: how long steps must be anomalous.
        users: the top users at each step of the frame.
        usual_users: mean calls by operation and user in the baseline.
        openers: which detectors open incidents.
    """
    opening = [each for each in judged if each.name in openers]
    if not opening or not len(frame):
        return []
    # Each detector must be sure by itself: steps of different detectors do not add up.
    step = step_seconds(frame.times)
    own = {each.name: find_runs(frame.times, each.over, rule, step_s=step) for each in opening}
    over = np.zeros(len(frame), dtype=bool)
    for each in opening:
        for run in own[each.name]:
            over[run.first : run.last + 1] |= each.over[run.first : run.last + 1]
    found = []
    for run in find_runs(frame.times, over, rule, step_s=step):
        inside = {
            name: [each.opened for each in runs if run.first <= each.first <= run.last] for name, runs in own.items()
        }
        opened = {name: min(steps) for name, steps in inside.items() if steps}
        incident = _incident(frame, judged, opening, scale, run, opened, step)
        ongoing = frame.times[-1] - incident.end <= rule.gap_s
        whose = callers(users[run.first : run.last + 1], usual_users or {}) if users is not None else []
        found.append(replace(incident, status="ongoing" if ongoing else "resolved", users=whose))
    return found


def _incident(
    frame: Frame,
    judged: Sequence[Judged],
    opening: Sequence[Judged],
    scale: Scale,
    run: Run,
    opened: Mapping[str, int],
    step: float,
) -> Incident:
    """The incident of a run, but for its status and users. `opened`: by detector, the step at which it was sure."""
    rows = slice(run.first, run.last + 1)
    detectors = {
        each.name: {
            "score": float(np.nanmax(each.scores[rows])),
            "threshold": each.threshold,
            "version": each.version,
            "opened": each.name in opened,
        }
        for each in judged
        if each.over[rows].any()
    }
    ratios = np.max([each.ratio[rows] for each in opening], axis=0)
    learned = [each for each in opening if each.name != "static_rules"] or opening
    leading = max(learned, key=lambda each: each.ratio[rows].max())
    metrics, readings = contributions(frame, leading.residuals, scale, rows)
    return Incident(
        start=float(frame.times[run.first]),
        end=float(frame.times[run.last]),
        peak=float(frame.times[run.first + int(ratios.argmax())]),
        opened=float(frame.times[min(opened.values())]),
        duration_s=float(frame.times[run.last] - frame.times[run.first] + step),
        status="resolved",
        severity=next((name for level, name in _SEVERITIES if ratios.max() >= level), "warning"),
        cause=likely_cause(readings),
        detectors=detectors,
        metrics=metrics[:_SHOWN],
    )


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
    # Errors end at FARTHEST: among metrics beyond it the distance itself decides.
    order = np.lexsort((-np.abs(distance).max(axis=0), -np.round(means / total, 2)))
    worst = np.abs(distance).argmax(axis=0)
    found, readings = [], {}
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
        place = frame.columns.index(rate) if rate in frame.columns else None
        found.append(
            Contribution(
                metric=name,
                share=float(means[at] / total),
                actual=actual,
                expected=expected,
                direction="up" if spreads >= 0 else "down",
                spreads=spreads,
                rate=None if place is None else _number(frame.values[rows][row, place]),
                usual_rate=None if place is None else float(scale.middle[place]),
            )
        )
    return found, readings


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def usual_callers(users: Sequence[TopUsers]) -> dict[str, dict[str, float]]:
    """Mean calls a minute by operation and user over the samples of a baseline."""
    totals: dict[str, dict[str, float]] = {}
    told = [each for each in users if each]
    for each in told:
        for operation, pairs in each.items():
            by_user = totals.setdefault(operation, {})
            for user, count in pairs:
                by_user[user] = by_user.get(user, 0.0) + count
    return {
        operation: {user: round(count / len(told), 2) for user, count in by_user.items()}
        for operation, by_user in totals.items()
    }


def callers(users: Sequence[TopUsers], usual: Mapping[str, Mapping[str, float]], most: int = 5) -> list[Caller]:
    """Who called most beyond what is usual, by operation; `*`, the sum of all, is left out where others are told."""
    peaks: dict[tuple[str, str], float] = {}
    for each in users:
        for operation, pairs in each.items():
            for user, count in pairs:
                peaks[user, operation] = max(peaks.get((user, operation), 0.0), count)
    found = [
        Caller(user, operation, calls, usual.get(operation, {}).get(user, 0.0))
        for (user, operation), calls in peaks.items()
    ]
    beyond = sorted((each for each in found if each.calls > each.usual), key=lambda each: each.usual - each.calls)
    return ([each for each in beyond if each.operation != "*"] or beyond)[:most]
