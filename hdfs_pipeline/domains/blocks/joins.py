"""Shipped lines become records again: continuation lines joined to the line before them in their file.

A shipper sends each line by itself, and the lines of many files lie mixed in a partition. Within one partition, host
and path, lines keep their order. Nothing here knows Kafka's client.
"""

import re
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from hdfs_pipeline.domains.blocks.file_names import writer
from hdfs_pipeline.domains.blocks.messages import NO_HEAD, Shipped
from hdfs_pipeline.domains.blocks.records import LAYOUTS, Layout

_OVERHEAD: Final = 500  # bytes that a waiting record takes beside its text
QUIET_S: Final = 1.0
"""Seconds without a continuation line after which a record counts as whole."""
_HEADS: Final = {
    name: re.compile(rb"^" + re.sub(rb"[a-zA-Z]", rb"\\d", re.escape(layout.head.encode())), re.MULTILINE)
    for name, layout in LAYOUTS.items()
}


@dataclass
class Joined:
    """A record: its text so far, where its first line stands, and whether more may come."""

    partition: int
    offset: int
    index: int  # among the records that begin in the same message
    source: tuple[str, str]
    host: str
    daemon: str
    layout: Layout
    parts: list[bytes]
    size: int
    last_added: float
    closed: bool = False
    too_long: bool = False

    @property
    def text(self) -> bytes:
        """All of its lines."""
        return b"\n".join(self.parts)

    @property
    def record_id(self) -> str:
        """The value of the header `record`."""
        return f"{self.partition}/{self.offset}" + f"#{self.index + 1}" * (self.index > 0)


@dataclass
class Bad:
    """A message that is no part of a record."""

    partition: int
    offset: int
    reason: str
    text: bytes


@dataclass
class _Partition:
    """A partition: its records in the order of their first lines, and the last record of each file.

    `until`: messages below this offset were worked on before (see `Joins.assigned`).
    """

    next: int
    until: int
    waiting: deque[Joined] = field(default_factory=deque)
    last: dict[tuple[str, str], Joined] = field(default_factory=dict)


class Joins:
    """The records that are not whole yet, of all partitions.

    A partition's records go out in the order of their first lines, so `position`, the first offset that must be read
    again after a restart, never lies above a record that has gone out. Lines of such a record can lie above it: they
    are known by `until`.
    """

    def __init__(self, *, max_record_bytes: int, max_bytes: int = 64 << 20, quiet_s: float = QUIET_S) -> None:
        self._max_record, self._max_bytes, self._quiet_s = max_record_bytes, max_bytes, quiet_s
        self._partitions: dict[int, _Partition] = {}
        self._size = 0

    def assigned(self, partition: int, offset: int, until: int = 0) -> None:
        """Begin a partition at `offset`. Lines without a record and bad messages below `until` were reported before."""
        self.revoked(partition)
        self._partitions[partition] = _Partition(offset, until)

    def revoked(self, partition: int) -> None:
        """Forget a partition: whoever gets it reads its open records again."""
        if removed := self._partitions.pop(partition, None):
            self._size -= sum(record.size for record in removed.waiting)

    def position(self, partition: int) -> tuple[int, int]:
        """The offset to begin at after a restart, and the offset below which messages were worked on (`until`)."""
        state = self._partitions[partition]
        return state.waiting[0].offset if state.waiting else state.next, max(state.next, state.until)

    def partitions(self) -> list[int]:
        """The partitions that are assigned."""
        return list(self._partitions)

    def add(self, partition: int, offset: int, shipped: Shipped) -> list[Bad]:
        """Take the lines of a message, and return those that belong to no record."""
        state = self._partitions[partition]
        state.next = offset + 1
        source, text = (shipped.host, shipped.path), shipped.text.rstrip(b"\r\n")
        layout, starts = _heads(text)
        stops = [*(start - 1 for start in starts), len(text)]
        bad = []
        if not starts or starts[0] > 0:
            lines, record = text[: stops[0]], state.last.get(source)
            if record is None:
                bad = self._bad(state, Bad(partition, offset, NO_HEAD, lines))
            else:
                self._extend(record, lines)
        for index, start in enumerate(starts):
            if before := state.last.get(source):
                before.closed = True
            assert layout is not None, "a head has a layout"
            record = Joined(partition, offset, index, source, *_named(shipped), layout, [], _OVERHEAD, 0.0)
            self._size += _OVERHEAD
            state.waiting.append(record)
            state.last[source] = record
            self._extend(record, text[start : stops[index + 1]])
        return bad

    def refuse(self, bad: Bad) -> list[Bad]:
        """Take note of a message that cannot be used, and return it unless it was reported before."""
        state = self._partitions[bad.partition]
        state.next = bad.offset + 1
        return self._bad(state, bad)

    def whole(self) -> Iterator[Joined]:
        """The records that are whole, once each; when too many bytes wait, the oldest count as whole."""
        quiet_before = time.monotonic() - self._quiet_s
        for state in self._partitions.values():
            while state.waiting and (state.waiting[0].closed or state.waiting[0].last_added <= quiet_before):
                yield self._pop(state)
        while self._size > self._max_bytes:
            fullest = max(self._partitions.values(), key=lambda state: sum(r.size for r in state.waiting))
            yield self._pop(fullest)

    def _pop(self, state: _Partition) -> Joined:
        record = state.waiting.popleft()
        self._size -= record.size
        if state.last.get(record.source) is record:
            del state.last[record.source]
        return record

    def _extend(self, record: Joined, text: bytes) -> None:
        record.last_added = time.monotonic()
        if record.size - _OVERHEAD + len(text) > self._max_record:
            record.too_long = True
            return
        record.parts.append(text)
        record.size += len(text) + 1
        self._size += len(text) + 1

    @staticmethod
    def _bad(state: _Partition, bad: Bad) -> list[Bad]:
        return [bad] if bad.offset >= state.until else []


def _heads(text: bytes) -> tuple[Layout | None, list[int]]:
    """The layout of the first line's head, and where lines begin with one; without any head (None, [])."""
    for name, head in _HEADS.items():
        if head.match(text):
            return LAYOUTS[name], [match.start() for match in head.finditer(text)] if b"\n" in text else [0]
    if b"\n" in text:
        for name, head in _HEADS.items():
            if starts := [match.start() for match in head.finditer(text)]:
                return LAYOUTS[name], starts
    return None, []


def _named(shipped: Shipped) -> tuple[str, str]:
    """Host and daemon of a line: what the shipper says, or else what Hadoop's file names tell."""
    if not shipped.path:
        return shipped.host, ""
    author = writer(PurePath(shipped.path))
    return shipped.host or author.host, author.daemon
