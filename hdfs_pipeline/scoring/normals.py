"""Normal vectors: the distinct ones of training, and which of them is nearest to a row."""

from typing import Final

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.features import distinct_rows

DISTANCES = 1 << 22
"""Distances held at once: 32 MB."""
_FEW: Final = 1 << 18  # distances that are there before scipy, twice as fast, has been imported


def normal_rows(values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows (k, d) float32 labelled 0 (without labels all rows), and the number of items (k,) behind each.

    Raises: DataError if there are none.
    """
    if labels is not None:
        values, weights = values[labels == 0], weights[labels == 0]
    if not len(values):
        raise DataError("no normal items to learn from: read more, or give labels that hold some normal items")
    distinct = distinct_rows(values)
    return np.ascontiguousarray(values[distinct.first], np.float32), np.bincount(distinct.inverse, weights)


def nearest_rows(values: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index (n,) int64 and L1 distance (n,) float64 of the row of `normals` (k, d) nearest to each of `values` (n, d).

    Of several equally near rows the first one is taken. Memory: 32 MB of distances for all n and for k up to 4 million.
    """
    index, distance = np.zeros(len(values), np.int64), np.zeros(len(values))
    step = max(1, DISTANCES // len(normals))
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        table = _distances(values[part], normals)
        index[part] = table.argmin(axis=1)
        distance[part] = table.min(axis=1)
    return index, distance


def _distances(values: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """L1 distances (n, k) float64 of rows `values` (n, d) from rows `normals` (k, d)."""
    if len(values) * len(normals) > _FEW:
        from scipy.spatial.distance import cdist

        table: np.ndarray = cdist(values, normals, "cityblock")
        return table
    table = np.zeros((len(values), len(normals)))
    for own, other in zip(values.T.astype(np.float64), normals.T.astype(np.float64), strict=True):
        table += np.abs(own[:, None] - other)  # column by column, as scipy adds them up
    return table


def event_counts(values: np.ndarray, events: int) -> np.ndarray:
    """How often each event stands in each row: (n, events) float32."""
    rows, steps = np.nonzero(values)
    counts = np.zeros((len(values), events), np.float32)
    np.add.at(counts, (rows, values[rows, steps].astype(np.int64) - 1), 1)
    return counts
