"""Endpoint groups: addresses that differ in ids only are one, so that a service has few of them.

Numbers, dates, hexadecimal ids (8 digits and more) and UUIDs become `*`, three segments of a path are kept, static
files go by their extension (`*.css`), and a long segment is cut. What is no path of this server (`*` of OPTIONS, what
scanners of other protocols send) is `-`. A request of Hadoop's WebHDFS goes by its operation, since its path is that
of a user's file: `/webhdfs/v1/OPEN`.
"""

from typing import Final

import numpy as np
import pyarrow as pa
from numba import njit

from hdfs_pipeline.domains.weblogs import scan
from hdfs_pipeline.scoring.compiled import uncounted

ROOT: Final = "/"
NO_PATH: Final = "-"
_SEGMENTS: Final = 3
_LONGEST: Final = 32  # bytes of a segment
_EXTENSION: Final = 6
_STATIC: Final = """
    css js mjs map png jpg jpeg gif svg ico webp avif bmp woff woff2 ttf otf eot mp3 mp4 webm ogg wav mov avi pdf zip
    gz tgz bz2 xz tar rar jar exe dmg iso deb rpm doc docx xls xlsx ppt pptx csv swf"""
_CODES: Final = np.array(sorted(int.from_bytes(name.encode(), "big") for name in _STATIC.split()))
_WEBHDFS: Final = np.frombuffer(b"/webhdfs/v1", np.uint8)
_SLASH, _STAR, _DOT, _MINUS, _ZERO = 47, 42, 46, 45, 48


def endpoints(buf: np.ndarray, path: np.ndarray, query: np.ndarray) -> pa.Array:
    """Endpoint groups (n,) strings of requests, whose paths and queries stand in `buf` at `path`, `query` (n, 2) int32.

    Each distinct path is looked at once; of WebHDFS each request.
    """
    return named(*keys(buf, path, query))


def named(codes: np.ndarray, offsets: np.ndarray, text: np.ndarray) -> pa.Array:
    """Texts (n,) by their `codes`: those that stand in `text` between `offsets` (k + 1,)."""
    names = pa.Array.from_buffers(
        pa.string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(text[: int(offsets[-1])])]
    )
    return names.take(pa.array(codes))


def endpoint_of(path: str, query: str = "") -> str:
    """The endpoint group of one request."""
    first, second = path.encode(errors="replace"), query.encode(errors="replace")
    buf = np.frombuffer(first + second + b"\0", np.uint8)
    spans = np.array([[0, len(first)], [len(first), len(first) + len(second)]], np.int32)
    return str(endpoints(buf, spans[:1], spans[1:])[0])


