"""The Kafka topic of application logs."""

from collections.abc import Mapping
from typing import Final

from hdfs_pipeline.domains.applogs.lines import AppLines
from hdfs_pipeline.domains.contract import Topic
from hdfs_pipeline.domains.line_sink import LineSink
from hdfs_pipeline.sources.kafka import ANOMALIES

APP_LOGS: Final = "app_logs"
WAYS: Final[Mapping[str, tuple[str, ...]]] = {APP_LOGS: (ANOMALIES,)}
"""Where a worker may begin, and where it ends."""
TOPICS: Final = (
    Topic(APP_LOGS, "Messages of applications and services, keyed by service.", LineSink(AppLines), "kafka_app_logs"),
)
