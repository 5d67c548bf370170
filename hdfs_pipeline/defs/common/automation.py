"""Runs that start by themselves: the conditions of assets, and the sensor that evaluates them.

The store says whether there is work. So the work of the command line counts as well as Dagster's, and work that a
failed run has left is requested again.
"""

import logging
from collections.abc import Callable

import dagster as dg

from hdfs_pipeline.defs.common.beta import beta
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.runs import ticked
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.verdicts.following import is_judged

Condition = dg.AutomationCondition
_log = logging.getLogger(__name__)


class StoreSays(dg.AutomationCondition):
    """True if `look` says that something of the home waits, or how much. It is called only if all before it is true."""

    def __init__(self, sentence: str, look: Callable[[Home], int]) -> None:
        self._sentence, self._look = sentence, look

    @property
    def name(self) -> str:
        """What Dagster's page shows."""
        return self._sentence

    def patiently(self) -> "StoreSays":
        """The same, true once enough waits or the clock has ticked since something waits."""
        return _Patient(self._sentence, self._look)

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """All candidates if something waits; no candidate if not, or if the store cannot be read just now."""
        subset = context.candidate_subset
        if not subset.is_empty and not self.number(Home()):
            subset = context.get_empty_subset()
        return dg.AutomationResult(context, subset)

    def number(self, home: Home) -> int:
        """How much waits, as far as it can be known."""
        try:
            return int(self._look(home)) if home.store.path.exists() else 0
        except PipelineError as error:
            _log.info("%s cannot be known just now: %s", self._sentence, error)
            return 0


class _Patient(StoreSays):
    """The condition's cursor, Unix seconds, is the time since when something waits.

    The clock ticks every `run_wait_s` for all conditions alike, so that what waits in several domains is one run.
    """

    @property
    def name(self) -> str:
        """What Dagster's page shows."""
        return f"{self._sentence}: run_records of them, or since the clock's last tick (run_wait_s)"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """All candidates if it is time, and then the waiting begins anew; no candidate if not."""
        if context.candidate_subset.is_empty:
            return dg.AutomationResult(context, context.candidate_subset, cursor=context.cursor)
        home, now = Home(), context.evaluation_time.timestamp()
        waiting = self.number(home)
        if not waiting:
            return dg.AutomationResult(context, context.get_empty_subset())
        since = float(context.cursor or now)
        if waiting < home.settings.run_records and not ticked(home.settings, since, now):
            return dg.AutomationResult(context, context.get_empty_subset(), cursor=str(since))
        return dg.AutomationResult(context, context.candidate_subset)


def no_blocking_check_failed() -> dg.AutomationCondition:
    """No blocking check of an input has failed, unless that input is made anew in the same run.

    Not `all_deps_blocking_checks_passed`: tables that the command line has filled were never checked by Dagster.
    """
    failed = Condition.check_failed() & ~Condition.will_be_requested()
    return ~Condition.any_deps_match(Condition.any_checks_match(failed, blocking_only=True)).with_label(
        "a blocking check of an input has failed"
    )


def while_it_waits(work: StoreSays, last: str) -> dg.AutomationCondition:
    """True if enough work waits, or if it has waited long enough, and no run is under way to the asset `last`."""
    under_way = Condition.in_progress() | Condition.asset_matches(dg.AssetKey(last), Condition.in_progress())
    return ~under_way & work.patiently()


def with_its_inputs() -> dg.AutomationCondition:
    """True in the run that makes an input anew, unless another run is making the asset."""
    anew = Condition.any_deps_match(Condition.will_be_requested()).with_label("an input is made anew")
    return anew & ~Condition.in_progress()


def after_its_inputs(domain: Domain | None = None) -> dg.AutomationCondition:
    """True in the run that makes an input anew, and after a run that made only the input.

    What another process judges of `domain` is reported input by input: that asks for no run.
    """
    alone: dg.AutomationCondition = Condition.eager()
    if domain is not None:
        alone &= StoreSays(
            "no other process judges what comes",
            lambda home: not is_judged(home.store_for_ticks, home.settings, domain),
        )
    return with_its_inputs() | alone


with beta():
    automation = dg.AutomationConditionSensorDefinition(
        "automation",
        target=dg.AssetSelection.all() | dg.AssetSelection.all_asset_checks(),
        use_user_code_server=True,  # it knows `StoreSays`, and the daemon does not
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Starts a run where records wait to be parsed or items to be scored, once run_records wait or "
        "every run_wait_s, with all that follows from it up to the incidents. The conditions are on the pages of the "
        "assets.",
    )
