"""Exact match: is a count vector one that a normal block has had before?

The bar for every model that learns without labels: a random split of HDFS mostly measures memory, and this is memory
and nothing else (compare Landauer, Skopik and Wurzenberger, "A Critical Review of Common Log Data Sets Used for
Evaluation of Sequence-based Anomaly Detection Techniques", 2023). Distances give it an order and an explanation, as in
nearest-neighbour detection (Ramaswamy, Rastogi and Shim, 2000).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from hdfs_pipeline.detectors.onnx_session import reading
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.features import distinct_rows

DISTANCES = 1 << 22
"""Distances held at once: 32 MB."""


def normal_rows(values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows (k, d) float32 labelled 0 (of all, without labels) and the blocks (k,) float64 behind each.

    Raises: DataError where there are none.
    """
    if labels is not None:
        values, weights = values[labels == 0], weights[labels == 0]
    if not len(values):
        raise DataError("no normal blocks to learn from: read more logs, or give labels that hold some normal blocks")
    distinct = distinct_rows(values)
    return np.ascontiguousarray(values[distinct.first], np.float32), np.bincount(distinct.inverse, weights)


def nearest_rows(values: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (n,) int64 and L1 distance (n,) float64 of the row of `normals` (k, d) nearest to each of `values` (n, d).

    Of several equally near the first one is taken. Memory: 32 MB of distances, whatever n and k are below 4 million.
    """
    from scipy.spatial.distance import cdist

    index, distance = np.zeros(len(values), np.int64), np.zeros(len(values))
    step = max(1, DISTANCES // len(normals))
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        table = cdist(values[part], normals, "cityblock")
        index[part] = table.argmin(axis=1)
        distance[part] = table.min(axis=1)
    return index, distance


class ExactMatch(Detector):
    """Score d / (1 + d), d the L1 distance to the nearest normal vector: 0 if seen, at least .5 if counts differ."""

    name = "exact_match"
    learns_from = "normals"
    normals: np.ndarray | None = None
    """Distinct normal vectors (k, d) float32, ordered by their columns; None before `fit`."""
    _seen: frozenset[bytes] = frozenset()

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Remember the distinct normal vectors. See `Detector.fit`; `labels` may be None."""
        normals, _ = normal_rows(values, labels, weights)
        # One order for the same set of rows gives the same file.
        return self._remember(normals[np.lexsort(normals.T[::-1])])

    def _remember(self, normals: np.ndarray) -> Self:
        self.normals = normals
        self._seen = frozenset(_row_bytes(normals))
        return self

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in [0, 1). Vectors that were seen are found by hash, without a distance."""
        distance = np.zeros(len(values))
        rows = np.flatnonzero(np.fromiter((row not in self._seen for row in _row_bytes(values)), bool, len(values)))
        if len(rows):
            distance[rows] = nearest_rows(values[rows], self._trained())[1]
        return distance / (1 + distance)

    def _trained(self) -> np.ndarray:
        if self.normals is None:
            raise NotTrainedError(f"{self.name} has not learned yet: `hdfs-pipeline train --detector {self.name}`")
        return self.normals

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Each column's share in the distance to `nearest`. See `Detector.explain`."""
        parts = np.abs(values.astype(np.float64) - nearest)
        total = parts.sum(axis=1, keepdims=True)
        return np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)

    def save(self, folder: Path) -> None:
        """Write the normal vectors as `model.safetensors`. Raises: NotTrainedError before `fit`."""
        from safetensors.numpy import save_file

        save_file({"normals": self._trained()}, folder / "model.safetensors", {"detector": self.name})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `model.safetensors`. Raises: NotTrainedError where it is missing, damaged or another detector's."""
        from safetensors.numpy import load

        path = folder / "model.safetensors"
        with reading(cls.name, path):
            normals = load(path.read_bytes())["normals"]
            if normals.ndim != 2 or normals.dtype != np.float32 or not len(normals):
                raise ValueError("not a matrix of normal vectors")
        return cls()._remember(normals)


def _row_bytes(values: np.ndarray) -> Iterator[bytes]:
    """The bytes of each row, by which equal rows are found."""
    data = (np.ascontiguousarray(values, np.float32) + np.float32(0)).tobytes()  # -0.0 + 0 is 0.0: equal, so same bytes
    width = values.shape[1] * 4
    return (data[start : start + width] for start in range(0, len(values) * width, width))
