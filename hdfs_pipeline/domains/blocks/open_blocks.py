"""Counts of the blocks of a stream: open ones, and closed ones whose late records still count.

The memory is bounded. Nothing here has a clock of its own (time comes with the data) or knows Kafka.

A block *opens* with its first record. It *closes* when its partition's watermark, the event time that half of the hosts
there have reached, is `idle_s` ahead of its last record, when nothing has come for `idle_s` by the clock (`quiet`), or
after `max_events` records. Closing publishes its counts so far; a late record opens it again and adds to them, so that
the last vector of a block has the counts of a batch. Records at or before the last offset that a block knows were
counted before: reading a partition again changes nothing.
"""

from dataclasses import dataclass

import numpy as np

from hdfs_pipeline.domains.blocks import counting
from hdfs_pipeline.domains.blocks.counting import CLOSED, NEVER, OPEN, ROW

IDLE, QUIET, MAX_EVENTS, PARTIAL = "idle", "quiet", "max_events", "partial"


@dataclass(frozen=True)
class Records:
    """What to count, one entry per record (n,), in the order of each partition.

    `block` int64, `partition` int32, `offset` int64 of its message, `time` int64 microseconds, `event` the column
    (int64), `alarm` bool, `host` int32, a number for each host, `gravity` int8, how grave the event is; None where
    these are not known.
    """

    block: np.ndarray
    partition: np.ndarray
    offset: np.ndarray
    time: np.ndarray
    event: np.ndarray
    alarm: np.ndarray
    host: np.ndarray | None = None
    gravity: np.ndarray | None = None


