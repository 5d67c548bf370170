"""Scorer: a trained detector with its threshold and its card; the one way to score, in batch, stream and API."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.dataset import ANOMALY, NORMAL, UNLABELLED
from hdfs_pipeline.scoring.explain import nearest_normals
from hdfs_pipeline.scoring.features import FeatureMatrix


@dataclass(frozen=True)
class Card:
    """What is to be known of a model: kept as JSON beside it.

    `source` is the catalogue that its columns come from, `source_fingerprint` a hash of its templates; `fingerprint` a
    hash of the data it learned from; `files` the SHA-256 of each file of the model; `metrics` its evaluations by split.
    `after` is the version whose training it went on from, None for one fitted anew; `judgement` how it did beside the
    champion of its time, {} for one that was not compared. `feedback` says which verdicts of people it knew, and
    with how many it agrees (`feedback.feedback_figures`), {} without.
    """

    detector: str
    family: str
    columns: tuple[str, ...]
    source: str
    threshold: float
    rule: str
    seed: int
    params: dict[str, Any]
    blocks: int
    anomalies: int | None
    fingerprint: str
    created_at: str
    libraries: dict[str, str]
    version: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    source_fingerprint: str = ""
    after: int | None = None
    judgement: dict[str, Any] = field(default_factory=dict)
    feedback: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Scorer:
    """A detector that is ready to serve.

    `normals` (k, d) are the distinct normal vectors of training, the most frequent first; `seen` (m, d) all of them.
    `learned` (n,) uint64 are the marks of the blocks it learned from (`Dataset.marks`); None for a loaded model.
    `told` (m, d) are the vectors that verdicts of people rule, `told_labels` (m,) int8 as what: see `said`. `verdicts`
    (v, 2) int64 are the block ids and labels of all verdicts of then; None for a loaded model.
    """

    detector: Detector
    card: Card
    normals: np.ndarray
    seen: np.ndarray
    learned: np.ndarray | None = None
    told: np.ndarray | None = None
    told_labels: np.ndarray | None = None
    verdicts: np.ndarray | None = None

    def score(self, matrix: FeatureMatrix) -> np.ndarray:
        """Scores (n,) float64. Raises: DataError for columns other than the model's.

        They are the detector's, except that a vector which people called normal stays below the threshold, and one
        which they called an anomaly reaches it.
        """
        matrix.require(self.card.columns, self.card.source, self.card.source_fingerprint)
        distinct = matrix.distinct
        values = matrix.values[distinct.first]
        scores = self.detector.score(values)
        if self._ruled:
            said = self.said(values)
            below = np.nextafter(self.card.threshold, -np.inf)
            scores = np.where(said == NORMAL, np.minimum(scores, below), scores)
            scores = np.where(said == ANOMALY, np.maximum(scores, self.card.threshold), scores)
        return scores[distinct.inverse]

    @cached_property
    def _ruled(self) -> dict[bytes, int]:
        if self.told is None or self.told_labels is None:
            return {}
        rows = np.ascontiguousarray(self.told, np.float32)
        return {row.tobytes(): label for row, label in zip(rows, self.told_labels.tolist(), strict=True) if label >= 0}

    def said(self, values: np.ndarray) -> np.ndarray:
        """What people said of blocks with the vectors `values` (n, d): (n,) int8, normal or anomaly, else unlabelled.

        It is looked up vector by vector, so that a verdict holds whatever the detector makes of it.
        """
        if not self._ruled:
            return np.full(len(values), UNLABELLED, np.int8)
        rows = np.ascontiguousarray(values, np.float32)
        return np.array([self._ruled.get(row.tobytes(), UNLABELLED) for row in rows], np.int8)

    def explain(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest normal vector of each row of `values` (n, d), and each column's share: (n, d) twice."""
        nearest = nearest_normals(values, self.normals)
        return nearest, self.detector.explain(values, nearest)

    def knows(self, values: np.ndarray) -> np.ndarray:
        """Which rows of `values` (n, d) repeat a vector of training: (n,) bool."""
        known = {row.tobytes() for row in np.ascontiguousarray(self.seen, np.float32)}
        return np.array([row.tobytes() in known for row in np.ascontiguousarray(values, np.float32)], bool)
