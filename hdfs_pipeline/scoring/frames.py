"""Frame: a matrix whose rows are steps in time, for detectors of series; its windows, and the scale of its columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np

from hdfs_pipeline.scoring.features import FeatureMatrix

RANGE_SHARE: Final = 0.05
"""The least spread of a column as a share of its range in the baseline."""


@dataclass(frozen=True, kw_only=True)
class Frame(FeatureMatrix):
    """n steps of m columns, each with a row of its own; `rows` are NaN where a column is idle or unknown.

    `times`: (n,) float64, Unix seconds. `segment`: (n,) int64; steps with the same number follow each other without a
    break. `smallest`: (m,) float64, the least spread of each column. `appears`: (m,) bool, columns whose absence means
    zero (rates). `weight`: (n, m) float32 in (0, 1], how much a value says: the mean of a single measurement says
    little. `within` is the frame that these steps are a `part` of, and `at` (n,) are their rows in it.
    """

    times: np.ndarray
    segment: np.ndarray
    smallest: np.ndarray
    appears: np.ndarray
    weight: np.ndarray
    within: "Frame | None" = None
    place: np.ndarray | None = None

    @property
    def inputs(self) -> Self:
        """The frame itself: a detector of series needs the times and segments beside the values."""
        return self

    def take(self, rows: np.ndarray) -> Self:
        """The steps at `rows` (indices or a mask). A step after one that is left out begins a new segment."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        jump = np.diff(rows, prepend=rows[:1] - 1) != 1
        segment = np.cumsum(jump | (np.diff(self.segment[rows], prepend=self.segment[rows[:1]]) != 0))
        kept = {name: getattr(self, name)[rows] for name in ("keys", "times", "rows", "weight")}
        return replace(self, segment=segment, place=None if self.place is None else self.place[rows], **kept)

    def part(self, rows: np.ndarray) -> Self:
        """The steps at `rows` (indices or a mask), which are scored together with the other steps of this frame."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return replace(self.take(rows), within=self, place=rows)

    @property
    def context(self) -> tuple[Any, np.ndarray]:
        """See `FeatureMatrix.context`: the frame that the steps are a part of."""
        return super().context if self.within is None or self.place is None else (self.within, self.place)


def frame_of_matrix(values: np.ndarray, columns: Sequence[str] | None = None, step_s: float = 60.0) -> Frame:
    """A matrix (n, m) of any columns, each scaled to [0, 1], as steps of `step_s` seconds without a gap."""
    n, m = values.shape
    names = tuple(columns) if columns is not None else tuple(f"metric {at + 1}" for at in range(m))
    return Frame(
        np.asarray(values, dtype=np.float32),
        np.arange(n),
        names,
        times=np.arange(n) * step_s,
        segment=np.zeros(n, dtype=np.int64),
        smallest=np.full(m, RANGE_SHARE),
        appears=np.zeros(m, dtype=bool),
        weight=np.ones((n, m), dtype=np.float32),
    )


def ends(segment: np.ndarray, length: int) -> np.ndarray:
    """The steps (k,) int64 at which a window of `length` steps within one segment ends."""
    if len(segment) < length:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(segment[length - 1 :] == segment[: len(segment) - length + 1]) + length - 1


def longest_segment(segment: np.ndarray) -> int:
    """Steps of the longest segment; 0 where there are none."""
    return int(np.unique(segment, return_counts=True)[1].max(initial=0))


def moving_average(values: np.ndarray, width: int, segment: np.ndarray) -> np.ndarray:
    """Mean of each step and those before it, at most `width` in all, within its segment; NaN are left out.

    Returns the same shape, float64.
    """
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
    """What is usual for each column in the baseline: `middle` and `spread`, (m,) float64.

    `used`: (m,) bool, columns measured often enough to learn from. `watched`: the same columns and rates that were
    always idle. The middle of an idle rate is zero, so that its first calls stand out.
    """

    middle: np.ndarray
    spread: np.ndarray
    used: np.ndarray
    watched: np.ndarray

    @classmethod
    def of(cls, frame: Frame, least_share: float = 0.2) -> Self:
        """Mean and deviation of each column.

        The deviation is at least `RANGE_SHARE` of the range, and at least the column's `smallest`: otherwise the
        slightest change of a column that hardly moves would outweigh all others.
        """
        values = frame.values.astype(np.float64)
        share = (~np.isnan(values)).mean(axis=0) if len(values) else np.zeros(values.shape[1])
        used = share >= least_share
        middle, spread = np.zeros(values.shape[1]), np.ones(values.shape[1])
        if used.any():
            measured = values[:, used]
            middle[used] = np.nanmean(measured, axis=0)
            apart = (measured - middle[used]) * frame.weight[:, used]
            extent = np.nanmax(apart, axis=0) - np.nanmin(apart, axis=0)
            spread[used] = np.maximum(np.sqrt(np.nanmean(apart**2, axis=0)), RANGE_SHARE * extent)
        # A column that never moved does not show which change is large: a twentieth of its value counts as one spread.
        spread = np.maximum(spread, frame.smallest)
        still = used & (spread <= 0)
        spread[still] = np.maximum(0.05 * np.abs(middle[still]), 0.05)
        spread[~used] = np.maximum(frame.smallest[~used], 1e-3)
        return cls(middle, spread, used, used | (frame.appears & ~used))

    def standardised(self, frame: Frame) -> np.ndarray:
        """The values (n, m) in spreads from the middle, times their weight; float32, NaN stay."""
        return ((frame.values - self.middle) / self.spread * frame.weight).astype(np.float32)
