"""From log files to the event matrix: one asset per table, one domain function per asset."""

from typing import Final

import dagster as dg

from hdfs_pipeline.defs.common import naming
from hdfs_pipeline.defs.common.automation import StoreSays, after_its_inputs, no_blocking_check_failed, while_it_waits
from hdfs_pipeline.defs.common.freshness import DAILY
from hdfs_pipeline.defs.common.incoming_sensor import remember_unread
from hdfs_pipeline.defs.common.metadata import OWNERS, column_lineage, preview, row_count, table_metadata
from hdfs_pipeline.defs.common.reading import LabelPath, LogPaths
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.common.versions import version_of
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.ingest import ingest
from hdfs_pipeline.domains.blocks.labels import load_labels
from hdfs_pipeline.domains.blocks.matrix import settle
from hdfs_pipeline.domains.blocks.parse import parse
from hdfs_pipeline.domains.blocks.templates import home_catalogue, learn_templates

GROUP: Final = "blocks"
CATALOGUES: Final = tuple(catalogue.fingerprint for catalogue in catalogues().values())
"""The shipped catalogues of templates; everything that is made from parsed records depends on them."""

_COUNTED: Final = {
    "block_id": [("parsed_events", "block_ids")],
    "first_time": [("parsed_events", "time")],
    "last_time": [("parsed_events", "time")],
    "duration_s": [("parsed_events", "time")],
    "lines": [("parsed_events", "block_ids")],
    "alarms": [("parsed_events", "alarm")],
    "counts": [("parsed_events", "event_id")],
}


@dg.asset(
    group_name=GROUP,
    kinds={"duckdb", "python"},
    owners=OWNERS,
    tags=naming.tags("blocks", naming.READ) | {naming.TAKES: naming.LOGS},
    metadata=table_metadata("raw_logs"),
    code_version=version_of("domains.blocks.ingest", "domains.blocks.records"),
)
def raw_logs(context: dg.AssetExecutionContext, home: Home, config: LogPaths) -> dg.MaterializeResult:
    """Every log record of the NameNode and the DataNodes, once, as it was written.

    Files that were read before are skipped, and of a file that has grown only the new end is read. Lines that are no
    log record go to `dead_letters` with the reason.
    """
    settings, store = home.settings, home.store
    paths = config.or_incoming(home, domain_named("blocks"))
    with home.alone("ingest"):
        done = ingest(
            store, settings, paths, lambda number, of, path: context.log.info(f"file {number} of {of}: {path.name}")
        )
    for note in done.notes:
        context.log.warning(note)
    remember_unread(context, done.unread)
    latest = "SELECT daemon, host, layout, lines, records, ingested_at FROM sources ORDER BY source_id DESC LIMIT 10"
    return dg.MaterializeResult(
        metadata={
            **row_count(store, "raw_logs"),
            "files read": done.files,
            "files skipped": len(done.skipped),
            "not read": len(done.unread),
            "left out": len(done.left_out),
            "new records": done.records,
            "new dead letters": done.dead_letters,
            "written as": ", ".join(f"{form} ({n:,})" for form, n in done.forms.items()),
            "latest sources": preview(store, latest),
        }
    )


def _records_wait(home: Home) -> int:
    """How many records wait to be parsed; blocks of records that were matched while they were read wait, too.

    DuckDB looks at no more of the tables than where some may lie.
    """
    waiting = """SELECT (SELECT count(*) FROM raw_logs WHERE event_id IS NULL)
        + (SELECT count(*) FROM event_matrix WHERE unfinished IS NULL)"""
    with home.store_for_ticks.read() as con:
        return int(con.execute(waiting).fetchall()[0][0])


@dg.asset(
    deps=[raw_logs, "kafka_raw_logs"],
    group_name=GROUP,
    kinds={"duckdb"},
    owners=OWNERS,
    tags=naming.tags("blocks", naming.PARSE),
    metadata=table_metadata("parsed_events"),
    freshness_policy=DAILY,
    code_version=version_of("domains.blocks.parse", data=CATALOGUES),
    automation_condition=while_it_waits(StoreSays("records wait to be parsed", _records_wait), "anomalies")
    & no_blocking_check_failed(),
)
def parsed_events(home: Home) -> dg.MaterializeResult:
    """Level, class, template and block ids of each record.

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
    group_name=GROUP,
    kinds={"duckdb", "python"},
    owners=OWNERS,
    tags=naming.tags("blocks", naming.MINE),
    metadata=table_metadata("event_templates"),
    code_version=version_of("domains.blocks.parse", data=CATALOGUES),
)
def event_templates(home: Home) -> dg.MaterializeResult:
    """The messages that HDFS writes, how often each was seen, and proposals for those that no template matches.

    Drain3 mines the proposals into the catalogue's next version, which waits in the home's `catalogues` folder until
    the setting `catalogue` names it. Their stages and severities are for a person to confirm.
    """
    current, proposed = learn_templates(home.store, home.settings)
    new = """SELECT event_id, severity, stage, name, seen, template FROM event_templates WHERE status = 'proposed'
        ORDER BY severity, seen DESC LIMIT 50"""
    seen = "SELECT event_id, name, seen, template FROM event_templates WHERE seen > 0 ORDER BY seen DESC LIMIT 12"
    return dg.MaterializeResult(
        metadata={
            **row_count(home.store, "event_templates"),
            "catalogue": current.label,
            "proposed templates": len(proposed.templates) - len(current.templates),
            "to confirm": preview(home.store, new),
            "most frequent": preview(home.store, seen),
        }
    )


@dg.asset(
    deps=[parsed_events],
    group_name=GROUP,
    kinds={"duckdb", "pyarrow"},
    owners=OWNERS,
    tags=naming.tags("blocks", naming.PARSE),
    metadata=table_metadata("event_matrix"),
    freshness_policy=DAILY,
    code_version=version_of("domains.blocks.features", data=CATALOGUES),
    automation_condition=after_its_inputs() & no_blocking_check_failed(),
)
def event_matrix(home: Home) -> dg.MaterializeResult:
    """One row per block: how often each event happened to it. This is what detectors see."""
    settle(home.store, home.settings, home_catalogue(home.store, home.settings))
    rows = "SELECT 'blk_' || block_id AS block, lines, alarms, duration_s, first_time FROM event_matrix"
    return dg.MaterializeResult(
        metadata={
            **row_count(home.store, "event_matrix"),
            **column_lineage(_COUNTED),
            "blocks with the most alarms": preview(home.store, f"{rows} ORDER BY alarms DESC, block_id LIMIT 5"),
        }
    )


@dg.asset(
    group_name=GROUP,
    kinds={"duckdb", "csv"},
    owners=OWNERS,
    tags=naming.tags("blocks", naming.READ) | {naming.TAKES: naming.LABELS},
    metadata=table_metadata("labels"),
    code_version=version_of("domains.blocks.labels"),
)
def labels(home: Home, config: LabelPath) -> dg.MaterializeResult:
    """What is known about blocks from outside: normal, anomaly or ambiguous. May be empty."""
    store = home.store
    if config.path:
        load_labels(store, config.path)
    else:
        with store.write():  # makes the store if this is the first asset of a new home
            pass
    counts = "SELECT label, kind, count(*) AS blocks FROM labels GROUP BY ALL ORDER BY blocks DESC"
    return dg.MaterializeResult(
        metadata={
            **row_count(store, "labels"),
            "source": config.path or "left as they were",
            "by label": preview(store, counts),
        }
    )
