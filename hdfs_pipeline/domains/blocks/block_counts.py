"""Counts of events per block, in a hash table that grows: each block has a row, in the order in which it was met.

The loops are compiled by numba: a record is a look-up and an addition. Blocks that are met together lie together, so
that a log's next records find their rows in the processor's caches.
"""

from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks.counting import place
from hdfs_pipeline.domains.blocks.kernel import EVENT_MATRIX
from hdfs_pipeline.scoring.compiled import uncounted

_BLOCK, _FIRST, _LAST, _LINES, _ALARMS, _RECORD, _HEAD = range(7)
"""What a row has beside its counts; the last is the record that was counted last, by its number."""
_LEAST: Final = 1 << 12  # rows


class BlockCounts:
    """Counts of `width` events for any number of blocks."""

    def __init__(self, width: int) -> None:
        self._size = self._records = 0
        self._places = np.zeros(2 * _LEAST, np.int32)
        self._heads, self._counts = np.empty((_LEAST, _HEAD), np.int64), np.empty((_LEAST, width), np.int32)

    def add(
        self, offsets: np.ndarray, ids: np.ndarray, chosen: np.ndarray, events: np.ndarray, alarms: np.ndarray,
        times: np.ndarray,
    ) -> None:  # fmt: skip
        """Count records (n,): record i names the blocks `ids[offsets[i]:offsets[i + 1]]`, each once where it repeats.

        `chosen` (n,) bool says which count. `events` are columns, `alarms` 0 or 1, `times` microseconds since 1970.
        """
        self._make_room(len(ids))
        records = offsets, ids, chosen, events, alarms, times
        self._size = _add_records(self._room, self._size, self._records, records)
        self._records += len(chosen)

    def add_counts(self, counts: pa.Table) -> None:
        """Add rows of block_id, event, n, alarms, first_time and last_time: what `n` records of a block are."""
        for batch in counts.to_batches():
            self._make_room(len(batch))
            names = ("block_id", "event", "n", "alarms", "first_time", "last_time")
            rows = [batch[name].cast(pa.int64()).to_numpy() for name in names]
            self._size = _add_rows(self._room, self._size, tuple(rows))

    def table(self) -> pa.Table:
        """The counts as a table of schema `EVENT_MATRIX`, by block id."""
        order = np.argsort(self._heads[: self._size, _BLOCK])
        heads, width = self._heads[order], self._counts.shape[1]
        values = self._counts[order].reshape(-1)
        columns = {
            "block_id": heads[:, _BLOCK].copy(),
            "first_time": pa.array(heads[:, _FIRST].copy(), pa.timestamp("us", "UTC")),
            "last_time": pa.array(heads[:, _LAST].copy(), pa.timestamp("us", "UTC")),
            "duration_s": (heads[:, _LAST] - heads[:, _FIRST]) / 1e6,
            "lines": heads[:, _LINES].astype(np.int32),
            "alarms": heads[:, _ALARMS].astype(np.int32),
            "counts": pa.ListArray.from_arrays(np.arange(0, len(values) + 1, width, dtype=np.int32), pa.array(values)),
        }
        return pa.table(columns, schema=EVENT_MATRIX)

    @property
    def _room(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._places, self._heads, self._counts

    def _make_room(self, more: int) -> None:
        """Room for so many blocks more: at least half of the hash table stays free."""
        rows = len(self._heads)
        if self._size + more <= rows:
            return
        while rows < self._size + more:
            rows *= 2
        self._heads = _grown(self._heads, self._size, rows)
        self._counts = _grown(self._counts, self._size, rows)
        self._places = np.zeros(2 * rows, np.int32)
        _place_again(self._places, self._heads, self._size)


def _grown(old: np.ndarray, used: int, rows: int) -> np.ndarray:
    new = np.empty((rows, old.shape[1]), old.dtype)
    new[:used] = old[:used]
    return new


@uncounted
def _place_again(places, heads, size):
    mask = len(places) - 1
    for row in range(size):
        at = place(heads[row, _BLOCK], 0, mask)
        while places[at] != 0:
            at = (at + 1) & mask
        places[at] = row + 1


@uncounted
def _row(room, size, block, first, last):
    """The row of a block, a fresh one (`size`) where it has none."""
    places, heads, counts = room
    mask = len(places) - 1
    at = place(block, 0, mask)
    while places[at] != 0:
        row = places[at] - 1
        if heads[row, _BLOCK] == block:
            return row
        at = (at + 1) & mask
    places[at] = size + 1
    counts[size] = 0
    heads[size, _BLOCK], heads[size, _FIRST], heads[size, _LAST] = block, first, last
    heads[size, _LINES] = heads[size, _ALARMS] = 0
    heads[size, _RECORD] = -1
    return size


@uncounted
def _count(room, row, event, n, alarms, first, last):
    _, heads, counts = room
    heads[row, _FIRST], heads[row, _LAST] = min(heads[row, _FIRST], first), max(heads[row, _LAST], last)
    heads[row, _LINES] += n
    heads[row, _ALARMS] += alarms
    counts[row, event] += n


@uncounted
def _add_records(room, size, before, records):
    offsets, ids, chosen, events, alarms, times = records
    heads = room[1]
    for i in range(len(chosen)):
        if not chosen[i]:
            continue
        time = times[i]
        for k in range(offsets[i], offsets[i + 1]):
            row = _row(room, size, ids[k], time, time)
            size += row == size
            if heads[row, _RECORD] != before + i:  # of a long list of ids the scan leaves repetitions
                heads[row, _RECORD] = before + i
                _count(room, row, events[i], 1, alarms[i], time, time)
    return size


@uncounted
def _add_rows(room, size, rows):
    block, event, n, alarms, first, last = rows
    for i in range(len(block)):
        row = _row(room, size, block[i], first[i], last[i])
        size += row == size
        _count(room, row, event[i], n[i], alarms[i], first[i], last[i])
    return size
