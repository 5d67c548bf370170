"""Why a block is anomalous: what differs from the nearest normal block, and each column's share of the score."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hdfs_pipeline.scoring.normals import nearest_rows

_NAMED = 3  # differences that the one-line reason names


@dataclass(frozen=True)
class Difference:
    """One column in which a block differs from the nearest normal block. `share` of the score is 0 to 1."""

    event_id: str
    name: str
    kind: str
    count: int
    expected: int
    share: float

    def __str__(self) -> str:
        if self.kind == "extra":
            return f"{self.count} × {self.name}"
        if self.kind == "missing":
            return f"no {self.name} (normally {self.expected})"
        return f"{self.count} instead of {self.expected} × {self.name}"


@dataclass(frozen=True)
class Explanation:
    """The differences of one block, the weightiest first, and the reason in one line."""

    reason: str
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def nearest_normals(values: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """For each row of `values` (n, d) the nearest of `normals` (k, d) by L1 distance: (n, d).

    Among equally near ones the first wins; `normals` stand with the most frequent first.
    """
    if not len(normals):
        return np.zeros_like(values)
    return normals[nearest_rows(values, normals)[0]]


def explain_rows(
    values: np.ndarray,
    nearest: np.ndarray,
    shares: np.ndarray,
    columns: Sequence[str],
    describe: Callable[[str], str],
) -> list[Explanation]:
    """Explanations of rows `values` (n, d) against their `nearest` normal rows, with the columns' `shares` (n, d)."""
    return [_explain(*row, columns, describe) for row in zip(values, nearest, shares, strict=True)]


def _explain(
    row: np.ndarray, normal: np.ndarray, shares: np.ndarray, columns: Sequence[str], describe: Callable[[str], str]
) -> Explanation:
    differs = np.flatnonzero(row != normal)
    order = differs[np.lexsort((-np.abs(row - normal)[differs], -shares[differs]))]
    found = tuple(
        Difference(
            event_id=columns[at],
            name=describe(columns[at]),
            kind=_kind(row[at], normal[at]),
            count=int(row[at]),
            expected=int(normal[at]),
            share=float(shares[at]),
        )
        for at in order
    )
    if not found:
        return Explanation("the same events as a normal block", found)
    more = len(found) - _NAMED
    reason = "; ".join(str(difference) for difference in found[:_NAMED])
    return Explanation(reason + (f"; and {more} more" if more > 0 else ""), found)


def _kind(count: float, expected: float) -> str:
    if expected == 0:
        return "extra"
    return "missing" if count == 0 else "out of proportion"
