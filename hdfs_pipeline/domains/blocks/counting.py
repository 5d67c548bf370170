"""The loops under `open_blocks.OpenBlocks`, compiled by numba: a record is a look-up in a hash table and an addition.

`places` holds the rows, the hash table of slots (open addressing, linear probing), the free slots, and two counts: the
rows that were ever used, and the free rows among them.
"""

from typing import Final

import numpy as np
from numba import njit

OPEN, CLOSED = 1, 2

ROW: Final = np.dtype(
    [
        ("block", np.int64),
        ("first_offset", np.int64),
        ("last_offset", np.int64),
        ("since", np.int64),  # offset of the first record that no published vector counts
        ("first_time", np.int64),  # microseconds since 1970
        ("last_time", np.int64),
        ("heard", np.int64),  # the partition's watermark when its last record came
        ("seen", np.float64),  # seconds of the caller's clock when its last record came
        ("partition", np.int32),
        ("lines", np.int32),
        ("published", np.int32),  # lines that the last published vector counts
        ("alarms", np.int32),
        ("host", np.int32),  # of its first record of the gravest severity so far
        ("gravity", np.int8),  # of that record; -1 before the first one
        ("state", np.int8),  # 0 for a free row
        ("looked", np.bool_),  # whether it had its early verdict
    ],
    align=True,
)
NEVER: Final = -(2**62)
RECENT: Final = 64
"""Records of a partition by which its hosts' clocks are told: a host that is silent is soon among them no more."""


@njit(cache=True, nogil=True)
def place(block, partition, mask):
    """Where the search for a block begins (the finaliser of MurmurHash3)."""
    x = np.uint64(block) ^ (np.uint64(partition) * np.uint64(0x9E3779B97F4A7C15))
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.int64((x ^ (x >> np.uint64(33))) & np.uint64(mask))


@njit(cache=True, nogil=True)
def claim(places, block, partition):
    """Slot of a block, a fresh one (state 0) where it has none; -1 where there is no room."""
    rows, table, free, size = places
    mask = len(table) - 1
    at = place(block, partition, mask)
    while table[at] != 0:
        slot = table[at] - 1
        if rows[slot].block == block and rows[slot].partition == partition:
            return slot
        at = (at + 1) & mask
    if size[1] > 0:
        size[1] -= 1
        slot = free[size[1]]
    elif size[0] < len(rows):
        slot = np.int32(size[0])
        size[0] += 1
    else:
        return -1
    table[at] = slot + 1
    rows[slot].block = block
    rows[slot].partition = partition
    return slot


@njit(cache=True, nogil=True)
def add(places, counts, clocks, records, now, start):
    """Count records from index `start` on, and return the index of the first one without room."""
    rows = places[0]
    watermark, times, hosts, read = clocks
    block, partition, offset, time, event, alarm, gravity, host = records
    counted, last_message, last_partition = False, np.int64(-1), np.int32(-1)
    slots, moved = np.full(len(block), -1, np.int64), np.zeros(len(watermark), np.bool_)
    end = len(block)
    for i in range(start, len(block)):
        p = partition[i]
        slot = claim(places, block[i], p)
        if slot < 0:
            end = i
            break
        row = rows[slot]
        fresh = row.state == 0
        # Records of one message share its offset: the first of them decides for all.
        if fresh or not (offset[i] == last_message and p == last_partition):
            counted = fresh or offset[i] > row.last_offset
        last_message, last_partition = offset[i], p
        if not counted:
            continue
        if fresh:
            row.first_offset = offset[i]
            row.first_time = row.last_time = time[i]
            row.lines = row.alarms = row.published = 0
            row.looked, row.host, row.gravity = False, 0, -1
        if row.state != OPEN:
            row.since = offset[i]
            row.state = OPEN
        row.last_offset = offset[i]
        row.first_time = min(row.first_time, time[i])
        row.last_time = max(row.last_time, time[i])
        row.seen = now
        row.lines += 1
        row.alarms += alarm[i]
        counts[slot, event[i]] += 1
        if gravity[i] > row.gravity:
            row.gravity, row.host = gravity[i], host[i]
        times[p, read[p] % RECENT], hosts[p, read[p] % RECENT] = time[i], host[i]
        read[p] += 1
        slots[i], moved[p] = slot, True
    for p in range(len(watermark)):
        if moved[p]:
            agreed = np.sort(host_clocks(times[p], hosts[p], read[p])[1])
            watermark[p] = agreed[(len(agreed) - 1) // 2]  # half of the hosts have come as far
    for i in range(start, end):
        if slots[i] >= 0:
            rows[slots[i]].heard = watermark[partition[i]]
    return end


@njit(cache=True, nogil=True)
def host_clocks(times, hosts, read):
    """The hosts among a partition's last records, (h,) int32, the clock of each, (h,) int64, its records, (h,) int64.

    A host's clock is the time that a quarter of these records of its own have reached: a few odd ones do not move it.
    """
    n = min(read, RECENT)
    names, clocks, sizes = np.empty(n, np.int32), np.empty(n, np.int64), np.empty(n, np.int64)
    own, done, found = np.empty(n, np.int64), np.zeros(n, np.bool_), 0
    for k in range(n):
        if done[k]:
            continue
        size = 0
        for other in range(k, n):
            if hosts[other] == hosts[k]:
                own[size], done[other] = times[other], True
                size += 1
        names[found], clocks[found], sizes[found] = hosts[k], np.sort(own[:size])[size - 1 - size // 4], size
        found += 1
    return names[:found], clocks[:found], sizes[:found]


@njit(cache=True, nogil=True)
def due(rows, watermark, idle_us, skew_us, max_events):
    """Slots of the open blocks that must close (n,), and whether because of `max_events` (n,)."""
    slots, full = np.empty(len(rows), np.int64), np.empty(len(rows), np.bool_)
    n = 0
    for slot in range(len(rows)):
        row = rows[slot]
        if row.state != OPEN:
            continue
        is_full = row.lines - row.published >= max_events
        mark, last = watermark[row.partition], row.last_time
        # A time that was far from what the partition's hosts agreed on says nothing; when it was heard does.
        if last > mark + skew_us or last + skew_us < row.heard:
            last = row.heard
        if is_full or last + idle_us < mark:
            slots[n], full[n] = slot, is_full
            n += 1
    return slots[:n].copy(), full[:n].copy()


@njit(cache=True, nogil=True)
def remove(places, counts, slots):
    """Free some slots."""
    rows, table, free, size = places
    mask = len(table) - 1
    for slot in slots:
        at = place(rows[slot].block, rows[slot].partition, mask)
        while table[at] != slot + 1:
            at = (at + 1) & mask
        # Linear probing knows no gaps: move up what a gap would hide (Knuth, TAOCP 6.4, algorithm R).
        hole = at
        while True:
            at = (at + 1) & mask
            if table[at] == 0:
                break
            other = rows[table[at] - 1]
            home = place(other.block, other.partition, mask)
            if (at > hole and (home <= hole or home > at)) or (at < hole and home <= hole and home > at):
                table[hole] = table[at]
                hole = at
        table[hole] = 0
        rows[slot].state = 0
        counts[slot, :] = 0
        free[size[1]] = slot
        size[1] += 1


@njit(cache=True, nogil=True)
def floors(rows, positions):
    """Per partition the first offset that no published vector counts; that of `positions` where all are counted."""
    lowest = positions.copy()
    for slot in range(len(rows)):
        row = rows[slot]
        if row.state == OPEN and row.since < lowest[row.partition]:
            lowest[row.partition] = row.since
    return lowest
