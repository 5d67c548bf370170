"""Grouping: messages of `raw_logs` become records, records count for their block, closed blocks become vectors.

A worker's memory is the topic that it writes. Its commits lie below the first record of any block that is not yet
published, so that after a crash these records are read again. The vectors that were published from beyond that point
are read back from `aggregated_events`, so that their records are not counted twice; each commit carries the offset from
which to read back.
"""

import itertools
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import methodcaller
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.blocks import open_blocks as grouping
from hdfs_pipeline.domains.blocks import scan
from hdfs_pipeline.domains.blocks.champion import Counted
from hdfs_pipeline.domains.blocks.counting import CLOSED, ROW
from hdfs_pipeline.domains.blocks.kernel import EventMatcher
from hdfs_pipeline.domains.blocks.messages import MessageRecords, read_messages
from hdfs_pipeline.domains.blocks.open_blocks import OpenBlocks, Records
from hdfs_pipeline.domains.blocks.pools import Pool
from hdfs_pipeline.domains.blocks.records import LogFormat
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.blocks.wrappers import Shipped
from hdfs_pipeline.domains.contract import Batch
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.explain import SEVERITIES
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.halves import by_halves
from hdfs_pipeline.sources.kafka import each_headers

_log = logging.getLogger(__name__)
_HOSTS: Final = 100_000  # names that are kept
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VALUE: Final = methodcaller("value")
_KEY: Final = methodcaller("key")


