"""Checks of block logs after a run, with the numbers behind each result."""

import json
from typing import Final

import dagster as dg

from hdfs_pipeline.defs.blocks.assets import event_matrix, event_templates, labels, parsed_events, raw_logs
from hdfs_pipeline.defs.common.checks import numbers, schema_check, unique_keys_check
from hdfs_pipeline.defs.common.metadata import markdown
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.champions import serving_detector
from hdfs_pipeline.scoring.catalogue import UNKNOWN

MIN_COVERAGE: Final = 0.99
_BASELINE: Final = "keywords"
_WARN: Final = dg.AssetCheckSeverity.WARN

schema_checks = [
    schema_check(raw_logs, "raw_logs", "sources", "dead_letters"),
    schema_check(parsed_events, "parsed_events"),
    schema_check(event_templates, "event_templates"),
    schema_check(event_matrix, "event_matrix"),
    schema_check(labels, "labels"),
]
key_checks = [unique_keys_check(event_matrix, "event_matrix"), unique_keys_check(labels, "labels")]


_OURS: Final = "domain = 'blocks'"


@dg.asset_check(asset=parsed_events, blocking=True)
def conservation(home: Home) -> dg.AssetCheckResult:
    """Nothing is lost and nothing doubled: records read = parsed + dead letters; parsed = with a block + without.

    Records that came over Kafka while this run parsed wait for the next run.
    """
    counts = numbers(
        home.store,
        f"""SELECT (SELECT coalesce(sum(records), 0)::BIGINT FROM sources WHERE {_OURS}) AS "read",
        (SELECT count(*) FROM dead_letters SEMI JOIN (FROM sources WHERE {_OURS}) USING (source_id)) AS "dead letters",
        (SELECT count(*) FROM raw_logs WHERE event_id IS NULL AND source_id < 0) AS waiting, count(*) AS parsed,
        count(*) FILTER (len(block_ids) > 0) AS "with a block",
        count(*) FILTER (len(block_ids) = 0) AS "without a block" FROM parsed_events""",
    )
    whole = counts["read"] == counts["parsed"] + counts["dead letters"] + counts["waiting"]
    split = counts["parsed"] == counts["with a block"] + counts["without a block"]
    lost = counts["read"] - counts["parsed"] - counts["dead letters"] - counts["waiting"]
    return dg.AssetCheckResult(
        passed=whole and split,
        description=f"{counts['read']:,} read = {counts['parsed']:,} parsed + {counts['dead letters']:,} dead letters"
        if whole
        else f"{abs(lost):,} records {'are missing' if lost > 0 else 'too many'}",
        metadata=counts,
    )


@dg.asset_check(asset="kafka_raw_logs", blocking=True)
def records_counted(home: Home) -> dg.AssetCheckResult:
    """Records read from Kafka = records stored + dead letters."""
    with home.store.read() as con:
        read, stored, dead = con.execute(
            f"""SELECT (SELECT coalesce(sum(records), 0)::BIGINT FROM sources WHERE source_id < 0 AND {_OURS}),
            (SELECT count(*) FROM raw_logs WHERE source_id < 0),
            (SELECT count(*) FROM dead_letters SEMI JOIN (FROM sources WHERE {_OURS}) USING (source_id)
            WHERE source_id < 0)"""
        ).fetchall()[0]
    return dg.AssetCheckResult(
        passed=read == stored + dead,
        description=f"{read:,} read, {stored:,} stored + {dead:,} dead letters",
        metadata={"read": read, "stored": stored, "dead letters": dead},
    )


@dg.asset_check(asset=parsed_events)
def template_coverage(home: Home) -> dg.AssetCheckResult:
    """At least 99 % of the records that name a block match a template; below, detectors see too much UNKNOWN."""
    counts = numbers(
        home.store,
        f"""SELECT count(*) AS "with a block", count(*) FILTER (event_id = '{UNKNOWN}') AS unmatched
        FROM parsed_events WHERE len(block_ids) > 0""",
    )
    share = 1 - counts["unmatched"] / max(counts["with a block"], 1)
    return dg.AssetCheckResult(
        passed=share >= MIN_COVERAGE,
        severity=_WARN,
        description=f"{share:.2%} of the records that name a block match a template",
        metadata={**counts, "coverage": share},
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


@dg.asset_check(asset="anomalies", additional_deps=["evaluation"])
def champion_above_keywords(home: Home) -> dg.AssetCheckResult:
    """On each split the detector that serves has a higher F1 than the search for keywords."""
    champion = serving_detector(home.settings, domain_named("blocks"))
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
    leads = "; ".join(f"{split}: {own:.3f} against {bar:.3f}" for split, (own, bar) in pairs.items())
    return dg.AssetCheckResult(
        passed=all(own > bar for own, bar in pairs.values()),
        severity=_WARN,
        description=f"F1 of {champion} and of {_BASELINE}: {leads}"
        if pairs
        else "nothing to compare: no labels, no F1",
        metadata={f"{split} lead in F1": own - bar for split, (own, bar) in pairs.items()},
    )
