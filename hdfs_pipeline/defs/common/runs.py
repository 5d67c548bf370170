"""What starts runs asks of them: whether they have ended, how long to wait after failures, whether it is time."""

from typing import Final

import dagster as dg

from hdfs_pipeline.settings import Settings

WAITING: Final = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]
RUNNING: Final = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
FAILED: Final = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 300.0


def wait_s(failed: int) -> float:
    """Seconds before the next try after `failed` runs that failed one after the other: twice as long each time."""
    return min(_FIRST_WAIT_S * 2.0 ** (failed - 1), _LONGEST_WAIT_S) if failed else 0.0


def ticked(settings: Settings, since: float, now: float) -> bool:
    """Whether a clock that ticks every `run_wait_s` has ticked between two times, Unix seconds.

    It is one clock for all that waits, so that what waits in several places is taken up together.
    """
    every = settings.run_wait_s
    return not every or since // every != now // every
