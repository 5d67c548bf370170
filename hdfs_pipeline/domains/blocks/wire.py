"""Messages of this domain: counts of a block, and what is known of one from outside (docs/streaming.md).

Block ids are text (``blk_-1608…``: a number would lose digits in JavaScript). The key is the block id, and a verdict's
the block id and the detector; all that concerns a block stays in order in one partition.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hdfs_pipeline.domains.blocks.item import group_of
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sources import wire
from hdfs_pipeline.sources.wire import Reader

_BLOCK_ID = re.compile(r"blk_(-?\d{1,19})")
_SMALLEST, _BEYOND = -(2**63), 2**63


def block_key(block_id: int) -> bytes:
    """The key of a block's messages."""
    return b"blk_%d" % block_id


def parse_key(key: bytes | str | None) -> int | None:
    """The block id that a message's key names (of an internal block its group's), None where it names none."""
    text = key.decode(errors="replace") if isinstance(key, bytes) else key or ""
    match = _BLOCK_ID.fullmatch(text)
    return group_of(int(match[1])) if match and _SMALLEST <= int(match[1]) < _BEYOND else None


@dataclass  # not frozen: a worker makes thousands a second, and frozen ones take three times as long to make
class Vector:
    """A block's counts: a message of `aggregated_events`, or, with a label and without places, of `hdfs_logs`.

    `counts` has no zeros. `partition`, `first_offset` and `last_offset` say which messages of `raw_logs` were counted:
    together with the block they name the vector, and a later message with the same `first_offset` replaces it. `life`
    is the id of that topic. `host` wrote the first of its gravest records; '' where nobody knows.
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
    life: str = ""
    host: str = ""


@dataclass(frozen=True)
class Label:
    """What is known of a block from outside: a message of `labels`; `label` is normal, anomaly or ambiguous."""

    block_id: int
    label: str
    kind: str | None = None


def encode(message: Vector | Label) -> bytes:
    """The message as JSON. Its times are in UTC."""
    return wire.encode(message, block_id=f"blk_{message.block_id}")


def decode_vector(value: bytes | None) -> Vector:
    """Raises: DataError that says what is wrong with the message."""
    fields = _VECTOR(wire.decode(value))
    counts = fields["counts"]
    if not isinstance(counts, dict) or not all(_is_count(count) for count in counts.values()):
        raise DataError("counts is no object of whole numbers")
    fields["counts"] = {str(event): n for event, n in counts.items() if n}
    return Vector(**fields)


def decode_label(value: bytes | None) -> Label:
    """Raises: DataError that says what is wrong with the message."""
    fields = _LABEL(wire.decode(value))
    if fields["label"] not in ("normal", "anomaly", "ambiguous"):
        raise DataError(f"label {fields['label']!r}: there are normal, anomaly and ambiguous")
    return Label(**fields)


def _block_id(value: Any) -> int:
    block_id = parse_key(value) if isinstance(value, str) else None
    if block_id is None:
        raise DataError(f"block_id {value!r} is no block id")
    return block_id


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


_VECTOR: Final = Reader(Vector, block_id=_block_id)
_LABEL: Final = Reader(Label, block_id=_block_id)
