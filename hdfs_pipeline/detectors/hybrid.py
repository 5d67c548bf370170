"""Hybrid: what is known to be bad, and what is new, from a random forest and from combinations never seen.

A forest needs many labelled anomalies and cannot judge events that it never saw; novelty alone takes every new habit of
a cluster for damage. Labels and novelty together are semi-supervised anomaly detection as in Görnitz et al., "Toward
Supervised Anomaly Detection" (JAIR 46, 2013).
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

from hdfs_pipeline.detectors.composed import Composed

_BAD: Final = "random_forest"
_NEW: Final = "combinations"


class Hybrid(Composed):
    """Score: 1 - (1 - p) (1 - q), p the forest's probability and q the score of the combinations (a noisy or).

    At .75: the forest alone is sure, or three pieces of novelty stand against an item, or both are half convinced.
    """

    name = "hybrid"
    learns_from = "labels"

    def _names(self) -> Iterable[str]:
        return (_BAD, _NEW)

    def _opinions(self, values: np.ndarray) -> dict[str, np.ndarray]:
        return {name: member.score(values) for name, member in self._trained().items()}

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in [0, 1], to six decimals: p = .75 alone must not come out as .7499999."""
        opinions = self._opinions(values)
        return np.round(1 - (1 - opinions[_BAD]) * (1 - opinions[_NEW]), 6)

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """The members' shares, weighed by their scores. See `Detector.explain`."""
        return self._weighed(values, nearest, self._opinions(values))
