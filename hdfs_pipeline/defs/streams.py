"""Kafka topics into tables: one asset per topic that the store keeps, and what lies outside Dagster before them.

Runs take ranges of offsets, never messages: the sensors (stream_sensors.py) give them, or a person does.
"""

from typing import Any, Final

import dagster as dg

from hdfs_pipeline.defs.metadata import OWNERS, row_count, table_metadata
from hdfs_pipeline.defs.resources import Home
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sinks.topics import STREAMED, Sunk, ingest_range
from hdfs_pipeline.sources.kafka import AGGREGATED_EVENTS, ANOMALIES, HDFS_LOGS, LABELS, RAW_LOGS
from hdfs_pipeline.sources.ranges import Range

STREAM_ASSETS: Final = {
    "kafka_raw_logs": RAW_LOGS,
    "aggregated_events": AGGREGATED_EVENTS,
    "stream_anomalies": ANOMALIES,
    "hdfs_logs": HDFS_LOGS,
    "stream_labels": LABELS,
}
"""Topic by asset."""

_GROUP: Final = "stream"
_ABOUT: Final = {
    RAW_LOGS: "Log records that came over Kafka, each once, into the table `raw_logs`.",
    AGGREGATED_EVENTS: "Event counts of the blocks that the stream workers closed, the latest of each.",
    ANOMALIES: "Verdicts of the stream workers, the latest of each block and detector.",
    HDFS_LOGS: "Feature rows that came ready-made over Kafka.",
    LABELS: "Labels of blocks that came over Kafka, into the table `labels`.",
}
_TOPICS: Final = {
    RAW_LOGS: "Log records, keyed by block: one message per block that a record names.",
    AGGREGATED_EVENTS: "Event counts of closed blocks, from the stream workers.",
    ANOMALIES: "Verdicts on blocks, from the stream workers.",
    HDFS_LOGS: "Ready-made feature rows, from outside.",
    LABELS: "What is known of blocks from outside.",
}
_FROM_WORKERS: Final = (AGGREGATED_EVENTS, ANOMALIES)
_MESSAGE: Final = dg.TableSchema(
    [
        dg.TableColumn("key", "bytes", "The block, such as blk_-1608999687919862906."),
        dg.TableColumn("value", "bytes", "A log record, or JSON as docs/streaming.md describes it."),
        dg.TableColumn("headers", "map", "Of raw_logs: `host` and `daemon` that wrote the record."),
    ]
)
_REPORT: Final = dg.TableSchema([dg.TableColumn("metadata", "map", "Figures of one worker since its last report.")])


class StreamRanges(dg.Config):
    """Which messages to read. Empty: from where the store stands to the end, up to the setting `sink_max_records`."""

    ranges: dict[str, list[int]] = {}  # noqa: RUF012 - pydantic copies defaults
    """By partition the first offset and the one after the last, such as {"7": [1000, 2000]}."""
    cluster_id: str = ""
    """The cluster that the ranges belong to; '' is the present one."""
    topic_id: str = ""
    """The topic's id that they belong to; '' is the present one. A topic that was made anew has another."""
    again: bool = False
    """Read ranges once more that are in the store already, in place of what they gave before."""

    def parsed(self) -> dict[int, Range]:
        """The ranges by partition. Raises: DataError for what is no range."""
        try:
            return {int(part): (start, end) for part, (start, end) in self.ranges.items()}
        except ValueError:
            raise DataError(f'ranges {self.ranges}: write them like {{"7": [1000, 2000]}}') from None


def topic_key(topic: str) -> dg.AssetKey:
    """The asset that stands for a Kafka topic."""
    return dg.AssetKey(["kafka", topic])


def _topic(topic: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        topic_key(topic),
        deps=["block_stream"] if topic in _FROM_WORKERS else [],
        description=_TOPICS[topic],
        group_name=_GROUP,
        kinds={"kafka"},
        owners=OWNERS,
        metadata={"dagster/column_schema": _MESSAGE},
    )


external = [
    *(_topic(topic) for topic in STREAM_ASSETS.values()),
    dg.AssetSpec(
        "block_stream",
        deps=[topic_key(RAW_LOGS), topic_key(HDFS_LOGS)],
        description="What the stream workers report every 10 s: they group log records by block, score the blocks and "
        "publish the anomalies, in less time than a run takes to start.",
        group_name=_GROUP,
        kinds={"kafka", "python"},
        owners=OWNERS,
        metadata={"dagster/column_schema": _REPORT},
    ),
]


def _stream_asset(name: str, topic: str) -> dg.AssetsDefinition:
    table = STREAMED[topic]

    @dg.asset(
        name=name,
        deps=[topic_key(topic)],
        description=f"{_ABOUT[topic]} Each message counts once: rows and offsets change in one transaction.",
        group_name=_GROUP,
        kinds={"kafka", "duckdb"},
        owners=OWNERS,
        metadata=table_metadata(table),
    )
    def stream(context: dg.AssetExecutionContext, home: Home, config: StreamRanges) -> dg.MaterializeResult:
        done = ingest_range(
            home.store,
            home.settings,
            topic,
            config.parsed(),
            cluster_id=config.cluster_id,
            topic_id=config.topic_id,
            again=config.again,
        )
        for note in done.notes:
            (context.log.warning if done.missing or done.unkeyed else context.log.info)(note)
        return dg.MaterializeResult(metadata={**row_count(home.store, table), **_facts(done)})

    return stream


def _facts(done: Sunk) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "messages": done.messages,
        "rows": done.rows,
        "dead letters": done.dead_letters,
        "missing messages": done.missing,
        "messages left": done.left,
        "messages per second": done.messages / done.seconds if done.seconds else 0.0,
        "life of the topic": done.epoch,
        "ranges": dg.MetadataValue.json({str(part): list(bounds) for part, bounds in sorted(done.ranges.items())}),
        "cluster id": done.cluster_id,
        "topic id": done.topic_id,
    }
    if done.gaps:
        facts["gaps"] = dg.MetadataValue.json({str(part): list(map(list, gaps)) for part, gaps in done.gaps.items()})
    if done.topic == RAW_LOGS:
        facts |= {"copies not stored": done.copies, "without a key": done.unkeyed}
    return facts | ({"notes": "; ".join(done.notes)} if done.notes else {})


stream_assets = [_stream_asset(name, topic) for name, topic in STREAM_ASSETS.items()]
