"""The baseline: whether a stretch of samples is fit to learn from, what is wrong with it, and what of it is used."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hdfs_pipeline.domains.namenode.detectors import Deviation
from hdfs_pipeline.domains.namenode.metrics import METRICS
from hdfs_pipeline.domains.namenode.runs import step_seconds
from hdfs_pipeline.domains.namenode.series import Series
from hdfs_pipeline.domains.namenode.windows import Frame, ends, frame_of, rate_of
from hdfs_pipeline.errors import DataError

Span = tuple[float, float]
_ODD = 5.0  # times the median score of the baseline's own steps


@dataclass(frozen=True)
class Finding:
    """One thing that is odd about a baseline. `serious`: what is learned from it may be wrong."""

    kind: str
    message: str
    serious: bool

    def to_json(self) -> dict[str, Any]:
        """As a dict."""
        return asdict(self)


def check_baseline(series: Series, length: int) -> list[Finding]:
    """What is odd about a stretch of samples as a baseline for windows of `length` steps."""
    found = []
    if not len(series):
        return [Finding("too short", f"needs {length} steps, has 0", serious=True)]
    frame = usable(series)
    whole = len(ends(frame.segment, length))
    if not whole:
        longest = int(np.unique(frame.segment, return_counts=True)[1].max(initial=0)) if len(frame) else 0
        found.append(Finding("too short", f"needs {length} steps without a break, has {longest}", serious=True))
    elif whole < 3 * length:
        minutes = (frame.times[-1] - frame.times[0]) / 60
        text = f"{whole} windows from {minutes:.0f} minutes: thresholds are wide; a day or more is better"
        found.append(Finding("short", text, serious=False))
    passed = np.diff(series.times)
    repeats = int((passed <= 0).sum())
    if repeats:
        found.append(Finding("duplicates", f"{repeats} samples with the time of another one", serious=True))
    gaps = int(series.gap[1:].sum())
    if gaps:
        longest_s = float(passed[series.gap[1:]].max())
        found.append(Finding("gaps", f"{gaps} gaps, the longest {longest_s:.0f} s", serious=gaps > 5))
    if series.restarted.any():
        count = int(series.restarted.sum())
        found.append(Finding("restarts", f"the NameNode was started anew {count} times", serious=True))
    found += _roles(series) + _idle(frame)
    odd = _odd_share(frame)
    if odd > 0.1:
        text = f"{odd:.0%} of the steps are far from the others: is there an incident in it?"
        found.append(Finding("uneven", text, serious=odd > 0.25))
    return found


def _roles(series: Series) -> list[Finding]:
    roles, counts = np.unique(series.role.astype(str), return_counts=True)
    main = main_role(series)
    found = []
    if len(roles) > 1:
        rest = ", ".join(f"{n} {role}" for role, n in zip(roles, counts, strict=True) if role != main)
        found.append(Finding("roles", f"only the {counts.max()} samples as {main} are used, not {rest}", serious=False))
    if main in ("standby", "observer"):
        text = f"the NameNode was {main}: it serves few operations, and an active one would look strange"
        found.append(Finding("standby", text, serious=True))
    return found


def _idle(frame: Frame) -> list[Finding]:
    if not len(frame):
        return []
    idle = [
        metric.name.removesuffix("AvgTime")
        for metric in METRICS
        if rate_of(metric.name) is not None
        and metric.name in frame.columns
        and np.isnan(frame.values[:, frame.columns.index(metric.name)]).all()
    ]
    if not idle:
        return []
    text = f"never called: {', '.join(idle)}; their times cannot be judged, their first calls are told"
    return [Finding("idle operations", text, serious=False)]


def _odd_share(frame: Frame) -> float:
    if len(frame) < 2:
        return 0.0
    scores = Deviation.fit(frame, {}, 0).residuals(frame).mean()
    scores = scores[~np.isnan(scores)]
    middle = float(np.median(scores)) if len(scores) else 0.0
    return float((scores > _ODD * middle).mean()) if middle > 0 else 0.0


def main_role(series: Series) -> str:
    """The role that most samples have; empty where there are none."""
    roles, counts = np.unique(series.role.astype(str), return_counts=True)
    return str(roles[np.argmax(counts)]) if len(roles) else ""


def usable(series: Series, without: Sequence[Span] = (), role: str | None = None) -> Frame:
    """The steps of a role, by default the one that most samples have, without spans (start, end) in Unix seconds."""
    frame = frame_of(series)
    if not len(series):
        return frame
    keep = series.role.astype(str) == (role or main_role(series))
    keep[1:] &= np.diff(series.times) > 0
    for start, end in without:
        keep &= (series.times < start) | (series.times > end)
    return frame.rows(keep)


def require(frame: Frame, length: int) -> None:
    """Raises: DataError where no window of `length` steps is whole."""
    if len(ends(frame.segment, length)):
        return
    longest = int(np.unique(frame.segment, return_counts=True)[1].max()) if len(frame) else 0
    wait = f"; at {step_seconds(frame.times):.0f} s a step that is " if longest > 1 else ""
    more = f"{wait}{(length - longest) * step_seconds(frame.times):.0f} s more" if wait else ""
    raise DataError(f"needs {length} steps without a gap, has {longest}{more}")
