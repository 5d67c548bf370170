"""Items of which the records show only a part of the life: what is missing because of that makes no anomaly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hdfs_pipeline.scoring.features import Unfinished, distinct_rows
from hdfs_pipeline.scoring.normals import event_counts


def completed(values: np.ndarray, unfinished: Unfinished | None, normals: np.ndarray) -> np.ndarray:
    """Counts `values` (n, d), those of unfinished items completed to the nearest normal life that they are a part of.

    An item is a part of a normal life, one of the rows `normals` (k, d), if only events are missing that may lie
    outside the records. Of several such lives the one that adds the fewest events is taken, and of equally near ones
    the first. An item that is a part of none, because of a failure for instance, stays as it is.
    """
    if unfinished is None or not unfinished.code.any() or not len(normals):
        return values
    whole = values.copy()
    for life in _lives(values, unfinished):
        at = _containing(life.counts, life.outside, normals)
        if at is not None:
            whole[life.rows] = normals[at]
    return whole


def completed_sequences(values: np.ndarray, unfinished: Unfinished | None, normals: np.ndarray) -> np.ndarray:
    """Sequences `values` (n, steps), those of unfinished items completed as `completed` does it.

    Rows hold 1 + the index of an event, and 0 after the last one. Missing events come in the order of the normal row:
    before the others if the item's beginning is missing, otherwise after them.
    """
    if unfinished is None or not unfinished.code.any() or not len(normals):
        return values
    width = len(unfinished.kinds[0].outside)
    usual, whole = event_counts(normals, width), values.copy()
    for life in _lives(values, unfinished):
        at = _containing(event_counts(values[life.rows[:1]], width)[0], life.outside, usual)
        if at is not None:
            own = values[life.rows[0]]
            joined = _joined(own[own > 0].tolist(), normals[at], first=life.begins_before)[: values.shape[1]]
            whole[life.rows, : len(joined)] = joined
    return whole


@dataclass(frozen=True)
class _Life:
    """The rows that have the same values and the same kind: the values, and what may lie outside."""

    rows: np.ndarray
    counts: np.ndarray
    outside: np.ndarray
    begins_before: bool


def _lives(values: np.ndarray, unfinished: Unfinished) -> Sequence[_Life]:
    rows = np.flatnonzero(unfinished.code)
    pairs = np.column_stack([values[rows], unfinished.code[rows].astype(np.float32)])
    found = distinct_rows(pairs)
    order = np.argsort(found.inverse, kind="stable")
    groups = np.split(rows[order], np.cumsum(found.weights)[:-1])
    kinds = [unfinished.kinds[int(pair[-1]) - 1] for pair in pairs[found.first]]
    return [
        _Life(group, pair[:-1], kind.outside, kind.begins_before)
        for group, pair, kind in zip(groups, pairs[found.first], kinds, strict=True)
    ]


def _containing(counts: np.ndarray, outside: np.ndarray, normals: np.ndarray) -> int | None:
    missing = normals - counts
    fits = (missing >= 0).all(axis=1) & (missing[:, ~outside] == 0).all(axis=1)
    lives = np.flatnonzero(fits)
    return int(lives[np.argmin(missing[lives].sum(axis=1))]) if len(lives) else None


def _joined(own: list[float], normal: np.ndarray, *, first: bool) -> list[float]:
    """The codes `own` and those of `normal` that they lack: its earliest ones before, or its latest ones after them."""
    steps = normal[normal > 0].tolist()
    left = {code: steps.count(code) - own.count(code) for code in set(steps)}
    added = []
    for code in steps if first else reversed(steps):
        if left[code] > 0:
            left[code] -= 1
            added.append(code)
    return [*added, *own] if first else [*own, *reversed(added)]
