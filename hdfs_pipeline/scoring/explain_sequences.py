"""Why an item is anomalous to a detector on sequences: the events that differ, or else the step that stands out.

Rows hold 1 + the index of an event, and 0 after the last one.
"""

from dataclasses import replace

import numpy as np

from hdfs_pipeline.scoring.explain import Explanation, Vocabulary, explain_rows
from hdfs_pipeline.scoring.normals import event_counts, nearest_rows


def explain_sequences(
    values: np.ndarray,
    normals: np.ndarray,
    shares: np.ndarray,
    vocabulary: Vocabulary,
) -> list[Explanation]:
    """Explanations of rows `values` (n, d) with the steps' `shares` (n, d), against the rows `normals` (k, d).

    The nearest normal row is found on counts, as for detectors on counts. An event's share is the sum over its steps;
    the share of the end (the first step without an event) goes to the events that are missing. If the counts are those
    of a normal row, the reason names the step with the largest share.
    """
    events = vocabulary.codes
    counts, usual = event_counts(values, len(events)), event_counts(normals, len(events))
    nearest = usual[nearest_rows(counts, usual)[0]] if len(usual) else np.zeros_like(counts)
    by_event = np.zeros(counts.shape)
    for row, (codes, weights) in enumerate(zip(values.astype(np.int64), shares, strict=True)):
        by_event[row] = np.bincount(codes, weights, minlength=len(events) + 1)[1:]
        missing = counts[row] < nearest[row]
        by_event[row, missing] += weights[codes == 0].sum() / max(missing.sum(), 1)
    same = f"{vocabulary.alike} as a normal {vocabulary.noun}"
    explanations = explain_rows(counts, nearest, by_event, events, vocabulary)
    return [
        explanation
        if explanation.differs
        else replace(explanation, reason=f"{same}, {_order(row, normals, weights, vocabulary)}")
        for explanation, row, weights in zip(explanations, values, shares, strict=True)
    ]


def _order(row: np.ndarray, normals: np.ndarray, shares: np.ndarray, vocabulary: Vocabulary) -> str:
    """What is odd in the order of a row, compared with the normal row that shares its longest beginning."""
    alike = (normals == row).cumprod(axis=1).sum(axis=1)
    usual, begins = normals[int(alike.argmax())], int(alike.max())
    step = int(shares.argmax())

    def name(index: int, codes: np.ndarray) -> str:
        return vocabulary.describe(vocabulary.codes[int(codes[index]) - 1])

    happened = f"{name(step, row)} as event {step + 1}" if row[step] else f"the end after {name(max(step - 1, 0), row)}"
    if begins == len(row):
        return f"in the same order, in which the least usual is {happened}"
    if step != begins:
        return f"in another order: {happened}"
    wanted = f"{name(step, usual)} was expected" if usual[step] else "the end was expected"
    return f"in another order: {happened}, where {wanted}"
