"""Point-wise figures of an anomaly score over time: average precision and the volume under the PR surface (VUS-PR).

No point adjustment: with it a random score reaches an F1 of .84 to .97 (Kim, Choi, Choi, Lee and Yoon, 2022).
"""

import numpy as np

BUFFER = 100  # steps around each labelled range, as in TSB-AD (Liu and Paparrizos, 2024)
_THRESHOLDS = 250


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the precision-recall curve of `scores` (n,) against `labels` (n,) of 0 and 1, by steps.

    NaN if nothing is labelled. Points of equal score are taken together.
    """
    labels = np.asarray(labels) > 0
    if not labels.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def ranges(labels: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of labelled points in `labels` (n,)."""
    edges = np.diff(np.concatenate([[0], (np.asarray(labels) > 0).astype(np.int8), [0]]))
    return list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))


def vus_pr(labels: np.ndarray, scores: np.ndarray, buffer: int = BUFFER) -> float:
    """Volume under the precision-recall surface over buffer lengths 0 to `buffer` (Paparrizos et al., VLDB 2022).

    A buffer of length w gives the w // 2 steps on both sides of each labelled range a label that falls off as a square
    root, so that a detection slightly early or late counts in part; recall is weighted by the share of ranges with any
    detection. Computed as TSB-AD does (250 thresholds at even ranks), in one pass over sorted scores for each buffer.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) finite; higher is more anomalous.
        buffer: longest buffer, in steps.

    NaN if nothing is labelled.
    """
    labels = (np.asarray(labels) > 0).astype(np.int8)
    spans, n = ranges(labels), len(labels)
    if not spans:
        return float("nan")
    falling = -np.sort(-scores)
    cuts = falling[np.linspace(0, n - 1, _THRESHOLDS).astype(int)]
    # Number of the first threshold that each point reaches: a point is predicted at that one and at all later ones.
    first = np.searchsorted(-cuts, -scores, side="left")
    predicted = np.bincount(first, minlength=_THRESHOLDS).cumsum()
    inside = np.bincount(first[labels > 0], minlength=_THRESHOLDS).cumsum()
    volume, total = 0.0, int(labels.sum())
    for width in range(buffer + 1):
        extended = _extended(n, spans, width)
        edge = np.flatnonzero((extended > 0) & (labels == 0))
        partly = np.bincount(first[edge], weights=extended[edge], minlength=_THRESHOLDS).cumsum()
        detected = np.zeros(_THRESHOLDS)  # ranges with a first detection at each threshold
        merged = _merged(n, spans, width)
        for start, end in merged:
            detected[first[start : end + 1].min()] += 1
        hits = inside + partly
        recall = np.minimum(hits / (total + partly / 2), 1) * (detected.cumsum() / len(merged))
        volume += float(np.sum(np.diff(recall, prepend=0.0) * hits / predicted))
    return volume / (buffer + 1)


def _extended(n: int, spans: list[tuple[int, int]], width: int) -> np.ndarray:
    """Labels (n,) float64 in [0, 1] with the falling edges of a buffer of `width` steps."""
    extended = np.zeros(n)
    for start, end in spans:
        extended[start : end + 1] += 1
        after = np.arange(end + 1, min(end + width // 2 + 1, n))
        extended[after] += np.sqrt(1 - (after - end) / max(width, 1))
        before = np.arange(max(start - width // 2, 0), start)
        extended[before] += np.sqrt(1 - (start - before) / max(width, 1))
    return np.minimum(extended, 1)


def _merged(n: int, spans: list[tuple[int, int]], width: int) -> list[tuple[int, int]]:
    """The spans with their buffers; those that touch become one."""
    half = width // 2
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        reach = (max(start - half, 0), min(end + half, n - 1))
        if merged and start - half <= merged[-1][1]:
            merged[-1] = (merged[-1][0], reach[1])
        else:
            merged.append(reach)
    return merged
