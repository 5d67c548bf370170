"""How the logs of the tests are written: every known layout, in UTC, of whatever block pool comes first."""

from hdfs_pipeline.domains.blocks.layouts import known_layouts
from hdfs_pipeline.domains.blocks.pools import Pool
from hdfs_pipeline.domains.blocks.records import LogFormat


def log_format(zone: str = "UTC", pool: str = "", **json_fields: str) -> LogFormat:
    """A format of its own: it remembers the first pool that it meets."""
    return LogFormat(known_layouts(), zone, json_fields, Pool(pool))
