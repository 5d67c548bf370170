"""One pass over the bytes of a log: lines, record heads, times, block ids.

Compiled by numba (cached on disk, released from the interpreter's lock), because no vector library walks variable-long
lines in one pass. Everything here works on one buffer and allocates only its results.
"""

import numpy as np
from numba import njit

WINDOW = 64
"""A block id is compared with so many ids before it in its record; the caller makes longer lists distinct."""

_NEWLINE, _RETURN, _COLON, _BLANK, _UNDERSCORE, _MINUS, _ZERO = 10, 13, 58, 32, 95, 45, 48
_DIGITS = 19
_CORRUPT, _EXCEPTION = b"corrup", b"exception"
_ALARM_LEVELS = (b"WARN", b"ERROR", b"FATAL")
_BIGGEST = 2**63 - 1


@njit(cache=True, nogil=True)
def is_head(buf, at, end, head):
    """Whether the head (uint8 codes: letters are digits, all else is itself) stands at `at`."""
    if at + len(head) > end:
        return False
    for k in range(len(head)):
        byte, want = buf[at + k], head[k]
        if want >= 65:
            if byte < 48 or byte > 57:
                return False
        elif byte != want:
            return False
    return True


@njit(cache=True, nogil=True)
def heads_at(buf, starts, head):
    """Whether a head stands at each of `starts` (n,): (n,) bool."""
    found = np.empty(len(starts), np.bool_)
    for k in range(len(starts)):
        found[k] = is_head(buf, starts[k], len(buf), head)
    return found


@njit(cache=True, nogil=True)
def block_keys(buf, count):
    """Numbers of the ids in `count` lines, exactly `blk_<number>` each, and whether it is one: (count,) twice."""
    ids, known = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    one = np.empty(1, np.int64)
    at = 0
    for k in range(count):
        stop = at
        while stop < len(buf) and buf[stop] != _NEWLINE:
            stop += 1
        begins = stop - at > 4 and buf[at] == 98 and buf[at + 1] == 108 and buf[at + 2] == 107
        if begins and buf[at + 3] == _UNDERSCORE:
            digits = at + 4 + (buf[at + 4] == _MINUS)
            whole = digits < stop
            for place in range(digits, stop):
                whole = whole and 48 <= buf[place] <= 57
            if whole and _block_id(buf, at + 4, stop, one, 0, 0) == 1:
                ids[k], known[k] = one[0], True
        at = stop + 1
    return ids, known


@njit(cache=True, nogil=True)
def move_ids(buf, lows, sizes, shifts):
    """Give every block id in `buf` another number of as many digits, in place; False where one has none to give.

    Of ids with d digits, `lows[d]` is the smallest, `sizes[d]` how many there are, each moves on by `shifts[d]`; all
    uint64; ids with `sizes[d]` 0 or a leading zero have none. `buf` is then partly changed.
    """
    at = 3
    while at < len(buf):
        if buf[at] != _UNDERSCORE or buf[at - 1] != 107 or buf[at - 2] != 108 or buf[at - 3] != 98:
            at += 1
            continue
        at += 1
        if at < len(buf) and buf[at] == _MINUS:
            at += 1
        start, value = at, np.uint64(0)
        while at < len(buf) and 48 <= buf[at] <= 57:
            value = value * np.uint64(10) + np.uint64(buf[at] - _ZERO)
            at += 1
        digits = at - start
        if digits == 0 or digits > _DIGITS or value > np.uint64(_BIGGEST):
            continue  # no block id
        if sizes[digits] == 0 or buf[start] == _ZERO:
            return False
        value = lows[digits] + (value - lows[digits] + shifts[digits]) % sizes[digits]
        for place in range(at - 1, start - 1, -1):
            buf[place] = _ZERO + value % np.uint64(10)
            value //= np.uint64(10)
    return True


@njit(cache=True, nogil=True)
def last_head(buf, end, head):
    """Start of the last line, but the first, that begins with a head; 0 where there is none."""
    at = end - 1
    while at > 0:
        if buf[at - 1] == _NEWLINE and is_head(buf, at, end, head):
            return at
        at -= 1
    return 0


