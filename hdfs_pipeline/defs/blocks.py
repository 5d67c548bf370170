"""From log files to the event matrix: one asset per table, one domain function per asset."""

import dagster as dg

from hdfs_pipeline.defs.incoming import log_files
from hdfs_pipeline.defs.metadata import OWNERS, markdown, preview, row_count, table_metadata
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.domains.blocks.features import build_matrix
from hdfs_pipeline.domains.blocks.ingest import ingest
from hdfs_pipeline.domains.blocks.labels import load_labels
from hdfs_pipeline.domains.blocks.parse import learn_templates, parse
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.feedback import VERDICTS
from hdfs_pipeline.verdicts.feedback import all_verdicts

_LATEST = 20  # verdicts that the asset shows


class LogPaths(dg.Config):
    """Which logs to read."""

    paths: list[str] = []  # noqa: RUF012 - pydantic copies defaults
    """Files, folders or globs; none means every file in the home's `incoming` folder."""


class LabelPath(dg.Config):
    """Which labels to read."""

    path: str = ""
    """A CSV file, whose labels go over those that its blocks had; '' leaves all as they are."""


@dg.asset(group_name="blocks", kinds={"duckdb", "python"}, owners=OWNERS, metadata=table_metadata("raw_logs"))
def raw_logs(context: dg.AssetExecutionContext, home: Home, config: LogPaths) -> dg.MaterializeResult:
    """Every log record of the NameNode and the DataNodes, once, as it was written.

    Files that were read before are skipped; of one that has grown only the new end is read. What is no log record goes
    to `dead_letters` with the reason.
    """
    settings, store = home.settings, home.store
    paths = config.paths or [str(path) for path in log_files(settings.incoming)]
    if not paths and not store.path.exists():
        raise DataError(f"nothing to read: put log files into {settings.incoming}, or name them in the run's config")
    with home.alone("ingest"):
        done = ingest(store, settings, paths, lambda at, of, path: context.log.info(f"file {at} of {of}: {path.name}"))
    for note in done.notes:
        context.log.warning(note)
    latest = "SELECT daemon, host, layout, lines, records, ingested_at FROM sources ORDER BY source_id DESC LIMIT 10"
    return dg.MaterializeResult(
        metadata={
            **row_count(store, "raw_logs"),
            "files read": done.files,
            "files skipped": len(done.skipped),
            "new records": done.records,
            "new dead letters": done.dead_letters,
            "latest sources": preview(store, latest),
        }
    )


@dg.asset(
    deps=[raw_logs, "kafka_raw_logs"],
    group_name="blocks",
    kinds={"duckdb"},
    owners=OWNERS,
    metadata=table_metadata("parsed_events"),
)
def parsed_events(home: Home) -> dg.MaterializeResult:
    """Level, class, template and block ids of each record, by one SQL statement.

    Only new records are parsed, unless the catalogue of templates has changed.
    """
    with home.alone("ingest"):
        done = parse(home.store, home.settings)
    levels = "SELECT level, count(*) AS records FROM parsed_events GROUP BY level ORDER BY records DESC"
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": done.records,
            "new": done.new,
            "without a block": done.without_block,
            "template coverage": done.coverage,
            "catalogue": done.catalogue.label,
            "levels": preview(home.store, levels),
        }
    )


@dg.asset(
    deps=[parsed_events],
    group_name="blocks",
    kinds={"duckdb", "python"},
    owners=OWNERS,
    metadata=table_metadata("event_templates"),
)
def event_templates(home: Home) -> dg.MaterializeResult:
    """The messages that HDFS writes, how often each was seen, and proposals for those that no template matches.

    Drain3 mines the proposals into the catalogue's next version, which waits in the home's `catalogues` folder until
    the setting `catalogue` names it.
    """
    current, proposed = learn_templates(home.store, home.settings)
    seen = "SELECT event_id, name, seen, template FROM event_templates WHERE seen > 0 ORDER BY seen DESC LIMIT 12"
    return dg.MaterializeResult(
        metadata={
            **row_count(home.store, "event_templates"),
            "catalogue": current.label,
            "proposed templates": len(proposed.templates) - len(current.templates),
            "most frequent": preview(home.store, seen),
        }
    )


@dg.asset(
    deps=[parsed_events],
    group_name="blocks",
    kinds={"duckdb", "pyarrow"},
    owners=OWNERS,
    metadata=table_metadata("event_matrix"),
)
def event_matrix(home: Home) -> dg.MaterializeResult:
    """One row per block: how often each event happened to it. This is what detectors see."""
    build_matrix(home.store, home.settings)
    rows = "SELECT 'blk_' || block_id AS block, lines, alarms, duration_s, first_time FROM event_matrix"
    return dg.MaterializeResult(
        metadata={
            **row_count(home.store, "event_matrix"),
            "blocks with the most alarms": preview(home.store, f"{rows} ORDER BY alarms DESC, block_id LIMIT 5"),
        }
    )


@dg.asset(group_name="blocks", kinds={"duckdb", "csv"}, owners=OWNERS, metadata=table_metadata("labels"))
def labels(home: Home, config: LabelPath) -> dg.MaterializeResult:
    """What is known about blocks from outside: normal, anomaly or ambiguous. May be empty."""
    store = home.store
    if config.path:
        load_labels(store, config.path)
    else:
        with store.write():  # makes the store, where this is the first asset of a new home
            pass
    counts = "SELECT label, kind, count(*) AS blocks FROM labels GROUP BY ALL ORDER BY blocks DESC"
    return dg.MaterializeResult(
        metadata={
            **row_count(store, "labels"),
            "source": config.path or "left as they were",
            "by label": preview(store, counts),
        }
    )


@dg.asset(
    deps=[event_matrix],
    group_name="blocks",
    kinds={"duckdb", "python"},
    owners=OWNERS,
    metadata=table_metadata("feedback"),
)
def feedback(home: Home) -> dg.MaterializeResult:
    """What people said of blocks, beside what the serving model says of them now; trainings take it into account.

    `hdfs-pipeline feedback BLOCK --verdict real|false|expected` gives a verdict.
    """
    rows = all_verdicts(home.store, home.settings)
    judged = [row["now"]["agrees"] for row in rows if row["now"] and row["now"]["agrees"] is not None]
    latest = [
        (row["block_id"], row["verdict"], row["given_by"], row["note"], row["given_at"].isoformat(" ", "minutes"))
        + ((row["now"]["flagged"], row["now"]["agrees"], row["now"]["why"]) if row["now"] else (None, None, None))
        for row in rows[: -_LATEST - 1 : -1]
    ]
    names = ["block", "verdict", "by", "note", "given at", "flagged now", "agrees", "why not"]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            **{verdict: sum(row["verdict"] == verdict for row in rows) for verdict in VERDICTS},
            "serving model agrees": f"{sum(judged):,} of {len(judged):,}",
            "latest": markdown(names, latest),
        }
    )
