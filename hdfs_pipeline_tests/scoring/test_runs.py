"""Runs: steps over a threshold that last long enough, pauses allowed."""

import numpy as np

from hdfs_pipeline.scoring.runs import Persistence, find_runs, step_seconds

RULE = Persistence()


def over(*numbers: int, n: int = 40) -> np.ndarray:
    found = np.zeros(n, bool)
    found[list(numbers)] = True
    return found


def test_a_run_needs_to_last_and_may_pause() -> None:
    times = np.arange(40) * 5.0
    assert find_runs(times, over(3, 4, 5), RULE) == [], "15 s are one value of a bean that is refreshed every 15 s"
    (run,) = find_runs(times, over(3, 4, 5, 9, 10), RULE)
    assert (run.first, run.last, run.opened) == (3, 10, 9), "a pause of 15 s does not end it"
    assert len(find_runs(times, over(*range(3, 8), *range(12, 17)), RULE)) == 2, "one of 20 s does"
    (slow,) = find_runs(np.arange(40) * 10.0, over(3, 4), RULE)
    assert slow.opened == 4, "two polls, where they come every 10 s"


def test_the_usual_step() -> None:
    assert step_seconds(np.array([0.0, 5, 10, 90])) == 5
    assert step_seconds(np.array([7.0])) == step_seconds(np.zeros(0)) == 0