def keys(buf: np.ndarray, path: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes (n,) int32 of endpoint groups, and the groups: offsets (k + 1,) int32 into their text, uint8."""
    codes, rows = scan.distinct(buf, path[:, 0], path[:, 1])
    of_webhdfs = _are_webhdfs(buf, path, rows)
    if of_webhdfs.any():
        asked = np.flatnonzero(of_webhdfs[codes])
        codes[asked] = len(rows) + np.arange(len(asked), dtype=np.int32)
        rows = np.concatenate((rows, asked))
    offsets, text = _groups(buf, path[rows], query[rows])
    merged, first = scan.distinct(text, offsets[:-1], offsets[1:])
    lengths = (offsets[1:] - offsets[:-1])[first]
    ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths))).astype(np.int32)
    return merged[codes], ends, _gathered(text, offsets[first], ends)


@njit(cache=True, nogil=True)
def _gathered(text, starts, ends):
    """Texts that begin at `starts` in `text`, one after the other: they then end at `ends` (k + 1,)."""
    made = np.empty(ends[-1], np.uint8)
    for row in range(len(starts)):
        for k in range(ends[row + 1] - ends[row]):
            made[ends[row] + k] = text[starts[row] + k]
    return made


@njit(cache=True, nogil=True)
def _are_webhdfs(buf, path, rows):
    are = np.zeros(len(rows), np.bool_)
    for k in range(len(rows)):
        are[k] = _is_webhdfs(buf, path[rows[k], 0], path[rows[k], 1])
    return are


@uncounted
def _is_webhdfs(buf, start, stop):
    length = len(_WEBHDFS)
    if stop - start < length or (stop - start > length and buf[start + length] != _SLASH):
        return False
    for k in range(length):  # noqa: SIM110 - numba compiles no generators
        if buf[start + k] != _WEBHDFS[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def _groups(buf, path, query):
    """The endpoint groups of paths (n, 2): offsets (n + 1,) int32 into their text, uint8."""
    n, size = len(path), 0
    for row in range(n):
        size += min(path[row, 1] - path[row, 0], (_SEGMENTS + 1) * (_LONGEST + 1)) + 2 * _LONGEST
    text, offsets, at = np.empty(size, np.uint8), np.zeros(n + 1, np.int32), 0
    for row in range(n):
        if _is_webhdfs(buf, path[row, 0], path[row, 1]):
            at = _by_operation(buf, query[row, 0], query[row, 1], text, at)
        else:
            at = _group(buf, path[row, 0], path[row, 1], text, at)
        offsets[row + 1] = at
    return offsets, text


@uncounted
def _by_operation(buf, start, stop, text, at):
    """Write `/webhdfs/v1/OPEN` for a query that has `op=open`."""
    for k in range(len(_WEBHDFS)):
        text[at + k] = _WEBHDFS[k]
    at += len(_WEBHDFS)
    while start + 3 <= stop:
        if (buf[start] | 32) == 111 and (buf[start + 1] | 32) == 112 and buf[start + 2] == 61:
            start += 3
            first = start
            text[at] = _SLASH
            written = at + 1
            while start < min(stop, first + 24) and (97 <= (buf[start] | 32) <= 122 or buf[start] == 95):
                text[written] = buf[start] & 223 if buf[start] != 95 else 95
                written += 1
                start += 1
            return written if written > at + 1 else at
        while start < stop and buf[start] != 38:
            start += 1
        start += 1
    return at


@uncounted
def _group(buf, start, stop, text, at):
    """Write the group of one path at `at`, and return where it ends."""
    start = _after_host(buf, start, stop)
    if start < 0:
        text[at] = _MINUS
        return at + 1
    if start < stop and buf[start] == 63:  # an address of a host alone
        stop = start
    extension = _extension(buf, start, stop)
    if extension >= 0:
        text[at] = _STAR
        at += 1
        for k in range(extension, stop):
            text[at] = buf[k] | 32  # small letters; digits and dots stay
            at += 1
        return at
    begin, segments = at, 0
    while start < stop and segments < _SEGMENTS:
        while start < stop and buf[start] == _SLASH:
            start += 1
        end = start
        while end < stop and buf[end] != _SLASH and buf[end] != 59:
            end += 1
        if end > start:
            text[at] = _SLASH
            at = _segment(buf, start, end, text, at + 1)
            segments += 1
        if end < stop and buf[end] == 59:  # ;jsessionid=…
            while end < stop and buf[end] != _SLASH:
                end += 1
        start = end
    if at == begin:
        text[at] = _SLASH
        at += 1
    return at


@uncounted
def _after_host(buf, start, stop):
    """Where the path of an address begins, which may name a host; -1 where there is none."""
    if start < stop and buf[start] == _SLASH:
        return start
    at = start
    while at < stop and 97 <= (buf[at] | 32) <= 122:
        at += 1
    if at == start or at + 2 >= stop or buf[at] != 58 or buf[at + 1] != _SLASH or buf[at + 2] != _SLASH:
        return -1
    at += 3
    while at < stop and buf[at] != _SLASH and buf[at] != 63:
        at += 1
    return at


@uncounted
def _extension(buf, start, stop):
    """Where the dot stands of a static file's extension at the end of a path, -1 without."""
    code = 0
    for k in range(1, _EXTENSION + 1):
        at = stop - k
        if at <= start:
            return -1
        byte = buf[at]
        if byte == _DOT:
            place = np.searchsorted(_CODES, code)
            return at if k > 1 and place < len(_CODES) and _CODES[place] == code else -1
        if not (_ZERO <= byte <= 57 or 97 <= (byte | 32) <= 122):
            return -1
        code |= np.int64(byte | 32) << (8 * (k - 1))
    return -1


@uncounted
def _segment(buf, start, end, text, at):
    """Write a segment, or `*` for an id."""
    if _is_id(buf, start, end):
        text[at] = _STAR
        return at + 1
    dot = end - 1
    while dot > start and buf[dot] != _DOT:
        dot -= 1
    if dot > start and end - dot <= _EXTENSION and _is_id(buf, start, dot):  # 4711.html
        text[at] = _STAR
        at, start = at + 1, dot
    stop = min(end, start + _LONGEST)
    while stop < end and stop > start and buf[stop] & 192 == 128:
        stop -= 1
    for k in range(start, stop):
        text[at] = buf[k]
        at += 1
    return at


@uncounted
def _is_id(buf, start, end):
    """Whether a segment is a number, a date, a version, or a hexadecimal id of eight digits and more."""
    digits = letters = others = 0
    for k in range(start, end):
        byte = buf[k]
        if _ZERO <= byte <= 57:
            digits += 1
        elif 97 <= (byte | 32) <= 102:
            letters += 1
        elif byte not in (_MINUS, 95, 58, _DOT, 44):
            others += 1
    if others or digits == 0:
        return False
    return letters == 0 or digits + letters >= 8
