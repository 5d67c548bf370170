"""Why a block is anomalous to a detector on sequences: by the events that differ, and by the step where none does.

Rows hold 1 + the index of an event, and 0 after the last one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hdfs_pipeline.scoring.explain import Explanation, explain_rows
from hdfs_pipeline.scoring.normals import nearest_rows


def explain_sequences(
    values: np.ndarray,
    normals: np.ndarray,
    shares: np.ndarray,
    events: Sequence[str],
    describe: Callable[[str], str],
) -> list[Explanation]:
    """Explanations of rows `values` (n, d) with the steps' `shares` (n, d), against the rows `normals` (k, d).

    The nearest normal row is found on counts, as for detectors on counts. An event's share is that of its steps; that
    of the end (the first step without an event) goes to the events that are missing. Where the counts are those of a
    normal row, the reason names the step of the largest share.
    """
    counts, usual = event_counts(values, len(events)), event_counts(normals, len(events))
    nearest = usual[nearest_rows(counts, usual)[0]] if len(usual) else np.zeros_like(counts)
    by_event = np.zeros(counts.shape)
    for row, (codes, weights) in enumerate(zip(values.astype(np.int64), shares, strict=True)):
        by_event[row] = np.bincount(codes, weights, minlength=len(events) + 1)[1:]
        missing = counts[row] < nearest[row]
        by_event[row, missing] += weights[codes == 0].sum() / max(missing.sum(), 1)
    found = explain_rows(counts, nearest, by_event, events, describe)
    return [
        explanation
        if explanation.differences
        else replace(explanation, reason=f"{explanation.reason}, {_order(row, normals, weights, events, describe)}")
        for explanation, row, weights in zip(found, values, shares, strict=True)
    ]


def event_counts(values: np.ndarray, events: int) -> np.ndarray:
    """How often each event stands in each row: (n, events) float32."""
    rows, steps = np.nonzero(values)
    counts = np.zeros((len(values), events), np.float32)
    np.add.at(counts, (rows, values[rows, steps].astype(np.int64) - 1), 1)
    return counts


def _order(
    row: np.ndarray, normals: np.ndarray, shares: np.ndarray, events: Sequence[str], describe: Callable[[str], str]
) -> str:
    """What is odd in the order of a row, seen from the normal row that begins like it for the longest."""
    alike = (normals == row).cumprod(axis=1).sum(axis=1)
    usual, begins = normals[int(alike.argmax())], int(alike.max())
    step = int(shares.argmax())

    def name(at: int, of: np.ndarray) -> str:
        return describe(events[int(of[at]) - 1])

    happened = f"{name(step, row)} as event {step + 1}" if row[step] else f"the end after {name(max(step - 1, 0), row)}"
    if begins == len(row):
        return f"in the same order, in which the least usual is {happened}"
    if step != begins:
        return f"in another order: {happened}"
    wanted = f"{name(step, usual)} was expected" if usual[step] else "the end was expected"
    return f"in another order: {happened}, where {wanted}"
