"""The Kafka topics of access logs: lines from outside, and the windows that workers close."""

from collections.abc import Mapping
from typing import Final

from hdfs_pipeline.domains.contract import Topic
from hdfs_pipeline.domains.line_sink import LineSink
from hdfs_pipeline.domains.weblogs.lines import AccessLines
from hdfs_pipeline.sources.kafka import ANOMALIES

WEB_LOGS: Final = "web_logs"
REQUEST_WINDOWS: Final = "request_windows"
WAYS: Final[Mapping[str, tuple[str, ...]]] = {WEB_LOGS: (ANOMALIES,)}
"""Where a worker may begin, and where it ends."""
TOPICS: Final = (
    Topic(WEB_LOGS, "Access lines of web servers, keyed by service.", LineSink(AccessLines), "kafka_web_logs"),
    Topic(
        REQUEST_WINDOWS,
        "Minutes of web services, keyed by service, for the workers that judge them; the table of that name is made of "
        "the requests.",
        from_stage=True,
    ),
)
