"""Runs that start by themselves: the conditions of assets, and the sensor that evaluates them.

The store says whether there is work. So the work of the command line counts as well as Dagster's, and work that a
failed run has left is requested again.
"""

import logging
from collections.abc import Callable
from typing import Final

import dagster as dg

from hdfs_pipeline.defs.common.beta import beta
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.errors import PipelineError

Condition = dg.AutomationCondition
EVERY_FIVE_MINUTES: Final = "*/5 * * * *"
_log = logging.getLogger(__name__)


class StoreSays(dg.AutomationCondition):
    """True if `look` returns true for the home. It is called only if everything before it in a condition is true."""

    def __init__(self, sentence: str, look: Callable[[Home], bool]) -> None:
        self._sentence, self._look = sentence, look

    @property
    def name(self) -> str:
        """What Dagster's page shows."""
        return self._sentence

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """All candidates if `look` returns true; no candidate if not, or if the store cannot be read just now."""
        subset = context.candidate_subset
        if not subset.is_empty and not self._holds():
            subset = context.get_empty_subset()
        return dg.AutomationResult(context, subset)

    def _holds(self) -> bool:
        home = Home()
        try:
            return home.store.path.exists() and self._look(home)
        except PipelineError as error:
            _log.info("%s cannot be known just now: %s", self._sentence, error)
            return False


def no_blocking_check_failed() -> dg.AutomationCondition:
    """No blocking check of an input has failed, unless that input is made anew in the same run.

    Not `all_deps_blocking_checks_passed`: tables that the command line has filled were never checked by Dagster.
    """
    failed = Condition.check_failed() & ~Condition.will_be_requested()
    return ~Condition.any_deps_match(Condition.any_checks_match(failed, blocking_only=True)).with_label(
        "a blocking check of an input has failed"
    )


def while_it_waits(work: StoreSays, last: str) -> dg.AutomationCondition:
    """True if work waits, at most once in five minutes, and not while a run is under way to the asset `last`."""
    due = Condition.cron_tick_passed(EVERY_FIVE_MINUTES).since(Condition.newly_requested())
    under_way = Condition.in_progress() | Condition.asset_matches(dg.AssetKey(last), Condition.in_progress())
    return due.with_label("not asked for since the clock was last at :00, :05, …") & ~under_way & work


def with_its_inputs() -> dg.AutomationCondition:
    """True in the run that makes an input anew, unless another run is making the asset."""
    anew = Condition.any_deps_match(Condition.will_be_requested()).with_label("an input is made anew")
    return anew & ~Condition.in_progress()


def after_its_inputs() -> dg.AutomationCondition:
    """True in the run that makes an input anew, and after a run that made only the input."""
    return with_its_inputs() | Condition.eager()


with beta():
    automation = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks(),
        use_user_code_server=True,  # it knows `StoreSays`, and the daemon does not
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Starts a run where records wait to be parsed or items to be scored, every five minutes, with all "
        "that follows from it up to the anomalies. The conditions are on the pages of the assets.",
    )
