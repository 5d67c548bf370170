"""Our own Kafka messages: JSON objects with a version, documented in docs/streaming.md.

Times are ISO 8601 in UTC, and ids are text. A message about an item has the item's id as key, so that all that concerns
it stays in order in one partition.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

import orjson

from hdfs_pipeline.errors import DataError

VERSION: Final = 1
EXCERPT: Final = 1000  # characters of a dead letter that are kept
STATUSES: Final = ("final", "provisional", "withdrawn")


@dataclass(frozen=True)
class Verdict:
    """What a detector says of an item of a domain: a message of `anomalies`.

    `status` is ``final``, ``provisional`` (the item was open) or ``withdrawn`` (it is normal after all). `lines` counts
    the raw records that name the item. `origin` is the topic that its features came from; `partition` and the offsets
    say which messages they were made of, and `closed_by` why the item was closed. `kind` names the trouble, `entity`
    what it happened at, such as a host; both are '' where nobody knows. `more` is what the domain adds for its own
    readers: in the message it stands beside the other fields.
    """

    domain: str
    item: str
    status: str
    detector: str
    version: int
    score: float
    threshold: float
    reason: str
    explanation: dict[str, Any]
    lines: int
    first_time: datetime | None
    last_time: datetime | None
    origin: str
    partition: int
    first_offset: int
    last_offset: int
    scored_at: datetime
    closed_by: str | None = None
    kind: str = ""
    entity: str = ""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be used: where it stands, why, and its beginning."""

    topic: str
    partition: int
    offset: int
    reason: str
    text: str
    seen_at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", valid(self.reason))

    @property
    def key(self) -> bytes:
        """The letter's key: all letters about one message have the same."""
        return f"{self.topic}/{self.partition}/{self.offset}".encode()


def valid(text: str) -> str:
    """The text with U+FFFD in place of what no encoding takes: JSON can spell half a surrogate pair."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def excerpt(value: bytes | None) -> str:
    """The beginning of a message that could not be used."""
    return (value or b"")[: 4 * EXCERPT].decode("utf-8", "replace")[:EXCERPT]


def encode(message: Any, **other: Any) -> bytes:
    """A dataclass as JSON, its times in UTC; `other` fields stand in place of its own, or beside them."""
    return orjson.dumps({"v": VERSION, **vars(message), **other}, option=orjson.OPT_UTC_Z)


def encode_verdict(verdict: Verdict) -> bytes:
    """A verdict as JSON."""
    known = {name: value for name, value in vars(verdict).items() if name != "more"}
    return orjson.dumps({**verdict.more, "v": VERSION, **known}, option=orjson.OPT_UTC_Z)


def decode(value: bytes | None) -> dict[str, Any]:
    """The fields of a message. Raises: DataError for anything but a JSON object of this version."""
    if value is None:
        raise DataError("no value")
    try:
        message = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise DataError("not JSON") from None
    if not isinstance(message, dict):
        raise DataError("not a JSON object")
    if message.get("v") != VERSION:
        raise DataError(f"version {message.get('v')!r}: this one reads version {VERSION}")
    return message


class Reader:
    """Takes the fields of a dataclass from a message, each of its type; what a later version may add is left out.

    `readers` are for fields that are more than a type of JSON: each takes the value and gives the field's. They raise
    DataError.
    """

    def __init__(self, message: type, **readers: Callable[[Any], Any]) -> None:
        kinds = ((field, _name(field.type)) for field in fields(message))
        self._fields = [
            # A field with neither default must be there: both are MISSING.
            (field.name, field.default is field.default_factory, readers.get(field.name), "datetime" in kind, kind)
            for field, kind in kinds
        ]

    def __call__(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The fields by name. Raises: DataError that says what is wrong with one."""
        taken: dict[str, Any] = {}
        for name, needed, reader, is_time, kind in self._fields:
            if name not in message:
                if needed:
                    raise DataError(f"{name} is missing")
                continue
            value = message[name]
            if reader is not None:
                taken[name] = reader(value)
                continue
            if is_time and isinstance(value, str):
                value = _time(name, value)
            allowed = _TYPES.get(kind)
            if allowed and (not isinstance(value, allowed) or isinstance(value, bool)):
                raise DataError(f"{name} {value!r} is not of type {kind}")
            if kind == "int" and not -_BEYOND <= value < _BEYOND:
                raise DataError(f"{name} {value!r} takes more than 64 bits")
            taken[name] = value
        return taken


_BEYOND: Final = 2**63
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "float": (int, float),
    "dict[str, Any]": (dict,),
    "datetime": (datetime,),
    "datetime | None": (datetime, type(None)),
}


def _name(kind: Any) -> str:
    """What a type is called in `_TYPES`."""
    if isinstance(kind, str):
        return kind
    return kind.__name__ if isinstance(kind, type) else re.sub(r"datetime\.(?=datetime)|typing\.", "", str(kind))


def _time(name: str, value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise DataError(f"{name} {value!r} is no time") from None
    if time.tzinfo is None:
        raise DataError(f"{name} has no time zone")
    return time


_VERDICT: Final = Reader(Verdict, more=lambda value: value)


def decode_verdict(value: bytes | None, key: bytes | None, items: Mapping[str, Callable[[str], str]]) -> Verdict:
    """The verdict of a message of `anomalies` with its key.

    `items` gives for each domain the function that reads an item's id and returns it in the form of the tables, or
    raises DataError. A message without a domain dates from a time when only the first domain existed; its key is the
    item. Raises: DataError that says what is wrong with the message.
    """
    message = decode(value)
    if "domain" not in message:
        message |= {"domain": next(iter(items)), "item": (key or b"").decode("utf-8", "replace")}
    values = _VERDICT(message)
    if values["domain"] not in items:
        raise DataError(f"domain {values['domain']!r}: there are {', '.join(items)}")
    if values["status"] not in STATUSES:
        raise DataError(f"status {values['status']!r}: there are {', '.join(STATUSES[:-1])} and {STATUSES[-1]}")
    values["item"] = items[values["domain"]](values["item"])
    values["more"] = {name: value for name, value in message.items() if name not in (*values, "v")}
    return Verdict(**values)
