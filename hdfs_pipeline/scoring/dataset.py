"""Dataset: the matrices of a domain's items, with the time and label of each item and people's words on them."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.features import FeatureMatrix, held, joined_matrices, taken
from hdfs_pipeline.scoring.labels import ANOMALY, NORMAL


@dataclass(frozen=True)
class Feedback:
    """People's words on v items.

    `matrices` hold the items' rows by family, the main one first. `labels` (v,) int8 are the labels that the words
    stand for. `objections` (v,) str objects: '' if a word rules all items with the same vector, else why it cannot.
    """

    matrices: dict[str, FeatureMatrix]
    labels: np.ndarray
    objections: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def keys(self) -> np.ndarray:
        """The keys (v,) of the items."""
        return next(iter(self.matrices.values())).keys

    def among(self, keys: np.ndarray) -> "Feedback":
        """The words on the items `keys` (n,)."""
        rows = np.isin(self.keys, keys[held(keys, np.sort(self.keys))])
        return Feedback(taken(self.matrices, rows), self.labels[rows], self.objections[rows])

    def ruled(self, family: str) -> tuple[np.ndarray, np.ndarray]:
        """The distinct vectors (m, d) of a family that words rule, and the label (m,) int8 of each.

        Vectors of expected items are among them with label -1: they rule nothing, but a model must not have learned
        from them.
        """
        values = self.matrices[family].values
        rows = np.flatnonzero(self.objections == "")
        rows = rows[np.argsort(self.labels[rows], kind="stable")]  # every other word replaces `expected`, which is -1
        last = {values[row].tobytes(): row for row in rows}
        chosen = np.sort(np.fromiter(last.values(), np.int64, len(last)))
        return values[chosen], self.labels[chosen]


@dataclass(frozen=True)
class Dataset:
    """Rows of n items of one domain.

    `matrices` by family of features, the main one first, all with the same keys; `time` (n,) int64, microseconds since
    1970 UTC of the item's beginning; `labels` (n,) int8: 0 normal, 1 anomaly, -1 ambiguous, -2 without a label; `kinds`
    (n,) str objects. `feedback` holds people's words on some of the items, which `labels` already reflect; None without
    any. `entity` names what all items belong to, a server for instance; '' if they belong to several. `plural` is what
    people call the items, and `alike` what two items with the same row of the main family have in common. `facts` holds
    what the domain knows of all of them together.
    """

    domain: str
    matrices: dict[str, FeatureMatrix]
    time: np.ndarray
    labels: np.ndarray
    kinds: np.ndarray
    feedback: Feedback | None = None
    entity: str = ""
    plural: str = "items"
    alike: str = "the same values"
    facts: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    @property
    def family(self) -> str:
        """The main family of features: items with the same row of it count as alike."""
        return next(iter(self.matrices))

    @property
    def main(self) -> FeatureMatrix:
        """The matrix of the main family."""
        return self.matrices[self.family]

    @property
    def keys(self) -> np.ndarray:
        """The keys (n,) of the items."""
        return self.main.keys

    @property
    def unfinished(self) -> np.ndarray:
        """How each item (n,) is unfinished, as a word for people; '' for one whose whole life the records show."""
        known = self.main.unfinished
        return np.full(len(self), "", object) if known is None else known.words

    @property
    def cut(self) -> np.ndarray:
        """Which items (n,) bool begin or end outside the records: nothing is learned from them without a word."""
        known = self.main.unfinished
        return np.zeros(len(self), bool) if known is None else known.cut & ~self.with_feedback

    def matrix(self, family: str) -> FeatureMatrix:
        """The matrix of one family of features. Raises: DataError for one that was not loaded."""
        if family not in self.matrices:
            raise DataError(
                f"these items were loaded without the matrix {family!r} (with {', '.join(self.matrices)}): name it "
                "among the `families` that they are loaded with"
            )
        return self.matrices[family]

    def take(self, rows: np.ndarray) -> "Dataset":
        """The rows at `rows` (indices or a mask), without the feedback on the others."""
        matrices = taken(self.matrices, rows)
        feedback = self.feedback
        if feedback is not None:
            feedback = feedback.among(next(iter(matrices.values())).keys)
        return replace(
            self,
            matrices=matrices,
            time=self.time[rows],
            labels=self.labels[rows],
            kinds=self.kinds[rows],
            feedback=feedback,
        )

    @property
    def with_feedback(self) -> np.ndarray:
        """Which rows (n,) bool people gave their word on."""
        return np.zeros(len(self), bool) if self.feedback is None else held(self.keys, np.sort(self.feedback.keys))

    @property
    def has_both(self) -> bool:
        """Whether normal items and anomalies are both among them."""
        return bool((self.labels == NORMAL).any() and (self.labels == ANOMALY).any())

    def marks(self, family: str) -> np.ndarray:
        """A mark (n,) uint64 of each item's key, its row of a family's matrix and its label: it shows what was learned.

        The mark is a random linear form modulo 2^64: two different items hardly ever have the same one.
        """
        matrix = self.matrix(family)
        bits = np.ascontiguousarray(matrix.rows, np.float32).view(np.uint32).astype(np.uint64)
        key, label, *columns = np.random.default_rng(19391).integers(
            1, 2**63, bits.shape[1] + 2, np.uint64
        ) | np.uint64(1)
        rows = (bits * np.array(columns, np.uint64)).sum(axis=1, dtype=np.uint64)
        marks = matrix.hashed_keys * key + self.labels.astype(np.uint8) * label
        marks += rows if matrix.at is None else rows[matrix.at]
        return marks

    def labelled(self) -> "Dataset":
        """The rows whose label is normal or anomaly. Raises: DataError where both do not occur."""
        rows = self.labels >= 0
        if not self.has_both:
            kinds = f"{(self.labels == ANOMALY).sum():,} anomalies and {(self.labels == NORMAL).sum():,} normal ones"
            raise DataError(
                f"needs labelled {self.plural} of both kinds, and of {len(self):,} {self.plural} there are {kinds}: "
                "give more labels with --labels CSV"
            )
        return self.take(rows)


def joined(first: Dataset, second: Dataset) -> Dataset:
    """The rows of `first`, then of `second`, with the feedback of `first`. Raises: DataError if the columns differ."""
    matrices = {family: joined_matrices(own, second.matrix(family)) for family, own in first.matrices.items()}
    time, labels, kinds = (
        np.concatenate([getattr(data, name) for data in (first, second)]) for name in ("time", "labels", "kinds")
    )
    return replace(first, matrices=matrices, time=time, labels=labels, kinds=kinds)


def split_random(data: Dataset, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row indices to train on and to test on, drawn within each label (so that both hold anomalies)."""
    draw = np.random.default_rng(seed)
    test = np.zeros(len(data), bool)
    for label in np.unique(data.labels):
        rows = np.flatnonzero(data.labels == label)
        test[draw.permutation(rows)[: round(len(rows) * test_share)]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def split_unseen(data: Dataset, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row indices to train on and to test on, such that no vector of the main family occurs on both sides.

    The distinct vectors of anomalies (a vector with both labels counts as one) and all other vectors are split
    separately. Within each of the two, the draw is among vectors of similar frequency, so that each side gets about its
    share of the common vectors and of the rare ones. From two vectors on, each side gets at least one.
    """
    draw = np.random.default_rng(seed)
    distinct = data.main.distinct
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
    """Row indices of the earlier items, to train on, and of the later ones, to test on, by their beginning."""
    order = np.lexsort((data.keys, data.time))
    cut = len(order) - round(len(order) * test_share)
    return np.sort(order[:cut]), np.sort(order[cut:])
