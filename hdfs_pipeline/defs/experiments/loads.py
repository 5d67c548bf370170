"""The asset `experiments`: experiments on load, a partition for each shape; only a person launches it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from hdfs_pipeline.defs.common.checks import schema_check
from hdfs_pipeline.defs.common.metadata import OWNERS, markdown, row_count, table_metadata
from hdfs_pipeline.defs.common.naming import named
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.experiments.load.shapes import LOGS, PAYLOADS, SAMPLE, SUITES

if TYPE_CHECKING:
    from hdfs_pipeline.experiments.load.findings import Side

LOADS: Final = {load.name: load for load in SUITES["extended"]}
_SENT_TO: Final = {payload.topic for payload in PAYLOADS.values()}
_COLUMNS: Final = (
    "experiment", "load", "trials", "sent/s", "read/s", "p50 ms", "p99 ms", "unread", "cores", "limited by", "why",
)  # fmt: skip


class Asked(dg.Config):
    """What is asked of the shape."""

    duration_s: float = Field(30.0, ge=1, description="Seconds that are measured.")
    rate: float = Field(0.0, ge=0, description="Records a second of each producer; 0 is as fast as it goes.")
    payload: str = Field(LOGS, description=f"{', '.join(PAYLOADS)}.")
    detector: str = Field("", description="This detector alone; empty: all that serve.")
    sample: str = Field(str(SAMPLE), description="Log file that is sent over and over.")


@dg.asset(
    deps=[named(domain, "champion") for domain in all_domains() if _SENT_TO & set(domain.ways)],
    partitions_def=dg.StaticPartitionsDefinition(list(LOADS)),
    group_name="experiments",
    kinds={"kafka", "duckdb"},
    owners=OWNERS,
    tags={"stage": "load"},
    metadata=table_metadata("performance_metrics"),
    code_version=version_of(
        "experiments.load.crew", "experiments.load.run", "experiments.load.samples", "experiments.load.shapes"
    ),
)
def experiments(context: dg.AssetExecutionContext, home: Home, config: Asked) -> dg.MaterializeResult:
    """Throughput, latency and lag of producers, consumers and partitions, and what limited them.

    What `hdfs-pipeline experiment run` does. Of several runs one measures at a time: two would measure each other.
    """
    from hdfs_pipeline.experiments.load.run import run_load

    settings, store = home.settings, home.store
    load = replace(
        LOADS[context.partition_key],
        duration_s=config.duration_s,
        rate=config.rate,
        payload=config.payload,
        detector=config.detector,
    )
    told = set[str]()

    def say(what: str, share: float) -> None:
        if what not in told:
            told.add(what)
            context.log.info(f"{load.name} ({load.told}): {what}, {share:.0%}")

    with home.alone("experiments"):  # whoever ends the run interrupts this thread: then no event needs to be set
        record = run_load(store, settings, load, Path(config.sample), Event(), say)
    found = _sides(store)
    own = next(side for side in found if record.experiment in side.trials)
    return dg.MaterializeResult(
        metadata={
            "experiment": record.experiment,
            **_figures(_sides(store, [record.experiment])[0]),
            "trials": len(own.trials),
            "side by side": markdown(_COLUMNS, [_row(side) for side in found]),
            **row_count(store, "performance_metrics"),
        }
    )


def _sides(store: Any, names: Sequence[str] = ()) -> "list[Side]":
    """Completed experiments of the store side by side: all, or those of some names."""
    from hdfs_pipeline.experiments.load.findings import sides
    from hdfs_pipeline.experiments.load.records import experiments, figures_of

    records = experiments(store, names, "completed")
    return sides(records, figures_of(store, [record.experiment for record in records]))


def _figures(side: "Side") -> dict[str, Any]:
    """Figures of a load by the names that Dagster plots over time; None where nothing was measured."""
    return {
        "sent/s": side.sent_per_s,
        "read/s": side.read_per_s,
        "p50 ms": side.p50_ms,
        "p99 ms": side.p99_ms,
        "unread": side.unread,
        "cores": sum(side.cores.values()),
        "limited by": side.limit,
        "why": side.why,
    }


def _row(side: "Side") -> list[Any]:
    """One row of `_COLUMNS`; figures rounded, since a run is no exact repetition of another."""
    figures = {name: _rounded(name, value) for name, value in _figures(side).items()}
    return [side.name, side.load.told, len(side.trials), *figures.values()]


def _rounded(name: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:,.2f}" if name == "cores" else round(value)


experiments_job = dg.define_asset_job(
    "experiments_job",
    dg.AssetSelection.tag("stage", "load"),
    description="Measure throughput, latency and lag of the shapes that are chosen.",
)

experiments_schema = schema_check(experiments, "experiments", "performance_metrics", "consumer_lag")
