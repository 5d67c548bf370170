"""Ensemble: the mean opinion of detectors that need no labels.

Averages of outlier scores: Aggarwal and Sathe, "Theoretical Foundations and Algorithms for Outlier Ensembles" (SIGKDD
Explorations 17, 2015). Scores are brought to one scale by each member's own threshold rather than by their ranks among
the training items: whatever is stranger than all of these has the highest rank, and all anomalies would be alike.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from hdfs_pipeline.detectors.composed import Composed
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.thresholds import Threshold


class Ensemble(Composed):
    """Score: mean over the members of s / (s + t), s a member's score and t its threshold on the training items.

    .5 means that on average the members' scores of an item are at their thresholds. `rules` names the members and says
    how the threshold of each is fixed.
    """

    name = "ensemble"
    learns_from = "normals"

    def __init__(self, *, seed: int = 7, rules: Mapping[str, Threshold] | None = None, **params: Any) -> None:
        self.rules = dict(rules or {})
        super().__init__(seed=seed, **params, **({"members": sorted(self.rules)} if self.rules else {}))
        self.thresholds: dict[str, float] = {}

    def _names(self) -> Iterable[str]:
        return self.rules or self.thresholds

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Train the members and fix their thresholds. See `Detector.fit`; `labels` may be None."""
        if not self.rules:
            raise DataError("ensemble has no members: name some in the setting ensemble_members")
        super().fit(values, labels, weights)
        self.thresholds = {
            name: self.rules[name].fit(member.score(values), labels, weights)[0]
            for name, member in self.members.items()
        }
        return self

    def _opinions(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Of each member s / (s + t): (n,) float64 in [0, 1)."""
        opinions = {}
        for name, member in self._trained().items():
            scores = np.maximum(member.score(values), 0)
            opinions[name] = scores / np.maximum(scores + self.thresholds[name], np.finfo(float).tiny)
        return opinions

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in [0, 1)."""
        opinions = self._opinions(values)
        return np.asarray(sum(opinions.values()) / len(opinions))

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """The members' shares, weighed by their opinions. See `Detector.explain`."""
        return self._weighed(values, nearest, self._opinions(values))

    def _numbers(self) -> dict[str, np.ndarray]:
        return {name: np.array([threshold]) for name, threshold in self.thresholds.items()}

    @classmethod
    def _of(cls, numbers: dict[str, np.ndarray]) -> Self:
        detector = cls()
        detector.thresholds = {name: float(array[0]) for name, array in numbers.items()}
        return detector
