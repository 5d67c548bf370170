"""Shipped lines become records again: continuation lines joined to the line before them in their file.

A shipper sends each line by itself, and the lines of many files lie mixed in a partition. Within one partition, host
and path, lines keep their order. Nothing here knows Kafka's client.
"""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from hdfs_pipeline.domains.blocks.records import NO_STAMP, Cut, LogFormat
from hdfs_pipeline.domains.blocks.scan import NONE
from hdfs_pipeline.domains.blocks.wrappers import Shipped, shipped_writer

_OVERHEAD: Final = 500  # bytes that a waiting record takes beside its text
QUIET_S: Final = 1.0
"""Seconds without a continuation line after which a record counts as whole."""

CONTINUES: Final = (
    "continues a record, but of which cannot be told: the shipper says neither its file nor its container; "
    "let it send one of them, or join the lines itself"
)


@dataclass
class Joined:
    """A record: its text so far, where its first line stands, and whether more may come."""

    partition: int
    offset: int
    index: int  # among the records that begin in the same message
    source: tuple[str, ...]
    host: str
    daemon: str
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
    last: dict[tuple[str, ...], Joined] = field(default_factory=dict)


class Joins:
    """The records that are not whole yet, of all partitions.

    A partition's records go out in the order of their first lines, so `position`, the first offset that must be read
    again after a restart, never lies above a record that has gone out. Lines of such a record can lie above it: they
    are known by `until`.
    """

    def __init__(
        self, log_format: LogFormat, *, max_record_bytes: int, max_bytes: int = 64 << 20, quiet_s: float = QUIET_S
    ) -> None:
        self._max_record, self._max_bytes, self._quiet_s = max_record_bytes, max_bytes, quiet_s
        self._format = log_format
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
        """Take the lines of a message, and return those that belong to no record.

        Lines of which neither file nor container is known join no record of another message.
        """
        state = self._partitions[partition]
        state.next = offset + 1
        source, text = shipped.source, shipped.text.rstrip(b"\r\n")
        starts = self._heads(text)
        stops = [*(start - 1 for start in starts), len(text)]
        bad = []
        if not starts or starts[0] > 0:
            lines, record = text[: stops[0]], state.last.get(source)
            if record is None or not shipped.known:
                reason = NO_STAMP if shipped.known or record is None else CONTINUES
                bad = self._bad(state, Bad(partition, offset, reason, lines))
            else:
                self._extend(record, lines)
        for index, start in enumerate(starts):
            if before := state.last.get(source):
                before.closed = True
            record = Joined(partition, offset, index, source, *_named(shipped), [], _OVERHEAD, 0.0)
            self._size += _OVERHEAD
            state.waiting.append(record)
            state.last[source] = record
            self._extend(record, text[start : stops[index + 1]])
            record.closed |= not shipped.known
        return bad

    def _heads(self, text: bytes) -> list[int]:
        """Where lines stand that begin a record, good or not."""
        if b"\n" not in text:
            return [0] if self._format.kind_of(text) != NONE else []
        found = Cut(text, self._format.scan(text))
        return found.starts[found.scan.kind != NONE].tolist()

    def refuse(self, bad: Bad) -> list[Bad]:
        """Take note of a message that cannot be used, and return it unless it was reported before."""
        state = self._partitions[bad.partition]
        state.next = bad.offset + 1
        return self._bad(state, bad)

    def skip(self, partition: int, offset: int) -> bool:
        """Go on at `offset`: what stands before it cannot be read. Whether that is to be told, or was before.

        No line behind it belongs to a record before it.
        """
        state = self._partitions[partition]
        for record in state.last.values():
            record.closed = True
        state.last.clear()
        state.next = max(state.next, offset)
        return offset > state.until

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


def _named(shipped: Shipped) -> tuple[str, str]:
    """Host and daemon of a line: what the shipper says, or else what Hadoop's file names tell."""
    author = shipped_writer(shipped)
    return shipped.host or author.host, author.daemon
