"""From bytes to requests without a copy: Arrow string views point into the buffer that was read.

A record is a line of a file, or a message of Kafka. What it becomes depends on it alone, whatever stands around it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.local_time import checked_zone, utc
from hdfs_pipeline.domains.pieces import in_turn, whole_lines
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.domains.weblogs import endpoints, json_lines, scan
from hdfs_pipeline.domains.weblogs.formats import Layouts, layouts_of
from hdfs_pipeline.domains.weblogs.scan import (
    BROKEN,
    EMPTY,
    GOOD,
    IMPOSSIBLE,
    JSON,
    NO_REQUEST,
    NO_ZONE,
    STRANGE,
    WRAPPED,
)
from hdfs_pipeline.settings import Settings

CHUNK_BYTES: Final = 4 << 20
"""Bytes to read at a time: about as many rows as suit DuckDB best."""
RECORDS: Final = pa.schema(
    [
        pa.field("position", pa.int64()),  # number of the line in its file, from 1; index of the message, from 0
        pa.field("time", pa.timestamp("us", "UTC")),  # null where `fault` is not
        pa.field("service", pa.string()),  # virtual host, else the name that the caller gave, else ""
        pa.field("client", pa.string_view()),  # address as written, without port and brackets
        pa.field("account", pa.string_view()),
        pa.field("method", pa.string_view()),  # what stands there in place of one too, up to 32 bytes
        pa.field("path", pa.string_view()),  # as written, without the query
        pa.field("query", pa.string_view()),
        pa.field("protocol", pa.string_view()),
        pa.field("status", pa.int16()),  # 0 unknown
        pa.field("bytes", pa.int64()),  # null unknown
        pa.field("request_bytes", pa.int64()),  # null unknown
        pa.field("response_us", pa.int64()),  # microseconds until the answer was sent; null unknown
        pa.field("referer", pa.string_view()),
        pa.field("agent", pa.string_view()),
        pa.field("endpoint", pa.string()),  # see `endpoints`
        pa.field("layout", pa.string()),
        pa.field("line", pa.string_view()),  # without what ends it
        pa.field("fault", pa.string()),  # why it is no request; null for a good one
    ]
)
"""Texts that a line has not, or `-` in their place, are ""; of a record with a `fault` so are all but `line`."""
_VIEWS: Final = ("client", "account", "method", "path", "query", "protocol", "referer", "agent")
_OF_HADOOP: Final = (
    r"^/(?:webhdfs|kms|fsimage|imagetransfer|getimage|getJournal|fsck|listPaths|data|fileChecksum|contentSummary|jmx"
    r"|conf|prom|stacks|logLevel|logs|isActive)(?:/|$)"
)
QUOTED: Final = "quotes"
IN_JSON: Final = "JSON"
_TRIED: Final = "the setting web_format takes a pattern of your own"


@dataclass(frozen=True)
class AccessFormat:
    """How access lines are written: layouts, and the time zone of times without one."""

    layouts: Layouts
    zone: str

    @classmethod
    def of(cls, settings: Settings) -> "AccessFormat":
        """The format that the settings describe. Raises: SetupError for a setting that cannot be used."""
        return cls(layouts_of(settings.web_format), checked_zone(settings.log_timezone))


class _Scanned(NamedTuple):
    """What `scan.scan` says of n lines of a text, with the layouts' names by number and which name whole addresses."""

    text: bytes
    lines: np.ndarray
    kind: np.ndarray
    layout: np.ndarray
    spans: np.ndarray
    numbers: np.ndarray
    names: tuple[str, ...]


class _Piece(NamedTuple):
    """Records of a piece of a file, and what is to be counted of them."""

    batch: pa.RecordBatch
    layouts: Counter[str]
    wrapped: Counter[str]


def split_records(
    chunks: Iterable[bytes], log_format: AccessFormat, tally: Tally | None = None, service: str = ""
) -> Iterator[pa.RecordBatch]:
    """Records of one file as Arrow batches of schema `RECORDS`, in file order, one of each line.

    `service` names the service of lines that name no virtual host. The caller makes dead letters of the records with a
    `fault`. Line ends (LF or CRLF) are cut. Bytes that are not UTF-8 become U+FFFD.
    """
    tally = tally if tally is not None else Tally()
    for piece in in_turn(_works(chunks, log_format, tally, service)):
        tally.lines += len(piece.batch)
        tally.records += len(piece.batch)
        tally.layouts.update(piece.layouts)
        tally.wrapped.update(piece.wrapped)
        yield piece.batch


