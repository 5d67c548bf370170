"""From bytes to log records without a copy: Arrow string views point into the buffer that was read.

A record is one line that begins as one of the known layouts says (`layouts`), and the continuation lines after it
(stack traces, replica dumps) up to the next such line of the same file. A line that begins with a time stamp before
something unknown is a record of its own that says so; it never becomes part of the record before it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks import scan, wrappers
from hdfs_pipeline.domains.blocks.layouts import Layouts, known_layouts
from hdfs_pipeline.domains.blocks.pools import Pool
from hdfs_pipeline.domains.blocks.scan import FIELDS, GOOD, IMPOSSIBLE, NO_ZONE, NONE, STRANGE, Scan, find
from hdfs_pipeline.domains.local_time import checked_zone, utc
from hdfs_pipeline.domains.pieces import LONGEST, in_turn, whole_lines
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings

_OTHER_POOL: Final = 4  # after the kinds of `scan.find`
_SAMPLE: Final = 1 << 16  # bytes that tell whether the lines of a file are wrapped
_TRIED: Final = 1000  # lines of a piece that are looked at before it counts as free of wrappers
_MARK: Final = "\ufeff"

NO_STAMP: Final = "no log record: the line does not begin with a time stamp in a known form"
NO_DATE: Final = "no log record: its time stamp cannot be"

RECORDS: Final = pa.schema(
    [
        pa.field("position", pa.int64()),  # number of the record's first line in its file, from 1
        pa.field("time", pa.timestamp("us", "UTC")),  # null where `fault` is not
        pa.field("layout", pa.string()),  # how its line begins, as `Layouts.names` has it
        pa.field("origin", pa.string_view()),  # what stands between the time stamp and the message, as written
        pa.field("level", pa.string_view()),
        pa.field("logger", pa.string_view()),
        pa.field("thread", pa.string_view()),  # "" where the layout has none
        pa.field("message", pa.string_view()),  # the rest of the first line; the whole line where there is a `fault`
        pa.field("more", pa.string_view()),  # the continuation lines, "" where there are none
        # the blocks that the record names anywhere, each once; of an erasure-coded one the group
        pa.field("block_ids", pa.list_(pa.int64())),
        pa.field("internal_ids", pa.list_(pa.int64())),  # the internal blocks of such groups that it names
        # whether an engineer's search finds it: level WARN, ERROR or FATAL, or `exception` or `corrupt` in the text
        pa.field("alarm", pa.bool_()),
        pa.field("fault", pa.string()),  # why it is no record; null for a good one
    ]
)


@dataclass(frozen=True)
class LogFormat:
    """How logs are written: layouts, time zone of stamps without one, where JSON has its line, and the block pool."""

    layouts: Layouts
    zone: str
    json_fields: Mapping[str, str]
    pool: Pool

    @classmethod
    def of(cls, settings: Settings, pool: Pool | None = None) -> "LogFormat":
        """The format that the settings describe, for records of one pool: the first that is met, unless it is given.

        Raises: SetupError for a setting that cannot be used.
        """
        zone, json_fields = settings.log_timezone, settings.json_fields
        if unknown := json_fields.keys() - set(wrappers.PARTS):
            raise SetupError(f"setting json_fields: no part {min(unknown)!r}; there are {', '.join(wrappers.PARTS)}")
        return cls(known_layouts(settings.log_layouts), checked_zone(zone), json_fields, pool or Pool())

    @cached_property
    def strange(self) -> str:
        """Why a line with a time stamp before something unknown is no record."""
        return (
            "no log record: it begins with a time stamp, but in no known layout "
            f"(tried {self.layouts.tried()}); the setting log_layouts takes another"
        )

    def kind_of(self, line: bytes) -> int:
        """What a line begins with, as `scan.find` says."""
        fields = np.zeros(FIELDS, np.int64)
        return find(np.frombuffer(line, np.uint8), 0, len(line), self.layouts.table, fields) if line else NONE

    def holds_records(self, text: bytes) -> bool:
        """Whether any line begins a good record, once it is unwrapped."""
        found = self.scan(text)
        return bool((found.kind == GOOD).any()) or any(_lines_at(text, found.wrapped[:_TRIED], self))

    def scan(self, text: bytes, end: int | None = None, bounds: np.ndarray = scan.NO_BOUNDS) -> Scan:
        """The records of `text[:end]`. See `scan.scan`."""
        buffer = np.frombuffer(text, np.uint8)
        return scan.scan(buffer, len(buffer) if end is None else end, self.layouts.table, bounds)

    def utc(self, written: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """UTC of times as they were written: (n,) int64 microseconds, `shift` (n,) minutes east or `NO_ZONE`.

        Of the hour that comes twice at the end of summer time, the later one is meant; times of the hour that is
        skipped count from the offset before it.
        """
        return utc(written, shift, self.zone, NO_ZONE)


def split_records(
    chunks: Iterable[bytes], log_format: LogFormat, tally: Tally | None = None
) -> Iterator[pa.RecordBatch]:
    """Records of one file as Arrow batches of schema `RECORDS`, in file order.

    Lines before the first head are records of their own, with a `fault`. The caller makes dead letters of all records
    with one. Line ends (LF or CRLF) are cut. Bytes that are not UTF-8 become U+FFFD.
    """
    tally = tally if tally is not None else Tally()
    for scanned in in_turn(scans(chunks, log_format, tally)):
        yield _batch(scanned, log_format, tally)


def scans(chunks: Iterable[bytes], log_format: LogFormat, tally: Tally) -> Iterator[Callable[[], "Scanned"]]:
    """Scans of a file to be run, in its order.

    Where most of the first lines of a file are wrapped, all are looked at for wrappers, with a memory from one chunk to
    the next; else only those of a piece that seems to hold some.
    """
    ahead, first = iter(chunks), b""
    while len(first) < _SAMPLE and (chunk := next(ahead, b"")):
        first += chunk
    chunks = chain((first,), ahead)
    if not _is_wrapped(first, log_format):
        for data, end in _pieces(chunks, log_format, tally):
            yield partial(_scan, data, end, log_format)
        return
    unwrapper, begin = wrappers.Unwrapper(log_format.kind_of, log_format.json_fields), tally.lines
    for text in whole_lines(chunks, tally):
        before = unwrapper.lines
        unwrapped = unwrapper.feed(_as_utf8(text))
        yield partial(_scan_unwrapped, unwrapped, begin, unwrapper.lines - before, log_format)
    tally.wrapped.update(unwrapper.kinds)
    yield partial(_scan_unwrapped, unwrapper.finish(), begin, 0, log_format)


def _pieces(chunks: Iterable[bytes], log_format: LogFormat, tally: Tally) -> Iterator[tuple[bytes, int]]:
    """Buffers and how much of each to scan: whole records, except where one is longer than `LONGEST`.

    Such a record is cut between two lines. A single line of that length is cut, and the rest of it is dropped.
    """
    carry, dropping = b"", False
    for chunk in chunks:
        tally.bytes += len(chunk)
        data = carry + chunk if carry else chunk
        if dropping:
            data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
            dropping = not data and chunk[-1:] != b"\n"
        cut = _last_record(data, log_format)
        if cut == 0 and len(data) > LONGEST:
            cut = data.rfind(b"\n") + 1
            dropping = cut == 0
            cut = cut or len(data)
        carry = data[cut:]
        if cut:
            yield data, cut
    if carry:
        yield carry, len(carry)


def _last_record(data: bytes, log_format: LogFormat) -> int:
    """Where the last record of `data`, but the first, begins; 0 where there is none."""
    buffer, cut, tries = np.frombuffer(data, np.uint8), len(data), _TRIED
    while cut := scan.last_record(buffer, cut, log_format.layouts.table, tries > 0):
        tries -= 1
        stop = data.find(b"\n", cut)
        line = data[cut : stop if stop >= 0 else len(data)]
        if wrappers.begins_record(line, log_format.kind_of, log_format.json_fields):
            return cut
    return 0


@dataclass(frozen=True)
class Scanned:
    """A scanned piece: the text that the views point into, up to `end`, and how many lines of the file it stands for.

    Where the text was unwrapped, its lines come from those lines of the file that `numbers` counts from `begin` on, and
    records begin at `bounds` whatever stands there; `begin` is None where the piece follows the one before it.
    """

    text: bytes
    end: int
    scan: Scan
    lines: int
    numbers: np.ndarray | None = None
    begin: int | None = None
    bounds: np.ndarray = field(default_factory=lambda: scan.NO_BOUNDS)
    wrapped: Counter[str] = field(default_factory=Counter)


def batch_of(data: bytes, log_format: LogFormat, bounds: np.ndarray = scan.NO_BOUNDS) -> pa.RecordBatch:
    """Records of a buffer that holds whole records, as one Arrow batch of schema `RECORDS`.

    `data` is UTF-8. At each of `bounds` (k,), starts of lines, a record begins. Nothing is unwrapped.
    """
    scanned = log_format.scan(data, bounds=bounds)
    return _batch(Scanned(data, len(data), scanned, scanned.lines), log_format, Tally())


def _as_utf8(data: bytes) -> bytes:
    """Lines as UTF-8, without the marks (U+FEFF) that editors, and files put together, leave before some."""
    if data.isascii():
        return data
    return data.decode("utf-8", "replace").removeprefix(_MARK).replace(f"\n{_MARK}", "\n").encode()


def _scan(data: bytes, end: int, log_format: LogFormat) -> Scanned:
    if not data.isascii():
        data = _as_utf8(data[:end])
        end = len(data)
    scanned = log_format.scan(data, end)
    if any(_lines_at(data, scanned.wrapped[:_TRIED], log_format)):
        unwrapper = wrappers.Unwrapper(log_format.kind_of, log_format.json_fields)
        whole, rest = unwrapper.feed(data[:end]), unwrapper.finish()
        if unwrapper.kinds:
            text, numbers = whole.text + rest.text, np.concatenate((whole.numbers, rest.numbers))
            bounds = np.concatenate((whole.bounds, rest.bounds + len(whole.text)))
            found = log_format.scan(text, bounds=bounds)
            return Scanned(text, len(text), found, unwrapper.lines, numbers, bounds=bounds, wrapped=unwrapper.kinds)
    return Scanned(data, end, scanned, scanned.lines)


def _is_wrapped(data: bytes, log_format: LogFormat) -> bool:
    """Whether something known is wrapped around most lines of the first bytes of a file."""
    data = data[: data.rfind(b"\n", 0, _SAMPLE) + 1] or data[:_SAMPLE]
    scanned = log_format.scan(data)
    if len(scanned.wrapped) * 2 <= scanned.lines:
        return False
    unwrapper = wrappers.Unwrapper(log_format.kind_of, log_format.json_fields)
    unwrapper.feed(_as_utf8(data))
    return unwrapper.kinds.total() * 2 > unwrapper.lines


def _lines_at(data: bytes, starts: np.ndarray, log_format: LogFormat) -> Iterator[bool]:
    """Of lines that begin at `starts`, whether something known is wrapped around each."""
    for start in starts.tolist():
        stop = data.find(b"\n", start)
        line = data[start : stop if stop >= 0 else len(data)]
        yield wrappers.is_wrapped(line, log_format.kind_of, log_format.json_fields)


def _scan_unwrapped(unwrapped: wrappers.Unwrapped, begin: int, lines: int, log_format: LogFormat) -> Scanned:
    text, numbers, bounds = unwrapped
    return Scanned(text, len(text), log_format.scan(text, bounds=bounds), lines, numbers, begin, bounds)


def judged(scanned: Scanned, log_format: LogFormat, tally: Tally) -> np.ndarray:
    """What each record is (n,) uint8: `GOOD`, or why it is none, or none of this home's. Counts the piece in `tally`.

    Pieces are judged in their order: the first block pool that is named is the home's, where it has none yet.
    """
    found = scanned.scan
    others = log_format.pool.others(scanned.text, found.pool, np.diff(found.offsets) > 0)
    codes = np.where(others & (found.kind == GOOD), np.uint8(_OTHER_POOL), found.kind) if others.any() else found.kind
    counts = np.bincount(found.head[codes == GOOD])
    tally.layouts.update(
        {log_format.layouts.names[code]: int(counts[code]) for code in np.flatnonzero(counts).tolist()}
    )
    tally.wrapped.update(scanned.wrapped)
    tally.lines += scanned.lines
    tally.records += len(codes)
    return codes


def _batch(scanned: Scanned, log_format: LogFormat, tally: Tally) -> pa.RecordBatch:
    found, text = scanned.scan, scanned.text
    begin = (tally.lines if scanned.begin is None else scanned.begin) + 1
    codes = judged(scanned, log_format, tally)
    good = codes == GOOD
    known, alarms = (pa.py_buffer(np.packbits(bits, bitorder="little")) for bits in (good, found.alarm))
    time = log_format.utc(found.time, found.shift)
    number = found.number if scanned.numbers is None else scanned.numbers[found.number]
    layouts = pa.array(log_format.layouts.names).take(pa.array(found.head)).cast(pa.string())
    columns = {
        "position": pa.array(number + begin),
        "time": pa.Array.from_buffers(RECORDS.field("time").type, len(time), [known, pa.py_buffer(time)]),
        "layout": layouts if good.all() else pa.compute.if_else(pa.array(good), layouts, ""),
        "block_ids": _distinct(found.offsets, found.ids),
        "internal_ids": _distinct(found.internal_offsets, found.internal),
        "alarm": pa.Array.from_buffers(pa.bool_(), len(time), [None, alarms]),
        "fault": pa.nulls(len(codes), pa.string()) if good.all() else _faults(codes, log_format),
    }
    buffer = np.frombuffer(text or b"\0", np.uint8)
    for at, name in enumerate(scan.TEXTS):
        columns[name] = _strings(scan.views(buffer, found.spans, at), text)
    return pa.record_batch([columns[name] for name in RECORDS.names], schema=RECORDS)


def _faults(codes: np.ndarray, log_format: LogFormat) -> pa.Array:
    """Why each record is none, or none of this home's: (n,) strings, null for a good one."""
    reasons: list[str | None] = [None] * 5
    reasons[NONE], reasons[STRANGE], reasons[IMPOSSIBLE] = NO_STAMP, log_format.strange, NO_DATE
    reasons[_OTHER_POOL] = log_format.pool.refusal
    return pa.array(reasons, pa.string()).take(pa.array(codes))


