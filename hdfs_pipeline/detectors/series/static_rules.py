"""Static rules: limits that an operator sets, whatever the baseline was."""

from typing import Self

import numpy as np

from hdfs_pipeline.detectors.series.base import Residuals, SeriesDetector, Tensors
from hdfs_pipeline.scoring.frames import Frame


class StaticRules(SeriesDetector):
    """Score: the highest of the values, each as a multiple of its limit; from 1 on a limit is reached.

    `params`: `limits`, by column. It needs no baseline.
    """

    name = "static_rules"
    learns_from = "nothing"

    @property
    def limits(self) -> dict[str, float]:
        """The limits by column."""
        limits: dict[str, float] = self.params.get("limits", {})
        return limits

    def fit(self, values: Frame, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """There is nothing to learn. See `Detector.fit`."""
        return self

    def residuals(self, frame: Frame) -> Residuals:
        """Multiples of the limits in place of errors, and the limits in place of what was expected."""
        errors = np.full(frame.values.shape, np.nan, dtype=np.float32)
        expected = np.full(frame.values.shape, np.nan, dtype=np.float32)
        for name, limit in self.limits.items():
            if name in frame.columns:
                column = frame.columns.index(name)
                errors[:, column] = frame.values[:, column] / limit
                expected[:, column] = limit
        return Residuals(errors, expected)

    def scores_of(self, residuals: Residuals) -> np.ndarray:
        """The highest multiple of each step; 0 where nothing is known."""
        errors = np.nan_to_num(residuals.errors)
        return errors.max(axis=1, initial=0.0).astype(np.float64)

    def _tensors(self) -> Tensors:
        return {"limits": np.array(list(self.limits.values()), np.float64)}

    def _restore(self, tensors: Tensors) -> None:
        if set(tensors) != {"limits"}:
            raise ValueError("not a file of limits")
