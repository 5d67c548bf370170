"""One pass over the bytes of a log: lines, record heads, times, block ids.

Compiled by numba (cached on disk, released from the interpreter's lock), because no vector library walks variable-long
lines in one pass. Everything here works on one buffer and allocates only its results. All of it stands in one file,
since numba's cache notices changes of a function's own file only.

A layout is a short program of steps (see `layouts`). Its reading looks at no more than `REACH` bytes of a line.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from hdfs_pipeline.scoring.compiled import uncounted, word

STAMP, LITERAL, BLANKS, LEVEL, LOGGER, NUMBER, WORD, ANY = range(8)
"""Steps of a program: each row is (step, argument, length)."""
CODES: Final = {"y": 1, "m": 2, "d": 3, "H": 4, "M": 5, "S": 6, "f": 7, "b": 8}
"""Letters of a shape: digits of year, month, day, hour, minute, second, millisecond, and letters of a month's name."""
REACH: Final = 4096
KNOWN, FORMS, COUNT, SHAPES_AT, BEGINS_AT, SHADOWED_AT, VAGUE, OWN, FIRST_AT = range(9)
"""The table's beginning (see `layouts.Layouts`): how many forms of time stamps go with every layout, how many forms and
layouts there are, where shapes and programs begin, where it says which layouts may fit lines of an earlier one, how
many shapes of vague time stamps come after the forms, how many layouts at the beginning are a home's own, and from here
on for each byte whether a line that has a head can begin with it. One array of int64 holds all, because each array more
costs the compiled code a count of references."""
SHAPE_CODES: Final = 10
SHAPE: Final = SHAPE_CODES + 40
"""Numbers of a shape: its length; where the year stands and how long it is; where month, day, hour, minute, second,
millisecond and a month's name stand (-1: nowhere); then its codes."""
NO_ZONE: Final = -(2**31)

NONE, GOOD, STRANGE, IMPOSSIBLE = range(4)
"""What a line begins with: nothing, a head, a time stamp before something unknown or a vague one, a time stamp that
cannot be."""

(AT, TIME, SHIFT, FORM, AFTER, LEVEL_AT, LEVEL_STOP, LOGGER_AT, LOGGER_STOP, THREAD_AT, THREAD_STOP, TEXT, LAYOUT,
 DATE, DAYS, MINUTE, SPELT) = range(17)  # fmt: skip
"""Places in the array of a head's fields: where its time stamp stands, its time (microseconds, as written), minutes
east of UTC, form, where it ends; level, logger and thread; where the message begins; the layout; the date that was read
last (one more than its digits spell, since 0 is none), and its days since 1970; when the minute of the time stamp that
was read last begins, and how that is spelt: the shape's row (0: none is kept), and three numbers of eight bytes."""
FIELDS: Final = SPELT + 4

_NEWLINE, _RETURN, _BLANK, _TAB, _ZERO = 10, 13, 32, 9, 48
_MONTHS = np.array(
    [
        ((ord(name[0]) - 97) * 26 + ord(name[1]) - 97) * 26 + ord(name[2]) - 97
        for name in ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    ]
)
_LOGGER = np.array([chr(byte).isalnum() or byte >= 128 or chr(byte) in "$-./_#@+<>" for byte in range(256)])
"""Whether a byte can be part of a logger's name."""
_INFO: Final = int.from_bytes(b"INFO", "little")
_FOUR: Final = 2**32 - 1
_LAST_YEAR = 2261  # what comes after it does not fit into 64 bits of nanoseconds, as pandas counts


@uncounted
def _digit(byte):
    return _ZERO <= byte <= 57


@uncounted
def _letter(byte):
    return 97 <= (byte | 32) <= 122


@uncounted
def microseconds(year, month, day, hour, minute, second, fields):
    """Microseconds since 1970; -1 where there is no such date, or it lies outside 1970 to 2261.

    `fields` remember the last day, which most lines share with the line before.
    """
    if hour > 23 or minute > 59 or second > 59:
        return -1
    date = (year * 100 + month) * 100 + day + 1
    if fields[DATE] != date:
        fields[DATE], fields[DAYS] = date, _days(year, month, day)
    days = fields[DAYS]
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 if days >= 0 else -1


@uncounted
def _days(year, month, day):
    """Days since 1970; -1 where there is no such day, or it lies outside 1970 to 2261."""
    if year < 1970 or year > _LAST_YEAR or month < 1 or month > 12 or day < 1:
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
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


@uncounted
def _two(buf, at):
    """The number that two digits spell; 1000 or more where one of them is none."""
    high, low = np.int64(buf[np.uint64(at)]) - _ZERO, np.int64(buf[np.uint64(at + 1)]) - _ZERO
    return high * 10 + low if (0 <= high <= 9) & (0 <= low <= 9) else 1000


@uncounted
def _month(buf, at):
    """The number of a month by the first three letters of its English name, 1000 for no month."""
    name = 0
    for k in range(3):
        name = name * 26 + (np.int64(buf[at + k]) | 32) - 97
    for k in range(12):
        if _MONTHS[k] == name:
            return k + 1
    return 1000


@uncounted
def _is_shape(buf, at, table, row):
    """Whether all of a shape but its numbers stands at `at`."""
    for k in range(table[row]):
        code = table[np.uint64(row + SHAPE_CODES + k)]
        if code >= 32 and np.int64(buf[np.uint64(at + k)]) != code:
            return False
    return True


