"""Our own Kafka messages: JSON objects with a version, documented in docs/streaming.md.

Times are ISO 8601 in UTC, block ids are text (``blk_-1608…``: a number would lose digits in JavaScript), and every key
is the block id, so that all that concerns a block stays in order in one partition.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from hdfs_pipeline.errors import DataError

VERSION: Final = 1
EXCERPT: Final = 1000  # characters of a dead letter that are kept
_BLOCK_ID = re.compile(r"blk_(-?\d{1,19})")
_SMALLEST, _BEYOND = -(2**63), 2**63


def block_key(block_id: int) -> bytes:
    """The key of a block's messages."""
    return b"blk_%d" % block_id


def parse_key(key: bytes | str | None) -> int | None:
    """The block id that a message's key names, None where it names none."""
    text = key.decode(errors="replace") if isinstance(key, bytes) else key or ""
    found = _BLOCK_ID.fullmatch(text)
    return int(found[1]) if found and _SMALLEST <= int(found[1]) < _BEYOND else None


@dataclass  # not frozen: a worker makes thousands a second, and frozen ones take three times as long to make
class Vector:
    """A block's counts: a message of `aggregated_events`, or, with a label and without places, of `hdfs_logs`.

    `counts` has no zeros. `partition`, `first_offset` and `last_offset` say which messages of `raw_logs` were counted:
    together with the block they name the vector, and a later message with the same `first_offset` replaces it.
    """

    block_id: int
    catalogue: str
    counts: dict[str, int]
    lines: int = 0
    alarms: int = 0
    first_time: datetime | None = None
    last_time: datetime | None = None
    partition: int = -1
    first_offset: int = -1
    last_offset: int = -1
    closed_by: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Verdict:
    """A detector's word on a block: a message of `anomalies`.

    `status` is ``final``, ``provisional`` (the block was open) or ``withdrawn`` (it is normal after all). `origin` is
    the topic that the counts came from; the places are those of the Vector (for `hdfs_logs` of the feature row);
    `closed_by` is the Vector's.
    """

    block_id: int
    status: str
    detector: str
    version: int
    score: float
    threshold: float
    reason: str
    explanation: dict[str, Any]
    catalogue: str
    lines: int
    first_time: datetime | None
    last_time: datetime | None
    origin: str
    partition: int
    first_offset: int
    last_offset: int
    scored_at: datetime
    closed_by: str | None = None


def excerpt(value: bytes | None) -> str:
    """The beginning of a message that could not be used."""
    return (value or b"")[: 4 * EXCERPT].decode("utf-8", "replace")[:EXCERPT]


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be used: where it stands, why, and its beginning."""

    topic: str
    partition: int
    offset: int
    reason: str
    text: str
    seen_at: datetime

    @property
    def key(self) -> bytes:
        """Its key: the same message has the same, however often it is told of."""
        return f"{self.topic}/{self.partition}/{self.offset}".encode()


@dataclass(frozen=True)
class Label:
    """What is known of a block from outside: a message of `labels`; `label` is normal, anomaly or ambiguous."""

    block_id: int
    label: str
    kind: str | None = None


Message = Vector | Verdict | DeadLetter | Label


def encode(message: Message) -> bytes:
    """The message as JSON. Its times are in UTC."""
    fields = {"v": VERSION, **vars(message)}
    if "block_id" in fields:
        fields["block_id"] = f"blk_{fields['block_id']}"
    return orjson.dumps(fields, option=orjson.OPT_UTC_Z)


def decode_vector(value: bytes | None) -> Vector:
    """Raises: DataError that says what is wrong with the message."""
    fields = _fields(value, Vector)
    counts = fields["counts"]
    if not isinstance(counts, dict) or not all(_is_count(count) for count in counts.values()):
        raise DataError("counts is no object of whole numbers")
    return Vector(**fields | {"counts": {str(event): n for event, n in counts.items() if n}})


def decode_verdict(value: bytes | None) -> Verdict:
    """Raises: DataError that says what is wrong with the message."""
    fields = _fields(value, Verdict)
    if fields["status"] not in ("final", "provisional", "withdrawn"):
        raise DataError(f"status {fields['status']!r}: there are final, provisional and withdrawn")
    return Verdict(**fields)


def decode_label(value: bytes | None) -> Label:
    """Raises: DataError that says what is wrong with the message."""
    fields = _fields(value, Label)
    if fields["label"] not in ("normal", "anomaly", "ambiguous"):
        raise DataError(f"label {fields['label']!r}: there are normal, anomaly and ambiguous")
    return Label(**fields)


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "float": (int, float),
    "dict[str, Any]": (dict,),
    "datetime": (datetime,),
    "datetime | None": (datetime, type(None)),
}


def _fields(value: bytes | None, cls: type) -> dict[str, Any]:
    """The fields of a `cls`, each of its type; what a later version may add is left out."""
    if value is None:
        raise DataError("no value")
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise DataError("not JSON") from None
    if not isinstance(found, dict):
        raise DataError("not a JSON object")
    if found.get("v") != VERSION:
        raise DataError(f"version {found.get('v')!r}: this one reads version {VERSION}")
    fields: dict[str, Any] = {}
    for name, field in cls.__dataclass_fields__.items():  # type: ignore[attr-defined]
        if name not in found:
            if field.default is field.default_factory:  # both are MISSING: the field must be there
                raise DataError(f"{name} is missing")
            continue
        fields[name] = _typed(name, found[name], field.type if isinstance(field.type, str) else _name(field.type))
    return fields


def _name(kind: Any) -> str:
    """What a type is called in `_TYPES`."""
    return kind.__name__ if isinstance(kind, type) else re.sub(r"datetime\.(?=datetime)|typing\.", "", str(kind))


def _typed(name: str, value: Any, kind: str) -> Any:
    if name == "block_id":
        block_id = parse_key(value) if isinstance(value, str) else None
        if block_id is None:
            raise DataError(f"block_id {value!r} is no block id")
        return block_id
    if "datetime" in kind and isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise DataError(f"{name} {value!r} is no time") from None
        if value.tzinfo is None:
            raise DataError(f"{name} has no time zone")
    allowed = _TYPES.get(kind)
    if allowed and (not isinstance(value, allowed) or isinstance(value, bool)):
        raise DataError(f"{name} {value!r} is not of type {kind}")
    return value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
