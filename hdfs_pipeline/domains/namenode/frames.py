"""The steps of a NameNode: how long values hold, which steps belong together, and which of them are judged."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from hdfs_pipeline.domains.namenode.item import window_ids
from hdfs_pipeline.domains.namenode.metrics import ALL, BY_BEAN
from hdfs_pipeline.domains.namenode.series import Series
from hdfs_pipeline.scoring.frames import Frame

Span = tuple[float, float]
"""Start and end of a stretch of time, Unix seconds."""

SOURCE: Final = "namenode_metrics"
"""The table that the columns come from: that of the samples."""

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
"""The least spread of a metric by its unit: smaller differences do not matter, however steady the baseline is."""

REFRESH_S: Final = 10.0
"""Seconds over which Hadoop takes a mean, by default."""

FEW_CALLS: Final = 30.0
"""Number of calls at which their mean counts half: one slow call of a rare operation says little."""


def frame_of(series: Series, hold_s: float = HOLD_S) -> Frame:
    """Samples as steps.

    A bean is refreshed every few polls only, and its values hold until then, for at most `hold_s`. An operation that
    was not called since its bean's last refresh is idle: its value is NaN from there on, neither zero nor the mean of
    its last calls. A gap, a restart or a change of role begins a new segment.
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
        values,
        window_ids(series.namenode, series.times),
        series.columns,
        SOURCE,
        times=series.times,
        segment=segment,
        smallest=np.array(
            [SMALLEST.get(by_name[name].unit, 0.0) if name in by_name else 0.0 for name in series.columns]
        ),
        appears=np.array([name in by_name and by_name[name].unit == "calls/s" for name in series.columns]),
        weight=_weight(values, series.columns),
    )


def _weight(values: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    """How much each value (n, m) says, (n, m) float32: of a mean over c calls c / (c + FEW_CALLS), of all else 1."""
    weight = np.ones(values.shape, dtype=np.float32)
    for column, name in enumerate(columns):
        rate = rate_of(name)
        if rate in columns:
            calls = np.maximum(np.nan_to_num(values[:, columns.index(rate)]) * REFRESH_S, 1)
            weight[:, column] = calls / (calls + FEW_CALLS)
    return weight


def rate_of(average: str) -> str | None:
    """The column that holds the calls per second behind an average; None for any other metric."""
    operation = average.removesuffix("AvgTime")
    if operation == average:
        return None
    return "RpcProcessingRate" if operation.startswith("Rpc") else f"{operation}Rate"


def main_role(series: Series) -> str:
    """The role that most samples have; empty if there are no samples."""
    roles, counts = np.unique(series.role.astype(str), return_counts=True)
    return str(roles[np.argmax(counts)]) if len(roles) else ""


def usable(series: Series, without: Sequence[Span] = (), role: str | None = None) -> Frame:
    """The steps of a role, by default the one that most samples have, without spans of time."""
    frame = frame_of(series)
    if not len(series):
        return frame
    keep = series.role.astype(str) == (role or main_role(series))
    keep[1:] &= np.diff(series.times) > 0
    for start, end in without:
        keep &= (series.times < start) | (series.times > end)
    return frame.take(keep)
