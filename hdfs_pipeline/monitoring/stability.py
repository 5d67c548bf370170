"""Whether two samples of numbers look alike: population stability index, its noise, and its usual size.

PSI = Σ (p − q) · ln(p / q) over bins, p and q the shares of both samples: Jeffreys' divergence (E. Lewis, An
Introduction to Credit Scoring, 1994). The usual reading: below .1 alike, from .25 on another population.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np

BINS: Final = 10
"""Bins of values that seldom repeat; a frequent value has a bin of its own."""
_FREQUENT: Final = 0.05
_NOISE: Final = 0.999
_DEVIATIONS: Final = 3.1  # of the normal distribution: one in a thousand lies beyond, as with `_NOISE`
WINDOWS: Final = 20
"""Stretches of the reference from which the usual size of the index is taken."""


@dataclass(frozen=True)
class Sides:
    """Which of k values each item of two samples has, both in the order of time: `before` (n,), `after` (m,) integers.

    Items repeat each other: what is counted once for each value serves all columns of the rows that the values are in.
    """

    before: np.ndarray
    after: np.ndarray
    values: int

    @cached_property
    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """How many items of each sample have each value: (k,) each."""
        return self._counted(self.before), self._counted(self.after)

    @cached_property
    def parts(self) -> np.ndarray:
        """The same counts of each of the `stretches` of the first sample: (w, k)."""
        return np.array([self._counted(self.before[each]) for each in stretches(len(self.before), len(self.after))])

    def _counted(self, places: np.ndarray) -> np.ndarray:
        return np.bincount(places, minlength=self.values)


def edges(reference: np.ndarray, items: np.ndarray | None = None) -> np.ndarray:
    """Upper edges (k,) float64 of bins for `reference` (n,), ascending; one more bin lies above the last.

    `items` (n,) says how many items have each value, by default one.

    A value that makes up 5 % of the reference has a bin of its own: counts, and scores that repeat. The other values
    are cut at their quantiles, into bins of about a tenth of the reference. Values between, below and above these have
    a bin too.
    """
    values, inverse = np.unique(np.asarray(reference, np.float64), return_inverse=True)
    counts = np.bincount(inverse, items).astype(np.int64)
    values, counts = values[counts > 0], counts[counts > 0]
    frequent = counts >= _FREQUENT * counts.sum()
    own, rest = values[frequent], np.cumsum(counts[~frequent])
    left = int(rest[-1]) if len(rest) else 0
    parts = round(BINS * left / counts.sum())
    lowest = np.floor((left - 1) * (np.arange(1, parts) / parts)) if parts > 1 else rest[:0]  # the lower of two items
    cuts = values[~frequent][np.searchsorted(rest, lowest, side="right")]
    return np.unique(np.concatenate([own, np.nextafter(own, -np.inf), cuts]))


def bin_names(upper: np.ndarray) -> list[str]:
    """The bins of `edges` in words: "3" for a single value, "0 … 3" for values between two, "> 3" for those above."""
    own = len(upper) > 1 and upper[0] == np.nextafter(upper[1], -np.inf)
    names = [f"< {upper[1]:.3g}" if own else f"≤ {upper[0]:.3g}"]
    for low, high in pairwise(upper):
        names.append(f"{high:.3g}" if low == np.nextafter(high, -np.inf) else f"{low:.3g} … {high:.3g}")
    return [*names, f"> {upper[-1]:.3g}"]


def stability_index(before: np.ndarray, after: np.ndarray) -> float:
    """PSI of two samples, given how many values of each fall into the bins: (k,) each. Symmetric and never infinite.

    Half a value is added to each bin (Jeffreys' prior), so that an empty bin has no share of zero.
    """
    kept = (before + after) > 0
    p, q = (counts[kept] + 0.5 for counts in (before, after))
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def noise(before: np.ndarray, after: np.ndarray) -> float:
    """PSI that two samples of one population stay below 999 times in 1,000, from the counts of each bin.

    It is distributed like (1/n + 1/m) · χ² with bins − 1 degrees of freedom (Yurdakul and Naranjo, 2020, Statistical
    properties of the population stability index).
    """
    from scipy.special import gammaincinv  # of χ²'s quantiles; scipy.stats takes three times as long to import

    used = int(((before + after) > 0).sum())
    return float(2 * gammaincinv((used - 1) / 2, _NOISE) * (1 / before.sum() + 1 / after.sum())) if used > 1 else 0.0


@dataclass(frozen=True)
class Shift:
    """How far one figure has moved, and how far it may.

    `before` and `after` are means of counts or scores, or shares. `value` is a PSI or, of shares, `after` less
    `before`; `limit` is the setting for it. `noise` is what chance alone gives. `usual` is the largest PSI between a
    stretch of the reference, as long as the current sample, and the rest of it (0 for shares). `bins` (name, share
    before, share after) are those of a PSI.
    """

    name: str
    value: float
    limit: float
    noise: float
    usual: float
    before: float
    after: float
    bins: tuple[tuple[str, float, float], ...] = ()

    @property
    def drifted(self) -> bool:
        """Whether it lies beyond the limit and beyond what was usual, by more than chance."""
        return self.beyond >= 0

    @cached_property
    def beyond(self) -> float:
        """How far the value lies beyond what may be; negative where it does not."""
        return self.value - self.noise - max(self.limit, self.usual)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("name", "value", "limit", "noise", "usual", "before", "after", "drifted")
        return {name: getattr(self, name) for name in names} | {"bins": [list(part) for part in self.bins]}


def shift(name: str, reference: np.ndarray, current: np.ndarray, limit: float) -> Shift:
    """How far the values `current` (m,) have moved from `reference` (n,), both in the order of time."""
    values, places = np.unique(np.concatenate([reference, current]), return_inverse=True)
    return shift_of(name, values, Sides(places[: len(reference)], places[len(reference) :], len(values)), limit)


def shift_of(name: str, values: np.ndarray, sides: Sides, limit: float) -> Shift:
    """How far items have moved that have the `values` (k,) as `sides` says."""
    counts = sides.counts
    upper = edges(values, counts[0])
    place = np.searchsorted(upper, np.asarray(values, np.float64))
    before, after, *parts = (
        np.bincount(place, each, minlength=len(upper) + 1).astype(np.int64) for each in (*counts, *sides.parts)
    )
    usual = max([0.0, *(stability_index(before - part, part) for part in parts)])
    sizes = len(sides.before), len(sides.after)
    shares = zip(bin_names(upper), before / sizes[0], after / sizes[1], strict=True)
    return Shift(
        name,
        stability_index(before, after),
        limit,
        noise(before, after),
        usual,
        float(np.dot(values, counts[0]) / sizes[0]),
        float(np.dot(values, counts[1]) / sizes[1]),
        tuple((bin_name, float(p), float(q)) for bin_name, p, q in shares if p or q),
    )


def share_shift(
    name: str,
    part: np.ndarray,
    whole: np.ndarray,
    items: tuple[np.ndarray, np.ndarray],
    limit: float,
) -> Shift:
    """How far a share has risen: sums of `part` (k,) over `whole` (k,), each value times its `items` before and after.

    The noise is 3.1 standard errors of the current ratio over items, so that one odd item is no drift.
    """
    before, after = (float(np.dot(part, each) / max(np.dot(whole, each), 1)) for each in items)
    spread = np.sqrt(np.dot((part - after * whole) ** 2, items[1])) / max(np.dot(whole, items[1]), 1)
    return Shift(name, after - before, limit, float(_DEVIATIONS * spread), 0.0, before, after)


def stretches(reference: int, current: int) -> list[slice]:
    """Up to 20 stretches of a reference, as long as the current sample but no more than half of the reference."""
    length = max(1, min(current, reference // 2))
    starts = np.unique(np.linspace(0, max(reference - length, 0), WINDOWS).astype(int))
    return [slice(start, start + length) for start in starts.tolist()]
