"""Scorer: a trained detector with its threshold and its card; the one way to score, in batch, stream and API."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.explain import nearest_normals
from hdfs_pipeline.scoring.features import FeatureMatrix


@dataclass(frozen=True)
class Card:
    """What is to be known of a model: kept as JSON beside it.

    `source` is the catalogue that its columns come from, `source_fingerprint` a hash of its templates; `fingerprint` a
    hash of the data it learned from; `files` the SHA-256 of each file of the model; `metrics` its evaluations by split.
    `after` is the version whose training it went on from, None for one fitted anew; `judgement` how it did beside the
    champion of its time, {} for one that was not compared.
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

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Scorer:
    """A detector that is ready to serve.

    `normals` (k, d) are the distinct normal vectors of training, the most frequent first; `seen` (m, d) all of them.
    `learned` (n,) uint64 are the marks of the blocks it learned from (`Dataset.marks`); None for a loaded model.
    """

    detector: Detector
    card: Card
    normals: np.ndarray
    seen: np.ndarray
    learned: np.ndarray | None = None

    def score(self, matrix: FeatureMatrix) -> np.ndarray:
        """Scores (n,) float64. Raises: DataError for columns other than the model's."""
        matrix.require(self.card.columns, self.card.source, self.card.source_fingerprint)
        distinct = matrix.distinct
        return self.detector.score(matrix.values[distinct.first])[distinct.inverse]

    def explain(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest normal vector of each row of `values` (n, d), and each column's share: (n, d) twice."""
        nearest = nearest_normals(values, self.normals)
        return nearest, self.detector.explain(values, nearest)

    def knows(self, values: np.ndarray) -> np.ndarray:
        """Which rows of `values` (n, d) repeat a vector of training: (n,) bool."""
        known = {row.tobytes() for row in np.ascontiguousarray(self.seen, np.float32)}
        return np.array([row.tobytes() in known for row in np.ascontiguousarray(values, np.float32)], bool)
