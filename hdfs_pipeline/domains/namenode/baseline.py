"""The baseline: whether a stretch of samples can be learned from, and what is odd about it."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hdfs_pipeline.detectors.series.deviation import Deviation
from hdfs_pipeline.domains.namenode.frames import main_role, rate_of, usable
from hdfs_pipeline.domains.namenode.metrics import METRICS
from hdfs_pipeline.domains.namenode.series import Series
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.frames import Frame, ends, longest_segment
from hdfs_pipeline.scoring.runs import step_seconds

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
    findings = []
    if not len(series):
        return [Finding("too short", f"needs {length} steps, has 0", serious=True)]
    frame = usable(series)
    whole = len(ends(frame.segment, length))
    if not whole:
        text = f"needs {length} steps without a break, has {longest_segment(frame.segment)}"
        findings.append(Finding("too short", text, serious=True))
    elif whole < 3 * length:
        minutes = (frame.times[-1] - frame.times[0]) / 60
        text = f"{whole} windows from {minutes:.0f} minutes: thresholds are wide; a day or more is better"
        findings.append(Finding("short", text, serious=False))
    passed = np.diff(series.times)
    repeats = int((passed <= 0).sum())
    if repeats:
        findings.append(Finding("duplicates", f"{repeats} samples with the time of another one", serious=True))
    gaps = int(series.gap[1:].sum())
    if gaps:
        longest_s = float(passed[series.gap[1:]].max())
        findings.append(Finding("gaps", f"{gaps} gaps, the longest {longest_s:.0f} s", serious=gaps > 5))
    if series.restarted.any():
        count = int(series.restarted.sum())
        findings.append(Finding("restarts", f"the NameNode was started anew {count} times", serious=True))
    findings += _roles(series) + _idle(frame)
    odd = _odd_share(frame)
    if odd > 0.1:
        text = f"{odd:.0%} of the steps are far from the others: is there an incident in it?"
        findings.append(Finding("uneven", text, serious=odd > 0.25))
    return findings


def _roles(series: Series) -> list[Finding]:
    roles, counts = np.unique(series.role.astype(str), return_counts=True)
    main = main_role(series)
    findings = []
    if len(roles) > 1:
        rest = ", ".join(f"{count} {role}" for role, count in zip(roles, counts, strict=True) if role != main)
        message = f"only the {counts.max()} samples as {main} are used, not {rest}"
        findings.append(Finding("roles", message, serious=False))
    if main in ("standby", "observer"):
        text = f"the NameNode was {main}: it serves few operations, and an active one would look strange"
        findings.append(Finding("standby", text, serious=True))
    return findings


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
    scores = Deviation().fit(frame, None, np.ones(len(frame))).score(frame)
    scores = scores[~np.isnan(scores)]
    middle = float(np.median(scores)) if len(scores) else 0.0
    return float((scores > _ODD * middle).mean()) if middle > 0 else 0.0


def require(frame: Frame, length: int) -> None:
    """Check that there is a window of `length` steps without a gap. Raises: DataError."""
    if len(ends(frame.segment, length)):
        return
    longest = longest_segment(frame.segment)
    wait = f"; at {step_seconds(frame.times):.0f} s a step that is " if longest > 1 else ""
    more = f"{wait}{(length - longest) * step_seconds(frame.times):.0f} s more" if wait else ""
    raise DataError(f"needs {length} steps without a gap, has {longest}{more}")