def read_messages(
    values: Sequence[bytes], log_format: AccessFormat, services: Sequence[str] | None = None
) -> pa.RecordBatch:
    """Records of messages, each of one line: one record of each, `position` its index.

    `services` (n,) name the service of those that name no virtual host.
    """
    text = b"".join(values)
    if not text.isascii() or b"\n" in text or b"\r" in text:
        values = [_as_utf8(value).rstrip(b"\r\n") for value in values]
        text = b"".join(values)
    ends = np.cumsum([0, *map(len, values)])
    lines = np.stack((ends[:-1], ends[1:]), axis=1).astype(np.int64)
    given = pa.array(services, pa.string()) if services is not None else ""
    return _records(text, lines, log_format, 0, given).batch


def _works(
    chunks: Iterable[bytes], log_format: AccessFormat, tally: Tally, service: str
) -> Iterator[Callable[[], _Piece]]:
    position = tally.lines + 1  # of a log that has grown, the lines that were read before count
    for data in whole_lines(chunks, tally):
        yield partial(_piece, data, log_format, position, service)
        position += data.count(b"\n") + (not data.endswith(b"\n"))


def _piece(data: bytes, log_format: AccessFormat, position: int, service: str) -> _Piece:
    text = _as_utf8(data)
    lines = scan.lines_of(np.frombuffer(text, np.uint8), len(text))
    return _records(text, lines, log_format, position, service)


def _as_utf8(data: bytes) -> bytes:
    return data if data.isascii() else data.decode("utf-8", "replace").encode()


def _records(
    text: bytes, lines: np.ndarray, log_format: AccessFormat, position: int, service: str | pa.Array
) -> _Piece:
    """Records of the lines (n, 2) of a text, numbered from `position` on."""
    found, wrapped = _scan(text, lines, log_format)
    return _Piece(_batch(found, log_format, position, service), _counted(found), wrapped)


def _scan(text: bytes, lines: np.ndarray, log_format: AccessFormat) -> tuple[_Scanned, Counter[str]]:
    """The lines scanned, with those in JSON or in quotes read anew: their texts are then appended to the text."""
    layouts, wrapped = log_format.layouts, Counter[str]()
    kind, layout, spans, numbers = scan.scan(np.frombuffer(text or b"\0", np.uint8), lines, layouts.table, False)
    found = _Scanned(text, lines, kind, layout, spans, numbers, layouts.names)
    unwrapped: dict[int, list[bytes]] = {}
    requests: dict[int, json_lines.JsonRequest] = {}
    for row in np.flatnonzero((kind == JSON) | (kind == WRAPPED)).tolist():
        line = text[lines[row, 0] : lines[row, 1]].strip()
        if kind[row] == WRAPPED:
            unwrapped[row] = _without_quotes(line)
            wrapped[QUOTED] += 1
            continue
        try:
            read = json_lines.read(line)
        except ValueError:
            kind[row] = BROKEN
            continue
        if isinstance(read, json_lines.JsonRequest):
            requests[row] = read
        elif read is None:
            kind[row] = NO_REQUEST
        else:
            unwrapped[row] = [read.encode()]
            wrapped[IN_JSON] += 1
    if requests:
        found = _with_json(found, requests)
    if unwrapped:
        found = _with_unwrapped(found, unwrapped, layouts)
    return found, wrapped


def _without_quotes(line: bytes) -> list[bytes]:
    """What a line in quotes can have been: quotes inside of it are doubled, escaped, or left as they are."""
    inner = line[1:-1]
    return [inner.replace(b'""', b'"'), inner.replace(b'\\"', b'"'), inner]


def _with_unwrapped(found: _Scanned, texts: dict[int, list[bytes]], layouts: Layouts) -> _Scanned:
    """What was scanned, with the first text of each row that is a request: the last one may have quotes in quotes."""
    waiting = dict(texts)
    for turn in range(max(map(len, texts.values()))):
        rows = [row for row, variants in waiting.items() if turn < len(variants)]
        if not rows:
            break
        parts = [waiting[row][turn] for row in rows]
        ends = len(found.text) + np.cumsum([0, *map(len, parts)])
        lines = np.stack((ends[:-1], ends[1:]), axis=1).astype(np.int64)
        text = b"".join((found.text, *parts))
        last = all(turn + 1 == len(waiting[row]) for row in rows)
        kind, layout, spans, numbers = scan.scan(np.frombuffer(text, np.uint8), lines, layouts.table, not last)
        kind[(kind == JSON) | (kind == WRAPPED)] = STRANGE
        place = np.array(rows)
        found.kind[place], found.layout[place] = kind, layout
        found.spans[place], found.numbers[place] = spans, numbers
        found = found._replace(text=text)
        for row, code in zip(rows, kind.tolist(), strict=True):
            if code in (GOOD, IMPOSSIBLE):
                del waiting[row]
    return found