class OpenBlocks:
    """Counts per block for `width` columns and `partitions`, in at most `memory_bytes`.

    `rows` (capacity,) of dtype ROW and `counts` (capacity, width) int32 are addressed by slots, which stay a block's
    own until it is removed. A record's time that lies further than `skew_us` from its partition's watermark does not
    count.
    """

    def __init__(self, width: int, partitions: int, memory_bytes: int, skew_us: int = 60_000_000) -> None:
        self._skew_us = skew_us
        row_bytes = ROW.itemsize + 4 * width + 4 + 8 + 4  # the hash table has two to four places for each row
        self.capacity = max(memory_bytes // row_bytes, 16)
        places = 1 << (2 * self.capacity - 1).bit_length()
        # Memory that was never written is not taken: the arrays grow with their use.
        self.rows = np.zeros(self.capacity, ROW)
        self.counts = np.zeros((self.capacity, width), np.int32)
        self.watermark = np.full(partitions, NEVER, np.int64)
        self._table = np.zeros(places, np.int32)  # slot + 1; 0 for none
        self._free = np.zeros(self.capacity, np.int32)
        self._size = np.zeros(2, np.int64)  # rows ever used, free ones among them
        self._times = np.zeros((partitions, counting.RECENT), np.int64)
        self._hosts = np.zeros((partitions, counting.RECENT), np.int32)
        self._read = np.zeros(partitions, np.int64)  # records ever; the last ones are in the two above, in turn
        self._places = self.rows, self._table, self._free, self._size

    def make_room(self, partitions: int) -> None:
        """Know at least so many partitions."""
        more = max(partitions - len(self.watermark), 0)
        self.watermark = np.append(self.watermark, np.full(more, NEVER, np.int64))
        self._times = np.append(self._times, np.zeros((more, counting.RECENT), np.int64), axis=0)
        self._hosts = np.append(self._hosts, np.zeros((more, counting.RECENT), np.int32), axis=0)
        self._read = np.append(self._read, np.zeros(more, np.int64))

    def __len__(self) -> int:
        return int(self._size[0] - self._size[1])

    @property
    def used(self) -> np.ndarray:
        """A view of the rows that were ever used."""
        return self.rows[: self._size[0]]

    def open_count(self) -> int:
        """The number of open blocks."""
        return int(np.count_nonzero(self.used["state"] == OPEN))

    def add(self, records: Records, now: float, start: int = 0) -> int:
        """Count records from index `start` on, and return the index of the first one without room (n where all had it).

        Records at an offset that their block knows change nothing. `now` is the caller's clock in seconds.
        """
        unknown = np.zeros(len(records.block), np.int32)
        host = unknown if records.host is None else records.host
        gravity = unknown.astype(np.int8) if records.gravity is None else records.gravity
        counted = records.block, records.partition, records.offset, records.time, records.event, records.alarm
        columns = *counted, gravity, host
        clocks = self.watermark, self._times, self._hosts, self._read
        return counting.add(self._places, self.counts, clocks, columns, now, start)

    def host_clocks(self, least: int = 4) -> np.ndarray:
        """Rows (n, 3) int64 of partition, host and the host's clock, for hosts with `least` recent records there."""
        found = [np.zeros((0, 3), np.int64)]
        for partition in np.flatnonzero(self._read):
            names, clocks, sizes = counting.host_clocks(
                self._times[partition], self._hosts[partition], self._read[partition]
            )
            rows = np.column_stack([np.full(len(names), partition), names, clocks])
            found.append(rows[sizes >= least])
        return np.concatenate(found)

    def due(self, idle_us: int, max_events: int) -> tuple[np.ndarray, np.ndarray]:
        """Slots of the open blocks that must close, and which of them because of `max_events` (bool)."""
        return counting.due(self.used, self.watermark, idle_us, self._skew_us, max_events)

    def quiet(self, idle_s: float, now: float, caught_up: np.ndarray) -> np.ndarray:
        """Slots of the open blocks without a record for `idle_s` by the clock, in partitions (bool) read to the end."""
        used = self.used
        silent = (used["state"] == OPEN) & (used["seen"] + idle_s < now)
        slots = np.flatnonzero(silent)
        return slots[caught_up[used["partition"][slots]]]

    def reached(self, min_events: int) -> np.ndarray:
        """Slots of the open blocks that have come to `min_events` records; each only once."""
        used = self.used
        slots = np.flatnonzero((used["state"] == OPEN) & (used["lines"] >= min_events) & ~used["looked"])
        self.rows["looked"][slots] = True
        return slots

    def crowd(self, share: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
        """Slots to remove when there is no room: closed blocks (the longest silent first), then open ones."""
        wanted = max(1, int(self.capacity * share))
        used = self.used
        chosen = []
        for state in (CLOSED, OPEN):
            slots = np.flatnonzero(used["state"] == state)
            if len(slots) > wanted:
                slots = slots[np.argpartition(used["seen"][slots], wanted - 1)[:wanted]]
            chosen.append(slots)
            wanted -= len(slots)
            if wanted <= 0:
                break
        return chosen[0], chosen[1] if len(chosen) > 1 else chosen[0][:0]

    def publish(self, slots: np.ndarray) -> None:
        """Mark blocks as closed, their counts so far as published."""
        self.rows["state"][slots] = CLOSED
        self.rows["since"][slots] = -1
        self.rows["published"][slots] = self.rows["lines"][slots]

    def remove(self, slots: np.ndarray) -> None:
        """Forget blocks."""
        counting.remove(self._places, self.counts, slots.astype(np.int64))

    def remove_partitions(self, partitions: np.ndarray) -> None:
        """Forget all that belongs to some partitions."""
        used = self.used
        self.remove(np.flatnonzero((used["state"] > 0) & np.isin(used["partition"], partitions)))
        self.watermark[partitions] = NEVER
        self._read[partitions] = 0

    def restore(self, row: np.ndarray, counts: np.ndarray) -> int | None:
        """Take a published vector (`row` () of dtype ROW, all but what has to do with the clock) as known.

        A later vector of the same block replaces it. Returns the block's slot, None where there is no room.
        """
        slot = int(counting.claim(self._places, np.int64(row["block"]), np.int32(row["partition"])))
        if slot < 0:
            return None
        if self.rows["state"][slot] == 0 or self.rows["last_offset"][slot] <= row["last_offset"]:
            self.rows[slot] = row
            self.counts[slot] = counts
            self.publish(np.array([slot]))
        return slot

    def floors(self, positions: np.ndarray) -> np.ndarray:
        """Offset per partition from which to read again after a crash: of the first record that is not published.

        `positions` (partitions,) int64 are the next offsets to read, taken where no block is open.
        """
        return counting.floors(self.used, positions)
