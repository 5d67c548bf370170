"""FeatureMatrix: numbers with the keys of their rows and the names of their columns."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from hdfs_pipeline.errors import DataError

_SCATTERED: Final = 100_000
"""Ordered keys, above which others are put into their order first: each search would miss the processor's cache."""


@dataclass(frozen=True)
class Partly:
    """How an item is unfinished: `word` says it to people.

    `outside` (d,) bool: events that may have happened where the records do not reach. `begins_before`: whether they may
    lie before the item's first record. From an item that is `cut` nothing is learned: nobody knows what it was.
    """

    word: str
    outside: np.ndarray
    begins_before: bool = False
    cut: bool = True


@dataclass(frozen=True)
class Unfinished:
    """How much of each item's life the records show: `code` (n,) int8 is 0 for all of it, else 1 + the index of a kind.

    `scoring.unfinished` judges such items by what can be known.
    """

    code: np.ndarray
    kinds: tuple[Partly, ...]

    def take(self, rows: np.ndarray) -> "Unfinished":
        """The items at `rows` (indices or a mask)."""
        return Unfinished(self.code[rows], self.kinds)

    @property
    def words(self) -> np.ndarray:
        """The word (n,) object of each item; '' for a whole one."""
        return np.array(["", *(kind.word for kind in self.kinds)], object)[self.code]

    @property
    def cut(self) -> np.ndarray:
        """Which items (n,) bool nothing is learned from."""
        return np.array([False, *(kind.cut for kind in self.kinds)])[self.code]


