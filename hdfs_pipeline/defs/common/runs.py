"""What sensors ask of runs: whether they have ended, and how long to wait after those that failed."""

from typing import Final

import dagster as dg

WAITING: Final = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]
RUNNING: Final = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
FAILED: Final = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 300.0


def wait_s(failed: int) -> float:
    """Seconds before the next try after `failed` runs that failed one after the other: twice as long each time."""
    return min(_FIRST_WAIT_S * 2.0 ** (failed - 1), _LONGEST_WAIT_S) if failed else 0.0