def _with_json(found: _Scanned, requests: dict[int, json_lines.JsonRequest]) -> _Scanned:
    """What was scanned, with the requests of JSON lines: their texts follow the text."""
    rows, read = np.array([*requests]), [*requests.values()]
    fields = ("service", "client", "account", "request", "referer", "agent")
    columns = (scan.SERVICE, scan.CLIENT, scan.ACCOUNT, scan.PATH, scan.REFERER, scan.AGENT)
    texts = [[getattr(each, name).encode() for name in fields] for each in read]
    times = [each.time.encode() if isinstance(each.time, str) else b"" for each in read]
    lengths = np.array([[*map(len, row), len(time)] for row, time in zip(texts, times, strict=True)], np.int64)
    ends = len(found.text) + np.cumsum(lengths).reshape(lengths.shape)
    starts = ends - lengths
    text = b"".join((found.text, *(part for row, time in zip(texts, times, strict=True) for part in (*row, time))))
    buf = np.frombuffer(text or b"\0", np.uint8)
    spans = np.zeros((len(rows), 2 * len(scan.TEXTS)), np.int32)
    some = lengths > 0
    for place, column in enumerate(columns):
        spans[:, 2 * column] = np.where(some[:, place], starts[:, place], 0)
        spans[:, 2 * column + 1] = np.where(some[:, place], ends[:, place], 0)
    scan.split_requests(buf, spans, np.array([each.whole_url for each in read]))
    time, shift = scan.stamps(buf, np.stack((starts[:, -1], ends[:, -1]), axis=1))
    known = np.array([each.time if isinstance(each.time, int) else -1 for each in read], np.int64)
    number = np.array([(each.status, each.bytes, each.request_bytes, each.response_us) for each in read], np.int64)
    names = tuple(shape.name for shape in json_lines.SHAPES)
    found.spans[rows] = spans
    found.numbers[rows, 0] = np.where(some[:, -1], time, known)
    found.numbers[rows, 1] = np.where(some[:, -1], shift, 0)
    found.numbers[rows, 2:] = number
    found.layout[rows] = [len(found.names) + names.index(each.layout) for each in read]
    found.kind[rows] = np.where(found.numbers[rows, 0] >= 0, GOOD, IMPOSSIBLE)
    return found._replace(text=text, names=(*found.names, *names))


def _counted(found: _Scanned) -> Counter[str]:
    counts = np.bincount(found.layout[found.kind == GOOD])
    return Counter({found.names[code]: int(counts[code]) for code in np.flatnonzero(counts).tolist()})


def _batch(found: _Scanned, log_format: AccessFormat, position: int, service: str | pa.Array) -> pa.RecordBatch:
    n, good = len(found.kind), found.kind == GOOD
    if not good.all():
        found.spans[~good] = 0
        found.numbers[~good, 2:] = (0, -1, -1, -1)
    buf = np.frombuffer(found.text or b"\0", np.uint8)
    written, shift, status, size, request_size, response = np.ascontiguousarray(found.numbers.T)
    views = {name: _view(found, buf, scan.TEXTS.index(name)) for name in _VIEWS}
    names = pa.array([*found.names, ""])
    layout = names.take(pa.array(np.where(good, found.layout, len(names) - 1)))
    groups = endpoints.endpoints(buf, _span(found, scan.PATH), _span(found, scan.QUERY))
    columns = {
        "position": pa.array(np.arange(position, position + n)),
        "time": _nullable(RECORDS.field("time").type, utc(written, shift, log_format.zone, NO_ZONE), good),
        "service": _services(found, buf, service, good),
        **views,
        "status": pa.array(status.astype(np.int16)),
        "bytes": _nullable(pa.int64(), size, size >= 0),
        "request_bytes": _nullable(pa.int64(), request_size, request_size >= 0),
        "response_us": _nullable(pa.int64(), _in_micros(found, response, groups), response >= 0),
        "endpoint": groups if good.all() else pa.compute.if_else(pa.array(good), groups, ""),
        "layout": layout,
        "line": _strings(scan.views(buf, found.lines[:, 0], found.lines[:, 1]), found.text),
        "fault": pa.nulls(n, pa.string()) if good.all() else _faults(found, log_format),
    }
    return pa.record_batch([columns[name] for name in RECORDS.names], schema=RECORDS)


