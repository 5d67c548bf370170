"""Why an item is anomalous: what differs from the nearest normal item, and each column's share of the score."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hdfs_pipeline.scoring.normals import nearest_rows

_NAMED = 3  # differences that the one-line reason names
_LEAST_SHARE = 0.01  # of a step's score: every measurement differs somewhat from what was expected


@dataclass(frozen=True)
class Vocabulary:
    """What columns are called, the noun of the item, and what two items with the same row have in common.

    `codes` are the columns that the numbers 1, 2, … stand for in a matrix of sequences.
    """

    describe: Callable[[str], str]
    noun: str = "item"
    alike: str = "the same values"
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """One column in which an item differs from the nearest normal item. `share` of the score is 0 to 1.

    `count` and `expected` are whole numbers if the matrix holds counts, and any numbers if it holds measurements.
    """

    event_id: str
    name: str
    kind: str
    count: float
    expected: float
    share: float

    def __str__(self) -> str:
        if self.kind == "off":
            return f"{self.name} {self.count} instead of {self.expected}"
        if self.kind == "extra":
            return f"{self.count} × {self.name}"
        if self.kind == "missing":
            return f"no {self.name} (normally {self.expected})"
        return f"{self.count} instead of {self.expected} × {self.name}"


@dataclass(frozen=True)
class Explanation:
    """The differences of one item, the weightiest first, and the reason in one line."""

    reason: str
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def nearest_normals(values: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """For each row of `values` (n, d) the nearest of `normals` (k, d) by L1 distance: (n, d).

    Among equally near rows the first wins; `normals` come with the most frequent first.
    """
    if not len(normals):
        return np.zeros_like(values)
    return normals[nearest_rows(values, normals)[0]]


def explain_rows(
    values: np.ndarray,
    nearest: np.ndarray,
    shares: np.ndarray,
    columns: Sequence[str],
    vocabulary: Vocabulary,
) -> list[Explanation]:
    """Explanations of rows `values` (n, d) against their `nearest` normal rows, with the columns' `shares` (n, d)."""
    return [_explain(*row, columns, vocabulary) for row in zip(values, nearest, shares, strict=True)]


def _explain(
    row: np.ndarray, normal: np.ndarray, shares: np.ndarray, columns: Sequence[str], vocabulary: Vocabulary
) -> Explanation:
    differs = np.flatnonzero(row != normal)
    order = differs[np.lexsort((-np.abs(row - normal)[differs], -shares[differs]))]
    differences = tuple(
        Difference(
            event_id=columns[at],
            name=vocabulary.describe(columns[at]),
            kind=_kind(row[at], normal[at]),
            count=_plain(row[at]),
            expected=_plain(normal[at]),
            share=float(shares[at]),
        )
        for at in order
    )
    return _in_one_line(differences, vocabulary)


def _in_one_line(differences: tuple[Difference, ...], vocabulary: Vocabulary) -> Explanation:
    if not differences:
        return Explanation(f"{vocabulary.alike} as a normal {vocabulary.noun}", differences)
    more = len(differences) - _NAMED
    reason = "; ".join(str(difference) for difference in differences[:_NAMED])
    return Explanation(reason + (f"; and {more} more" if more > 0 else ""), differences)


def explain_steps(
    values: np.ndarray, expected: np.ndarray, shares: np.ndarray, columns: Sequence[str], vocabulary: Vocabulary
) -> list[Explanation]:
    """Explanations of steps `values` (n, d) by the columns with at least a hundredth of the score."""
    return [_explain_step(*row, columns, vocabulary) for row in zip(values, expected, shares, strict=True)]


def _explain_step(
    row: np.ndarray, expected: np.ndarray, shares: np.ndarray, columns: Sequence[str], vocabulary: Vocabulary
) -> Explanation:
    known = np.flatnonzero((shares >= _LEAST_SHARE) & ~np.isnan(row) & ~np.isnan(expected))
    differences = tuple(
        Difference(
            event_id=columns[at],
            name=vocabulary.describe(columns[at]),
            kind="off",
            count=_plain(row[at]),
            expected=_plain(expected[at]),
            share=float(shares[at]),
        )
        for at in known[np.argsort(-shares[known], kind="stable")]
    )
    return _in_one_line(differences, vocabulary)


def _plain(value: float) -> float:
    """A whole number as int, any other to six digits, as people and JSON want it."""
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")


def _kind(count: float, expected: float) -> str:
    if expected == 0:
        return "extra"
    return "missing" if count == 0 else "out of proportion"
