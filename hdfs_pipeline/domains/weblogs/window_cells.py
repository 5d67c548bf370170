"""Cells: what the requests of one service, endpoint group and minute add up to, in any order.

All of it is whole numbers: counts, sums of response times in units of 0.1 ms and of their squares, the exact set of the
clients' hashes, and a histogram of response times whose bins are equally wide on a logarithmic scale. Sums of whole
numbers do not depend on the order of the requests, nor on how they come in pieces.
"""

from typing import Final

import numpy as np

from hdfs_pipeline.domains.weblogs.texts import mix
from hdfs_pipeline.scoring.compiled import uncounted

MINUTE_US: Final = 60_000_000
_UNIT_US: Final = 100  # microseconds in a unit of response time
_PER_DECADE: Final = 64  # bins: each 3.7 % wide
_DECADES: Final = 7  # up to 1000 s; what took longer counts as that
_MOST: Final = 10**_DECADES - 1
EDGES: Final = np.unique(np.ceil(10.0 ** (np.arange(_DECADES * _PER_DECADE + 1) / _PER_DECADE)).astype(np.int64))
"""Where bins of response time end, in units: bin i holds what is below `EDGES[i]` and in no earlier one."""
_SEEN_LEAST: Final = 1 << 14
_PIECE: Final = 1 << 16  # requests that are added at a time
REQUESTS, ERRORS, CLIENT_ERRORS, BYTES, TIMED, TOOK, SQUARES, CLIENTS, LATE, FIRST, LAST = range(11)
"""The columns of `Cells.sums`: TOOK and SQUARES are sums of response times and of their squares, FIRST and LAST µs."""
_WIDTH: Final = 11
_NEVER: Final = np.iinfo(np.int64).max


@uncounted
def _add_requests(slots, requests, sums, bins, uids, seen, owners):
    """Add requests to two cells each; returns how many clients are new to a cell."""
    status, size, took, place, time, client, late = requests
    new, mask = 0, np.uint64(len(seen) - 1)
    for row in range(len(status)):
        for which in range(2):
            cell = slots[which, row]
            sums[cell, 0] += 1
            sums[cell, 1] += status[row] >= 500
            sums[cell, 2] += 400 <= status[row] < 500
            sums[cell, 3] += size[row]
            if took[row] >= 0:
                sums[cell, 4] += 1
                sums[cell, 5] += took[row]
                sums[cell, 6] += took[row] * took[row]
                bins[cell, place[row]] += 1
            sums[cell, 8] += late[row]
            sums[cell, 9] = min(sums[cell, 9], time[row])
            sums[cell, 10] = max(sums[cell, 10], time[row])
            uid = uids[cell]
            at = mix(client[row] ^ (np.uint64(uid) * np.uint64(0x9E3779B97F4A7C15))) & mask
            while owners[at] and not (owners[at] == uid and seen[at] == client[row]):
                at = (at + np.uint64(1)) & mask
            if not owners[at]:
                owners[at], seen[at] = uid, client[row]
                sums[cell, 7] += 1
                new += 1
    return new


@uncounted
def _keep_seen(old_seen, old_owners, alive, seen, owners):
    """Put the clients of living cells, by `alive` of the sorted numbers of cells, into larger tables; how many."""
    kept, mask = 0, np.uint64(len(seen) - 1)
    for row in range(len(old_owners)):
        uid = old_owners[row]
        if not uid:
            continue
        found = np.searchsorted(alive, uid)
        if found == len(alive) or alive[found] != uid:
            continue
        at = mix(old_seen[row] ^ (np.uint64(uid) * np.uint64(0x9E3779B97F4A7C15))) & mask
        while owners[at]:
            at = (at + np.uint64(1)) & mask
        owners[at], seen[at] = uid, old_seen[row]
        kept += 1
    return kept


class Cells:
    """Sums of requests in numbered cells; cells that are given back are used again."""

    def __init__(self) -> None:
        self.sums = np.zeros((0, _WIDTH), np.int64)
        self._bins = np.zeros((0, len(EDGES) + 1), np.int32)
        self._uids = np.zeros(0, np.int64)  # of each cell its own number, which is never used again
        self._free: list[int] = []
        self._last_uid = self._clients = 0
        self._seen, self._owners = np.zeros(_SEEN_LEAST, np.uint64), np.zeros(_SEEN_LEAST, np.int64)

    def new(self) -> int:
        """An empty cell."""
        if not self._free:
            self._grow()
        cell = self._free.pop()
        self.sums[cell] = 0
        self.sums[cell, FIRST], self.sums[cell, LAST] = _NEVER, -_NEVER
        self._bins[cell] = 0
        self._last_uid += 1
        self._uids[cell] = self._last_uid
        return cell

    def give_back(self, cell: int) -> None:
        """Forget a cell."""
        self._uids[cell] = 0
        self._free.append(cell)

    def _grow(self) -> None:
        before = len(self.sums)
        size = max(256, before * 3 // 2)
        self.sums, self._bins, self._uids = (
            np.concatenate([old, np.zeros((size - before, *old.shape[1:]), old.dtype)])
            for old in (self.sums, self._bins, self._uids)
        )
        self._free = [*range(size - 1, before - 1, -1)]

    def add(
        self, slots: np.ndarray, status: np.ndarray, size: np.ndarray, response_us: np.ndarray, time: np.ndarray,
        client: np.ndarray, late: np.ndarray,
    ) -> None:  # fmt: skip
        """Add n requests, each to the two cells `slots` (2, n) int64.

        `status` (n,), `size` in bytes (n,), `response_us` (n,) microseconds or -1, `time` (n,) microseconds since 1970,
        all int64; `client` (n,) uint64 hashes; `late` (n,) int64 0 or 1.
        """
        took = np.where(response_us >= 0, np.minimum((response_us + _UNIT_US // 2) // _UNIT_US, _MOST), -1)
        place = np.searchsorted(EDGES, took, side="right")
        for begin in range(0, len(status), _PIECE):
            piece = slice(begin, begin + _PIECE)
            self._make_room(len(status[piece]))
            requests = tuple(part[piece] for part in (status, size, took, place, time, client, late))
            self._clients += _add_requests(
                slots[:, piece], requests, self.sums, self._bins, self._uids, self._seen, self._owners
            )

    def _make_room(self, requests: int) -> None:
        """Have room in the table of clients for those of so many requests, each in two cells."""
        if 2 * (self._clients + 2 * requests) <= len(self._seen):
            return
        alive = np.sort(self._uids[self._uids > 0])
        living = int(np.isin(self._owners, alive).sum())
        size = _SEEN_LEAST
        while size < 3 * (living + 2 * requests):
            size *= 2
        old = self._seen, self._owners
        self._seen, self._owners = np.zeros(size, np.uint64), np.zeros(size, np.int64)
        self._clients = _keep_seen(*old, alive, self._seen, self._owners)

    def percentiles(self, cells: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
        """Percentiles (k, len(shares)) of response times in ms, by nearest rank: the middle of a bin, or NaN."""
        counted = self._bins[cells].cumsum(axis=1)
        timed = self.sums[cells, TIMED]
        lower = np.concatenate([[0], EDGES])
        middles = (lower + np.concatenate([EDGES, [_MOST + 1]]) - 1) / 2 * (_UNIT_US / 1000)
        found = np.full((len(cells), len(shares)), np.nan)
        for column, share in enumerate(shares):
            rank = np.maximum(np.ceil(timed * share - 1e-9), 1)
            place = (counted < rank[:, None]).sum(axis=1)
            found[:, column] = np.where(timed > 0, middles[np.minimum(place, len(middles) - 1)], np.nan)
        return found