class Grouping:
    """Counts per block of the partitions that a worker reads."""

    def __init__(self, settings: Settings, catalogue: Catalogue, partitions: int) -> None:
        self._settings, self.catalogue = settings, catalogue
        self._idle_us = round(settings.stream_idle_s * 1e6)
        self._format = LogFormat.of(settings, Pool.of(settings))
        self._matcher = EventMatcher(catalogue)
        self._skew_us = round(settings.stream_clock_skew_s * 1e6)
        self.blocks = OpenBlocks(len(catalogue.columns), partitions, settings.stream_memory_mb << 20, self._skew_us)
        self._gravity = np.array([SEVERITIES.index(catalogue.severity(name)) for name in catalogue.columns], np.int8)
        self._hosts: dict[str, int] = {"": 0}
        self._host_names = {0: ""}
        self._sent: dict[bytes, int] = {}  # the numbers of hosts as headers name them
        self._next_host = 1
        # (offset in aggregated_events, last offset in raw_logs) of what was published, by partition
        self._published: list[deque[tuple[int, int]]] = [deque() for _ in range(partitions)]
        self._next_output = np.full(partitions, -1, np.int64)
        self.unkeyed = 0
        self.life = ""  # of `raw_logs`
        self._warm_up(partitions)

    def _warm_up(self, partitions: int) -> None:
        """Let numba compile, or load what it has compiled before, while nobody waits."""
        line = b"081109 203518 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_1 src: /a dest: /b"
        found, _, _ = read_messages([line], self._settings.max_record_bytes, self._format)
        ids, _ = scan.block_keys(np.frombuffer(b"blk_1\n", np.uint8), 1)
        zero = np.zeros(1, np.int64)
        blocks = OpenBlocks(len(self.catalogue.columns), partitions, 1)
        event = self._matcher.match(found.batch)
        blocks.add(Records(ids, zero.astype(np.int32), zero, zero, event, zero > 0), 0.0)
        blocks.host_clocks()
        blocks.due(self._idle_us, 1)
        blocks.floors(np.zeros(partitions, np.int64))
        blocks.remove_partitions(zero)

    def add(self, batch: Batch, now: float) -> tuple[list[Counted], list[tuple[int, str]]]:
        """Count messages.

        Returns the blocks that were closed to make room, and the messages that are no record: the index of each, and
        why. `now` is a clock in seconds.
        """
        pieces, bad = by_halves(lambda start, end: self._piece(batch, start, end), 0, len(batch.messages))
        crowded: list[Counted] = []
        for records, broken, unkeyed in pieces:
            bad += broken
            self.unkeyed += unkeyed
            at = 0
            while records and (at := self.blocks.add(records, now, at)) < len(records.block):
                crowded.append(self._make_room())
        return crowded, bad

    def _piece(self, batch: Batch, start: int, end: int) -> tuple[Records | None, list[tuple[int, str]], int]:
        """The messages [start, end) of a batch: their records, the bad ones, the number of records without a key."""
        received = Batch(batch.messages[start:end], batch.partition[start:end], batch.offset[start:end])
        values = list(map(_VALUE, received.messages))
        found, bad, shipped = read_messages(values, self._settings.max_record_bytes, self._format)
        hosts = self._hosts_of(received.messages, shipped)
        records, unkeyed = self._records(received, found, hosts) if len(found.message) else (None, 0)
        return records, [(start + index, reason) for index, reason in bad], unkeyed

    def _hosts_of(self, messages: Sequence[Any], shipped: Mapping[int, Shipped]) -> np.ndarray:
        """A number for the host of each message (n,) int32; 0 where it is not known."""
        hosts, known = [], self._sent
        for headers in each_headers(messages):
            number = 0
            for name, value in headers:
                if name == "host" and value:
                    number = known.get(value) or self._sent_host(value)
                    break
            hosts.append(number)
        for index, sent in shipped.items():
            hosts[index] = hosts[index] or self._host(sent.host)
        return np.array(hosts, np.int32)

    def _sent_host(self, value: bytes) -> int:
        """The number of the host that a header names."""
        number = self._host(value.decode("utf-8", "replace"))
        self._sent[value] = number
        return number

    def _host(self, name: str) -> int:
        number = self._hosts.get(name)
        if number is None:
            if len(self._hosts) >= _HOSTS:  # names without end are no hosts': begin anew
                self._hosts, self._host_names = {"": 0}, {0: ""}
                self._sent.clear()
            number = self._hosts[name] = self._next_host  # never one that a block may still hold for another name
            self._host_names[number] = name
            self._next_host += 1
        return number

    def odd_clocks(self, stamps: Mapping[int, float]) -> dict[str, float]:
        """Hosts with clocks that cannot be right, and by how many seconds each is ahead.

        It is ahead of the other hosts of its partition, or of the time at which the latest records were produced:
        `stamps`, in seconds since 1970, by partition.
        """
        rows = self.blocks.host_clocks()
        limits = self.blocks.watermark.copy()
        for partition, stamp in stamps.items():
            limits[partition] = min(limits[partition], round(stamp * 1e6))
        lead = rows[:, 2] - limits[rows[:, 0]]
        found: dict[str, float] = {}
        for at in np.flatnonzero(lead > self._skew_us).tolist():
            name = self._host_names.get(int(rows[at, 1]), "")
            found[name] = max(found.get(name, 0.0), float(lead[at]) / 1e6)
        return found

    def _records(self, received: Batch, found: MessageRecords, hosts: np.ndarray) -> tuple[Records, int]:
        try:
            keys = b"\n".join(map(_KEY, received.messages))
        except TypeError:  # a message without a key
            keys = b"\n".join([message.key() or b"" for message in received.messages])
        ids, known = scan.block_keys(np.frombuffer(keys + b"\n", np.uint8), len(received.messages))
        batch, message, unkeyed = found.batch, found.message, 0
        named, lengths = _names(batch["block_ids"], ids[message])
        named &= known[message]
        time = batch["time"].view("int64").to_numpy()
        alarm = batch["alarm"].to_numpy(zero_copy_only=False)
        event = self._matcher.match(batch)
        if not named.all():
            unkeyed = int(np.count_nonzero(~named & (lengths > 0)))
            message, time, event, alarm = (column[named] for column in (message, time, event, alarm))
        place = received.partition[message], received.offset[message]
        return Records(ids[message], *place, time, event, alarm, hosts[message], self._gravity[event]), unkeyed

    def close(self) -> Counted:
        """The blocks that the data has closed: idle by event time, or at `max_events`."""
        slots, full = self.blocks.due(self._idle_us, self._settings.stream_max_events)
        return self._publish(slots, np.where(full, grouping.MAX_EVENTS, grouping.IDLE))

    def close_quiet(self, now: float, caught_up: np.ndarray) -> Counted:
        """The blocks that the clock has closed, in the partitions (bool) that have been read to their end."""
        slots = self.blocks.quiet(self._settings.stream_idle_s, now, caught_up)
        return self._publish(slots, np.full(len(slots), grouping.QUIET))

    def early(self) -> Counted:
        """Open blocks that have just come to `min_events` records."""
        slots = self.blocks.reached(self._settings.stream_min_events)
        return self._counted(slots, [None] * len(slots))

    def _make_room(self) -> Counted:
        closed, still_open = self.blocks.crowd()
        counted = self._publish(still_open, np.full(len(still_open), grouping.PARTIAL))
        self.blocks.remove(np.concatenate([closed, still_open]))
        return counted

    def _publish(self, slots: np.ndarray, reasons: np.ndarray) -> Counted:
        order = np.argsort(self.blocks.rows["last_offset"][slots], kind="stable")
        slots = slots[order]
        counted = self._counted(slots, reasons[order].tolist())
        self.blocks.publish(slots)
        return counted

    def _counted(self, slots: np.ndarray, reasons: Sequence[str | None]) -> Counted:
        counts = self.blocks.counts[slots]
        columns = self.catalogue.columns
        rows, places = np.nonzero(counts)
        names, numbers = [columns[place] for place in places.tolist()], counts[rows, places].tolist()
        ends = np.searchsorted(rows, np.arange(len(slots) + 1)).tolist()
        event_counts = [
            dict(zip(names[start:end], numbers[start:end], strict=True)) for start, end in itertools.pairwise(ends)
        ]
        vectors = [
            Vector(
                block_id=block,
                catalogue=self.catalogue.label,
                counts=events,
                lines=lines,
                alarms=alarms,
                first_time=first,
                last_time=last,
                partition=partition,
                first_offset=first_offset,
                last_offset=last_offset,
                closed_by=reason,
                life=self.life,
                host=self._host_names.get(host, ""),
            )
            for events, reason, block, lines, alarms, first, last, partition, first_offset, last_offset, host in zip(
                event_counts, reasons, *(self._column(name, slots) for name in _FIELDS), strict=True
            )
        ]
        return Counted(vectors, counts)

    def _column(self, name: str, slots: np.ndarray) -> list[Any]:
        values = self.blocks.rows[name][slots]
        if not name.endswith("_time"):
            return values.tolist()
        return [time.replace(tzinfo=UTC) for time in values.astype("datetime64[us]").tolist()]

    def heard(self, vector: Vector, offset: int) -> None:
        """Note that the brokers have a vector, at this offset of `aggregated_events`."""
        self._published[vector.partition].append((offset, vector.last_offset))
        self._next_output[vector.partition] = offset + 1

    def memory(self, partition: int, floor: int) -> int:
        """Offset of `aggregated_events` from which a successor that starts at `floor` must read back."""
        published = self._published[partition]
        while published and published[0][1] < floor:
            published.popleft()
        return published[0][0] if published else int(self._next_output[partition])

    def restore(self, vector: Vector, output: int) -> np.ndarray | None:
        """Take over the vector at offset `output` of `aggregated_events`, and return its counts (d,).

        Returns None for a vector of another catalogue, or with numbers that no worker can have counted.
        """
        places = {name: at for at, name in enumerate(self.catalogue.columns)}
        if vector.catalogue != self.catalogue.label or not vector.counts.keys() <= places.keys():
            return None
        counts = np.zeros(len(places), np.int32)
        counts[[places[name] for name in vector.counts]] = list(vector.counts.values())
        row = np.zeros((), ROW)
        try:
            first, last = (self._micros(time) for time in (vector.first_time, vector.last_time))
            more = vector.first_offset, vector.last_offset, self._host(vector.host)
            values = (vector.block_id, vector.lines, vector.alarms, first, last, vector.partition)
            for name, value in zip(_FIELDS, (*values, *more), strict=True):
                row[name] = value
        except OverflowError:  # not a worker's message: it must not keep workers from starting
            return None
        row["state"] = CLOSED
        row["gravity"] = self._gravity[counts > 0].max(initial=-1)
        self.blocks.restore(row, counts)
        self.heard(vector, output)
        return counts

    @staticmethod
    def _micros(time: datetime | None) -> int:
        if time is None:
            return 0
        return (time - _EPOCH) // timedelta(microseconds=1)

    def begin(self, partition: int, output: int) -> None:
        """Take over a partition; `output` is the end of its `aggregated_events`."""
        if (more := partition + 1 - len(self._published)) > 0:
            self._published += [deque() for _ in range(more)]
            self._next_output = np.append(self._next_output, np.full(more, -1, np.int64))
            self.blocks.make_room(partition + 1)
        self._published[partition].clear()
        self._next_output[partition] = output

    def forget(self, partitions: Sequence[int]) -> None:
        """Give partitions up."""
        self.blocks.remove_partitions(np.array(partitions, np.int64))
        for partition in partitions:
            self.begin(partition, -1)


_FIELDS: Final = (
    *("block", "lines", "alarms", "first_time", "last_time"),
    *("partition", "first_offset", "last_offset", "host"),
)


def _names(block_ids: Any, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each list of block ids holds the wanted one, (n,) bool, and its length."""
    offsets = block_ids.offsets.to_numpy()
    lengths = np.diff(offsets)
    values = block_ids.values.to_numpy()[offsets[0] : offsets[-1]]
    if len(values) == len(lengths) and (lengths == 1).all():
        return values == wanted, lengths
    row = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(row[values == wanted[row]], minlength=len(lengths)) > 0, lengths
