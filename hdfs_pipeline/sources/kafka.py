"""Kafka, as every part of the project meets it: the brokers' address, the client's settings, its log."""

import logging
from typing import Any, Final

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import BOOTSTRAP, Settings

RAW_LOGS: Final = "raw_logs"
AGGREGATED_EVENTS: Final = "aggregated_events"
ANOMALIES: Final = "anomalies"
HDFS_LOGS: Final = "hdfs_logs"
DEAD_LETTERS: Final = "dead_letters"
LABELS: Final = "labels"
SHIPPED_LOGS: Final = "shipped_logs"
TOPICS: Final = (RAW_LOGS, AGGREGATED_EVENTS, ANOMALIES, HDFS_LOGS, DEAD_LETTERS, LABELS, SHIPPED_LOGS)
"""All with `kafka_partitions` partitions. A block has the same partition in each of the first three."""

ADDRESS_FILE: Final = "address"  # in `Settings.broker`, written by the embedded broker once it answers


def is_embedded(settings: Settings) -> bool:
    """Whether the home uses its embedded broker."""
    return not settings.kafka_bootstrap_servers


def bootstrap_servers(settings: Settings) -> str:
    """Address of the brokers. Raises: SetupError where the embedded broker is meant, and does not run."""
    if settings.kafka_bootstrap_servers:
        return settings.kafka_bootstrap_servers
    try:
        return (settings.broker / ADDRESS_FILE).read_text().strip()
    except OSError:
        raise SetupError(
            f"no Kafka broker: set {BOOTSTRAP}, or start the embedded one of {settings.home} with "
            "`hdfs-pipeline broker` (`hdfs-pipeline up` starts it too)"
        ) from None


def client_config(settings: Settings, **extra: Any) -> dict[str, Any]:
    """Settings of a librdkafka client: the address, what the setting `kafka` passes through, then `extra`.

    In `extra`, `_` stands for `.`: `linger_ms=5`. Keys are partitioned as Java's clients do, so that producers of
    both kinds agree on a block's partition.
    """
    config = {
        "bootstrap.servers": bootstrap_servers(settings),
        "client.id": "hdfs-pipeline",
        "partitioner": "murmur2_random",
        "logger": logging.getLogger("hdfs_pipeline.kafka"),
        **settings.kafka,
    }
    return config | {name.replace("_", "."): value for name, value in extra.items()}
