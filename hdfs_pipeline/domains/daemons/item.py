"""The item of this domain: one minute of one daemon, or one trouble in it.

Its id holds the daemon's kind, its address and the minute, and for a trouble what it is about: so troubles of one
minute do not hide each other.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

from hdfs_pipeline.domains.contract import Item
from hdfs_pipeline.domains.daemons.catalogue import TOPICS
from hdfs_pipeline.errors import UsageError

DOMAIN: Final = "daemons"
FORM: Final = "%Y-%m-%dT%H:%MZ"
_EXAMPLE: Final = "datanode 10.0.0.7:9866 2026-11-21T10:05Z"


class DaemonMinute(NamedTuple):
    """What an id says: the kind of daemon, its address or host, when the minute begins, UTC, and the topic or ''."""

    kind: str
    entity: str
    minute: datetime
    topic: str


def take_apart(text: str) -> DaemonMinute:
    """What an id says. Raises: UsageError for what is no id."""
    kind, entity, when, topic = (*text.split(), "", "", "", "")[:4]
    minute = None
    with suppress(ValueError):
        minute = datetime.strptime(when, FORM).replace(tzinfo=UTC)
    odd = len(text.split()) > 4 or not kind.isidentifier() or topic not in ("", *TOPICS)
    if odd or minute is None or minute.year < 1000:
        raise UsageError(f"{text!r} is no id of a daemon's minute; one looks like {_EXAMPLE}")
    return DaemonMinute(kind, entity, minute, topic)


def parse_minute_id(text: str) -> str:
    """An id as tables write it. Raises: UsageError for what is no id."""
    kind, entity, minute, topic = take_apart(text)
    return f"{kind} {entity} {minute.strftime(FORM)} {topic}".rstrip()


MINUTE: Final = Item(
    "daemon minute",
    "daemon minutes",
    "daemon_minute",
    _EXAMPLE,
    parse_minute_id,
    str,
    "the same records",
    counted=False,
)
