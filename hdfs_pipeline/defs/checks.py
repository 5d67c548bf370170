"""What must hold of the data after a run, with the numbers that say so."""

import json
from collections.abc import Iterator

import dagster as dg

from hdfs_pipeline.defs.blocks import event_matrix, event_templates, labels, parsed_events, raw_logs
from hdfs_pipeline.defs.detectors import anomalies
from hdfs_pipeline.defs.metadata import markdown
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.defs.streams import STREAM_ASSETS, stream_assets
from hdfs_pipeline.detectors import DETECTORS
from hdfs_pipeline.domains.blocks.catalogue import UNKNOWN
from hdfs_pipeline.sinks.topics import STREAMED
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.score import serving_detector

MIN_COVERAGE = 0.99
_BASELINE = "keywords"
_WARN = dg.AssetCheckSeverity.WARN
_TABLES = {
    raw_logs: ("raw_logs", "sources", "dead_letters"),
    parsed_events: ("parsed_events",),
    event_templates: ("event_templates",),
    event_matrix: ("event_matrix",),
    labels: ("labels",),
    anomalies: ("anomalies", "scores", "models", "evaluations"),
    **{
        asset: (STREAMED[topic], "offsets", "stream_epochs", "stream_gaps")
        for asset, topic in zip(stream_assets, STREAM_ASSETS.values(), strict=True)
    },
}


def _numbers(store: Store, sql: str) -> dict[str, int]:
    with store.read() as con:
        cursor = con.execute(sql)
        return dict(zip([column[0] for column in cursor.description], cursor.fetchall()[0], strict=True))


@dg.asset_check(asset=parsed_events)
def conservation(home: Home) -> dg.AssetCheckResult:
    """Nothing is lost and nothing doubled: records read = parsed + dead letters; parsed = with a block + without.

    Records that came over Kafka while this run parsed wait for the next one.
    """
    found = _numbers(
        home.store,
        """SELECT (SELECT coalesce(sum(records), 0)::BIGINT FROM sources) AS "read",
        (SELECT count(*) FROM dead_letters WHERE source_id IS NOT NULL) AS "dead letters",
        (SELECT count(*) FROM raw_logs ANTI JOIN parsed_events USING (source_id, position) WHERE source_id < 0)
            AS waiting, count(*) AS parsed,
        count(*) FILTER (len(block_ids) > 0) AS "with a block",
        count(*) FILTER (len(block_ids) = 0) AS "without a block" FROM parsed_events""",
    )
    whole = found["read"] == found["parsed"] + found["dead letters"] + found["waiting"]
    split = found["parsed"] == found["with a block"] + found["without a block"]
    lost = found["read"] - found["parsed"] - found["dead letters"] - found["waiting"]
    return dg.AssetCheckResult(
        passed=whole and split,
        description=f"{found['read']:,} read = {found['parsed']:,} parsed + {found['dead letters']:,} dead letters"
        if whole
        else f"{abs(lost):,} records {'are missing' if lost > 0 else 'too many'}",
        metadata=found,
    )


@dg.asset_check(asset=parsed_events)
def template_coverage(home: Home) -> dg.AssetCheckResult:
    """At least 99 % of the records that name a block match a template; below, detectors see too much UNKNOWN."""
    found = _numbers(
        home.store,
        f"""SELECT count(*) AS "with a block", count(*) FILTER (event_id = '{UNKNOWN}') AS unmatched
        FROM parsed_events WHERE len(block_ids) > 0""",
    )
    share = 1 - found["unmatched"] / max(found["with a block"], 1)
    return dg.AssetCheckResult(
        passed=share >= MIN_COVERAGE,
        severity=_WARN,
        description=f"{share:.2%} of the records that name a block match a template",
        metadata={**found, "coverage": share},
    )


@dg.asset_check(asset=raw_logs)
def no_dead_letters(home: Home) -> dg.AssetCheckResult:
    """Every line read is part of a log record of a known layout."""
    with home.store.read() as con:
        rows = con.execute(
            """SELECT reason, count(*), any_value(source) FROM dead_letters WHERE source_id IS NOT NULL
            GROUP BY reason ORDER BY 2 DESC"""
        ).fetchall()
    total = sum(row[1] for row in rows)
    return dg.AssetCheckResult(
        passed=not total,
        severity=_WARN,
        description=f"{total:,} dead letters",
        metadata={"dead letters": total, "by reason": markdown(["reason", "records", "such as in"], rows)},
    )


@dg.asset_check(asset=event_matrix)
def unique_keys(home: Home) -> dg.AssetCheckResult:
    """One row per block."""
    found = _numbers(home.store, "SELECT count(*) AS rows, count(DISTINCT block_id) AS blocks FROM event_matrix")
    return dg.AssetCheckResult(passed=found["rows"] == found["blocks"], metadata=found)


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec("schema", asset=asset, description=f"Columns as declared: {', '.join(tables)}.")
        for asset, tables in _TABLES.items()
    ],
    can_subset=True,
)
def schema(context: dg.AssetCheckExecutionContext, home: Home) -> Iterator[dg.AssetCheckResult]:
    """The tables have the columns that `schema.py` declares, by name, type and order."""
    with home.store.read() as con:
        rows = con.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = 'store'"
        )
        there: dict[str, list[tuple[str, str]]] = {}
        for table, name, kind in rows.fetchall():
            there.setdefault(table, []).append((name, _plain(kind)))
    for key in sorted(context.selected_asset_check_keys):
        tables = next(tables for asset, tables in _TABLES.items() if asset.key == key.asset_key)
        wrong = [name for name in tables if there.get(name) != _declared(name)]
        yield dg.AssetCheckResult(
            passed=not wrong,
            asset_key=key.asset_key,
            check_name=key.name,
            description=f"other columns than declared: {', '.join(wrong)}" if wrong else None,
            metadata={name: len(there.get(name, [])) for name in tables},
        )


def _declared(table: str) -> list[tuple[str, str]]:
    return [(name, _plain(column.type)) for name, column in TABLES[table].columns.items()]


def _plain(kind: str) -> str:
    return kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")


@dg.asset_check(asset=anomalies, additional_deps=[f"{name}_evaluation" for name in DETECTORS])
def champion_above_keywords(home: Home) -> dg.AssetCheckResult:
    """On each split the detector that serves has a higher F1 than the search for keywords."""
    champion = serving_detector(home.settings)
    with home.store.read() as con:
        rows = con.execute(
            """SELECT split, detector, metrics FROM evaluations WHERE detector IN ($champion, $baseline)
            QUALIFY version = max(version) OVER (PARTITION BY detector, split) ORDER BY split""",
            {"champion": champion, "baseline": _BASELINE},
        ).fetchall()
    f1 = {(split, detector): json.loads(metrics)["f1"] for split, detector, metrics in rows}
    splits = sorted({split for split, _ in f1})
    pairs = {split: (f1[split, champion], f1[split, _BASELINE]) for split in splits if (split, _BASELINE) in f1}
    pairs = {} if champion == _BASELINE else pairs
    said = "; ".join(f"{split}: {own:.3f} against {bar:.3f}" for split, (own, bar) in pairs.items())
    return dg.AssetCheckResult(
        passed=all(own > bar for own, bar in pairs.values()),
        severity=_WARN,
        description=f"F1 of {champion} and of {_BASELINE}: {said}" if pairs else "nothing to compare: no labels, no F1",
        metadata={f"{split} lead in F1": own - bar for split, (own, bar) in pairs.items()},
    )