@njit(cache=True, nogil=True)
def count_heads(buf, head):
    """Lines that begin with a head."""
    found = 0
    for at in range(len(buf)):
        if (at == 0 or buf[at - 1] == _NEWLINE) and is_head(buf, at, len(buf), head):
            found += 1
    return found


@njit(cache=True, nogil=True)
def _time(buf, at, head):
    """Microseconds since 1970 of the head at `at`; -1 where there is no such date (or it lies before 1970)."""
    digits = year = month = day = hour = minute = second = milli = 0
    for k in range(len(head)):
        code, digit = head[k], np.int64(buf[at + k]) - _ZERO
        if code == 121:
            year = year * 10 + digit
            digits += 1
        elif code == 109:
            month = month * 10 + digit
        elif code == 100:
            day = day * 10 + digit
        elif code == 72:
            hour = hour * 10 + digit
        elif code == 77:
            minute = minute * 10 + digit
        elif code == 83:
            second = second * 10 + digit
        elif code == 102:
            milli = milli * 10 + digit
    if digits == 2:
        year += 2000
    if year < 1970 or month < 1 or month > 12 or day < 1 or hour > 23 or minute > 59 or second > 59:
        return -1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    longest = 30 + (month + month // 8) % 2 if month != 2 else 28 + leap
    if day > longest:
        return -1
    # days since 1970-01-01 of a proleptic Gregorian date (Hinnant, "chrono-compatible low-level date algorithms")
    y = year - (month <= 2)
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + milli * 1000


@njit(cache=True, nogil=True)
def _block_id(buf, at, end, ids, begin, count):
    """Append the number at `at` to ids[begin:count] unless it is there, is none or is beyond 64 bits; the new count."""
    negative = at < end and buf[at] == _MINUS
    if negative:
        at += 1
    value, digits = np.uint64(0), 0
    while at < end and 48 <= buf[at] <= 57:
        if digits < _DIGITS:
            value = value * np.uint64(10) + np.uint64(buf[at] - _ZERO)
        if digits > 0 or buf[at] != _ZERO:
            digits += 1
        at += 1
        if digits == 0:
            digits = 0 if at < end and 48 <= buf[at] <= 57 else 1  # a number of zeros alone is 0
    if digits == 0 or digits > _DIGITS or value > np.uint64(_BIGGEST) + np.uint64(negative):
        return count
    number = -np.int64(value) if negative else np.int64(value)
    for k in range(max(begin, count - WINDOW), count):
        if ids[k] == number:
            return count
    ids[count] = number
    return count + 1


@njit(cache=True, nogil=True)
def _view(views, row, buf, start, stop):
    """Arrow's string view (length, then prefix, buffer and offset, or up to twelve bytes inline) of buf[start:stop]."""
    length = max(stop - start, 0)
    views[row, 0] = length
    inline = length <= 12
    for k in range(length if inline else 4):
        views[row, 1 + k // 4] |= np.int32(np.uint32(buf[start + k]) << np.uint32(8 * (k % 4)))
    if not inline:
        views[row, 3] = start


@njit(cache=True, nogil=True)
def _is_mark(before2, before, byte, after):
    """Whether a byte asks for a closer look: a line's end, `k_`, `: `, or the `pt` of exception and corrupt."""
    block = (byte == _UNDERSCORE) & (before == 107)
    colon = (byte == _COLON) & (after == _BLANK)
    trouble = ((byte | 32) == 116) & ((before | 32) == 112) & (((before2 | 32) == 101) | ((before2 | 32) == 117))
    return (byte == _NEWLINE) | block | colon | trouble


@njit(cache=True, nogil=True)
def _marks(buf, end):
    """Which bytes need a look: (end,) bool. A loop without branches, which the compiler vectorises."""
    marks = np.zeros(end, np.bool_)
    before2, before, byte, after = buf[: end - 3], buf[1 : end - 2], buf[2 : end - 1], buf[3:end]
    inner = marks[2 : end - 1]
    for at in range(end - 3):
        inner[at] = _is_mark(before2[at], before[at], byte[at], after[at])
    for at in (0, 1, end - 1):
        if 0 <= at < end:
            marks[at] |= buf[at] == _NEWLINE
    return marks


@njit(cache=True, nogil=True)
def _is_trouble(buf, at, start, end):
    """Whether the `t` at `at` is that of exception or corrupt, in whatever case."""
    for k in range(6):  # corrup before it
        if at - 6 + k < start or (buf[at - 6 + k] | 32) != _CORRUPT[k]:
            break
    else:
        return True
    for k in range(9):  # exception around it  # noqa: SIM110 - numba compiles no generators
        if at - 5 + k < start or at - 5 + k >= end or (buf[at - 5 + k] | 32) != _EXCEPTION[k]:
            return False
    return True


@njit(cache=True, nogil=True)
def _is_alarm_level(buf, at, stop):
    """Whether the level in buf[at:stop], its first word that is no number, is WARN, ERROR or FATAL."""
    while at < stop and (buf[at] == _BLANK or 48 <= buf[at] <= 57):
        at += 1
    for level in _ALARM_LEVELS:
        if at + len(level) < stop and buf[at + len(level)] == _BLANK:
            for k in range(len(level)):
                if buf[at + k] != level[k]:
                    break
            else:
                return True
    return False


def scan(buf, end, head):
    """Records of buf[:end].

    Returns for n records: first line (n,) int64 from 0, time (n,) int64 in microseconds (-1: none), alarm (n,) uint8,
    views of origin, message and continuation lines (n, 4) int32 each, offsets of the block ids (n + 1,) int32, the ids
    (m,) int64; and the number of lines. A line before the first head is a record of its own, whole in `message`.
    """
    return _walk(buf, end, head, np.flatnonzero(_marks(buf, end)))


@njit(cache=True, nogil=True)
def _walk(buf, end, head, marks):
    """The scan itself, from mark to mark; `marks` (k,) int64 are the places of the bytes that need a look."""
    lines = unders = 0
    for at in marks:
        lines += buf[at] == _NEWLINE
        unders += buf[at] == _UNDERSCORE
    lines += end > 0 and buf[end - 1] != _NEWLINE
    number, time, alarm = np.empty(lines, np.int64), np.empty(lines, np.int64), np.zeros(lines, np.uint8)
    origin, message = np.zeros((lines, 4), np.int32), np.zeros((lines, 4), np.int32)
    more = np.zeros((lines, 4), np.int32)
    offsets, ids = np.zeros(lines + 1, np.int32), np.empty(unders, np.int64)
    at = line = count = mark = 0
    row, headed, more_start, more_stop = -1, False, 0, 0
    while at < end:
        start, begins = at, is_head(buf, at, end, head)
        if begins or not headed:
            if headed:
                _view(more, row, buf, more_start, more_stop)
            row += 1
            headed, more_start, more_stop = begins, 0, 0
            offsets[row] = count
            number[row] = line
        colon = -1
        while mark < len(marks) and buf[marks[mark]] != _NEWLINE:
            at = marks[mark]
            byte = buf[at]
            if byte == _UNDERSCORE:
                if at - start >= 3 and buf[at - 2] == 108 and buf[at - 3] == 98:
                    count = _block_id(buf, at + 1, end, ids, offsets[row], count)
            elif byte == _COLON:
                if colon < 0:
                    colon = at
            elif not alarm[row]:
                alarm[row] = _is_trouble(buf, at, start, end)
            mark += 1
        at = marks[mark] if mark < len(marks) else end
        mark += 1
        stop = at - (at > start and buf[at - 1] == _RETURN)
        if begins:
            time[row] = _time(buf, start, head) if colon >= 0 else -1
            if time[row] >= 0:
                _view(origin, row, buf, start + len(head), colon)
                _view(message, row, buf, colon + 2, stop)
                alarm[row] |= _is_alarm_level(buf, start + len(head), colon)
            else:
                _view(message, row, buf, start, stop)
        elif headed:
            if more_start == 0:
                more_start = start
            more_stop = stop
        else:
            time[row] = -1
            _view(message, row, buf, start, stop)
        line += 1
        at += 1
    if headed:
        _view(more, row, buf, more_start, more_stop)
    row += 1
    offsets[row] = count
    texts = origin[:row], message[:row], more[:row]
    return number[:row], time[:row], alarm[:row], *texts, offsets[: row + 1], ids[:count], line
