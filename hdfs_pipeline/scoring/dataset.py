"""Dataset: the matrices of a domain with the time and the label of each row."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.features import FeatureMatrix

if TYPE_CHECKING:
    from hdfs_pipeline.scoring.feedback import Feedback

NORMAL, ANOMALY, AMBIGUOUS, UNLABELLED = 0, 1, -1, -2


@dataclass(frozen=True)
class Dataset:
    """Rows of n blocks.

    `matrices` by family of features, all with the same keys; `time` (n,) int64, microseconds since 1970 UTC of the
    first event; `labels` (n,) int8: 0 normal, 1 anomaly, -1 ambiguous, -2 without a label; `kinds` (n,) str objects.
    `feedback` is what people said of some of them, which `labels` have taken in; None without.
    """

    matrices: dict[str, FeatureMatrix]
    time: np.ndarray
    labels: np.ndarray
    kinds: np.ndarray
    feedback: "Feedback | None" = None

    def __len__(self) -> int:
        return len(self.time)

    def matrix(self, family: str) -> FeatureMatrix:
        """The matrix of one family of features: "events", "keywords" or "sequences".

        Raises: DataError for one that was not loaded.
        """
        if family not in self.matrices:
            raise DataError(
                f"these blocks were loaded without the matrix {family!r} (with {', '.join(self.matrices)}): name it "
                "among the `families` that they are loaded with"
            )
        return self.matrices[family]

    def take(self, rows: np.ndarray) -> "Dataset":
        """The rows at `rows` (indices or a mask), without the verdicts on the others."""
        matrices = {family: matrix.take(rows) for family, matrix in self.matrices.items()}
        feedback = self.feedback
        if feedback is not None:
            keys = self.matrix("events").keys
            feedback = feedback.without(np.setdiff1d(keys, keys[rows]))
        return Dataset(matrices, self.time[rows], self.labels[rows], self.kinds[rows], feedback)

    @property
    def said(self) -> np.ndarray:
        """Which rows (n,) bool people gave a verdict on."""
        keys = self.matrix("events").keys
        return np.isin(keys, self.feedback.keys) if self.feedback is not None else np.zeros(len(keys), bool)

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


def joined(first: Dataset, second: Dataset) -> Dataset:
    """The rows of both, those of `first` first, with the verdicts on these. Raises: DataError for other columns."""
    matrices = {}
    for family, matrix in first.matrices.items():
        other = second.matrix(family)
        other.require(matrix.columns, matrix.source, matrix.fingerprint)
        rows, keys = np.concatenate([matrix.values, other.values]), np.concatenate([matrix.keys, other.keys])
        matrices[family] = replace(matrix, values=rows, keys=keys)
    time, labels, kinds = (
        np.concatenate([getattr(each, name) for each in (first, second)]) for name in ("time", "labels", "kinds")
    )
    return Dataset(matrices, time, labels, kinds, first.feedback)


def split_random(data: Dataset, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row indices to train on and to test on, drawn within each label (so that both hold anomalies)."""
    draw = np.random.default_rng(seed)
    test = np.zeros(len(data), bool)
    for label in np.unique(data.labels):
        rows = np.flatnonzero(data.labels == label)
        test[draw.permutation(rows)[: round(len(rows) * test_share)]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def split_unseen(data: Dataset, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row indices to train on and to test on, such that no count vector occurs on both sides.

    Distinct vectors of "events" are divided, those of anomalies (a vector of both labels counts as one) and the others
    apart. Within a label neighbours by frequency are drawn against each other, so that each side gets about its share
    of the common vectors and of the rare ones. From two vectors on, each side gets at least one.
    """
    draw = np.random.default_rng(seed)
    distinct = data.matrix("events").distinct
    count = len(distinct.first)
    anomalous = np.bincount(distinct.inverse, weights=data.labels == ANOMALY, minlength=count) > 0
    group = math.ceil(1 / min(test_share, 1 - test_share))
    test = np.zeros(count, bool)
    for label in (False, True):
        rows = np.flatnonzero(anomalous == label)
        rows = rows[np.argsort(-distinct.weights[rows], kind="stable")]
        rows = rows[np.lexsort((draw.random(len(rows)), np.arange(len(rows)) // group))]
        drawn = np.diff(np.floor(np.arange(len(rows) + 1) * test_share)) > 0
        if len(rows) > 1 and not drawn.any():
            drawn[-1] = True
        test[rows[drawn]] = True
    return np.flatnonzero(~test[distinct.inverse]), np.flatnonzero(test[distinct.inverse])


def split_chronological(data: Dataset, test_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Row indices of the earlier blocks, to train on, and of the later ones, to test on, by first event."""
    order = np.lexsort((data.matrix("events").keys, data.time))
    cut = len(order) - round(len(order) * test_share)
    return np.sort(order[:cut]), np.sort(order[cut:])
