"""Thresholds: rules that are fixed on training data, separate from the detectors whose scores they cut.

A score is anomalous when it is at least the threshold.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.runs import Persistence, find_runs, step_seconds

_FALSE_PER_HOUR: Final = 0.5  # runs per hour that may reach a threshold in the baseline
_HIGHEST: Final = 5.0  # times the plain threshold: a baseline that holds an incident must not blind the detector
_MOST_RAISED: Final = 3.0  # times: no mark may blind a detector


@dataclass(frozen=True)
class Fixed:
    """A value known beforehand, a probability for instance; `words` say what it means, if a number does not."""

    value: float
    words: str = ""

    def fit(
        self, scores: np.ndarray, labels: np.ndarray | None, weights: np.ndarray, times: np.ndarray | None = None
    ) -> tuple[float, str]:
        """The value, whatever the training scores are, and the words."""
        return self.value, str(self)

    def __str__(self) -> str:
        return self.words or f"fixed {self.value:g}"


@dataclass(frozen=True)
class Quantile:
    """Just above the given quantile of the training scores of normal items (of all items, if there are no labels).

    `among` "all" takes the scores of all items, whatever their labels: 1 - quantile is the share that is flagged.
    """

    quantile: float
    among: Literal["normals", "all"] = "normals"

    def fit(
        self, scores: np.ndarray, labels: np.ndarray | None, weights: np.ndarray, times: np.ndarray | None = None
    ) -> tuple[float, str]:
        """The smallest float above the weighted quantile, so that the quantile itself is normal, and the rule in words.

        Raises: DataError if no item is normal.
        """
        keep = np.ones(len(scores), bool) if labels is None or self.among == "all" else labels == 0
        if not keep.any():
            raise DataError("no normal items to fix a threshold on: give labels that hold some")
        order = np.argsort(scores[keep], kind="stable")
        reached = np.cumsum(weights[keep][order]) / weights[keep].sum()
        place = min(int(np.searchsorted(reached, self.quantile - 1e-12)), len(order) - 1)
        return float(np.nextafter(scores[keep][order][place], np.inf)), str(self)

    def __str__(self) -> str:
        scores = "all training scores" if self.among == "all" else "the training scores"
        return f"quantile {self.quantile:g} of {scores}"


@dataclass(frozen=True)
class Quiet:
    """`margin` times a `percentile` of the baseline's scores, raised until the baseline itself raises no alarm.

    For scores of steps in time. An alarm is a run of `least_s` seconds over the threshold with pauses of at most
    `gap_s`. A few steps say little about what is rare, so the margin is multiplied by 1 + `few` / n for n steps. A
    higher percentile would not help: of a few dozen overlapping windows it is just their highest value.
    """

    percentile: float = 95.0
    margin: float = 2.0
    least_s: float = 20.0
    gap_s: float = 15.0
    few: int = 30
    power: float = 1.0
    """What scores are raised to before they are multiplied: 2 where they are roots of squared distances."""

    def fit(
        self, scores: np.ndarray, labels: np.ndarray | None, weights: np.ndarray, times: np.ndarray | None = None
    ) -> tuple[float, str]:
        """The threshold for scores (n,) of steps at `times` (n,), Unix seconds, and how it came about, in words.

        With labels only normal steps count. Raises: DataError without times.
        """
        if times is None:
            raise DataError("a threshold that keeps a baseline quiet needs the times of its steps")
        keep = np.ones(len(scores), bool) if labels is None else labels == 0
        level, words = self.calibrate(scores[keep] ** self.power, times[keep])
        return level ** (1 / self.power), words if self.power == 1 else f"{words}, to the power of {self.power:g} each"

    def calibrate(self, scores: np.ndarray, times: np.ndarray) -> tuple[float, str]:
        """The threshold for scores (n,) of a baseline (NaN where unknown), and how it came about, in words.

        It is `margin` times the percentile, or higher if that would have raised more than one alarm in two hours of the
        baseline (or any in a shorter one). It is infinite if there is no score.
        """
        known = ~np.isnan(scores)
        if not known.any():
            return float("inf"), "no score in the baseline"
        margin = self.margin * (1 + self.few / int(known.sum()))
        plain = float(np.percentile(scores[known], self.percentile)) * margin
        allowed = int((times[-1] - times[0]) / 3600 * _FALSE_PER_HOUR)
        rule, step = Persistence(self.least_s, self.gap_s), step_seconds(times)

        def quiet(level: float) -> bool:
            return len(find_runs(times, np.nan_to_num(scores) >= level, rule, step_s=step)) <= allowed

        words = f"{margin:.3g} times the {self.percentile:g} % quantile of {int(known.sum()):,} baseline scores"
        if quiet(plain):
            return plain, words
        levels = np.unique(scores[known & (scores >= plain)])
        low, high = 0, len(levels) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if quiet(np.nextafter(levels[middle], np.inf)) else (middle + 1, high)
        level = float(np.nextafter(levels[low], np.inf))
        return min(level, _HIGHEST * plain), f"{words}, raised until the baseline itself is quiet"

    def __str__(self) -> str:
        return (
            f"{self.margin:g} times the {self.percentile:g} % quantile of the baseline's scores, or until it is quiet"
        )


Threshold = Fixed | Quantile | Quiet


def above_false_alarms(threshold: float, words: str, scores: np.ndarray) -> tuple[float, str]:
    """The threshold raised above the `scores` (k,) of false alarms, at most threefold, and how it came about."""
    highest = float(np.nanmax(scores)) if (~np.isnan(scores)).any() else -np.inf
    if highest < threshold:
        return threshold, words
    level = min(float(np.nextafter(highest, np.inf)), _MOST_RAISED * threshold)
    return level, f"{words}, raised for what was marked as false"
