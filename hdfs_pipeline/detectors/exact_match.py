"""Exact match: is a count vector one that a normal item has had before?

The bar for every model that learns without labels: a random split of HDFS mostly measures memory, and this is memory
and nothing else (compare Landauer, Skopik and Wurzenberger, "A Critical Review of Common Log Data Sets Used for
Evaluation of Sequence-based Anomaly Detection Techniques", 2023). Distances give it an order and an explanation, as in
nearest-neighbour detection (Ramaswamy, Rastogi and Shim, 2000).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from hdfs_pipeline.errors import NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector, reading, row_shares
from hdfs_pipeline.scoring.normals import nearest_rows, normal_rows


class ExactMatch(Detector):
    """Score d / (1 + d), d the L1 distance to the nearest normal vector: 0 if seen, at least .5 if counts differ."""

    name = "exact_match"
    learns_from = "normals"
    resumes = True
    normals: np.ndarray | None = None
    """Distinct normal vectors (k, d) float32, ordered by their columns; None before `fit`."""
    _known_rows: frozenset[bytes] = frozenset()

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Remember the distinct normal vectors. See `Detector.fit`; `labels` may be None."""
        normals, _ = normal_rows(values, labels, weights)
        # One order for the same set of rows gives the same file.
        return self._remember(normals[np.lexsort(normals.T[::-1])])

    def resume(self, before: Self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Add vectors to those of `before`; one that by now is labelled anomalous, and never normal, is forgotten."""
        old, weights_of_old = before._trained(), np.ones(len(before._trained()))
        if old.shape[1] != values.shape[1]:
            return self.fit(values, labels, weights)
        if labels is not None:
            wrong = set(_row_bytes(values[labels == 1])) - set(_row_bytes(values[labels == 0]))
            kept = np.fromiter((row not in wrong for row in _row_bytes(old)), bool, len(old))
            old, weights_of_old = old[kept], weights_of_old[kept]
            labels = np.concatenate([np.zeros(len(old), np.int64), labels])
        return self.fit(np.concatenate([old, values]), labels, np.concatenate([weights_of_old, weights]))

    def _remember(self, normals: np.ndarray) -> Self:
        self.normals = normals
        self._known_rows = frozenset(_row_bytes(normals))
        return self

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in [0, 1). Vectors that were seen are found by hash, without a distance."""
        distance = np.zeros(len(values))
        rows = np.flatnonzero(
            np.fromiter((row not in self._known_rows for row in _row_bytes(values)), bool, len(values))
        )
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
        return row_shares(parts)

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
            arrays = load(path.read_bytes())
            normals = arrays.pop("normals")
            if arrays:
                raise ValueError("not a model of this detector")
            if normals.ndim != 2 or normals.dtype != np.float32 or not len(normals):
                raise ValueError("not a matrix of normal vectors")
        return cls()._remember(normals)


def _row_bytes(values: np.ndarray) -> Iterator[bytes]:
    """The bytes of each row, by which equal rows are found."""
    data = (np.ascontiguousarray(values, np.float32) + np.float32(0)).tobytes()  # -0.0 + 0 is 0.0: equal, so same bytes
    width = values.shape[1] * 4
    return (data[start : start + width] for start in range(0, len(values) * width, width))
