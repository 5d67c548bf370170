"""Factories of assets that read files into a domain, of the jobs that begin with them, and of the `incoming` sensor."""

from pathlib import Path

import dagster as dg

from hdfs_pipeline.defs.common.checks import schema_check
from hdfs_pipeline.defs.common.incoming import log_files
from hdfs_pipeline.defs.common.incoming_sensor import incoming_sensor, remember_unread
from hdfs_pipeline.defs.common.metadata import OWNERS, row_count, table_metadata
from hdfs_pipeline.defs.common.naming import (
    CHOOSE,
    JUDGE,
    LABELS,
    LEARN,
    LOGS,
    MINE,
    PARSE,
    READ,
    TAKES,
    named,
    selected,
    tags,
)
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.defs.learning.models import standard_range
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError


class LogPaths(dg.Config):
    """Which logs to read."""

    paths: list[str] = []  # noqa: RUF012 - pydantic copies defaults
    """Files, folders or globs; none means every file of the domain in the home's folder `incoming`."""

    def or_incoming(self, home: Home, domain: Domain) -> list[str]:
        """The paths. Raises: DataError if there are none, and nothing was read before."""
        incoming = home.settings.incoming
        paths = self.paths or [str(path) for path in log_files(incoming, domain)]
        if not paths and not home.store.path.exists():
            raise DataError(f"nothing to read: put log files into {incoming}, or name them in the run's config")
        return paths


class LabelPath(dg.Config):
    """Which labels to read."""

    path: str = ""
    """A CSV file whose labels replace those that its items had; '' leaves all labels as they are."""


def reading(domain: Domain, *, table: str, labels: str | None = None, freshness: dg.FreshnessPolicy) -> dg.Definitions:
    """A domain whose `read` leads from files to features in one step, into `table`, and labels into another table.

    Without `labels` its items have none from outside.
    """
    version = version_of(f"domains.{domain.name}.domain")

    @dg.asset(
        name=table,
        description=f"What was read of {domain.item.plural}. Files that were read before are skipped.",
        group_name=domain.name,
        kinds={"duckdb", "python"},
        owners=OWNERS,
        tags=tags(domain.name, READ) | {TAKES: LOGS},
        metadata=table_metadata(table),
        code_version=version,
        freshness_policy=freshness,
    )
    def read(context: dg.AssetExecutionContext, home: Home, config: LogPaths) -> dg.MaterializeResult:
        def step(sentence: str, number: int | None, of: int | None) -> None:
            context.log.info(sentence if number is None else f"{sentence}: {number + 1} of {of}")

        paths = config.or_incoming(home, domain)
        with home.alone("ingest"):
            done = domain.read(home.store, home.settings, paths, on_step=step)
        for note in done.notes:
            context.log.warning(note)
        remember_unread(context, done.unread)
        return dg.MaterializeResult(
            metadata={
                **row_count(home.store, table),
                "files": done.files,
                "lines": done.lines,
                "records": done.records,
                "dead letters": done.dead_letters,
                "not read": len(done.unread),
                domain.item.plural: done.items,
                "coverage": done.coverage,
            }
        )

    own = dg.Definitions(assets=[read], asset_checks=[schema_check(table, table)])
    known = [_labels(domain, read, labels, version)] if labels else []
    return dg.Definitions.merge(own, *known, reading_jobs(domain, read=table, labels=labels))


def _labels(domain: Domain, read: dg.AssetsDefinition, labels: str, version: str) -> dg.Definitions:
    """The asset of a domain's labels, whose table has its name."""

    @dg.asset(
        name=labels,
        deps=[read],
        description=f"What is known of {domain.item.plural} from outside. May be empty.",
        group_name=domain.name,
        kinds={"duckdb", "csv"},
        owners=OWNERS,
        tags=tags(domain.name, READ) | {TAKES: LABELS},
        metadata=table_metadata(labels),
        code_version=version,
    )
    def read_labels(home: Home, config: LabelPath) -> dg.MaterializeResult:
        if config.path:
            with home.alone("ingest"):
                domain.read(home.store, home.settings, [], Path(config.path))
        source = config.path or "left as they were"
        return dg.MaterializeResult(metadata={**row_count(home.store, labels), "source": source})

    return dg.Definitions(assets=[read_labels], asset_checks=[schema_check(labels, labels)])


def reading_jobs(domain: Domain, *, read: str, labels: str | None) -> dg.Definitions:
    """The jobs that begin with files, and the sensor that starts them for new ones in `incoming`.

    `read` is the asset that takes the paths of logs, `labels` the one that takes the path of labels, if there is one.
    """
    ingest = selected(domain, READ, PARSE, MINE) | dg.AssetSelection.tag("stage", "feedback")
    about = {"domain": domain.name}
    main_job = dg.define_asset_job(
        f"{domain.name}_job",
        ingest | selected(domain, LEARN, CHOOSE, JUDGE),
        description="From files to anomalies, training of the detectors whose partitions are chosen included.",
        tags=about,
    )
    ingest_job = dg.define_asset_job(
        named(domain, "ingest_job"),
        ingest,
        description=f"Read files and labels, up to what detectors see of {domain.item.plural}.",
        tags=about,
    )
    ingest_and_score_job = dg.define_asset_job(
        named(domain, "ingest_and_score_job"),
        ingest | selected(domain, JUDGE),
        description="What new files need: all but training.",
        tags=about,
    )
    return dg.Definitions(
        jobs=[main_job, ingest_job, ingest_and_score_job],
        sensors=[
            incoming_sensor(
                domain,
                read=read,
                labels=labels,
                job=ingest_and_score_job,
                first_job=main_job,
                first_tags=standard_range(domain),
            )
        ],
    )
