"""FeatureMatrix: numbers with the keys of their rows and the names of their columns."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hdfs_pipeline.errors import DataError


@dataclass(frozen=True)
class FeatureMatrix:
    """What every detector learns from and scores.

    `values` (n, d) float32; `keys` (n,) int64 or text name the items; `columns` are d names. `source` names what gives
    the columns their meaning (a catalogue of templates, for instance); a model is bound to it. `fingerprint` is a hash
    of the source's content if that can change under the same name, else ''.
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

    @property
    def inputs(self) -> Any:
        """What a detector reads."""
        return self.values

    @property
    def context(self) -> tuple[Any, np.ndarray]:
        """What a detector reads to score the rows, and the indices (n,) of the rows in it."""
        return self.inputs, np.arange(len(self))

    @property
    def hashed_keys(self) -> np.ndarray:
        """The keys (n,) uint64: numbers as they are, texts as the first eight bytes of their SHA-256."""
        if self.keys.dtype.kind in "iu":
            return self.keys.astype(np.int64).view(np.uint64)
        digests = [hashlib.sha256(str(key).encode()).digest()[:8] for key in self.keys]
        return np.frombuffer(b"".join(digests), np.uint64)

    @cached_property
    def distinct(self) -> "Distinct":
        """Its distinct rows. Logs repeat themselves, so work on these is a fraction of the work on all rows."""
        return distinct_rows(self.values)

    def require(self, columns: tuple[str, ...], source: str, fingerprint: str = "") -> None:
        """Refuse a matrix that does not fit the model. Raises: DataError that names the difference.

        If one side has no fingerprint, as in models of older releases, columns and source decide.
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

    `first` (k,): the index where each first occurs; `inverse` (n,): the distinct row of each row; `weights` (k,): how
    many rows each stands for.
    """

    first: np.ndarray
    inverse: np.ndarray
    weights: np.ndarray


def distinct_rows(values: np.ndarray) -> Distinct:
    """Distinct rows of `values` (n, d), ordered by first appearance of their hash.

    Rows are compared by a 64-bit hash (a random linear form modulo 2^64), and the result is checked against the rows.
    If two different rows share a hash, the exact way is taken, which is ten times slower.
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
