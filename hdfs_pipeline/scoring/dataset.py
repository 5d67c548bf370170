"""Dataset: the matrices of a domain with the time and the label of each row."""

from dataclasses import dataclass

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.features import FeatureMatrix

NORMAL, ANOMALY, AMBIGUOUS, UNLABELLED = 0, 1, -1, -2


@dataclass(frozen=True)
class Dataset:
    """Rows of n blocks.

    `matrices` by family of features, all with the same keys; `time` (n,) int64, microseconds since 1970 UTC of the
    first event; `labels` (n,) int8: 0 normal, 1 anomaly, -1 ambiguous, -2 without a label; `kinds` (n,) str objects.
    """

    matrices: dict[str, FeatureMatrix]
    time: np.ndarray
    labels: np.ndarray
    kinds: np.ndarray

    def __len__(self) -> int:
        return len(self.time)

    def matrix(self, family: str) -> FeatureMatrix:
        """The matrix of one family of features, "events" or "keywords"."""
        return self.matrices[family]

    def take(self, rows: np.ndarray) -> "Dataset":
        """The rows at `rows` (indices or a mask)."""
        matrices = {family: matrix.take(rows) for family, matrix in self.matrices.items()}
        return Dataset(matrices, self.time[rows], self.labels[rows], self.kinds[rows])

    def marks(self, family: str) -> np.ndarray:
        """A mark (n,) uint64 per block of its id, its row of a family's matrix and its label: who has learned what.

        A random linear form modulo 2^64: two blocks that differ have the same mark by the rarest chance.
        """
        matrix = self.matrix(family)
        bits = np.ascontiguousarray(matrix.values, np.float32).view(np.uint32).astype(np.uint64)
        row = np.column_stack([matrix.keys.astype(np.int64).view(np.uint64), self.labels.astype(np.uint8), bits])
        factors = np.random.default_rng(19391).integers(1, 2**63, row.shape[1], np.uint64) | np.uint64(1)
        return (row.astype(np.uint64) * factors).sum(axis=1, dtype=np.uint64)

    def labelled(self) -> "Dataset":
        """The rows whose label is normal or anomaly. Raises: DataError where both do not occur."""
        rows = self.labels >= 0
        if not {NORMAL, ANOMALY} <= set(self.labels[rows].tolist()):
            raise DataError("needs labelled blocks of both kinds, normal and anomaly: give labels with --labels CSV")
        return self.take(rows)


def split_random(data: Dataset, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row indices to train on and to test on, drawn within each label (so that both hold anomalies)."""
    draw = np.random.default_rng(seed)
    test = np.zeros(len(data), bool)
    for label in np.unique(data.labels):
        rows = np.flatnonzero(data.labels == label)
        test[draw.permutation(rows)[: round(len(rows) * test_share)]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def split_chronological(data: Dataset, test_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Row indices of the earlier blocks, to train on, and of the later ones, to test on, by first event."""
    order = np.lexsort((data.matrix("events").keys, data.time))
    cut = len(order) - round(len(order) * test_share)
    return np.sort(order[:cut]), np.sort(order[cut:])
