"""From bytes to log records without a copy: Arrow string views point into the buffer that was read.

A record is one line that begins with its layout's head (a time stamp), and the continuation lines after it (stack
traces, replica dumps) up to the next head of the same file.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks import scan

CHUNK_BYTES: Final = 4 << 20
"""Bytes to read at a time: about as many rows as suit DuckDB best."""
_LONGEST: Final = 32 << 20  # a record that grows beyond this is cut, so that memory stays bounded

_AHEAD: Final = 2  # chunks scanned before they are asked for

RECORDS: Final = pa.schema(
    [
        pa.field("position", pa.int64()),  # number of the record's first line in its file, from 1
        pa.field("time", pa.timestamp("us")),  # as written; null: no head, an impossible date, or no ": " after it
        pa.field("origin", pa.string_view()),  # what stands between the time stamp and ": ": level, logger, …
        pa.field("message", pa.string_view()),  # the rest of the first line; the whole line where `time` is null
        pa.field("more", pa.string_view()),  # the continuation lines, "" where there are none
        pa.field("block_ids", pa.list_(pa.int64())),  # the blocks that the record names anywhere, each once
        # whether an engineer's search finds it: level WARN, ERROR or FATAL, or `exception` or `corrupt` in the text
        pa.field("alarm", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Layout:
    """How a log line begins.

    `head` is the shape of its time stamp: y m d H M S f stand for a digit of year, month, day, hour, minute, second,
    millisecond, any other character for itself. `format` writes the stamp back (strftime of DuckDB).
    """

    name: str
    head: str
    format: str

    @cached_property
    def codes(self) -> np.ndarray:
        """The head as (length,) uint8, for `scan`."""
        return np.frombuffer(self.head.encode(), np.uint8)


LAYOUTS: Final = {
    layout.name: layout
    for layout in (
        Layout("hdfs_v1", "yymmdd HHMMSS ", "%y%m%d %H%M%S "),
        Layout("log4j", "yyyy-mm-dd HH:MM:SS,fff ", "%Y-%m-%d %H:%M:%S,%g "),
    )
}


def detect_layout(sample: bytes) -> Layout | None:
    """The layout whose head begins most lines of `sample` (None when no line begins with any)."""
    buffer = np.frombuffer(sample, np.uint8)
    counts = {name: scan.count_heads(buffer, layout.codes) for name, layout in LAYOUTS.items()}
    best = max(counts, key=lambda name: counts[name])
    return LAYOUTS[best] if counts[best] else None


@dataclass
class Tally:
    """What was read so far of one file."""

    bytes: int = 0
    lines: int = 0
    records: int = 0


def split_records(chunks: Iterable[bytes], layout: Layout, tally: Tally | None = None) -> Iterator[pa.RecordBatch]:
    """Records of one file as Arrow batches of schema `RECORDS`, in file order.

    Lines before the first head are records of their own, with `time` null. The caller makes dead letters of all records
    whose `time` is null. Line ends (LF or CRLF) are cut. Bytes that are not UTF-8 become U+FFFD.
    """
    tally = tally if tally is not None else Tally()
    # Scans run beside the caller: the compiled scan holds no interpreter lock, DuckDB's threads do the rest meanwhile.
    with ThreadPoolExecutor(_AHEAD) as pool:
        pending: deque[Future[_Scan]] = deque()
        for data, end in pieces(chunks, layout, tally):
            pending.append(pool.submit(_scan, data, end, layout))
            if len(pending) > _AHEAD:
                yield _batch(pending.popleft().result(), tally)
        while pending:
            yield _batch(pending.popleft().result(), tally)


def pieces(chunks: Iterable[bytes], layout: Layout, tally: Tally) -> Iterator[tuple[bytes, int]]:
    """Buffers and how much of each to scan: whole records, except where one is longer than `_LONGEST`.

    Such a record is cut between two lines. A single line of that length is cut, and the rest of it is dropped.
    """
    carry, dropping = b"", False
    for chunk in chunks:
        tally.bytes += len(chunk)
        data = carry + chunk if carry else chunk
        if dropping:
            data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
            dropping = not data and chunk[-1:] != b"\n"
        cut = scan.last_head(np.frombuffer(data, np.uint8), len(data), layout.codes)
        if cut == 0 and len(data) > _LONGEST:
            cut = data.rfind(b"\n") + 1
            dropping = cut == 0
            cut = cut or len(data)
        carry = data[cut:]
        if cut:
            yield data, cut
    if carry:
        yield carry, len(carry)


def batch_of(data: bytes, layout: Layout) -> pa.RecordBatch:
    """Records of a buffer that holds whole records, as one Arrow batch of schema `RECORDS`."""
    return _batch(_scan(data, len(data), layout), Tally())


_Scan = tuple[bytes, tuple[np.ndarray, ...], int]


def _scan(data: bytes, end: int, layout: Layout) -> _Scan:
    if not data.isascii():
        data = data[:end].decode("utf-8", "replace").encode()
        end = len(data)
    *arrays, lines = scan.scan(np.frombuffer(data, np.uint8), end, layout.codes)
    return data, tuple(arrays), lines


def _batch(scanned: _Scan, tally: Tally) -> pa.RecordBatch:
    data, (number, time, alarm, origin, message, more, offsets, ids), lines = scanned
    known, alarms = (pa.py_buffer(np.packbits(bits, bitorder="little")) for bits in (time >= 0, alarm))
    batch = pa.record_batch(
        [
            pa.array(number + (tally.lines + 1)),
            pa.Array.from_buffers(pa.timestamp("us"), len(time), [known, pa.py_buffer(time)]),
            *(_strings(views, data) for views in (origin, message, more)),
            _distinct(offsets, ids),
            pa.Array.from_buffers(pa.bool_(), len(time), [None, alarms]),
        ],
        schema=RECORDS,
    )
    tally.lines += lines
    tally.records += len(number)
    return batch


def _strings(views: np.ndarray, data: bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.string_view(), len(views), [None, pa.py_buffer(views), pa.py_buffer(data)])


def _distinct(offsets: np.ndarray, ids: np.ndarray) -> pa.Array:
    """Lists of block ids; the scan leaves repetitions only in lists longer than its window."""
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids))
    if len(offsets) > 1 and np.diff(offsets).max() > scan.WINDOW:
        return pa.array([list(dict.fromkeys(row)) for row in lists.to_pylist()], pa.list_(pa.int64()))
    return lists
