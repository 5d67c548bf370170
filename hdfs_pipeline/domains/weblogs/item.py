"""The item of this domain: a request, as a web server's access log has it."""

from typing import Final

from hdfs_pipeline.domains.contract import Item
from hdfs_pipeline.domains.record_ids import parsed_as, shown_as

DOMAIN: Final = "weblogs"
_PREFIX: Final = "req-"
REQUEST: Final = Item(
    "request",
    "requests",
    "request_id",
    f"{_PREFIX}00c0ffee00c0ffee",
    parsed_as(_PREFIX, "request"),
    shown_as(_PREFIX),
    "the same features",
)
MOST_PATHS: Final = 1024
"""Distinct paths of a client in a minute that are counted."""
PAUSE: Final = 1 << 20
"""Positions of a source without a request of a client after which it begins anew."""
