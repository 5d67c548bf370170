"""Runs: steps over a threshold that belong together and last long enough to matter."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Persistence:
    """When steps make an incident: at least `least_s` seconds of them, with pauses of at most `gap_s` seconds."""

    least_s: float = 20.0
    gap_s: float = 15.0


@dataclass(frozen=True)
class Run:
    """Steps `first` to `last`, both included; `opened` is the step at which the run had lasted long enough."""

    first: int
    last: int
    opened: int


def step_seconds(times: np.ndarray) -> float:
    """The median number of seconds from one step to the next; 0 for fewer than two steps."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def find_runs(times: np.ndarray, over: np.ndarray, rule: Persistence, *, step_s: float | None = None) -> list[Run]:
    """The runs among the steps that are `over` (n,) bool a threshold, in order. A step counts for the time to the next.

    A value that is refreshed every 10 s shows at two or three steps of 5 s, so a rule of 20 s needs two such values in
    a row.
    """
    step = step_seconds(times) if step_s is None else step_s
    rows = np.flatnonzero(over)
    if not len(rows):
        return []
    breaks = np.flatnonzero(np.diff(times[rows]) > step + rule.gap_s) + 1
    runs = []
    for group in np.split(rows, breaks):
        lasted = np.cumsum(np.full(len(group), step))
        enough = np.flatnonzero(lasted >= rule.least_s - 0.25 * step)
        if len(enough):
            runs.append(Run(int(group[0]), int(group[-1]), int(group[enough[0]])))
    return runs
