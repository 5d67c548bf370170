"""What must hold of streamed data: no message went missing, and every record read is stored or a dead letter."""

from collections.abc import Iterator

import dagster as dg

from hdfs_pipeline.defs.metadata import markdown
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.defs.streams import STREAM_ASSETS

_LISTED = 20


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "no_gaps", asset=name, description=f"No message of the topic {topic} was gone before it could be read."
        )
        for name, topic in STREAM_ASSETS.items()
    ],
    can_subset=True,
)
def no_gaps(context: dg.AssetCheckExecutionContext, home: Home) -> Iterator[dg.AssetCheckResult]:
    """Kafka's retention did not overtake the store. What it took is lost: the ranges are in `stream_gaps`."""
    for key in sorted(context.selected_asset_check_keys):
        topic = STREAM_ASSETS[key.asset_key.to_user_string()]
        with home.store.read() as con:
            rows = con.execute(
                """SELECT epoch, part, from_offset, to_offset, seen_at FROM stream_gaps WHERE topic = ?
                ORDER BY seen_at DESC, part, from_offset""",
                [topic],
            ).fetchall()
        missing = sum(row[3] - row[2] for row in rows)
        yield dg.AssetCheckResult(
            passed=not rows,
            asset_key=key.asset_key,
            check_name=key.name,
            severity=dg.AssetCheckSeverity.WARN,  # no run can bring them back, and the others are whole
            description=f"{missing:,} messages are missing, in {len(rows):,} places",
            metadata={
                "missing messages": missing,
                "where": markdown(["life of the topic", "partition", "from", "to", "noticed"], rows[:_LISTED]),
            },
        )


@dg.asset_check(asset="kafka_raw_logs")
def records_counted(home: Home) -> dg.AssetCheckResult:
    """Records read from Kafka = records stored + dead letters."""
    with home.store.read() as con:
        read, stored, dead = con.execute(
            """SELECT (SELECT coalesce(sum(records), 0)::BIGINT FROM sources WHERE source_id < 0),
            (SELECT count(*) FROM raw_logs WHERE source_id < 0),
            (SELECT count(*) FROM dead_letters WHERE source_id < 0)"""
        ).fetchall()[0]
    return dg.AssetCheckResult(
        passed=read == stored + dead,
        description=f"{read:,} read, {stored:,} stored + {dead:,} dead letters",
        metadata={"read": read, "stored": stored, "dead letters": dead},
    )