def _span(found: _Scanned, text: int) -> np.ndarray:
    return found.spans[:, 2 * text : 2 * text + 2]


def _view(found: _Scanned, buf: np.ndarray, text: int) -> pa.Array:
    span = _span(found, text)
    return _strings(scan.views(buf, span[:, 0], span[:, 1]), found.text)


def _strings(views: np.ndarray, data: bytes) -> pa.Array:
    return pa.Array.from_buffers(pa.string_view(), len(views), [None, pa.py_buffer(views), pa.py_buffer(data)])


def _nullable(type_: pa.DataType, values: np.ndarray, known: np.ndarray) -> pa.Array:
    bits = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(type_, len(values), [bits, pa.py_buffer(np.ascontiguousarray(values))])


def _services(found: _Scanned, buf: np.ndarray, given: str | pa.Array, good: np.ndarray) -> pa.Array:
    """The service of each record: its virtual host, else the one that was given; "" of what is no request."""
    span = _span(found, scan.SERVICE)
    named = span[:, 1] > 0
    if not named.any() and isinstance(given, str):
        return pa.array(["", given]).take(pa.array(good.astype(np.int8)))
    codes, rows = scan.distinct(buf, span[:, 0], span[:, 1])
    hosts = [found.text[start:stop].decode("utf-8", "replace") for start, stop in span[rows].tolist()]
    services = pa.array(hosts, pa.string()).take(pa.array(codes))
    others = pa.compute.if_else(pa.array(good), given, "")
    return pa.compute.if_else(pa.array(named), services, others)


def _in_micros(found: _Scanned, response: np.ndarray, groups: pa.Array) -> np.ndarray:
    """Response times in microseconds, of which a whole number at the end of a line does not say its unit.

    Apache writes microseconds there; Jetty, by which Hadoop serves, milliseconds: Hadoop's paths tell it.
    """
    layouts = [number for number, name in enumerate(found.names) if name.endswith("whole number")]
    asked = np.flatnonzero(np.isin(found.layout, layouts) & (response >= 0) & (found.kind == GOOD))
    if not len(asked):
        return response
    of_hadoop = pa.compute.match_substring_regex(groups.take(pa.array(asked)), _OF_HADOOP)
    micros = response.copy()
    micros[asked[of_hadoop.to_numpy(zero_copy_only=False)]] *= 1000
    return micros


def _faults(found: _Scanned, log_format: AccessFormat) -> pa.Array:
    """Why each record is no request: (n,) strings, null for a good one."""
    layouts = log_format.layouts
    tried = f"tried {len(layouts.layouts)} layouts ({', '.join(_families(layouts))}) and JSON; {_TRIED}"
    reasons = {
        GOOD: None,
        EMPTY: "no access line: it is empty",
        IMPOSSIBLE: "no access line: its time cannot be",
        BROKEN: f"no access line: it begins as JSON does, but cannot be read as JSON ({_TRIED})",
        NO_REQUEST: "no access line: JSON without the time, address or status of a request "
        f"(tried {', '.join(shape.name for shape in json_lines.SHAPES)})",
    }
    made: dict[tuple[int, int], str | None] = {}
    faults: list[str | None] = []
    for code, step in zip(found.kind.tolist(), found.layout.tolist(), strict=True):
        key = (code, step if code == STRANGE else 0)
        if key not in made:
            lacking = layouts.lacking(step) if code == STRANGE else ""
            where = f"where its {lacking} should stand is something else" if lacking else "no layout fits"
            made[key] = reasons.get(code, f"no access line: {where} ({tried})")
        faults.append(made[key])
    return pa.array(faults, pa.string())


def _families(layouts: Layouts) -> list[str]:
    """The layouts in few words: those before a comma, each once."""
    return [*dict.fromkeys(name.split(",")[0].removesuffix(" and more") for name in layouts.names)]