@uncounted
def read_stamp(buf, at, end, table, form, fields):
    """Read a time stamp of one form at `at` into `fields`; where it ends, -1 where there is none."""
    row = table[SHAPES_AT] + form * SHAPE
    stop, micro = at + table[row], 0
    if stop > end:
        return -1
    if fields[SPELT] == row and _is_minute(buf, at, stop, fields):
        second = _two(buf, stop - 2)
        if second >= 1000:
            return -1
        time = fields[MINUTE] + second * 1_000_000 if second < 60 else -1
    else:
        time, micro = _read_whole(buf, at, table, row, fields)
        if time < -1:
            return -1
    return _read_rest(buf, at, stop, end, form, time, micro, fields)


@uncounted
def _is_minute(buf, at, stop, fields):
    """Whether the time stamp at `at` lies in the minute that is kept: all but its last two digits is the same."""
    last = stop - 10
    return (
        word(buf, at) == fields[SPELT + 1]
        and word(buf, last) == fields[SPELT + 3]
        and word(buf, min(at + 8, last)) == fields[SPELT + 2]
    )


@uncounted
def _read_whole(buf, at, table, row, fields):
    """Time and microseconds of a time stamp of the shape in `row`; (-1, 0) where that cannot be, (-2, 0) without one.

    Its minute is kept where the seconds come last: few lines are the first of their minute.
    """
    if not _is_shape(buf, at, table, row):
        return -2, 0
    year = _two(buf, at + table[row + 1])
    if table[row + 2] == 4:
        of_century = _two(buf, at + table[row + 1] + 2)
        year = year * 100 + of_century if of_century < 1000 else 10_000
    else:
        year += 2000
    name_at, second_at, milli_at = table[row + 9], table[row + 7], table[row + 8]
    month = _month(buf, at + name_at) if name_at >= 0 else _two(buf, at + table[row + 3])
    day, hour, minute = (_two(buf, at + table[row + 4]), _two(buf, at + table[row + 5]), _two(buf, at + table[row + 6]))
    second = _two(buf, at + second_at) if second_at >= 0 else 0
    micro = 0
    if milli_at >= 0:
        last = np.int64(buf[at + milli_at + 2]) - _ZERO
        micro = (_two(buf, at + milli_at) * 10 + last) * 1000 if 0 <= last <= 9 else 10_000_000
    if year >= 10_000 or month >= 1000 or day + hour + minute + second >= 1000 or micro >= 1_000_000:
        return -2, 0
    time = microseconds(year, month, day, hour, minute, second, fields)
    length = table[row]
    if time >= 0 and milli_at < 0 and second_at + 2 == length and 10 <= length <= 26:
        last = at + length - 10
        fields[MINUTE], fields[SPELT] = time - second * 1_000_000, row
        fields[SPELT + 1], fields[SPELT + 2] = word(buf, at), word(buf, min(at + 8, last))
        fields[SPELT + 3] = word(buf, last)
    return time, micro


@uncounted
def _read_rest(buf, at, pos, end, form, time, micro, fields):
    """Read what may follow a time stamp: a fraction of a second and a zone. Where they end; -1 before a digit."""
    if pos + 1 < end and (buf[pos] == 44 or buf[pos] == 46 or buf[pos] == 58) and _digit(buf[pos + 1]):
        pos += 1
        unit, micro, start = 100_000, 0, pos
        while pos < end and _digit(buf[pos]) and pos - start < 9:
            micro += (np.int64(buf[pos]) - _ZERO) * unit
            unit //= 10
            pos += 1
    if pos < end and _digit(buf[pos]):
        return -1
    fields[AT], fields[FORM], fields[SHIFT] = at, form, NO_ZONE
    fields[TIME] = time + micro if time >= 0 else -1
    if pos < end and (buf[pos] == 90 or buf[pos] == 43 or buf[pos] == 45 or buf[pos] == _BLANK):
        pos = _zone(buf, pos, end, fields)
    fields[AFTER] = pos
    return pos


@uncounted
def _zone(buf, pos, end, fields):
    """Read a zone at `pos`, where there is one, and return where it ends."""
    if pos < end and buf[pos] == 90 and not (pos + 1 < end and (_letter(buf[pos + 1]) or _digit(buf[pos + 1]))):
        fields[SHIFT] = 0
        return pos + 1
    sign = pos + (pos < end and buf[pos] == _BLANK)
    if sign + 2 >= end:
        return pos
    if sign > pos and ((buf[sign] == 85 and buf[sign + 1] == 84 and buf[sign + 2] == 67)
                       or (buf[sign] == 71 and buf[sign + 1] == 77 and buf[sign + 2] == 84)):  # fmt: skip
        if sign + 3 < end and (_letter(buf[sign + 3]) or _digit(buf[sign + 3])):
            return pos
        fields[SHIFT] = 0
        return sign + 3
    if (buf[sign] != 43 and buf[sign] != 45) or not (_digit(buf[sign + 1]) and _digit(buf[sign + 2])):
        return pos
    hours = (np.int64(buf[sign + 1]) - _ZERO) * 10 + np.int64(buf[sign + 2]) - _ZERO
    stop, minutes = sign + 3, 0
    colon = stop < end and buf[stop] == 58
    if stop + colon + 1 < end and _digit(buf[stop + colon]) and _digit(buf[stop + colon + 1]):
        minutes = (np.int64(buf[stop + colon]) - _ZERO) * 10 + np.int64(buf[stop + colon + 1]) - _ZERO
        stop += colon + 2
    elif sign > pos:  # after a blank two digits alone are no zone
        return pos
    if hours > 18 or minutes > 59 or (stop < end and _digit(buf[stop])):
        return pos
    shift = hours * 60 + minutes
    fields[SHIFT] = -shift if buf[sign] == 45 else shift
    return stop


