"""Checks of streamed data: no message is missing, and every record read is stored or a dead letter."""

from collections.abc import Iterator

import dagster as dg

from hdfs_pipeline.defs.common.checks import schema_check
from hdfs_pipeline.defs.common.metadata import markdown
from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.defs.streams.assets import STREAM_ASSETS, STREAM_TOPICS

_LISTED = 20

schema_checks = [
    schema_check(asset, topic.sink.table, "offsets", "stream_epochs", "stream_gaps")
    for asset, topic in STREAM_TOPICS.items()
    if topic.sink is not None
]


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec("no_gaps", asset=name, description=f"Every message of the topic {topic} could be read.")
        for name, topic in STREAM_ASSETS.items()
    ],
    can_subset=True,
)
def no_gaps(context: dg.AssetCheckExecutionContext, home: Home) -> Iterator[dg.AssetCheckResult]:
    """Kafka's retention did not overtake the store, and all batches could be decoded; the rest is in `stream_gaps`."""
    for key in sorted(context.selected_asset_check_keys):
        topic = STREAM_ASSETS[key.asset_key.to_user_string()]
        with home.store.read() as con:
            rows = con.execute(
                """SELECT epoch, part, from_offset, to_offset, seen_at, reason FROM stream_gaps WHERE topic = ?
                ORDER BY seen_at DESC, part, from_offset""",
                [topic],
            ).fetchall()
        missing = sum(row[3] - row[2] for row in rows)
        yield dg.AssetCheckResult(
            passed=not rows,
            asset_key=key.asset_key,
            check_name=key.name,
            severity=dg.AssetCheckSeverity.WARN,  # no run can bring them back, and all other messages are there
            description=f"{missing:,} messages are missing, in {len(rows):,} places",
            metadata={
                "missing messages": missing,
                "where": markdown(["life of the topic", "partition", "from", "to", "noticed", "why"], rows[:_LISTED]),
            },
        )
