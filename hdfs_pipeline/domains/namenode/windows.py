"""Samples as detectors take them: values that still hold, steps that belong together, windows, the metrics' scale."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from hdfs_pipeline.domains.namenode.metrics import ALL, BY_BEAN
from hdfs_pipeline.domains.namenode.series import Series

HOLD_S: Final = 45.0
"""Seconds that a value stays true while its bean is not refreshed: Hadoop refreshes one every 10 to 20 s if polled."""

SMALLEST: Final[dict[str, float]] = {
    "ms": 0.1,
    "calls": 1.0,
    "calls/s": 1.0,
    "threads": 1.0,
    "ms/s": 10.0,
    "MiB": 16.0,
    "connections": 1.0,
}
"""The least spread of a metric by its unit: smaller differences are nobody's concern, however still the baseline."""

REFRESH_S: Final = 10.0
"""Seconds over which Hadoop takes a mean, by default."""

FEW_CALLS: Final = 30.0
"""Calls from which a mean over them says more than what is usual: one slow call of a rare operation is no news."""

RANGE_SHARE: Final = 0.05
"""The least spread of a metric as a share of its range in the baseline."""


@dataclass(frozen=True)
class Frame:
    """n steps of m metrics.

    `times`: (n,) float64, Unix seconds. `values`: (n, m) float32, NaN where a metric is idle or unknown. `segment`:
    (n,) int64; steps of one number follow each other without a gap, a restart or a change of role. `smallest`: (m,)
    float64, the least spread of each metric. `appears`: (m,) bool, metrics whose absence means zero (rates). `weight`:
    (n, m) float32 in (0, 1], how much a value says: the mean time of a single call says little.
    """

    times: np.ndarray
    values: np.ndarray
    columns: tuple[str, ...]
    segment: np.ndarray
    smallest: np.ndarray
    appears: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    def rows(self, rows: np.ndarray) -> Self:
        """Some steps; one after a step that is left out begins a new segment."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        jump = np.diff(rows, prepend=rows[:1] - 1) != 1
        segment = np.cumsum(jump | (np.diff(self.segment[rows], prepend=self.segment[rows[:1]]) != 0))
        kept = {name: getattr(self, name)[rows] for name in ("times", "values", "weight")}
        return replace(self, segment=segment, **kept)

    def between(self, start: float, end: float) -> Self:
        """The steps from `start` (with it) to `end` (without it), Unix seconds."""
        return self.rows((self.times >= start) & (self.times < end))


def frame_of(series: Series, hold_s: float = HOLD_S) -> Frame:
    """Samples as steps.

    A bean is refreshed every few polls only, and what it said holds until then, at most `hold_s`. An operation that was
    not called since its bean's last refresh is idle: NaN from there on, neither zero nor the mean of its last calls.
    """
    values = series.values.copy()
    changed = np.ones(len(series), dtype=bool)
    if len(series):
        changed[1:] = series.role[1:] != series.role[:-1]
    segment = np.cumsum(series.gap | series.restarted | changed)
    for metrics in BY_BEAN.values():
        columns = np.array([series.columns.index(metric.name) for metric in metrics if metric.name in series.columns])
        if not len(columns):
            continue
        refreshed = ~np.isnan(values[:, columns]).all(axis=1)
        last = np.maximum.accumulate(np.where(refreshed, np.arange(len(series)), -1))
        known = last >= 0
        known[known] &= (segment[known] == segment[last[known]]) & (
            series.times[known] - series.times[last[known]] <= hold_s
        )
        values[np.ix_(known, columns)] = series.values[np.ix_(last[known], columns)]
    by_name = {metric.name: metric for metric in ALL}
    return Frame(
        series.times,
        values,
        series.columns,
        segment,
        np.array([SMALLEST.get(by_name[name].unit, 0.0) if name in by_name else 0.0 for name in series.columns]),
        np.array([name in by_name and by_name[name].unit == "calls/s" for name in series.columns]),
        _weight(values, series.columns),
    )


def _weight(values: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    """How much each value (n, m) says, (n, m) float32: of a mean over c calls c / (c + FEW_CALLS), of all else 1."""
    weight = np.ones(values.shape, dtype=np.float32)
    for at, name in enumerate(columns):
        rate = rate_of(name)
        if rate in columns:
            calls = np.maximum(np.nan_to_num(values[:, columns.index(rate)]) * REFRESH_S, 1)
            weight[:, at] = calls / (calls + FEW_CALLS)
    return weight


def rate_of(average: str) -> str | None:
    """The column that holds the calls per second behind an average; None for any other metric."""
    operation = average.removesuffix("AvgTime")
    if operation == average:
        return None
    return "RpcProcessingRate" if operation.startswith("Rpc") else f"{operation}Rate"


def frame_of_matrix(values: np.ndarray, columns: Sequence[str] | None = None, step_s: float = 60.0) -> Frame:
    """A matrix (n, m) of any metrics, each scaled to [0, 1], as steps of `step_s` seconds without a gap."""
    names = tuple(columns) if columns is not None else tuple(f"metric {at + 1}" for at in range(values.shape[1]))
    n, m = values.shape
    return Frame(
        np.arange(n) * step_s,
        np.asarray(values, dtype=np.float32),
        names,
        np.zeros(n, dtype=np.int64),
        np.full(m, RANGE_SHARE),
        np.zeros(m, dtype=bool),
        np.ones((n, m), dtype=np.float32),
    )


def ends(segment: np.ndarray, length: int) -> np.ndarray:
    """The steps (k,) int64 at which a window of `length` steps ends that lies within one segment."""
    if len(segment) < length:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(segment[length - 1 :] == segment[: len(segment) - length + 1]) + length - 1


def moving_average(values: np.ndarray, width: int, segment: np.ndarray) -> np.ndarray:
    """Mean of each step and those before it, `width` at most, within its segment, without NaN. Same shape, float64."""
    filled = np.nan_to_num(values.astype(np.float64))
    sums = _running(filled, width, segment)
    counts = _running((~np.isnan(values)).astype(np.float64), width, segment)
    return np.divide(sums, counts, out=np.full(values.shape, np.nan), where=counts > 0.5)


def _running(values: np.ndarray, width: int, segment: np.ndarray) -> np.ndarray:
    n = len(values)
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    begin = np.searchsorted(segment, segment, side="left")
    low = np.maximum(np.arange(n) - width + 1, begin)
    return total[1:] - total[low]


@dataclass(frozen=True)
class Scale:
    """What is usual of each metric in the baseline: `middle` and `spread`, (m,) float64.

    `used`: (m,) bool, measured often enough to learn from. `watched`: those, and rates that were always idle: their
    middle is zero, and calls that begin are news.
    """

    middle: np.ndarray
    spread: np.ndarray
    used: np.ndarray
    watched: np.ndarray

    @classmethod
    def of(cls, frame: Frame, least_share: float = 0.2) -> Self:
        """Mean and deviation of each metric.

        The deviation is at least `RANGE_SHARE` of the range and the metric's `smallest`: on a metric that hardly moves
        the slightest change would outweigh all others.
        """
        values = frame.values.astype(np.float64)
        share = (~np.isnan(values)).mean(axis=0) if len(values) else np.zeros(values.shape[1])
        used = share >= least_share
        middle, spread = np.zeros(values.shape[1]), np.ones(values.shape[1])
        if used.any():
            seen = values[:, used]
            middle[used] = np.nanmean(seen, axis=0)
            apart = (seen - middle[used]) * frame.weight[:, used]
            extent = np.nanmax(apart, axis=0) - np.nanmin(apart, axis=0)
            spread[used] = np.maximum(np.sqrt(np.nanmean(apart**2, axis=0)), RANGE_SHARE * extent)
        # Of a metric that never moved, nothing tells what is much: a twentieth of what it is counts as one spread.
        spread = np.maximum(spread, frame.smallest)
        still = used & (spread <= 0)
        spread[still] = np.maximum(0.05 * np.abs(middle[still]), 0.05)
        spread[~used] = np.maximum(frame.smallest[~used], 1e-3)
        return cls(middle, spread, used, used | (frame.appears & ~used))

    def standardised(self, frame: Frame) -> np.ndarray:
        """The values (n, m) in spreads from the middle, drawn to it as far as they say little; float32, NaN stay."""
        return ((frame.values - self.middle) / self.spread * frame.weight).astype(np.float32)