@uncounted
def _level_end(buf, pos, end):
    """Where the level at `pos` ends: a word of capitals, or a usual level in small letters; -1 where there is none."""
    if pos + 8 <= end and word(buf, pos) & _FOUR == _INFO and not _letter(buf[np.uint64(pos + 4)]):
        return pos + 4
    stop = pos
    while stop < end and _letter(buf[stop]):
        stop += 1
    length = stop - pos
    if length < 3 or length > 9:
        return -1
    capitals = 0
    for k in range(pos, stop):
        capitals += buf[k] <= 90
    if capitals == length:
        return stop
    first, last = buf[pos] | 32, buf[stop - 1] | 32
    usual = (
        (length == 4 and ((first == 105 and last == 111) or (first == 119 and last == 110)))  # info, warn
        or (length == 5 and ((first == 101 and last == 114) or (first == 100 and last == 103)  # error, debug
                             or (first == 116 and last == 101) or (first == 102 and last == 108)))  # trace, fatal
        or (length == 7 and first == 119 and last == 103)  # warning
    )  # fmt: skip
    return stop if usual and capitals <= 1 else -1


@uncounted
def _is_between_brackets(buf, at, end):
    """Whether the bracket that closes at `at` is followed by one that opens: `][` or `] [`."""
    at += 1
    at += at < end and buf[at] == _BLANK
    return at < end and buf[at] == 91


@uncounted
def _are_of_logger(buf, at):
    """Whether eight bytes can all be part of a logger's name."""
    p = np.uint64(at)
    first = _LOGGER[buf[p]] & _LOGGER[buf[p + np.uint64(1)]] & _LOGGER[buf[p + np.uint64(2)]]
    more = _LOGGER[buf[p + np.uint64(3)]] & _LOGGER[buf[p + np.uint64(4)]] & _LOGGER[buf[p + np.uint64(5)]]
    return first & more & _LOGGER[buf[p + np.uint64(6)]] & _LOGGER[buf[p + np.uint64(7)]]


@uncounted
def match(buf, at, end, table, layout, fields):
    """Read the head of one layout at `at` into `fields`. Returns whether it fits."""
    limit = min(end, at + REACH)
    step, stop = table[table[BEGINS_AT] + layout], table[table[BEGINS_AT] + layout + 1]
    pos, choice, choice_at, depth = at, -1, 0, 0
    fields[THREAD_AT] = fields[THREAD_STOP] = fields[LOGGER_AT] = fields[LOGGER_STOP] = 0
    while step < stop:
        code, argument, length = table[step], table[step + 1], table[step + 2]
        fits = True
        if code == LITERAL:
            fits = pos + length <= end
            if fits:
                for k in range(length):
                    if buf[pos + k] != table[argument + k]:
                        fits = False
                        break
            pos += length
        elif code == BLANKS:
            start, last = pos, step + 3 == stop
            while pos < limit and (buf[pos] == _BLANK or buf[pos] == _TAB):
                pos += 1
                if last:
                    break
            if pos == start:  # the blank before an empty message may have been cut
                fits = last and (pos >= end or buf[pos] == _NEWLINE or buf[pos] == _RETURN)
        elif code == LEVEL:
            while pos < limit and buf[pos] == _BLANK:
                pos += 1
            fields[LEVEL_AT] = pos
            pos = _level_end(buf, pos, limit)
            fits = pos >= 0
            fields[LEVEL_STOP] = pos
            if fits and step + 3 < stop and table[step + 3] == LITERAL:
                while pos < limit and buf[pos] == _BLANK:
                    pos += 1
        elif code == LOGGER:
            fields[LOGGER_AT] = pos
            while pos + 8 <= limit and _are_of_logger(buf, pos):
                pos += 8
            while pos < limit and _LOGGER[buf[np.uint64(pos)]]:
                pos += 1
            fits = pos > fields[LOGGER_AT]
            fields[LOGGER_STOP] = pos
        elif code == NUMBER:
            start = pos
            while pos < limit and (_digit(buf[pos]) or buf[pos] == 63):
                pos += 1
            fits = pos > start
            if argument == 1:
                fields[THREAD_AT], fields[THREAD_STOP] = start, pos
        elif code == STAMP:
            pos = _stamp_at(buf, pos, limit, table, argument, fields)
            fits = pos >= 0
        else:  # a word, or any text: as short as the steps after it allow
            choice, choice_at, depth = step, pos, 0
            if argument == 1:
                fields[THREAD_AT] = fields[THREAD_STOP] = pos
        if fits:
            step += 3
            continue
        if choice < 0:
            return False
        if choice_at >= limit or buf[choice_at] == _NEWLINE:
            return False
        if table[choice] == WORD and (buf[choice_at] == _BLANK or buf[choice_at] == _TAB):
            return False
        if buf[choice_at] == 91:
            depth += 1
        elif buf[choice_at] == 93:
            if depth == 0 and _is_between_brackets(buf, choice_at, limit):
                return False  # one field ends here and another begins
            depth -= 1
        choice_at += 1
        pos, step = choice_at, choice + 3
        if table[choice + 1] == 1:
            fields[THREAD_STOP] = choice_at
    fields[TEXT], fields[LAYOUT] = pos, layout
    return True


