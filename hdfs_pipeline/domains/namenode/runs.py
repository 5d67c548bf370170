"""From scores to runs of steps that are long enough to matter, and the threshold that keeps a baseline quiet."""

from dataclasses import dataclass
from typing import Final

import numpy as np

_FALSE_PER_HOUR: Final = 0.5  # runs an hour that a threshold may leave in the baseline
_HIGHEST: Final = 5.0  # times the plain threshold: a baseline that holds an incident must not blind the detector


@dataclass(frozen=True)
class Persistence:
    """What makes single steps an incident: `least_s` seconds of them in all, with pauses of `gap_s` seconds at most."""

    least_s: float = 20.0
    gap_s: float = 15.0


@dataclass(frozen=True)
class Run:
    """Steps `first` to `last`, both included; `opened`: the step at which it had lasted long enough."""

    first: int
    last: int
    opened: int


def step_seconds(times: np.ndarray) -> float:
    """The usual seconds from one step to the next; 0 of fewer than two."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def find_runs(times: np.ndarray, over: np.ndarray, rule: Persistence, *, step_s: float | None = None) -> list[Run]:
    """The runs among the steps (n,) bool that are `over` a threshold, in order. A step counts for the time to the next.

    Polls of 5 s see each value of a bean that is refreshed every 10 s two or three times: a rule of 20 s asks for two
    values in a row.
    """
    step = step_seconds(times) if step_s is None else step_s
    at = np.flatnonzero(over)
    if not len(at):
        return []
    breaks = np.flatnonzero(np.diff(times[at]) > step + rule.gap_s) + 1
    found = []
    for group in np.split(at, breaks):
        lasted = np.cumsum(np.full(len(group), step))
        enough = np.flatnonzero(lasted >= rule.least_s - 0.25 * step)
        if len(enough):
            found.append(Run(int(group[0]), int(group[-1]), int(group[enough[0]])))
    return found


def calibrate(
    times: np.ndarray, scores: np.ndarray, percentile: float, margin: float, rule: Persistence, few: int = 0
) -> tuple[float, str]:
    """The threshold for scores (n,) of a baseline (NaN where unknown), and how it came about, in words.

    `margin` times their `percentile`, and 1 + `few` / n of it, since n steps tell little of what is rare while they are
    few; or more, where that would have raised more than one incident in two hours of the baseline, none in a shorter.
    A higher percentile would not do: of a few dozen overlapping windows it is no more than their highest value.
    """
    known = ~np.isnan(scores)
    if not known.any():
        return float("inf"), "no score in the baseline"
    margin *= 1 + few / int(known.sum())
    plain = float(np.percentile(scores[known], percentile)) * margin
    allowed = int((times[-1] - times[0]) / 3600 * _FALSE_PER_HOUR)
    step = step_seconds(times)

    def quiet(level: float) -> bool:
        return len(find_runs(times, np.nan_to_num(scores) >= level, rule, step_s=step)) <= allowed

    said = f"{margin:.3g} times the {percentile:g} % quantile of {int(known.sum()):,} baseline scores"
    if quiet(plain):
        return plain, said
    levels = np.unique(scores[known & (scores >= plain)])
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if quiet(np.nextafter(levels[middle], np.inf)) else (middle + 1, high)
    level = float(np.nextafter(levels[low], np.inf))
    return min(level, _HIGHEST * plain), f"{said}, raised until the baseline itself is quiet"
