"""Culprits: of what several anomalies of one kind and time blame, the few that stand out against their usual share."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

_MOST: Final = 0.5  # more than this share of the anomalies that no other explains: a culprit
_LIFT: Final = 1.5  # times its usual share
_NEARLY_ALL: Final = 0.8  # share of the anomalies that two culprits together explain
_SURE: Final = 1e-3  # chance that so many blame anybody in proportion to the usual shares
_LEAST: Final = 4  # anomalies by which one among several culprits is told
_SHARE: Final = 0.25  # of the anomalies: the least that one among several culprits has
_NEAR_S: Final = 5.0  # from an anomaly whose records blame nobody who stands out to one with a culprit


def settle(times: np.ndarray, blamed: Sequence[Sequence[str]], gap_s: float, usual: Mapping[str, float]) -> list[str]:
    """The culprit of each of n anomalies of one kind, '' where nobody stands out.

    Args:
        times: (n,) float64 in order, Unix seconds.
        blamed: of each anomaly whom its records blame; several are equally likely.
        gap_s: a pause that ends a burst of anomalies; each burst has culprits of its own.
        usual: the share of each in what goes well, 0 to 1; of others the even share of all that are known.
    """
    culprits = [""] * len(times)
    even = 1 / max(len(usual), 2)
    for rows in np.split(np.arange(len(times)), np.flatnonzero(np.diff(times) > gap_s) + 1):
        own = {row: set(blamed[row]) for row in rows.tolist()}
        settled = _burst(own, usual, even)
        for row, name in settled.items():
            culprits[row] = name
        sure = np.array(sorted(settled), np.int64)
        unsure = np.array([row for row in own if row not in settled], np.int64)
        for row, near in zip(unsure.tolist(), _nearest(times, unsure, sure), strict=True):
            culprits[row] = settled.get(near, "")
    return culprits


def _nearest(times: np.ndarray, rows: np.ndarray, sure: np.ndarray) -> list[int]:
    """Of each of k rows the row of `sure` that is the nearest in time, the earlier of two; -1 where none is near."""
    if not len(sure):
        return [-1] * len(rows)
    known, wanted = times[sure], times[rows]
    after = np.searchsorted(known, wanted).clip(max=len(sure) - 1)
    before = np.searchsorted(known, known[(after - 1).clip(min=0)])  # the first of those at one time
    near = np.where(np.abs(wanted - known[before]) <= np.abs(known[after] - wanted), before, after)
    return [int(row) for row in np.where(np.abs(known[near] - wanted) <= _NEAR_S, sure[near], -1)]


def _burst(own: dict[int, set[str]], usual: Mapping[str, float], even: float) -> dict[int, str]:
    """The culprit of each anomaly of one burst, by row; those without one are left out."""
    left, settled = dict(own), dict[int, str]()
    while names := _culprits(left, len(own), usual, even, first=not settled):
        for name in names:
            settled |= {row: name for row, blamed in left.items() if name in blamed}
            left = {row: blamed for row, blamed in left.items() if name not in blamed}
    return settled


def _culprits(
    left: Mapping[int, set[str]], total: int, usual: Mapping[str, float], even: float, *, first: bool
) -> list[str]:
    """Who stands out among the anomalies that are `left` of `total`: one, or two that share them; else nobody."""
    from scipy.special import bdtrc  # the binomial's upper tail; scipy.stats takes three times as long to import

    counts = Counter(name for blamed in left.values() for name in blamed)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    for names in (ranked[:1], ranked[:2]):
        count = sum(not blamed.isdisjoint(names) for blamed in left.values())
        share = min(sum(usual.get(name, even) for name in names), 1.0)
        least = min((counts[name] for name in names), default=0)
        leads = len(names) == 1 and count > _MOST * len(left) and count >= _LIFT * share * len(left)
        some = least >= max(_LEAST, _SHARE * total) and (len(names) == 1 or count > _NEARLY_ALL * len(left))
        if leads and (first or least >= _LEAST):
            return names
        if some and bdtrc(count - 1, total, share) < _SURE / max(len(usual), 2):
            return names
    return []
