"""Seasonal: measures of a group against what they usually are at this hour of the week.

A robust z-score (Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993): the distance from the median in
units of the median absolute deviation, on roots of counts and logarithms of times. Where an hour of the week has too
little history the same hour of all days counts, and where that has too little all hours together.
"""

from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.contracts import Detector, reading, row_shares

LAYOUT: Final = (
    "group", "hour_of_week", "requests", "errors", "error_share", "client_errors", "client_error_share", "clients",
    "timed", "mean_ms", "sd_ms", "p50_ms", "p95_ms",
)  # fmt: skip
"""The first columns of a row that it reads; further ones it leaves alone."""
_GROUP, _HOUR, _REQUESTS, _ERRORS, _SHARE = range(5)
_CLIENTS, _TIMED, _MEAN, _P95 = 7, 8, 9, 12
_JUDGED: Final = (_REQUESTS, _SHARE, _MEAN, _P95)
_HOURS, _DAY = 168, 24
_CELLS: Final = _HOURS + _DAY + 1
"""Cells of a group: hours of the week, hours of the day, and all hours."""
_LEAST: Final = 45.0  # rows of a cell that say what is usual
_LEAST_ALL: Final = 120.0  # the same of all hours together
_NEEDED: Final = 46  # of 48 distinct hours of the week that two days have: an hour may be without requests
_DEVIATIONS: Final = 1.4826
_LEAST_SPREAD: Final = np.array([1.0, 0.02, 0.15, 0.25])
"""Least standard deviations: of the roots of requests and of error rates, and of logarithms of response times."""
_LEAST_MS: Final = 20.0
_ROOT: Final = 0.375  # roots of counts vary equally with it (Anscombe, 1948)
_VARIES: Final = 0.15  # share by which any traffic varies from week to week


