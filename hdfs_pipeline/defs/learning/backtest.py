"""The asset `backtest`: a model or a threshold, tried on the history of a domain; each day is a partition."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.common.beta import beta
from hdfs_pipeline.defs.common.metadata import OWNERS, markdown, picture, table_metadata
from hdfs_pipeline.defs.common.naming import named
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.domains import all_domains, domain_named
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.monitoring.backtest import COUNTS, Trial, backtest, changes, days_there, totals
from hdfs_pipeline.settings import Settings, load_settings

_AHEAD: Final = 366  # days after today: clocks of clusters are not this one's, and a sample may be dated later
_SHOWN: Final = 60


class Tried(dg.Config):
    """What to try."""

    domain: str | None = None
    """Name of a domain; by default the first one."""
    detector: str | None = None
    """Name of a detector; by default the one that serves."""
    version: int | None = None
    """Version of its model; by default its champion."""
    threshold: float | None = None
    """Score from which an item counts as flagged; by default the model's threshold."""


def _start() -> date:
    """The setting, read once when the definitions are loaded."""
    try:
        return load_settings().backtest_start
    except PipelineError:  # the definitions must load; code that uses the settings reports the error
        return date.fromisoformat(str(Settings.model_fields["backtest_start"].default))


_FIRST: Final = datetime.combine(_start(), time(), UTC)
DAYS: Final = dg.DailyPartitionsDefinition(start_date=_FIRST, end_offset=_AHEAD)


def _by_day(function: Callable[..., dg.MaterializeResult]) -> dg.AssetsDefinition:
    """The asset of a function, with a partition per day; one run takes a range of days."""
    with beta():  # `backfill_policy`
        return dg.asset(
            name="backtest",
            deps=[named(domain, "anomalies") for domain in all_domains()],
            partitions_def=DAYS,
            backfill_policy=dg.BackfillPolicy.single_run(),
            group_name="learning",
            kinds={"duckdb", "onnx"},
            owners=OWNERS,
            tags={"stage": "backtest"},
            metadata=table_metadata("backtests"),
            code_version=version_of("monitoring.backtest"),
        )(function)


@_by_day
def backtest_days(context: dg.AssetExecutionContext, home: Home, config: Tried) -> dg.MaterializeResult:
    """Items that another model or threshold would have flagged, per UTC day, beside those that were flagged.

    Launch it for a range of days with the detector, version and threshold to try; `hdfs-pipeline backtest` does that.
    """
    settings, store, domain = home.settings, home.store, domain_named(config.domain)
    trial = Trial.of(settings, domain, config.detector, config.version, config.threshold)
    wanted = {date.fromisoformat(key) for key in context.partition_keys}
    days = [day for day in days_there(store, domain) if day in wanted]
    rows = backtest(store, settings, domain, trial, days, context.log.info)
    about: dict[str, Any] = {"domain": domain.name, "trial": trial.name, "threshold": trial.threshold}
    about["dagster/row_count"] = len(rows)
    if not rows:
        return dg.MaterializeResult(metadata={"status": f"no {domain.item.noun} began then", **about})
    from hdfs_pipeline.monitoring.backtest_plot import backtest_png

    names = ["day", *COUNTS]
    listed = changes(store, domain, trial.name, days)[:_SHOWN]
    return dg.MaterializeResult(
        metadata={
            "status": "tried",
            **about,
            "against": rows[0]["against"],
            **totals(rows),
            "by day": markdown(names, [[row[name] for name in names] for row in rows]),
            "changes": markdown(list(listed[0]), [list(row.values()) for row in listed]) if listed else "none",
            "then and now": picture(backtest_png(rows, trial.title, domain.item.plural), "flagged per day"),
        }
    )


backtest_job = dg.define_asset_job(
    "backtest_job",
    dg.AssetSelection.tag("stage", "backtest"),
    description="Replay the history with another model or threshold, by day.",
)
