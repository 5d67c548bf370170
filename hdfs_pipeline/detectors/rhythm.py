"""Rhythm: counts per stretch of time against how many there usually are, column by column.

A count is odd as far as few stretches of the baseline had even half as many; none is odd as far as few had none. That
finds events that are new, that come twice as often as ever, and that stopped: silence is a sign, zero is not missing.
The shares are those of the baseline itself, with nothing assumed about how counts are distributed.
"""

from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.contracts import Detector, reading, row_shares

_BINS: Final = 32
"""Of a count: 0, 1, 2–3, 4–7, … ; a count that lies two bins above another is at least twice as high."""
_LEAST: Final = 2.0
"""Decimal digits of surprise below which a column says nothing: one stretch in a hundred is no sign of trouble."""


class Rhythm(Detector):
    """Score: the sum, over columns, of -log10 of the share of the baseline's rows that were as odd, from .01 on.

    The last `groups` columns of a row say which group it belongs to, by a 1; rows without one are a group of their own.
    Each group has its own baseline. With less than a hundred rows in it nothing is odd.
    """

    name = "rhythm"
    learns_from = "normals"
    features = "minutes"
    additive = True

    def __init__(self, *, seed: int = 7, groups: int = 0, **params: Any) -> None:
        super().__init__(seed=seed, groups=groups, **params)
        self.groups = groups
        self._at_least = np.zeros((groups + 1, 0, _BINS))
        self._rows: np.ndarray = np.zeros(groups + 1)

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Count, per group and column, the normal rows that have at least so many. See `Detector`."""
        normal = np.ones(len(values), bool) if labels is None else labels == 0
        if not normal.any():
            raise DataError("no normal rows to learn how much is usual from")
        values, weights = values[normal], weights[normal].astype(np.float64)
        group, bins, width = self._group(values), _bins(values), values.shape[1]
        cells = (group[:, None] * width + np.arange(width)) * _BINS + bins
        seen = np.bincount(cells.ravel(), np.repeat(weights, width), (self.groups + 1) * width * _BINS)
        seen = seen.reshape(self.groups + 1, width, _BINS)
        self._at_least = seen[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
        self._rows = np.bincount(group, weights, self.groups + 1)
        return self

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64, 0 for what is usual in every column."""
        return self.parts(values).sum(axis=1)

    def training_scores(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> np.ndarray:
        """Scores (n,) that each row would have against the others."""
        return self._surprise(values, 0).sum(axis=1)

    def parts(self, values: np.ndarray) -> np.ndarray:
        """The surprise (n, d) float64 of each count. See `Detector`."""
        return self._surprise(values, 1)

    def _surprise(self, values: np.ndarray, itself: int) -> np.ndarray:
        """-log10 (n, d) of the share of rows as odd as these, which count `itself` times beside the baseline."""
        group, bins, column = self._group(values)[:, None], _bins(values), np.arange(values.shape[1])
        rows = self._rows[self._group(values)][:, None]
        some = self._at_least[group, column, np.maximum(bins - 1, 1)]
        none = rows - self._at_least[group, column, 1]
        share = (itself + np.where(bins > 0, some, none)) / np.maximum(itself + rows, 1)
        surprise = -np.log10(np.clip(share, 1e-300, 1.0))
        return np.where(surprise >= _LEAST, surprise, 0.0)

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Each column's part of the score. See `Detector`."""
        return row_shares(self.parts(values))

    def _group(self, values: np.ndarray) -> np.ndarray:
        """The group (n,) int64 of each row."""
        if not self.groups:
            return np.zeros(len(values), np.int64)
        marks = values[:, values.shape[1] - self.groups :] > 0
        return np.where(marks.any(axis=1), marks.argmax(axis=1), self.groups).astype(np.int64)

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`."""
        from safetensors.numpy import save_file

        arrays = {f"{self.name}.at_least": np.ascontiguousarray(self._at_least), f"{self.name}.rows": self._rows}
        save_file(arrays, folder / "model.safetensors", {"detector": self.name})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises: NotTrainedError where it is missing, damaged or another detector's."""
        from safetensors.numpy import load

        path = folder / "model.safetensors"
        with reading(cls.name, path):
            arrays = load(path.read_bytes())
            rows, at_least = arrays[f"{cls.name}.rows"], arrays[f"{cls.name}.at_least"]
            detector = cls(groups=len(rows) - 1)
            detector._rows, detector._at_least = rows, at_least.reshape(len(rows), -1, _BINS)
        return detector


def _bins(values: np.ndarray) -> np.ndarray:
    """The bin (n, d) int64 of each count."""
    return np.clip(1 + np.floor(np.log2(np.maximum(values, 0.5))), 0, _BINS - 1).astype(np.int64)