class Seasonal(Detector):
    """Score: the largest robust z-score of a row's requests, error rate, mean and 95 % response time.

    Requests count in both directions, errors and response times only upwards. What chance alone explains, by how many
    requests there are, is no deviation. Rows of a group that it has not learned score 0.
    """

    name = "seasonal"
    learns_from = "normals"
    features = "windows"
    expects = True

    def __init__(self, *, seed: int = 7, **params: Any) -> None:
        super().__init__(seed=seed, **params)
        self._groups = np.zeros(0, np.int64)
        self._cells = np.zeros((0, _CELLS, 3, len(_JUDGED)), np.float64)  # medians, deviations, rows behind them

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn medians and deviations of each group and hour. See `Detector`.

        Raises: DataError with less than two days of history.
        """
        normal = np.ones(len(values), bool) if labels is None else labels == 0
        if not normal.any():
            raise DataError("no normal rows to learn what is usual at each hour from")
        values, weights = values[normal].astype(np.float64), weights[normal].astype(np.float64)
        hours = len(np.unique(values[:, _HOUR]))
        if hours < _NEEDED:
            raise DataError(f"{self.name} needs 2 days of history, and has {hours} hours: train it later")
        self._groups, group = np.unique(values[:, _GROUP].astype(np.int64), return_inverse=True)
        self._cells = np.zeros((len(self._groups), _CELLS, 3, len(_JUDGED)))
        hour, measures = values[:, _HOUR].astype(np.int64), _measures(values)
        for cell in (hour, _HOURS + hour % _DAY, np.full(len(hour), _CELLS - 1)):
            place = group.reshape(-1) * _CELLS + cell
            order = np.argsort(place, kind="stable")
            for rows in np.split(order, np.flatnonzero(np.diff(place[order])) + 1):
                at = int(place[rows[0]])
                self._cells[at // _CELLS, at % _CELLS] = _middle_and_spread(measures[rows], weights[rows])
        return self

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64, 0 for what is usual at its hour."""
        return self._deviations(values)[0].max(axis=1, initial=0.0)

    def _deviations(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far each judged measure lies from its hour's median, in standard deviations, and that median: (n, 4)."""
        own = values.astype(np.float64)
        if not len(self._groups) or not len(own):
            return np.zeros((len(own), len(_JUDGED))), np.full((len(own), len(_JUDGED)), np.nan)
        code, hour = own[:, _GROUP].astype(np.int64), own[:, _HOUR].astype(np.int64) % _HOURS
        group = np.minimum(np.searchsorted(self._groups, code), len(self._groups) - 1)
        cells = np.stack([self._cells[group, cell] for cell in (hour, _HOURS + hour % _DAY, [_CELLS - 1] * len(own))])
        enough = cells[:, :, 2] >= np.array([_LEAST, _LEAST, _LEAST_ALL])[:, None, None]
        known = (self._groups[group] == code)[:, None] & enough.any(axis=0)
        chosen = np.take_along_axis(cells, enough.argmax(axis=0)[None, :, None], axis=0)[0]
        middle, spread = chosen[:, 0], chosen[:, 1]
        apart = _measures(own) - middle
        deviations = apart / np.maximum(np.maximum(spread, _LEAST_SPREAD), _chance(own))
        deviations[:, 0] = _beyond_weeks(np.abs(deviations[:, 0]), own[:, _REQUESTS], middle[:, 0])
        slower = own[:, [_MEAN, _P95]] - np.expm1(np.minimum(middle[:, 2:], 50)) >= _LEAST_MS
        deviations[:, 2:] = np.where(slower, deviations[:, 2:], 0.0)
        judged = known & ~np.isnan(deviations)
        return np.where(judged, np.maximum(deviations, 0), 0.0), np.where(known, middle, np.nan)

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Each column's part of the deviations. See `Detector`."""
        shares = np.zeros(values.shape, np.float64)
        shares[:, list(_JUDGED)] = self._deviations(values)[0]
        return row_shares(shares)

    def explain_steps(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What was expected of each measure at this hour, and its share in the deviation. See `Detector`."""
        expected = np.full(values.shape, np.nan)
        middle = self._deviations(values)[1]
        expected[:, _REQUESTS] = np.round((middle[:, 0] / 2) ** 2 - _ROOT)
        expected[:, [_MEAN, _P95]] = np.expm1(middle[:, [2, 3]])
        expected[:, _SHARE] = 1000 * middle[:, 1] ** 2
        return expected, self.explain(values, values)

    def facts(self) -> dict[str, Any]:
        """How many groups it knows, and by how many hours of the week. See `Detector`."""
        own = (self._cells[:, :_HOURS, 2, 0] >= _LEAST).sum()
        return {"groups": len(self._groups), "hours_of_week": int(own)}

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`."""
        from safetensors.numpy import save_file

        arrays = {f"{self.name}.groups": self._groups, f"{self.name}.cells": np.ascontiguousarray(self._cells)}
        save_file(arrays, folder / "model.safetensors", {"detector": self.name})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises: NotTrainedError where it is missing, damaged or another detector's."""
        from safetensors.numpy import load

        path = folder / "model.safetensors"
        with reading(cls.name, path):
            arrays = load(path.read_bytes())
            detector = cls()
            detector._groups = arrays[f"{cls.name}.groups"]
            detector._cells = arrays[f"{cls.name}.cells"].reshape(-1, _CELLS, 3, len(_JUDGED))
        return detector


def _measures(values: np.ndarray) -> np.ndarray:
    """The judged measures (n, 4): roots of requests and error rates, logarithms of times; NaN where a row has none."""
    requests, timed = values[:, _REQUESTS], values[:, _TIMED]
    share = np.where(requests > 0, np.sqrt(values[:, _SHARE] / 1000), np.nan)
    times = np.where(timed[:, None] > 0, np.log1p(values[:, [_MEAN, _P95]]), np.nan)
    return np.column_stack([2 * np.sqrt(requests + _ROOT), share, times])


def _beyond_weeks(deviations: np.ndarray, requests: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """What remains (n,) of deviations of requests, since any traffic varies from week to week by its size too.

    By how many times requests are more or less than usual counts, so that a fall to a third is as much as three times
    as many: on roots alone no fall, not even to nothing, would be far.
    """
    times = np.abs(np.log((requests + _ROOT) / ((middle / 2) ** 2 + 1e-9)))
    by_size = 2 * np.expm1(times / 2) / _VARIES
    whole = np.hypot(deviations, by_size)
    return np.divide(deviations * by_size, whole, out=np.zeros_like(whole), where=whole > 0)


def _chance(values: np.ndarray) -> np.ndarray:
    """The standard deviations (n, 4) that chance gives measures of so few requests, clients and errors."""
    requests, timed = np.maximum(values[:, _REQUESTS], 1), np.maximum(values[:, _TIMED], 1)
    # Requests come by clients, each with several; behind one address there may be many.
    crowd = np.clip(np.sqrt(requests / np.maximum(values[:, _CLIENTS], 1)), 1, 2)
    share = 0.5 / np.sqrt(requests)
    time = crowd / np.sqrt(timed)
    return np.column_stack([crowd, share, time, 2.5 * time])


def _middle_and_spread(measures: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted medians of the columns of `measures` (k, m), deviations of the normal distribution, rows: (3, m)."""
    found = np.zeros((3, measures.shape[1]))
    for column in range(measures.shape[1]):
        known = ~np.isnan(measures[:, column])
        own, weight = measures[known, column], weights[known]
        if len(own):
            middle = _median(own, weight)
            found[:, column] = middle, _DEVIATIONS * _median(np.abs(own - middle), weight), weight.sum()
    return found


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