def _strings(views: np.ndarray, data: bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.string_view(), len(views), [None, pa.py_buffer(views), pa.py_buffer(data)])


def _distinct(offsets: np.ndarray, ids: np.ndarray) -> pa.Array:
    """Lists of block ids; the scan leaves repetitions only in lists longer than its window."""
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids))
    if len(offsets) > 1 and np.diff(offsets).max() > scan.WINDOW:
        return pa.array([list(dict.fromkeys(row)) for row in lists.to_pylist()], pa.list_(pa.int64()))
    return lists


class Cut:
    """Where the records of a scanned text stand: starts (n,) and stops (n,), `times` (n,) as written, less the zone.

    `lines` and `numbers` are those of `Scanned`, where the text was unwrapped.
    """

    def __init__(self, text: bytes, scanned: Scan, lines: int | None = None, numbers: np.ndarray | None = None) -> None:
        buffer = np.frombuffer(text, np.uint8)
        self.text, self.scan = text, scanned
        self.lines, self.numbers = scanned.lines if lines is None else lines, numbers
        ends = np.flatnonzero(buffer == ord("\n"))
        self.starts = np.concatenate(([0], ends + 1))[scanned.number]
        last = len(text) - text.endswith(b"\n")
        self.stops: list[int] = [*(self.starts[1:] - 1).tolist(), last][: len(self.starts)]
        zone = np.where(scanned.shift == NO_ZONE, 0, scanned.shift) * 60_000_000
        self.times = np.where(scanned.kind == GOOD, scanned.time - zone, -1)
