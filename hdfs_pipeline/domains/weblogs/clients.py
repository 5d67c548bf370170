"""What a client did this minute before each of its requests, kept while requests come in.

For each request, in the order of its source: `hits` are the requests of its client to its service in its minute of
event time so far, with itself; `misses` are those of them that were answered 400 to 499; `paths` is the number of
distinct paths of these, `MOST_PATHS` at most. A client of whom nothing came for `PAUSE` positions of the source begins
anew, and so does a path, so that memory stays bounded whatever the clocks say. Batch and stream both count here.

Clients, minutes and paths are known by hashes of 64 bits. The maps use open addressing with linear probing (Knuth, "The
Art of Computer Programming", volume 3, section 6.4), compiled by numba: a request costs two look-ups.
"""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numba import njit

from hdfs_pipeline.domains.weblogs.item import MOST_PATHS, PAUSE
from hdfs_pipeline.domains.weblogs.texts import mix, text_hashes

NEEDED: Final = ("position", "time", "service", "client", "path", "status")
"""The columns that `Clients.count` reads."""
_SMALLEST: Final = 1 << 12  # places of a map
_MINUTE_US: Final = 60_000_000
_NONE: Final = -(2**63)  # position of a place that is free


@njit(cache=True, nogil=True)
def _place(keys, last, key):
    """Where a key stands in a map, or the free place where it belongs."""
    mask = np.uint64(len(keys) - 1)
    at = key & mask
    while last[at] != _NONE and keys[at] != key:
        at = (at + np.uint64(1)) & mask
    return at


@njit(cache=True, nogil=True)
def _fold(rows, first, clients, paths, used, out):
    """Count rows from `first` on into `out` (n, 3) until a map is full; the first row that was not counted, or n.

    A map is its keys, the latest position, the first position and the counts of each. `used` (2,) says how many places
    of `clients` and `paths` are taken.
    """
    position, groups, hashes, missed = rows
    keys, last, begun, counts = clients
    path_keys, path_last = paths[0], paths[1]
    for row in range(first, len(position)):
        if 2 * used[0] >= len(keys) or 2 * used[1] >= len(path_keys):
            return row
        now = position[row]
        at = _place(keys, last, groups[row])
        if last[at] == _NONE or now - last[at] > PAUSE:
            used[0] += last[at] == _NONE
            keys[at] = groups[row]
            begun[at] = now
            counts[at] = 0
        last[at] = now
        counts[at, 0] += 1
        counts[at, 1] += missed[row]
        if counts[at, 2] < MOST_PATHS:
            path = mix(hashes[row] ^ mix(groups[row] + np.uint64(begun[at])))
            there = _place(path_keys, path_last, path)
            if path_last[there] == _NONE or now - path_last[there] > PAUSE:
                used[1] += path_last[there] == _NONE
                path_keys[there] = path
                counts[at, 2] += 1
            path_last[there] = now
        out[row] = counts[at]
    return len(position)


@njit(cache=True, nogil=True)
def _moved(old, least, new):
    """Move what came at position `least` or later from one map into another; how many those are."""
    keys, last, begun, counts = old
    new_keys, new_last, new_begun, new_counts = new
    moved = 0
    for at in range(len(keys)):
        if last[at] >= least and last[at] != _NONE:
            there = _place(new_keys, new_last, keys[at])
            new_keys[there] = keys[at]
            new_last[there] = last[at]
            new_begun[there] = begun[at]
            new_counts[there] = counts[at]
            moved += 1
    return moved


class Clients:
    """The clients of one source, whose requests come in the order of their positions."""

    def __init__(self) -> None:
        self._used = np.zeros(2, np.int64)
        self._clients = _empty(_SMALLEST)
        self._paths = _empty(_SMALLEST)

    def count(self, requests: pa.Table | pa.RecordBatch) -> np.ndarray:
        """`hits`, `misses` and `paths` (n, 3) int32 of requests that come next, by the columns `NEEDED`.

        How requests are cut into batches changes nothing.
        """
        position = _numbers(requests["position"], pa.int64())
        minute = _numbers(requests["time"].cast(pa.timestamp("us", "UTC")), pa.int64()) // _MINUTE_US
        groups = text_hashes(requests["client"]) + text_hashes(requests["service"], 1) * np.uint64(3)
        groups = (groups ^ minute.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        groups ^= groups >> np.uint64(29)
        status = _numbers(requests["status"], pa.int64())
        missed = (status // 100 == 4).astype(np.int32)
        rows = (position, groups, text_hashes(requests["path"]), missed)
        out, row = np.zeros((len(position), 3), np.int32), 0
        while row < len(position):
            row = _fold(rows, row, self._clients, self._paths, self._used, out)
            if row < len(position):
                self._make_room(int(position[row]))
        return out

    def _make_room(self, position: int) -> None:
        """Forget who has not been heard of for `PAUSE` positions, and double what is nearly full all the same."""
        for index, old in enumerate((self._clients, self._paths)):
            kept = int((old[1] >= position - PAUSE).sum())
            new = _empty(max(_SMALLEST, 1 << (4 * kept).bit_length()))
            self._used[index] = _moved(old, position - PAUSE, new)
            if index:
                self._paths = new
            else:
                self._clients = new


def _empty(places: int) -> tuple[Any, ...]:
    return (
        np.zeros(places, np.uint64),
        np.full(places, _NONE, np.int64),
        np.zeros(places, np.int64),
        np.zeros((places, 3), np.int32),
    )


def _numbers(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> np.ndarray:
    numbers: np.ndarray = column.cast(kind).fill_null(0).to_numpy()
    return numbers