@uncounted
def _stamp_at(buf, pos, end, table, form, fields):
    """Read a time stamp: of one form, or of any known one (-1), the one that was read last first."""
    if form >= 0:
        return read_stamp(buf, pos, end, table, form, fields)
    known = table[KNOWN]
    hint = fields[FORM] if fields[FORM] < known else 0
    stop = read_stamp(buf, pos, end, table, hint, fields)
    other = 0
    while stop < 0 and other < known:
        if other != hint:
            stop = read_stamp(buf, pos, end, table, other, fields)
        other += 1
    return stop


@uncounted
def _after_level(buf, at, end):
    """Where a time stamp would stand that comes after a bracket, or after a level: `INFO `, `[INFO] `, `INFO [`."""
    pos = at + (buf[at] == 91)
    stop = _level_end(buf, pos, end)
    if stop < 0:
        return pos
    pos = stop
    for bracket in (93, 91):
        while pos < end and buf[pos] == _BLANK:
            pos += 1
        pos += pos < end and buf[pos] == bracket
    while pos < end and buf[pos] == _BLANK:
        pos += 1
    return pos


@uncounted
def _is_vague(buf, at, end, table):
    """Whether a time stamp that says too little stands at `at` (see `layouts.VAGUE`)."""
    for form in range(table[FORMS], table[FORMS] + table[VAGUE]):
        row = table[SHAPES_AT] + form * SHAPE
        stop = at + table[row]
        if stop >= end or not _is_shape(buf, at, table, row) or _digit(buf[stop]):
            continue
        for k in range(table[row]):
            code, byte = table[row + SHAPE_CODES + k], buf[at + k]
            if (code < 8 and not _digit(byte)) or (code == 8 and not _letter(byte)):
                break
        else:
            return True
    return False


@uncounted
def _may_begin(buf, at, end):
    """Whether a line that begins with a blank or a letter begins with a level or a month: few continuation lines do."""
    pos, limit = at, min(end, at + 16)
    while pos < limit and buf[pos] == _BLANK:
        pos += 1
    return _level_end(buf, pos, limit) >= 0 or (at + 3 < end and _letter(buf[at]) and _month(buf, at) < 1000)


@uncounted
def find(buf, at, end, table, fields):
    """What the line at `at` begins with (NONE, GOOD, STRANGE, IMPOSSIBLE); `fields` (FIELDS,) int64 take the head.

    `fields` comes with what the last line had, which is tried first where no earlier layout could fit as well.
    """
    if at >= end or table[FIRST_AT + np.int64(buf[at])] == 0:
        return NONE
    if (buf[at] == _BLANK or _letter(buf[at])) and table[OWN] == 0 and not _may_begin(buf, at, end):
        return NONE
    hint, count = fields[LAYOUT], table[COUNT]
    tried = table[table[SHADOWED_AT] + hint] == 0
    if tried and match(buf, at, end, table, hint, fields):
        return GOOD if fields[TIME] >= 0 else IMPOSSIBLE
    limit = min(end, at + REACH)
    stamped = _stamp_at(buf, at, limit, table, -1, fields) >= 0
    if not stamped:
        start = _after_level(buf, at, limit)
        stamped = start > at and _stamp_at(buf, start, limit, table, -1, fields) >= 0
    for layout in range(count if stamped else table[OWN]):  # the others need a time stamp in a known form
        if (layout != hint or not tried) and match(buf, at, end, table, layout, fields):
            return GOOD if fields[TIME] >= 0 else IMPOSSIBLE
    fields[LAYOUT] = hint
    if stamped:
        return STRANGE if fields[TIME] >= 0 else IMPOSSIBLE
    return STRANGE if _is_vague(buf, at + (buf[at] == 91), limit, table) else NONE


def fields(line: bytes, table: Any) -> np.ndarray | None:
    """The fields of a line's head (FIELDS,) int64, None where it has none."""
    found = np.zeros(FIELDS, np.int64)
    kind = find(np.frombuffer(line or b"\n", np.uint8), 0, len(line), table, found)
    return found if kind == GOOD else None


NO_BOUNDS: Final = np.zeros(0, np.int64)
WINDOW = 64
"""A block id is compared with so many ids before it in its record; the caller makes longer lists distinct."""

_COLON, _UNDERSCORE, _MINUS, _ESCAPE = 58, 95, 45, 27
_PART: Final = 1 << 14  # bytes
_WHICH: Final = 0x0001020304050607  # times the n-th byte's lowest bit it has n as its highest byte
_DIGITS = 19
_EIGHT_DIGITS = np.uint64(10**8)
_CORRUPT, _EXCEPTION = b"corrup", b"exception"
_ALARM_LEVELS = (b"WARN", b"ERROR", b"FATAL")
_BIGGEST = 2**63 - 1
_STRIPED_BELOW = -(2**63) + 2**36
"""Ids of erasure-coded block groups are counted up from the smallest number; older releases drew ids from all 64 bits,
of which fewer than one in 10^8 lies here. The low four bits number a group's internal blocks (HDFS-7285)."""
_INDEX = 15


