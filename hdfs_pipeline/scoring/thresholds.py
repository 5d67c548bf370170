"""Thresholds: rules that are fixed on training data, apart from the detectors that they judge.

A score is anomalous when it is at least the threshold.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hdfs_pipeline.errors import DataError


@dataclass(frozen=True)
class Fixed:
    """A value known beforehand, a probability for instance."""

    value: float

    def fit(self, scores: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> float:
        """The value, whatever the training scores are."""
        return self.value

    def __str__(self) -> str:
        return f"fixed {self.value:g}"


@dataclass(frozen=True)
class Quantile:
    """Just above the given quantile of the training scores of normal blocks (of all, where there are no labels).

    `among` "all" takes the scores of all blocks, whatever their labels: 1 - quantile is the share taken for anomalous.
    """

    quantile: float
    among: Literal["normals", "all"] = "normals"

    def fit(self, scores: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> float:
        """Smallest float above the weighted quantile, so that the quantile itself is still normal."""
        keep = np.ones(len(scores), bool) if labels is None or self.among == "all" else labels == 0
        if not keep.any():
            raise DataError("no normal blocks to fix a threshold on: give labels that hold some")
        order = np.argsort(scores[keep], kind="stable")
        reached = np.cumsum(weights[keep][order]) / weights[keep].sum()
        place = min(int(np.searchsorted(reached, self.quantile - 1e-12)), len(order) - 1)
        return float(np.nextafter(scores[keep][order][place], np.inf))

    def __str__(self) -> str:
        scores = "all training scores" if self.among == "all" else "the training scores"
        return f"quantile {self.quantile:g} of {scores}"


Threshold = Fixed | Quantile
