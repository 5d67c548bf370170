"""What is shown of a message beside its score: how it differs in words, its kind, where it was written, the message."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hdfs_pipeline.domains.applogs.item import MESSAGE
from hdfs_pipeline.domains.applogs.levels import LEVELS
from hdfs_pipeline.domains.applogs.templates import catalogue_of
from hdfs_pipeline.domains.contract import Facts, Place
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.explain import Difference, Vocabulary
from hdfs_pipeline.scoring.severity import MAJOR, WARNING, Kind
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, dicts

SPIKE, STRANGER, DEVIATION, ODD_TIME, KEYWORD = (
    "error-rate spike", "unknown service", "message deviation", "odd time", "keyword",
)  # fmt: skip
_NAMES: Final = {
    "service": ("service", STRANGER),
    "template": ("kind of message", DEVIATION),
    "level": ("level", SPIKE),
    "length": ("length", DEVIATION),
    "fatal": ("word of what ends a service", KEYWORD),
    "failures": ("word of what failed", KEYWORD),
    "warnings": ("word that warns", KEYWORD),
    "weekday": ("day of the week", ODD_TIME),
    "hour": ("hour", ODD_TIME),
    "minute": ("minute of the hour", ODD_TIME),
    "messages": ("messages of the service in this minute", SPIKE),
    "errors": ("errors of the service in this minute", SPIKE),
}
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
KINDS: Final = {
    SPIKE: Kind(
        MAJOR,
        "a service writes more errors than it usually does",
        ("read the first errors, and see what was deployed or failed just before them",),
    ),
    STRANGER: Kind(
        MAJOR,
        "a service writes that has not written before, or hardly ever",
        ("ask who deployed it; if it belongs there, train again once it has written for a while",),
    ),
    DEVIATION: Kind(
        WARNING,
        "a message is unlike those that its service writes: of another text, far longer or far shorter",
        ("read it; a new release writes new messages, and a training learns them",),
    ),
    ODD_TIME: Kind(
        WARNING,
        "a service writes at a time at which it hardly ever does",
        ("see who or what started it at this time",),
    ),
    KEYWORD: Kind(
        MAJOR,
        "a message has words of trouble that its service hardly ever uses",
        ("read it, and look after the host's memory, disks and kernel log",),
    ),
}
"""The kinds of anomalies, and what is known of each."""
_LINE: Final = """strftime(timezone($timezone, time), '%Y-%m-%d %H:%M:%S,%g') || ' '
    || concat_ws(' ', nullif(level, ''), service, nullif(logger, '')) || ': ' || message
    || if(more = '', '', chr(10) || more)"""
"""SQL of a message as a line; with `$timezone`."""


def vocabulary(settings: Settings) -> Vocabulary:
    """What the columns are called, and what a surprise in each says."""
    catalogue = catalogue_of(settings)
    return Vocabulary(
        lambda column: _NAMES[column][0] if column in _NAMES else column,
        MESSAGE.noun,
        MESSAGE.alike,
        new=lambda first: _NAMES[first.event_id][1] if first.event_id in _NAMES else DEVIATION,
        say=lambda difference: _said(difference, catalogue),
    )


_SAID: Final[dict[str, Callable[[int], str]]] = {
    "service": lambda _: "a service that hardly ever writes, or never did",
    "level": lambda count: f"{('no level', *LEVELS)[min(count, len(LEVELS))]}, which it hardly ever is",
    "weekday": lambda count: f"on a {_DAYS[count % 7]}, when it hardly ever writes",
    "hour": lambda count: f"at {count:02d}:00, when it hardly ever writes",
    "minute": lambda count: f"at minute {count} of the hour, when it hardly ever writes",
}
"""What a difference says, by its column and the message's value."""


def _said(difference: Difference, catalogue: Catalogue | None) -> str:
    count, usual = int(difference.count), int(difference.expected)
    if difference.event_id == "template":
        template = f"E{count}"
        if catalogue is None or template not in catalogue.by_id:
            return "a text unlike any that is known"
        return f"“{catalogue.describe(template)}”, which it hardly ever writes"
    if difference.event_id in _SAID:
        return _SAID[difference.event_id](count)
    if difference.event_id == "length":
        return f"{count:,} characters, usually {usual:,}"
    return f"{count:,} × {difference.name}, usually {f'{usual:,} at most' if usual else 'none'}"


def facts(store: Store, keys: Sequence[int] | None = None) -> dict[int, Facts]:
    """When messages were written, of all by default."""
    only, parameters = "", []
    if keys is not None:
        only, parameters = "WHERE message_id IN (SELECT unnest(?::BIGINT[]))", [[int(key) for key in keys]]
    with store.read() as con:
        rows = con.execute(f"SELECT message_id, time FROM app_logs {only} ORDER BY message_id", parameters).fetchall()
    return {key: Facts(time, time, 1) for key, time in rows}


def evidence(store: Store, timezone: str, key: int, limit: int) -> list[dict[str, Any]]:
    """The message itself, as a line, with its service, host and template."""
    with store.read() as con:
        return dicts(
            con,
            f"""SELECT time, host, service AS daemon, service, level, logger, template AS event_id, true AS telling,
                {_LINE} AS line FROM app_logs WHERE message_id = $key LIMIT {min(int(limit), 1)}""",
            {"key": int(key), "timezone": timezone},
        )


def places(store: Store, telling: Mapping[int, Sequence[str]]) -> dict[int, Place]:
    """The service of each message, which is what incidents are about, and its file."""
    with store.read() as con:
        rows = con.execute(
            """SELECT message_id, service, coalesce(path, ''), time FROM app_logs LEFT JOIN sources USING (source_id)
            WHERE message_id IN (SELECT unnest(?::BIGINT[]))""",
            [[int(key) for key in telling]],
        ).fetchall()
    return {key: Place(service, path, time) for key, service, path, time in rows}