@njit(cache=True, nogil=True)
def block_keys(buf, count):
    """Numbers of the ids in `count` lines, exactly `blk_<number>` each, and whether it is one: (count,) twice."""
    ids, known = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    one, internal, counts = np.empty(1, np.int64), np.empty(1, np.int64), np.zeros(2, np.int64)
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
            counts[:] = 0
            if whole:
                _block_id(buf, at + 4, stop, one, internal, counts, 0)
            if counts[0] == 1:
                ids[k], known[k] = one[0], True
        at = stop + 1
    return ids, known


@uncounted
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
def last_record(buf, end, table, wrapped):
    """Start of the last line, but the first, that can begin a record, also a `wrapped` one; 0 where there is none."""
    found = np.zeros(FIELDS, np.int64)
    at = end - 1
    while at > 0:
        if buf[at - 1] == _NEWLINE:
            kind = find(buf, at, end, table, found)
            if kind != NONE or (wrapped and is_wrapped(buf, at, end)):
                return at
        at -= 1
    return 0


@uncounted
def is_wrapped(buf, at, end):
    """Whether what another program wrote may stand before the head of a line without one: JSON, syslog, compose."""
    if at + 2 >= end:
        return False
    byte, after = buf[at], buf[at + 1]
    digit = 48 <= byte <= 57
    known = (
        ((byte == 123 or byte == 60 or byte == 34)
         and (after == 34 or after == _BLANK or 48 <= after <= 57 or after == 91))
        or (byte == 91 and after == 112) or (byte == _ESCAPE and after == 91)  # [pod/…], colours
        or (digit and _numbers_between_commas(buf, at, end))  # log4j's CSV
        or (digit and at + 10 < end and buf[at + 10] == 46)  # the journal's seconds since 1970
    )  # fmt: skip
    if known or not 97 <= (byte | 32) <= 122:
        return known
    if at + 15 < end and buf[at + 3] == _BLANK and buf[at + 6] == _BLANK and buf[at + 9] == _COLON:
        return buf[at + 12] == _COLON  # syslog: Jun  1 19:30:54
    if at + 18 < end and buf[at + 3] == _BLANK and buf[at + 14] == _COLON and buf[at + 17] == _COLON:
        return True  # syslog: Jun  1 2025 19:30:54
    if at + 18 < end and buf[at + 3] == _BLANK and buf[at + 8] == _MINUS and buf[at + 11] == _MINUS:
        return True  # journal: Sun 2025-06-01 19:30:54
    pos, limit = at, min(end, at + 200)
    while pos < limit and buf[pos] > _BLANK:
        pos += 1
    first = pos
    while pos < limit and buf[pos] == _BLANK:
        pos += 1
    if pos < limit and buf[pos] == 124:  # docker-compose: name | line
        return True
    while pos < limit and buf[pos] > _BLANK:
        pos += 1
    return pos + 1 < limit and first < pos and _digit(buf[pos + 1])  # stern: pod container line


@uncounted
def _numbers_between_commas(buf, at, end):
    pos, commas = at, 0
    while pos < min(end, at + 60) and commas < 2:
        if buf[pos] == 44:
            commas += 1
        elif not 48 <= buf[pos] <= 57:
            return False
        pos += 1
    return commas == 2