@dataclass(frozen=True)
class FeatureMatrix:
    """What every detector learns from and scores.

    `rows` (k, d) float32 are what items look like, and `at` (n,) int32 says which of them each item has; without `at`
    row i is item i's. Logs repeat themselves: a million items have a few hundred rows, so that the matrix of a large
    home is a small table and four bytes an item. `keys` (n,) int64 or text name the items; `columns` are d names.
    `source` names what gives the columns their meaning (a catalogue of templates, for instance); a model is bound to
    it. `fingerprint` is a hash of the source's content if that can change under the same name, else ''. `unfinished`
    says which items the records show only in part, None where all are whole.
    """

    rows: np.ndarray
    keys: np.ndarray
    columns: tuple[str, ...]
    source: str = ""
    fingerprint: str = ""
    unfinished: Unfinished | None = None
    at: np.ndarray | None = None

    def __post_init__(self) -> None:
        items = len(self.rows if self.at is None else self.at)
        if (items, *self.rows.shape[1:]) != (len(self.keys), len(self.columns)):
            raise DataError(
                f"{(items, *self.rows.shape[1:])} values for {len(self.keys)} keys and {len(self.columns)} columns"
            )

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: np.ndarray) -> "FeatureMatrix":
        """The items at `rows` (indices or a mask)."""
        unfinished = None if self.unfinished is None else self.unfinished.take(rows)
        own, at = (self.rows[rows], None) if self.at is None else (self.rows, self.at[rows])
        return FeatureMatrix(own, self.keys[rows], self.columns, self.source, self.fingerprint, unfinished, at)

    @property
    def values(self) -> np.ndarray:
        """The row of each item, (n, d) float32: of many items at once a large array, made anew each time."""
        return self.rows if self.at is None else self.rows[self.at]

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
        """Its distinct rows. Logs repeat themselves, so work on these is a fraction of the work on all items."""
        return self.distinct_with(None)

    @cached_property
    def cases(self) -> "Distinct":
        """Its distinct pairs of a row and the way in which the item is unfinished: what verdicts depend on."""
        return self.distinct if self.unfinished is None else self.distinct_with(self.unfinished.code)

    def by_case(self, judge: Callable[["FeatureMatrix"], np.ndarray]) -> np.ndarray:
        """What `judge` says of each item (n, …); it is asked once for each case, by a matrix of one item of each."""
        return judge(self.take(self.cases.first))[self.cases.inverse]

    def distinct_with(self, code: np.ndarray | None) -> "Distinct":
        """The distinct pairs of a row and an item's `code` (n,), a small whole number; in the order of their hash."""
        if self.at is None:
            return distinct_rows(self.rows if code is None else np.column_stack([self.rows, code.astype(np.float32)]))
        least, width = 0, 1
        if code is not None and len(code):
            least, width = int(code.min()), int(code.max()) - int(code.min()) + 1
        place: Any = self.at if code is None else self.at * np.int32(width) + (code - np.int32(least))
        first = np.full(len(self.rows) * width, len(self), np.int32)  # the first item of each pair
        np.minimum.at(first, place, np.arange(len(self), dtype=np.int32))
        used = np.flatnonzero(first < len(self))
        pairs = self.rows[used // width]
        known = distinct_rows(
            pairs if code is None else np.column_stack([pairs, (used % width + least).astype(np.float32)])
        )
        number = np.zeros(len(first), np.int32)
        number[used] = known.inverse
        inverse = number[place]
        earliest = np.full(len(known.first), len(self), np.int32)
        np.minimum.at(earliest, known.inverse, first[used])
        return Distinct(earliest, inverse, np.bincount(inverse, minlength=len(earliest)))

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


def taken(matrices: Mapping[str, FeatureMatrix], rows: np.ndarray) -> dict[str, FeatureMatrix]:
    """The items at `rows` (indices or a mask) of matrices of the same items. What these share stays one array."""
    first = next(iter(matrices.values()))
    own = first.take(rows)
    return {
        family: replace(matrix, keys=own.keys, at=own.at, unfinished=matrix.unfinished and own.unfinished)
        if _share(first, matrix)
        else matrix.take(rows)
        for family, matrix in matrices.items()
    }


def _share(first: FeatureMatrix, other: FeatureMatrix) -> bool:
    alike = first.at is not None and other.at is first.at and other.keys is first.keys
    return alike and (other.unfinished is None or other.unfinished is first.unfinished)


def joined_matrices(first: FeatureMatrix, second: FeatureMatrix) -> FeatureMatrix:
    """The items of one matrix, then those of another. Raises: DataError if the columns differ."""
    second.require(first.columns, first.source, first.fingerprint)
    places = [np.arange(len(each), dtype=np.int32) if each.at is None else each.at for each in (first, second)]
    return replace(
        first,
        rows=np.concatenate([first.rows, second.rows]),
        keys=np.concatenate([first.keys, second.keys]),
        unfinished=_joined_unfinished(first, second),
        at=np.concatenate([places[0], places[1] + np.int32(len(first.rows))]),
    )


def _joined_unfinished(first: FeatureMatrix, second: FeatureMatrix) -> Unfinished | None:
    """What is unfinished among the rows of one matrix and then of another, which has the same columns."""
    known = first.unfinished or second.unfinished
    if known is None:
        return None
    sides = [
        np.zeros(len(matrix), np.int8) if matrix.unfinished is None else matrix.unfinished.code
        for matrix in (first, second)
    ]
    return Unfinished(np.concatenate(sides), known.kinds)


def repeats(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which rows of `values` (n, d) occur among `known` (m, d): (n,) bool."""
    inverse = distinct_rows(np.concatenate([known, values])).inverse
    return np.isin(inverse[len(known) :], inverse[: len(known)])


def held(keys: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Which of `keys` (n,) are among `ordered` (m,), which are in their order: (n,) bool."""
    if not len(ordered) or not len(keys):
        return np.zeros(len(keys), bool)
    if len(ordered) > _SCATTERED:
        order = np.argsort(keys)
        found = np.empty(len(keys), bool)
        found[order] = _found(keys[order], ordered)
        return found
    return _found(keys, ordered)


def _found(keys: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    places = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.asarray(ordered[places] == keys, bool)


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
    """Distinct rows of `values` (n, d), float32 or whole numbers, ordered by their hash.

    Rows are compared by a 64-bit hash (a random linear form modulo 2^64), and the result is checked against the rows.
    If two different rows share a hash, the exact way is taken, which is ten times slower.
    """
    if values.dtype.kind in "iu":
        bits = _words(values)
    else:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    factors = np.random.default_rng(20090).integers(1, 2**63, bits.shape[1], np.uint64) | np.uint64(1)
    hashes = (bits * factors).sum(axis=1, dtype=np.uint64)
    _, first, inverse, weights = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    if not np.array_equal(values[first[inverse]], values):
        _, first, inverse, weights = np.unique(
            values, axis=0, return_index=True, return_inverse=True, return_counts=True
        )
    return Distinct(first, inverse.reshape(-1), weights)


def _words(values: np.ndarray) -> np.ndarray:
    """The bytes of each row of a matrix of whole numbers as uint64 (n, w), the last ones filled up with zeros."""
    width = values.shape[1] * values.itemsize
    padded = np.zeros((len(values), -(-width // 8) * 8), np.uint8)
    if width:
        padded[:, :width] = np.ascontiguousarray(values).view(np.uint8)
    return padded.view(np.uint64)
