"""The Kafka topics of this domain: closed windows, from the stage that reads access logs."""

from collections.abc import Mapping
from typing import Final

from hdfs_pipeline.domains.weblogs.topics import REQUEST_WINDOWS
from hdfs_pipeline.sources.kafka import ANOMALIES

WAYS: Final[Mapping[str, tuple[str, ...]]] = {REQUEST_WINDOWS: (ANOMALIES,)}
"""Where a worker may begin, and where it ends."""
