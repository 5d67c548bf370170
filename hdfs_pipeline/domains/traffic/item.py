"""The item of this domain: one minute of a service and one of its endpoint groups.

Its id holds the minute, the service and the group; `*` stands for all requests of the service.
"""

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

from hdfs_pipeline.domains.contract import Item
from hdfs_pipeline.errors import UsageError

DOMAIN: Final = "traffic"
FORM: Final = "%Y-%m-%dT%H:%MZ"
_EXAMPLE: Final = "2026-11-30T10:15Z shop.example /cart"
_ID: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\dZ) ([^\x00-\x20\x7f]+) ([^\x00-\x20\x7f]+)", re.ASCII)
KEY_SQL: Final = f"strftime(timezone('UTC', minute), '{FORM}') || ' ' || service || ' ' || endpoint"
"""SQL of the id of a row of `request_windows`."""


class TrafficWindow(NamedTuple):
    """What an id says: when the minute begins, UTC, the service and the endpoint group."""

    minute: datetime
    service: str
    endpoint: str


def take_apart(text: str) -> TrafficWindow:
    """What an id says. Raises: UsageError for what is no id."""
    found, minute = _ID.fullmatch(text.strip(" ")), None
    if found:
        with suppress(ValueError):
            minute = datetime.strptime(found[1], FORM).replace(tzinfo=UTC)
    if found is None or minute is None or minute.year < 1000:
        raise UsageError(f"{text!r} is no id of a traffic window; one looks like {_EXAMPLE}")
    return TrafficWindow(minute, found[2], found[3])


def window_id(minute: datetime, service: str, endpoint: str) -> str:
    """The id of a window, as tables hold it."""
    return f"{minute.strftime(FORM)} {service} {endpoint}"


def parse_window_id(text: str) -> str:
    """An id as tables write it. Raises: UsageError for what is no id."""
    return window_id(*take_apart(text))


WINDOW: Final = Item(
    "traffic window",
    "traffic windows",
    "traffic_window",
    _EXAMPLE,
    parse_window_id,
    str,
    "the same traffic",
    counted=False,
)
