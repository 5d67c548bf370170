"""The Kafka topics of this domain: what they hold, which tables keep their messages, which ways workers take."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hdfs_pipeline.domains.blocks.wire import decode_label, decode_vector
from hdfs_pipeline.domains.contract import Topic
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.messages import LATEST, MessageSink, Row, sent_at
from hdfs_pipeline.sinks.topics import Life
from hdfs_pipeline.sources.kafka import ANOMALIES
from hdfs_pipeline.store.store import Store

if TYPE_CHECKING:
    from confluent_kafka import Message

    from hdfs_pipeline.domains.blocks.log_sink import LogStage

RAW_LOGS: Final = "raw_logs"
AGGREGATED_EVENTS: Final = "aggregated_events"
HDFS_LOGS: Final = "hdfs_logs"
LABELS: Final = "labels"
SHIPPED_LOGS: Final = "shipped_logs"
WAYS: Final[Mapping[str, tuple[str, ...]]] = {
    RAW_LOGS: (AGGREGATED_EVENTS, ANOMALIES),
    AGGREGATED_EVENTS: (ANOMALIES,),
    HDFS_LOGS: (ANOMALIES,),
}
"""Where a worker may begin, and where each may end. A block has the same partition in all topics of a way."""


def worker_group(settings: Settings, topic: str) -> str:
    """The consumer group of the workers that begin at a topic."""
    return settings.stream_group if topic == RAW_LOGS else f"{settings.stream_group}.{topic}"


@dataclass(frozen=True)
class LogSink:
    """Log records into `raw_logs`, each once."""

    table: str = "raw_logs"

    def open(self, store: Store, settings: Settings, topic: str, life: Life, folder: Path) -> "LogStage":
        """See `TopicSink.open`."""
        from hdfs_pipeline.domains.blocks.log_sink import LogStage  # imports numba and DuckDB
        from hdfs_pipeline.domains.stream_sources import Sources

        with store.read() as con:
            return LogStage(settings, topic, life.epoch, Sources.of(con, topic), folder)


def _vector_row(message: "Message") -> Row:
    vector = decode_vector(message.value())
    counts = list(vector.counts.items())
    return vars(vector) | {"counts": counts, "part": vector.partition, "closed_at": sent_at(message)}


def _feature_row(message: "Message") -> Row:
    vector = decode_vector(message.value())
    counts = list(vector.counts.items())
    return vars(vector) | {"counts": counts, "part": message.partition(), "sent_at": sent_at(message)}


def _label_row(message: "Message") -> Row:
    label = decode_label(message.value())
    return vars(label) | {"kind": label.kind or label.label}


TOPICS: Final = (
    Topic(
        RAW_LOGS,
        "Log records, keyed by block: one message per block that a record names.",
        LogSink(),
        "kafka_raw_logs",
    ),
    # A worker rebuilds its memory of blocks from this topic, and needs the latest message of each block only.
    Topic(
        AGGREGATED_EVENTS,
        "Event counts of closed blocks, from the stream workers.",
        MessageSink("aggregated_events", _vector_row, LATEST),
        "aggregated_events",
        from_stage=True,
        latest_by_key=True,
    ),
    Topic(
        HDFS_LOGS,
        "Ready-made feature rows, from outside.",
        MessageSink("hdfs_logs", _feature_row, inserts=True),
        "hdfs_logs",
    ),
    Topic(
        LABELS,
        "What is known of blocks from outside.",
        MessageSink("labels", _label_row),
        "stream_labels",
        latest_by_key=True,
    ),
    Topic(SHIPPED_LOGS, "Lines as shippers send them; `hdfs-pipeline route` makes records of them."),
)
