"""The asset `backtest`: a model or a threshold tried on the history, a partition for each day."""

import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.metadata import OWNERS, markdown, picture, table_metadata
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.monitoring.backtest import COUNTS, Trial, backtest, changes, days_there, totals
from hdfs_pipeline.settings import Settings, load_settings

_AHEAD: Final = 366  # days after today: clocks of clusters are not this one's, and a sample may be dated later
_SHOWN: Final = 60


class Tried(dg.Config):
    """What to try."""

    detector: str | None = None
    """Name of a detector; the one that serves where none is given."""
    version: int | None = None
    """Version of its model; its champion where none is given."""
    threshold: float | None = None
    """Score from which a block counts as flagged; the model's own where none is given."""


def _start() -> date:
    """The setting, read once when the definitions are loaded."""
    try:
        return load_settings().backtest_start
    except PipelineError:  # told where the settings are used; the definitions must load
        return date.fromisoformat(str(Settings.model_fields["backtest_start"].default))


_FIRST: Final = datetime.combine(_start(), time(), UTC)
DAYS: Final = dg.DailyPartitionsDefinition(start_date=_FIRST, end_offset=_AHEAD)


def _by_day(function: Callable[..., dg.MaterializeResult]) -> dg.AssetsDefinition:
    """The asset of a function, a partition per day, a range of days in one run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # `backfill_policy`; dagster is pinned
        return dg.asset(
            name="backtest",
            deps=["event_matrix", "anomalies"],
            partitions_def=DAYS,
            backfill_policy=dg.BackfillPolicy.single_run(),
            group_name="backtests",
            kinds={"duckdb", "onnx"},
            owners=OWNERS,
            metadata=table_metadata("backtests"),
        )(function)


@_by_day
def backtest_days(context: dg.AssetExecutionContext, home: Home, config: Tried) -> dg.MaterializeResult:
    """What another model or another threshold would have flagged, per UTC day, beside what was flagged.

    Launch it for a range of days with the detector, version and threshold to try; `hdfs-pipeline backtest` does that.
    """
    settings, store = home.settings, home.store
    trial = Trial.of(settings, config.detector, config.version, config.threshold)
    wanted = {date.fromisoformat(key) for key in context.partition_keys}
    days = [day for day in days_there(store) if day in wanted]
    rows = backtest(store, settings, trial, days, context.log.info)
    about: dict[str, Any] = {"trial": trial.name, "threshold": trial.threshold, "dagster/row_count": len(rows)}
    if not rows:
        return dg.MaterializeResult(metadata={"status": "no block began then", **about})
    from hdfs_pipeline.monitoring.backtest_plot import backtest_png

    names = ["day", *COUNTS]
    listed = changes(store, trial.name, days)[:_SHOWN]
    return dg.MaterializeResult(
        metadata={
            "status": "tried",
            **about,
            "against": rows[0]["against"],
            **totals(rows),
            "by day": markdown(names, [[row[name] for name in names] for row in rows]),
            "changes": markdown(list(listed[0]), [list(row.values()) for row in listed]) if listed else "none",
            "then and now": picture(backtest_png(rows, trial.title), "flagged per day"),
        }
    )