@uncounted
def _eight_digits(letters):
    """The number that eight bytes spell; -1 where not all of them are digits. All are looked at together."""
    x = np.uint64(letters) ^ np.uint64(0x3030303030303030)
    if ((x + np.uint64(0x0606060606060606)) | x) & np.uint64(0xF0F0F0F0F0F0F0F0) != 0:
        return -1
    # Neighbours are put together, by one multiplication each time: 10 * 256 + 1, 100 * 2^16 + 1, 10000 * 2^32 + 1.
    x = (x * np.uint64(2561) >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    x = (x * np.uint64(6553601) >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return np.int64(x * np.uint64(42949672960001) >> np.uint64(32))


@uncounted
def _block_id(buf, at, end, ids, internal, counts, begin):
    """Append the number at `at` to the ids from `begin` on unless it is there, is none or is beyond 64 bits.

    Of an internal block of an erasure-coded group, the group's id goes to the ids
    and its own to `internal`.
    """
    negative = at < end and buf[at] == _MINUS
    if negative:
        at += 1
    value, digits = np.uint64(0), 0
    while digits < 16 and at + 8 <= end and buf[np.uint64(at)] != _ZERO:
        eight = _eight_digits(word(buf, at))
        if eight < 0:
            break
        value, digits, at = value * _EIGHT_DIGITS + np.uint64(eight), digits + 8, at + 8
    while at < end and 48 <= buf[at] <= 57:
        if digits < _DIGITS:
            value = value * np.uint64(10) + np.uint64(buf[at] - _ZERO)
        if digits > 0 or buf[at] != _ZERO:
            digits += 1
        at += 1
        if digits == 0:
            digits = 0 if at < end and 48 <= buf[at] <= 57 else 1  # a number of zeros alone is 0
    if digits == 0 or digits > _DIGITS or value > np.uint64(_BIGGEST) + np.uint64(negative):
        return
    number = -np.int64(value) if negative else np.int64(value)
    if number < _STRIPED_BELOW and number & _INDEX:
        internal[counts[1]] = number
        counts[1] += 1
        number -= number & _INDEX
    for k in range(max(begin, counts[0] - WINDOW), counts[0]):
        if ids[k] == number:
            return
    ids[counts[0]] = number
    counts[0] += 1


@uncounted
def _bare_id(buf, at, start, end, ids, internal, counts, begin):
    """Take the id of `blockId=7`, `blockid: 7` or `"block_id":7`, whose `d` stands at `at`."""
    word = at - 2
    if word > start and (buf[word] == _UNDERSCORE or buf[word] == _BLANK):
        word -= 1
    if word - 2 < start or (buf[word] | 32) != 107:
        return
    short = (buf[word - 1] | 32) == 108 and (buf[word - 2] | 32) == 98  # blk
    long = word - 4 >= start and (buf[word - 1] | 32) == 99 and (buf[word - 2] | 32) == 111
    if not (short or (long and (buf[word - 3] | 32) == 108 and (buf[word - 4] | 32) == 98)):
        return
    at += 1
    while at < end and (buf[at] == 34 or buf[at] == _COLON or buf[at] == 61 or buf[at] == _BLANK):
        at += 1
    stop = at + (at < end and buf[at] == _MINUS)
    while stop < end and 48 <= buf[stop] <= 57:
        stop += 1
    if stop < end and 97 <= (buf[stop] | 32) <= 122 and buf[stop] != _UNDERSCORE:
        return  # a word that begins with digits
    _block_id(buf, at, end, ids, internal, counts, begin)


@uncounted
def _id_before(buf, at, start, end, ids, internal, counts, begin):
    """Take the id of `7_BP-…`, as Hadoop writes a block with its pool; its `_` stands at `at`."""
    if at + 3 >= end or buf[at + 1] != 66 or buf[at + 2] != 80 or buf[at + 3] != _MINUS:
        return
    first = at
    while first > start and 48 <= buf[first - 1] <= 57:
        first -= 1
    if first == at:
        return
    if first > start and buf[first - 1] == _MINUS:
        first -= 1
    before = buf[first - 1] if first > start else np.uint8(_BLANK)
    if before != _UNDERSCORE and not 97 <= (before | 32) <= 122:
        _block_id(buf, first, at, ids, internal, counts, begin)


@uncounted
def _pool_end(buf, at, start, end):
    """Where the id of a block pool (`BP-<number>-<address>-<time>`) ends whose first `-` is at `at`; or -1."""
    if at - 3 >= start and (97 <= (buf[at - 3] | 32) <= 122 or 48 <= buf[at - 3] <= 57):
        return -1
    stop, dashes = at + 1, 0
    while stop < end:
        byte = buf[stop]
        if byte == _MINUS:
            dashes += 1
        elif not (48 <= byte <= 57 or 97 <= (byte | 32) <= 122 or byte == 46 or (byte == _COLON and dashes == 1)):
            break  # an address of IPv6 has colons
        stop += 1
    return stop if dashes >= 2 and 48 <= buf[stop - 1] <= 57 and 48 <= buf[at + 1] <= 57 else -1


@njit(cache=True, nogil=True)
def views(buf, spans, text):
    """Arrow's string views (n, 4) int32 of one of `TEXTS`, by the `spans` of a scan of `buf`.

    Each is a length and then a prefix, a buffer (0) and an offset, or up to twelve bytes inline.
    """
    made = np.zeros((len(spans), 4), np.int32)
    for row in range(len(spans)):
        start, stop = spans[row, 2 * text], spans[row, 2 * text + 1]
        made[row, 0] = length = stop - start
        if length > 12:
            at = np.uint64(start)
            first = np.uint32(buf[at]) | np.uint32(buf[at + np.uint64(1)]) << np.uint32(8)
            first |= np.uint32(buf[at + np.uint64(2)]) << np.uint32(16)
            made[row, 1] = np.int32(first | np.uint32(buf[at + np.uint64(3)]) << np.uint32(24))
            made[row, 3] = start
        else:
            for k in range(length):
                made[row, 1 + k // 4] |= np.int32(np.uint32(buf[start + k]) << np.uint32(8 * (k % 4)))
    return made


@uncounted
def _is_mark(before2, before, byte, after):
    """Whether a byte asks for a closer look.

    Those are a line's end, `k_`, `_B` after a number, `id` before `:`, `=` or a quote, `BP-`, and the `pt` of exception
    and corrupt.
    """
    block = (byte == _UNDERSCORE) & ((before == 107) | (after == 66))
    bare = ((byte | 32) == 100) & ((before | 32) == 105) & ((after == _COLON) | (after == 61) | (after == 34))
    pool = (byte == _MINUS) & (before == 80) & (before2 == 66)
    trouble = ((byte | 32) == 116) & ((before | 32) == 112) & (((before2 | 32) == 101) | ((before2 | 32) == 117))
    return (byte == _NEWLINE) | block | bare | pool | trouble


@njit(cache=True, nogil=True)
def _marks(buf, end):
    """Where the bytes stand that need a look (k,) int32, part after part, so that each stays in the fastest memory."""
    places, are, count = np.empty(end + 8, np.int32), np.zeros(_PART, np.bool_), 0
    words = are.view(np.int64)
    for start in range(0, end, _PART):
        stop = min(start + _PART, end)
        _look(buf, start, stop, end, are)
        count = _add_places(words, start, stop - start, places, count)
    return places[:count]


@uncounted
def _look(buf, start, stop, end, are):
    """Which bytes of buf[start:stop] are marks, in `are`, the rest of which is False."""
    first, last = max(start, 2), min(stop, end - 1)  # those with two bytes before and one after them
    are[:] = False
    if last > first:
        before2, before = buf[first - 2 : last - 2], buf[first - 1 : last - 1]
        byte, after, inner = buf[first:last], buf[first + 1 : last + 1], are[first - start : last - start]
        for at in range(last - first):  # without branches: vectorised
            inner[at] = _is_mark(before2[at], before[at], byte[at], after[at])
    for at in (0, 1, end - 1):
        if start <= at < stop:
            are[at - start] |= buf[at] == _NEWLINE


@uncounted
def _add_places(words, start, length, places, count):
    """Append where the marks of a part stand. Eight bytes are looked at together: most have no mark."""
    for at in range((length + 7) // 8):
        marks = words[at]
        while marks != 0:
            lowest = marks & -marks
            places[count] = start + 8 * at + (lowest * _WHICH >> 56)
            count += 1
            marks ^= lowest
    return count


@uncounted
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


@uncounted
def _is_alarm_level(buf, at, stop):
    """Whether the level in buf[at:stop] begins like WARN, ERROR or FATAL, in whatever case."""
    for level in _ALARM_LEVELS:
        if stop - at >= len(level):
            for k in range(len(level)):
                if buf[at + k] & 223 != level[k]:
                    break
            else:
                return True
    return False


TEXTS: Final = ("origin", "level", "logger", "thread", "message", "more")
"""The texts of a record; `origin` is what stands between time stamp and message."""
_ORIGIN, _LEVEL, _LOGGED, _THREAD, MESSAGE, _MORE, _POOL = range(7)


class Scan(NamedTuple):
    """Records of a buffer, n of them.

    `number` (n,) int64 counts the lines before each; `place` (n,) int64 is where its time stamp stands, -1 without one;
    `time` (n,) int64 microseconds as written, -1 where it is no record; `shift` (n,) int64 minutes east of UTC,
    `NO_ZONE` where the line does not say; `head` (n,) int32 the code of layout and form (see `Layouts`); `kind` (n,)
    uint8 as `scan.find` gives it; `alarm` (n,) uint8. `spans` (n, 14) int32 says where each of `TEXTS` begins and ends,
    and last where the record names its block pool; both are 0 of what it does not have. `offsets` (n + 1,) int32 and
    `ids` (m,) int64 are the block ids, `internal_offsets` and `internal` the internal blocks of erasure-coded groups.
    `lines` counts all lines, `wrapped` (w,) int64 says where those begin that another program may have wrapped. A line
    before the first head is a record of its own, whole in `message`.
    """

    number: np.ndarray
    place: np.ndarray
    time: np.ndarray
    shift: np.ndarray
    head: np.ndarray
    kind: np.ndarray
    alarm: np.ndarray
    spans: np.ndarray
    offsets: np.ndarray
    ids: np.ndarray
    internal_offsets: np.ndarray
    internal: np.ndarray
    lines: int
    wrapped: np.ndarray

    def text(self, text: int) -> tuple[np.ndarray, np.ndarray]:
        """Where one of `TEXTS` begins in each record (n,) and where it ends (n,)."""
        return self.spans[:, 2 * text], self.spans[:, 2 * text + 1]

    def bytes(self) -> np.ndarray:
        """How many bytes each record has without its time stamp: (n,)."""
        origin, message, more = (stop - start for start, stop in map(self.text, (_ORIGIN, MESSAGE, _MORE)))
        return origin + message + more

    @property
    def pool(self) -> np.ndarray:
        """Where each record names its block pool (n, 2)."""
        return self.spans[:, 2 * _POOL :]


def scan(buf: np.ndarray, end: int, table: Any, bounds: np.ndarray = NO_BOUNDS) -> Scan:
    """Records of buf[:end], whose lines begin as the layouts of `table` say.

    At each of `bounds` (k,) int64 a record begins, whatever stands there. Those are starts of lines, in their order.
    """
    return Scan(*_walk(buf, end, table, bounds, _marks(buf, end)))


@njit(cache=True, nogil=True)
def _walk(buf, end, table, bounds, marks):
    """The scan itself, from mark to mark; `marks` (k,) int32 are the places of the bytes that need a look."""
    most = len(marks) + 1  # lines, and ids: what is not needed is not touched
    number, place, time = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    shift, head = np.empty(most, np.int64), np.empty(most, np.int32)
    kinds, alarm = np.empty(most, np.uint8), np.empty(most, np.uint8)
    spans = np.empty((most, 14), np.int32)
    offsets, internal_offsets = np.empty(most + 1, np.int32), np.empty(most + 1, np.int32)
    ids, internal, counts = np.empty(most, np.int64), np.empty(most, np.int64), np.zeros(2, np.int64)
    strange, sizes, fields = np.empty(most, np.int64), np.zeros(3, np.int64), np.zeros(FIELDS, np.int64)
    made = (number, place, time, shift, head, kinds, alarm, spans, offsets, ids, internal_offsets, internal, strange)
    _fill(buf, end, table, bounds, marks, (fields, counts, sizes), made)
    n, line, wrapped = sizes[0], sizes[1], sizes[2]
    return (
        number[:n], place[:n], time[:n], shift[:n], head[:n], kinds[:n], alarm[:n],
        spans[:n], offsets[: n + 1], ids[: counts[0]], internal_offsets[: n + 1], internal[: counts[1]],
        line, strange[:wrapped],
    )  # fmt: skip


@uncounted
def _fill(buf, end, table, bounds, marks, found, made):
    """Fill the arrays that the scan has `made`.

    What was `found` last: fields of a head, numbers of ids and of internal ones, of records, lines and `wrapped`.
    """
    fields, counts, sizes = found
    number, place, time, shift, head, kinds, alarm, spans, offsets, ids, internal_offsets, internal, strange = made
    forms = table[FORMS]
    at = line = mark = wrapped = bound = 0
    row, headed, more_start, more_stop = -1, False, 0, 0
    while at < end:
        start = at
        kind = find(buf, at, end, table, fields)
        forced = bound < len(bounds) and bounds[bound] == at
        bound += forced
        if kind == STRANGE or (kind == NONE and is_wrapped(buf, at, end)):
            strange[wrapped] = at
            wrapped += 1
        if kind != NONE or forced or not headed:
            if headed:
                _put(spans, row, _MORE, more_start, more_stop)
            row += 1
            headed, more_start, more_stop = kind != NONE, 0, 0
            offsets[row], internal_offsets[row] = counts[0], counts[1]
            number[row], kinds[row] = line, kind
            time[row], place[row], shift[row], head[row], alarm[row] = -1, -1, NO_ZONE, 0, 0
            for k in range(spans.shape[1]):
                spans[row, k] = 0
        while mark < len(marks) and buf[marks[mark]] != _NEWLINE:
            at = marks[mark]
            byte = buf[at]
            if byte == _UNDERSCORE:
                if at - start >= 3 and buf[at - 1] == 107 and buf[at - 2] == 108 and buf[at - 3] == 98:
                    _block_id(buf, at + 1, end, ids, internal, counts, offsets[row])
                else:
                    _id_before(buf, at, start, end, ids, internal, counts, offsets[row])
            elif byte == _MINUS:
                stop = _pool_end(buf, at, start, end) if spans[row, 2 * _POOL + 1] == 0 else -1
                if stop > 0:
                    _put(spans, row, _POOL, at - 2, stop)
            elif (byte | 32) == 100:
                _bare_id(buf, at, start, end, ids, internal, counts, offsets[row])
            elif not alarm[row]:
                alarm[row] = _is_trouble(buf, at, start, end)
            mark += 1
        at = marks[mark] if mark < len(marks) else end
        mark += 1
        stop = at - (at > start and buf[at - 1] == _RETURN)
        if kind == GOOD:
            time[row], place[row], shift[row] = fields[TIME], fields[AT], fields[SHIFT]
            head[row] = fields[LAYOUT] * forms + fields[FORM]
            _put(spans, row, _ORIGIN, fields[AFTER], fields[TEXT])
            _put(spans, row, _LEVEL, fields[LEVEL_AT], fields[LEVEL_STOP])
            _put(spans, row, _LOGGED, fields[LOGGER_AT], fields[LOGGER_STOP])
            _put_trimmed(spans, row, buf, fields[THREAD_AT], fields[THREAD_STOP])
            _put(spans, row, MESSAGE, fields[TEXT], stop)
            alarm[row] |= _is_alarm_level(buf, fields[LEVEL_AT], fields[LEVEL_STOP])
        elif kind != NONE or not headed:
            _put(spans, row, MESSAGE, start, stop)
        else:
            if more_start == 0:
                more_start = start
            more_stop = stop
        line += 1
        at += 1
    if headed:
        _put(spans, row, _MORE, more_start, more_stop)
    n = row + 1
    offsets[n], internal_offsets[n] = counts[0], counts[1]
    sizes[0], sizes[1], sizes[2] = n, line, wrapped


@uncounted
def _put(spans, row, text, start, stop):
    if stop > start:
        spans[row, 2 * text], spans[row, 2 * text + 1] = start, stop


@uncounted
def _put_trimmed(spans, row, buf, start, stop):
    while start < stop and buf[start] == _BLANK:
        start += 1
    while stop > start and buf[stop - 1] == _BLANK:
        stop -= 1
    _put(spans, row, _THREAD, start, stop)


@njit(cache=True, nogil=True)
def equal(buf, spans, text):
    """Whether each span (n, 2) of `buf` holds `text`: (n,) bool."""
    are = np.zeros(len(spans), np.bool_)
    for row in range(len(spans)):
        start, stop = spans[row, 0], spans[row, 1]
        are[row] = stop - start == len(text) and _same(text, buf, start)
    return are


@uncounted
def _same(text, buf, at):
    """Whether `text` stands in `buf` at `at`, which is long enough."""
    k, length = 0, len(text)
    while k + 8 <= length:
        if word(text, k) != word(buf, at + k):
            return False
        k += 8
    while k < length:
        if text[k] != buf[at + k]:
            return False
        k += 1
    return True
