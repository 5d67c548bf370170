"""FeatureMatrix: numbers with the keys of their rows and the names of their columns."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hdfs_pipeline.errors import DataError


@dataclass(frozen=True)
class FeatureMatrix:
    """What every detector learns from and scores.

    `values` (n, d) float32; `keys` (n,) int64, the block ids; `columns` d names; `source` names what gave the columns
    their meaning (for blocks the catalogue's label), to which a model is bound; `fingerprint` is a hash of what that
    holds, where it can change under its name, else ''.
    """

    values: np.ndarray
    keys: np.ndarray
    columns: tuple[str, ...]
    source: str = ""
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.keys), len(self.columns)):
            raise DataError(f"{self.values.shape} values for {len(self.keys)} keys and {len(self.columns)} columns")

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: np.ndarray) -> "FeatureMatrix":
        """The rows at `rows` (indices or a mask)."""
        return FeatureMatrix(self.values[rows], self.keys[rows], self.columns, self.source, self.fingerprint)

    @cached_property
    def distinct(self) -> "Distinct":
        """Its distinct rows: HDFS repeats itself, so that work on them is a fraction of the work on all."""
        return distinct_rows(self.values)

    def require(self, columns: tuple[str, ...], source: str, fingerprint: str = "") -> None:
        """Refuse another matrix than the one a model was trained on. Raises: DataError that names the difference.

        Where one side has no fingerprint, as models saved by older releases, columns and source decide.
        """
        if (self.columns, self.source) == (columns, source):
            if fingerprint and self.fingerprint and fingerprint != self.fingerprint:
                raise DataError(
                    f"{source!r} was edited since the model was trained: train it again in this home, or put the old "
                    "file back"
                )
            return
        missing = [name for name in columns if name not in self.columns]
        extra = [name for name in self.columns if name not in columns]
        if missing or extra:
            raise DataError(f"not the model's columns: missing {missing or 'none'}, unexpected {extra or 'none'}")
        what = "the same columns in another order" if self.source == source else f"columns of {self.source!r}"
        raise DataError(f"{what}, but the model was trained on {source!r}: train it again in this home")


def repeats(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which rows of `values` (n, d) occur among `known` (m, d): (n,) bool."""
    inverse = distinct_rows(np.concatenate([known, values])).inverse
    return np.isin(inverse[len(known) :], inverse[: len(known)])


@dataclass(frozen=True)
class Distinct:
    """Distinct rows of a matrix.

    `first` (k,) index of each, `inverse` (n,) the distinct row of each row, `weights` (k,) rows that each stands for.
    """

    first: np.ndarray
    inverse: np.ndarray
    weights: np.ndarray


def distinct_rows(values: np.ndarray) -> Distinct:
    """Distinct rows of `values` (n, d), ordered by first appearance of their hash.

    Rows are compared by a 64-bit hash (a random linear form modulo 2^64), and the result is checked against the rows;
    should two different rows ever share a hash, the exact but ten times slower way is taken.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    factors = np.random.default_rng(20090).integers(1, 2**63, bits.shape[1], np.uint64) | np.uint64(1)
    hashes = (bits * factors).sum(axis=1, dtype=np.uint64)
    _, first, inverse, weights = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    if not np.array_equal(values[first[inverse]], values):
        _, first, inverse, weights = np.unique(
            values, axis=0, return_index=True, return_inverse=True, return_counts=True
        )
    return Distinct(first, inverse.reshape(-1), weights)
