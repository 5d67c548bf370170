"""One pass over the lines of an access log: fields of each request, as places in the bytes and as numbers.

Compiled by numba (cached on disk, released from the interpreter's lock). A layout is a short program of steps (see
`formats`). Layouts that begin alike share the steps of their beginning: the programs are one tree, and where it forks
the alternatives are tried in their order, always the same one. So what a line becomes depends on that line alone.

All of it stands in one file, since numba's cache notices changes of a function's own file only.
"""

from typing import Final

import numpy as np
from numba import njit

from hdfs_pipeline.scoring.compiled import uncounted, word

BLANK, LITERAL, TOKEN, UNTIL, QUOTED, LAST, ADDRESS, STAMP = range(8)
EPOCH, NUMBER, STATUS_CODE, DURATION, LOGGER, MORE, END, FORK = range(8, 16)
"""Steps of a program; each is a row of `STEP` numbers: what, field, three arguments.

BLANK: one or more blanks or tabs. LITERAL: bytes of the table (where, how many). TOKEN: up to a byte (argument 1; -1:
the end of the line). UNTIL: up to a literal. QUOTED: up to the quote that closes. LAST: a word, which a byte
(argument 2) ends, up to its last byte of a kind. ADDRESS: a word with a dot or a colon. STAMP: a date and time. EPOCH:
a time since 1970 (argument 1: microseconds of its unit). NUMBER, STATUS_CODE. DURATION: a number (argument 1: likewise;
2: 1 where it must have a fraction, 2 where it must have none, 3 where it may be a list, 4 where it is added).
LOGGER: what log4j writes before Hadoop's requests. MORE: whatever is left. END: the end of the line (argument 1: the
layout). FORK: where the next alternative stands."""
STEP: Final = 5
TEXTS: Final = ("service", "client", "account", "method", "path", "query", "protocol", "referer", "agent")
SERVICE, CLIENT, ACCOUNT, METHOD, PATH, QUERY, PROTOCOL, REFERER, AGENT = range(9)
REQUEST, ADDRESS_OF = 9, 10
"""Fields of text that are taken apart: the line of a request, and path and query in one."""
TIME, SHIFT, STATUS, BYTES, REQUEST_BYTES, RESPONSE, UPSTREAM = range(11, 18)
"""Fields of numbers: microseconds as written, minutes east of UTC, microseconds of the answer, of those behind it."""
FIELDS: Final = 18
NO_FIELD: Final = -1
NO_ZONE: Final = -(2**31)
NUMBERS: Final = ("time", "shift", "status", "bytes", "request_bytes", "response_us")

GOOD, STRANGE, IMPOSSIBLE, EMPTY, JSON, WRAPPED, BROKEN, NO_REQUEST = range(8)
"""What a line is: a request, nothing known, a request at a time that cannot be, nothing at all, a JSON object, a line
in quotes that are to be taken off; what JSON can be besides: broken, and no request."""

PROGRAM, MASKS, WHOLE_URL = range(3)
"""The table's beginning: where the first step stands; where for each layout the bits of its fields stand, and whether
its requests name whole addresses."""
_NUMBERS_AT: Final = 22  # in the work array: after two places of each text
_LAYOUT, _FAR, _AT, _DATE, _DAYS, _MINUTE, _KEPT = range(33, 40)
WORK: Final = 43
_BUDGET: Final = 400  # alternatives of one line, so that no line takes long
_LONGEST_METHOD: Final = 32
_BLANK, _TAB, _QUOTE, _BACKSLASH, _ZERO, _MINUS, _DOT, _COLON, _SLASH, _NEWLINE = 32, 9, 34, 92, 48, 45, 46, 58, 47, 10
_EIGHT: Final = 0x0101010101010101  # a byte of a word, eight times
_TOPS: Final = -0x7F7F7F7F7F7F7F80  # the top bit of each byte of a word
_LAST_YEAR: Final = 2261
_MONTHS = np.array(
    [
        ((ord(name[0]) - 97) * 26 + ord(name[1]) - 97) * 26 + ord(name[2]) - 97
        for name in ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    ]
)
_LOGGER = np.frombuffer(b"http.requests.", np.uint8)


@uncounted
def _digit(byte):
    return _ZERO <= byte <= 57


@uncounted
def _two(buf, at):
    """The number that two digits spell; 1000 or more where one of them is none."""
    high, low = np.int64(buf[at]) - _ZERO, np.int64(buf[at + 1]) - _ZERO
    return high * 10 + low if (0 <= high <= 9) & (0 <= low <= 9) else 1000


@uncounted
def _month(buf, at):
    name = 0
    for k in range(3):
        name = name * 26 + (np.int64(buf[at + k]) | 32) - 97
    for k in range(12):
        if _MONTHS[k] == name:
            return k + 1
    return 1000


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
def _minute(year, month, day, hour, minute, f):
    """Microseconds of a minute since 1970, -1 where there is none. The last day is remembered in `f`."""
    if hour > 23 or minute > 59:
        return -1
    date = (year * 100 + month) * 100 + day + 1
    if f[_DATE] != date:
        f[_DATE], f[_DAYS] = date, _days(year, month, day)
    days = f[_DAYS]
    return ((days * 24 + hour) * 60 + minute) * 60_000_000 if days >= 0 else -1


@uncounted
def read_stamp(buf, at, end, f):
    """Read `10/Oct/2000:13:55:36 -0700` or `2000-10-10T13:55:36.123+02:00` into `f`; where it ends, -1 without one.

    The time is -1 where it cannot be.
    """
    if at + 19 > end:
        return -1
    common = buf[at + 2] == _SLASH
    second_at = at + (18 if common else 17)
    if second_at + 2 > end or buf[second_at - 1] != _COLON:
        return -1
    second = _two(buf, second_at)
    if f[_KEPT] == common + 1 and (
        word(buf, at) == f[_KEPT + 1] and word(buf, second_at - 9) == f[_KEPT + 2]
        and word(buf, second_at - 10) == f[_KEPT + 3]
    ):  # fmt: skip
        minute = f[_MINUTE]
    else:
        minute = _common(buf, at, f) if common else _iso(buf, at, f)
        if minute < -1:
            return -1
        f[_KEPT], f[_MINUTE] = common + 1, minute
        f[_KEPT + 1], f[_KEPT + 2], f[_KEPT + 3] = word(buf, at), word(buf, second_at - 9), word(buf, second_at - 10)
    if second >= 1000:
        return -1
    time = minute + second * 1_000_000 if minute >= 0 and second < 60 else -1
    pos = second_at + 2
    if pos + 1 < end and (buf[pos] == _DOT or buf[pos] == 44) and _digit(buf[pos + 1]):
        pos += 1
        unit, micro = 100_000, 0
        while pos < end and _digit(buf[pos]):
            micro += (np.int64(buf[pos]) - _ZERO) * unit
            unit //= 10
            pos += 1
        time = time + micro if time >= 0 else -1
    f[_NUMBERS_AT], f[_NUMBERS_AT + 1] = time, NO_ZONE
    return _zone(buf, pos, end, f)


@uncounted
def _common(buf, at, f):
    """The minute of `10/Oct/2000:13:55:…`; -1 where there is no such minute, -2 where none is spelt."""
    if buf[at + 6] != _SLASH or buf[at + 11] != _COLON or buf[at + 14] != _COLON:
        return -2
    day, month, century = _two(buf, at), _month(buf, at + 3), _two(buf, at + 7)
    year, hour, minute = _two(buf, at + 9), _two(buf, at + 12), _two(buf, at + 15)
    if max(day, month, century, year, hour, minute) >= 1000:
        return -2
    return _minute(century * 100 + year, month, day, hour, minute, f)


@uncounted
def _iso(buf, at, f):
    """The minute of `2000-10-10T13:55:…`, as `_common`."""
    if buf[at + 4] != _MINUS or buf[at + 7] != _MINUS or buf[at + 13] != _COLON:
        return -2
    if buf[at + 10] != _BLANK and (buf[at + 10] | 32) != 116:
        return -2
    century, year, month = _two(buf, at), _two(buf, at + 2), _two(buf, at + 5)
    day, hour, minute = _two(buf, at + 8), _two(buf, at + 11), _two(buf, at + 14)
    if max(day, month, century, year, hour, minute) >= 1000:
        return -2
    return _minute(century * 100 + year, month, day, hour, minute, f)


@uncounted
def _zone(buf, pos, end, f):
    """Read `Z`, `+02:00`, ` -0700` or ` GMT` at `pos`, where one stands, and return where it ends."""
    at = pos + (pos < end and buf[pos] == _BLANK)
    if at < end and (buf[at] | 32) == 122:
        f[_NUMBERS_AT + 1] = 0
        return at + 1
    if at + 3 <= end and ((buf[at] == 71 and buf[at + 1] == 77 and buf[at + 2] == 84)
                          or (buf[at] == 85 and buf[at + 1] == 84 and buf[at + 2] == 67)):  # fmt: skip
        f[_NUMBERS_AT + 1] = 0
        return at + 3
    if at + 5 > end or (buf[at] != 43 and buf[at] != _MINUS):
        return pos
    colon = buf[at + 3] == _COLON
    if at + 5 + colon > end:
        return pos
    hours, minutes = _two(buf, at + 1), _two(buf, at + 3 + colon)
    if hours > 18 or minutes > 59:
        return pos
    shift = hours * 60 + minutes
    f[_NUMBERS_AT + 1] = -shift if buf[at] == _MINUS else shift
    return at + 5 + colon


@uncounted
def _number(buf, pos, end):
    """A whole number of up to 18 digits at `pos`, and where it ends; (-1, -1) where there is none."""
    start, value = pos, 0
    while pos < end and _digit(buf[pos]):
        if pos - start >= 18:
            return -1, -1
        value = value * 10 + np.int64(buf[pos]) - _ZERO
        pos += 1
    if pos == start:
        return -1, -1
    return value, pos


@uncounted
def _duration(buf, pos, end, unit, form):
    """Microseconds of a time of `unit` microseconds at `pos` (-1: it says that there is none), and where it ends.

    -1 as the end where there is none of the form.
    """
    total, known = 0, False
    while True:
        if pos < end and buf[pos] == _MINUS:
            pos += 1
            if pos < end and buf[pos] == 49 and not (pos + 1 < end and _digit(buf[pos + 1])):  # -1
                pos += 1
        else:
            whole, stop = _number(buf, pos, end)
            if stop < 0 or whole > 4_000_000_000_000_000 // unit:
                return -1, -1
            fraction = stop + 1 < end and buf[stop] == _DOT and _digit(buf[stop + 1])
            if (form == 1 and not fraction) or (form == 2 and fraction):
                return -1, -1
            total += whole * unit
            known = True
            pos = stop
            if fraction:
                pos += 1
                part, scale = 0, 1
                while pos < end and _digit(buf[pos]):
                    if scale < 1_000_000:
                        part, scale = part * 10 + np.int64(buf[pos]) - _ZERO, scale * 10
                    pos += 1
                total += part * unit // scale
        if form != 3:
            break
        after = pos
        while after < end and (buf[after] == _BLANK or buf[after] == 44 or buf[after] == _COLON):
            after += 1
        separated = False
        for k in range(pos, after):
            separated |= buf[k] != _BLANK
        if not separated or after >= end or not (_digit(buf[after]) or buf[after] == _MINUS):
            break
        pos = after
    return (total if known else -1), pos


@uncounted
def _is_literal(buf, pos, end, table, at, length):
    if pos + length > end:
        return False
    for k in range(length):  # noqa: SIM110 - numba compiles no generators
        if np.int64(buf[pos + k]) != table[at + k]:
            return False
    return True


@uncounted
def _closing(buf, pos, end, lenient):
    """Where the quote stands that closes what begins at `pos`; -1 where none does. Where `lenient`, any quote does."""
    while pos < end:
        while pos + 8 <= end:
            eight = word(buf, pos)
            if _holds(eight, _QUOTE) or _holds(eight, _BACKSLASH):
                break
            pos += 8
        stop = min(end, pos + 8)
        while pos < stop:
            byte = buf[pos]
            if byte == _QUOTE:
                return pos
            pos += 1 + (byte == _BACKSLASH and not lenient)
    return -1


@uncounted
def _holds(eight, byte):
    """Whether one of the eight bytes of a word is `byte` (below 128; Mycroft's test for a zero byte)."""
    others = eight ^ (_EIGHT * byte)
    return ((others - _EIGHT) & ~others & _TOPS) != 0


@uncounted
def _token(buf, pos, end, delimiter):
    """Where the text at `pos` ends that a byte delimits; a blank delimits one that is not empty."""
    if delimiter < 0:
        return end
    stop = pos
    if delimiter == _BLANK:
        while stop < end and buf[stop] != _BLANK and buf[stop] != _TAB:
            stop += 1
        return stop if stop > pos else -1
    while stop < end and buf[stop] != delimiter:
        stop += 1
    return stop


@uncounted
def _last(buf, pos, end, delimiter, after):
    """Where the last `delimiter` stands of the word at `pos`, which ends before a byte `after`; -1 without one."""
    found = -1
    while pos < end and buf[pos] != _BLANK and buf[pos] != _TAB and buf[pos] != _QUOTE and buf[pos] != after:
        if buf[pos] == delimiter:
            found = pos
        pos += 1
    return found


@uncounted
def _address(buf, pos, end):
    """Where a word with a dot or a colon ends, -1 where there is none."""
    start, seen = pos, False
    while pos < end and buf[pos] != _BLANK and buf[pos] != _TAB:
        seen |= buf[pos] == _DOT or buf[pos] == _COLON
        pos += 1
    return pos if seen and pos > start else -1


@uncounted
def _after_logger(buf, pos, end, f):
    """Where the request begins after `… INFO http.requests.namenode: `, whose last part is the service; or -1."""
    limit = min(end, pos + 200)
    while pos + 15 < limit:
        fits = True
        for k in range(len(_LOGGER)):
            if buf[pos + k] != _LOGGER[k]:
                fits = False
                break
        if fits:
            start = pos + len(_LOGGER)
            stop = start
            while stop < limit and buf[stop] != _COLON and buf[stop] != _BLANK:
                stop += 1
            f[2 * SERVICE], f[2 * SERVICE + 1] = start, stop
            while stop < limit and buf[stop] != _COLON:
                stop += 1
            stop += 1
            while stop < end and buf[stop] == _BLANK:
                stop += 1
            return stop
        pos += 1
    return -1


@uncounted
def _take(buf, pos, end, table, pc, f, lenient):
    """Do one step at `pos`; where what it takes ends, -1 where it does not fit."""
    what, field, one, two = table[pc], table[pc + 1], table[pc + 2], table[pc + 3]
    if what == BLANK:
        start = pos
        while pos < end and (buf[pos] == _BLANK or buf[pos] == _TAB):
            pos += 1
        return pos if pos > start else -1
    if what == LITERAL:
        return pos + two if _is_literal(buf, pos, end, table, one, two) else -1
    if what == STAMP:
        return read_stamp(buf, pos, end, f)
    if what == STATUS_CODE:
        if pos < end and buf[pos] == _MINUS:
            f[_NUMBERS_AT + STATUS - TIME] = 0
            return pos + 1
        value, stop = _number(buf, pos, min(end, pos + 4))
        if value > 999:
            return -1
        f[_NUMBERS_AT + STATUS - TIME] = value
        return stop
    if what == NUMBER:
        if pos < end and buf[pos] == _MINUS:
            value, stop = -1, pos + 1
        else:
            value, stop = _number(buf, pos, end)
        if stop >= 0:
            f[_NUMBERS_AT + field - TIME] = value
        return stop
    if what == DURATION:
        value, stop = _duration(buf, pos, end, one, two)
        if stop >= 0:
            at = _NUMBERS_AT + field - TIME
            f[at] = value if two != 4 else (-1 if value < 0 or f[at] < 0 else f[at] + value)
        return stop
    if what == EPOCH:
        value, stop = _duration(buf, pos, end, one, 0)
        if stop >= 0:
            f[_NUMBERS_AT], f[_NUMBERS_AT + 1] = value, 0
        return stop
    if what == LOGGER:
        return _after_logger(buf, pos, end, f)
    if what == MORE:
        return -1 if lenient else end
    if what == UNTIL:
        stop = pos
        while stop < end and not _is_literal(buf, stop, end, table, one, two):
            stop += 1
        if stop >= end:
            return -1
    elif what == LAST:
        stop = _last(buf, pos, end, one, two)
    elif what == ADDRESS:
        stop = _address(buf, pos, end)
    elif what == QUOTED:
        stop = _closing(buf, pos, end, lenient)
    else:
        stop = _token(buf, pos, end, one)
    if stop >= 0 and field >= 0:
        f[2 * field], f[2 * field + 1] = pos, stop
    return stop


@uncounted
def match(buf, at, end, table, f, stack, lenient):
    """Read a line into `f` by the first alternative that fits all of it. Returns whether one does.

    Where `lenient`, a quote may stand inside of quotes: each one is tried as the one that closes. `stack` has room for
    what is still to be tried: (step, place, where to look for the next quote). `f` then also says how far the best
    alternative came, and at which step.
    """
    pc, pos, depth, tries = table[PROGRAM], at, 0, 0
    for k in range(_NUMBERS_AT):
        f[k] = 0
    for k in range(_NUMBERS_AT, _NUMBERS_AT + FIELDS - TIME):
        f[k] = -1
    f[_NUMBERS_AT + 1], f[_NUMBERS_AT + 2] = NO_ZONE, 0
    while True:
        what = table[pc]
        if what == FORK:
            stack[depth, 0], stack[depth, 1], stack[depth, 2] = table[pc + 2], pos, -1
            depth += 1
            pc += STEP
            continue
        if what == END:
            stop = pos
            while stop < end and (buf[stop] == _BLANK or buf[stop] == _TAB):
                stop += 1
            if stop == end:
                _keep_only(table, table[pc + 2], f, tries)
                return True
            stop = -1
        else:
            stop = _take(buf, pos, end, table, pc, f, lenient)
            if stop >= 0 and what == QUOTED and lenient and depth < len(stack):
                stack[depth, 0], stack[depth, 1], stack[depth, 2] = pc, pos, stop + 1
                depth += 1
        if stop >= 0:
            pos = stop
            pc += STEP
            continue
        if pos > f[_FAR]:
            f[_FAR], f[_AT] = pos, pc
        while stop < 0:
            tries += 1
            if depth == 0 or tries > _BUDGET:
                return False
            depth -= 1
            pc, pos = stack[depth, 0], stack[depth, 1]
            if stack[depth, 2] < 0:
                break
            stop = _closing(buf, stack[depth, 2], end, True)
            if stop >= 0:
                field = table[pc + 1]
                if field >= 0:
                    f[2 * field], f[2 * field + 1] = pos, stop
                stack[depth, 2] = stop + 1
                depth += 1
                pos = stop
                pc += STEP


@uncounted
def _keep_only(table, layout, f, tries):
    """Note the layout, and forget what alternatives that did not fit have left in fields that it has not."""
    f[_LAYOUT] = layout
    if tries == 0:
        return
    mask = table[table[MASKS] + layout]
    for field in range(TIME):
        if not mask >> field & 1:
            f[2 * field] = f[2 * field + 1] = 0
    for field in range(TIME, FIELDS):
        if not mask >> field & 1 and field != SHIFT:
            f[_NUMBERS_AT + field - TIME] = 0 if field == STATUS else -1


@uncounted
def _put(spans, row, text, start, stop):
    """Note a text. What is empty, or a lone `-` or `""`, which stand for nothing, is none."""
    if stop > start:
        spans[row, 2 * text], spans[row, 2 * text + 1] = start, stop


@uncounted
def _is_nothing(buf, start, stop):
    return (stop - start == 1 and buf[start] == _MINUS) or (
        stop - start == 2 and buf[start] == _QUOTE and buf[start + 1] == _QUOTE
    )


@uncounted
def _split_url(buf, start, stop, spans, row):
    """Path and query of an address: the query begins after the first `?`."""
    at = start
    while at + 8 <= stop and not _holds(word(buf, at), 63):
        at += 8
    while at < stop and buf[at] != 63:
        at += 1
    _put(spans, row, PATH, start, at)
    _put(spans, row, QUERY, at + 1, stop)


@uncounted
def _split_request(buf, start, stop, spans, row, whole_url):
    """Method, address and protocol of the first line of a request; what is no such line counts as a method."""
    while stop > start and buf[stop - 1] == _BLANK:
        stop -= 1
    if _is_nothing(buf, start, stop):
        return
    at = start
    while at < stop and buf[at] != _BLANK:
        at += 1
    if at > start and buf[start] == _SLASH:  # an address without a method
        at = start
    _put(spans, row, METHOD, start, _cut(buf, start, min(at, start + _LONGEST_METHOD)))
    while at < stop and buf[at] == _BLANK:
        at += 1
    last = stop
    while last > at and buf[last - 1] != _BLANK:
        last -= 1
    if stop - last >= 5 and buf[last] == 72 and buf[last + 1] == 84 and buf[last + 2] == 84 and buf[last + 3] == 80:
        _put(spans, row, PROTOCOL, last, stop)
        stop = last
        while stop > at and buf[stop - 1] == _BLANK:
            stop -= 1
    if whole_url:
        at = _after_host(buf, at, stop, spans, row)
    _split_url(buf, at, stop, spans, row)


@uncounted
def _cut(buf, start, stop):
    """The end of a text that is cut at `stop`, so that no letter of UTF-8 is cut in two."""
    while stop > start and stop < len(buf) and buf[stop] & 192 == 128:
        stop -= 1
    return stop


@uncounted
def _after_host(buf, at, stop, spans, row):
    """Where the path begins of `https://host:443/path`; the host is the service where nothing else is."""
    colon = at
    while colon < stop and 97 <= (buf[colon] | 32) <= 122:
        colon += 1
    if colon == at or colon + 3 > stop or buf[colon] != _COLON or buf[colon + 1] != _SLASH or buf[colon + 2] != _SLASH:
        return at
    host = colon + 3
    path = host
    while path < stop and buf[path] != _SLASH and buf[path] != 63:
        path += 1
    if spans[row, 2 * SERVICE + 1] == 0:
        _put(spans, row, SERVICE, host, path)
    return path


@uncounted
def _trim_service(buf, spans, row):
    """A service's name without the port of its protocol, which says nothing."""
    start, stop = spans[row, 2 * SERVICE], spans[row, 2 * SERVICE + 1]
    if stop - start > 3 and buf[stop - 1] == _ZERO and buf[stop - 2] == 56 and buf[stop - 3] == _COLON:
        spans[row, 2 * SERVICE + 1] = stop - 3
    elif (stop - start > 4 and buf[stop - 1] == 51 and buf[stop - 2] == 52 and buf[stop - 3] == 52
          and buf[stop - 4] == _COLON):  # fmt: skip
        spans[row, 2 * SERVICE + 1] = stop - 4


@uncounted
def finish(buf, row, f, spans, numbers, whole_url):
    """Write what `f` holds of a line into its row of spans (n, 18) and of numbers (n, 6)."""
    for text in range(len(TEXTS)):
        start, stop = f[2 * text], f[2 * text + 1]
        if not _is_nothing(buf, start, stop) or text in (PATH, METHOD):
            _put(spans, row, text, start, stop)
    if f[2 * CLIENT + 1] - f[2 * CLIENT] > 2 and buf[f[2 * CLIENT]] == 91 and buf[f[2 * CLIENT + 1] - 1] == 93:
        _put(spans, row, CLIENT, f[2 * CLIENT] + 1, f[2 * CLIENT + 1] - 1)  # [2001:db8::1]
    if f[2 * REQUEST + 1] > 0:
        _split_request(buf, f[2 * REQUEST], f[2 * REQUEST + 1], spans, row, whole_url)
    elif f[2 * ADDRESS_OF + 1] > 0:
        _split_url(buf, f[2 * ADDRESS_OF], f[2 * ADDRESS_OF + 1], spans, row)
    elif spans[row, 2 * QUERY + 1] > 0 and buf[spans[row, 2 * QUERY]] == 63:  # Apache's %q
        spans[row, 2 * QUERY] += 1
    _trim_service(buf, spans, row)
    for k in range(5):
        numbers[row, k] = f[_NUMBERS_AT + k]
    answer = f[_NUMBERS_AT + RESPONSE - TIME]
    numbers[row, 5] = answer if answer >= 0 else f[_NUMBERS_AT + UPSTREAM - TIME]


def lines_of(buf: np.ndarray, end: int) -> np.ndarray:
    """Where the lines of buf[:end] begin and end, without what ends them: (n, 2) int64."""
    ends = np.flatnonzero(buf[:end] == _NEWLINE)
    if end and (not len(ends) or ends[-1] + 1 < end):
        ends = np.append(ends, end)
    lines = np.empty((len(ends), 2), np.int64)
    lines[:, 1] = ends
    if len(lines):
        lines[0, 0] = 0
        lines[1:, 0] = ends[:-1] + 1
    return lines


@njit(cache=True, nogil=True)
def scan(buf, lines, table, strict):
    """Requests of the lines (n, 2) int64 of `buf`, which are cut to what they are without line ends and marks.

    Returns `kind` (n,) uint8; `layout` (n,) int32 (where a line is STRANGE, the step that did not fit); `spans` (n, 18)
    int32 of `TEXTS`, 0 of what a line has not; `numbers` (n, 6) int64 of `NUMBERS`, -1 of what it has not. With
    `strict`, quotes inside of quotes must be escaped.
    """
    n = len(lines)
    kind, layout = np.empty(n, np.uint8), np.zeros(n, np.int32)
    spans, numbers = np.zeros((n, 2 * len(TEXTS)), np.int32), np.full((n, 6), -1, np.int64)
    f, stack = np.zeros(WORK, np.int64), np.zeros((64, 3), np.int64)
    for row in range(n):
        start, stop = _trimmed(buf, lines, row)
        if stop == start:
            kind[row] = EMPTY
        elif buf[start] == 123:
            kind[row] = JSON
        else:
            kind[row] = _one(buf, start, stop, table, f, stack, strict)
            layout[row] = f[_LAYOUT] if kind[row] == GOOD or kind[row] == IMPOSSIBLE else f[_AT]
        if kind[row] == GOOD:
            finish(buf, row, f, spans, numbers, table[table[MASKS] + layout[row]] >> FIELDS & 1)
    return kind, layout, spans, numbers


@uncounted
def _trimmed(buf, lines, row):
    """A line without outer blanks; `lines` notes it without a mark before it (U+FEFF) and a return after it."""
    start, stop = lines[row, 0], lines[row, 1]
    if stop > start and buf[stop - 1] == 13:
        stop -= 1
    if stop - start >= 3 and buf[start] == 239 and buf[start + 1] == 187 and buf[start + 2] == 191:
        start += 3
    lines[row, 0], lines[row, 1] = start, stop
    while start < stop and (buf[start] == _BLANK or buf[start] == _TAB):
        start += 1
    while stop > start and (buf[stop - 1] == _BLANK or buf[stop - 1] == _TAB):
        stop -= 1
    return start, stop


@uncounted
def _one(buf, start, stop, table, f, stack, strict):
    """What the line in buf[start:stop] is, with its fields in `f`."""
    f[_FAR], f[_AT] = start - 1, table[PROGRAM]
    found = match(buf, start, stop, table, f, stack, False)
    if not found and stop - start > 2 and buf[start] == _QUOTE and buf[stop - 1] == _QUOTE:
        if not match(buf, start + 1, stop - 1, table, f, stack, False):
            return WRAPPED
        found = True
    if not found and not strict:
        found = match(buf, start, stop, table, f, stack, True)
    if not found:
        return STRANGE
    return GOOD if f[_NUMBERS_AT] >= 0 else IMPOSSIBLE


@njit(cache=True, nogil=True)
def stamps(buf, spans):
    """Times of texts (n, 2) that are nothing but a date and time: microseconds (n,), -1 without; minutes east (n,)."""
    time, shift = np.full(len(spans), -1, np.int64), np.full(len(spans), NO_ZONE, np.int64)
    f = np.zeros(WORK, np.int64)
    for row in range(len(spans)):
        if read_stamp(buf, spans[row, 0], spans[row, 1], f) == spans[row, 1]:
            time[row], shift[row] = f[_NUMBERS_AT], f[_NUMBERS_AT + 1]
    return time, shift


@njit(cache=True, nogil=True)
def split_requests(buf, spans, whole_url):
    """Take the requests apart whose first line stands as the path in `spans` (n, 18)."""
    for row in range(len(spans)):
        start, stop = spans[row, 2 * PATH], spans[row, 2 * PATH + 1]
        spans[row, 2 * PATH] = spans[row, 2 * PATH + 1] = 0
        if stop > start:
            _split_request(buf, start, stop, spans, row, whole_url[row])
        _trim_service(buf, spans, row)


@njit(cache=True, nogil=True)
def views(buf, starts, stops):
    """Arrow's string views (n, 4) int32 of texts of one buffer.

    Each is a length and then a prefix, a buffer (0) and an offset, or up to twelve bytes inline.
    """
    made = np.zeros((len(starts), 4), np.int32)
    for row in range(len(starts)):
        start, stop = starts[row], stops[row]
        made[row, 0] = length = stop - start
        if length == 0:
            continue
        if length > 12:
            prefix = np.uint32(buf[start]) | np.uint32(buf[start + 1]) << np.uint32(8)
            prefix |= np.uint32(buf[start + 2]) << np.uint32(16)
            made[row, 1] = np.int32(prefix | np.uint32(buf[start + 3]) << np.uint32(24))
            made[row, 3] = start
        elif start + 16 <= len(buf):
            keep = min(length, 8)
            low = word(buf, start) & ((1 << 8 * keep) - 1 if keep < 8 else -1)
            made[row, 1], made[row, 2] = np.int32(low & 0xFFFFFFFF), np.int32(low >> 32 & 0xFFFFFFFF)
            if length > 8:
                made[row, 3] = np.int32(word(buf, start + 8) & ((1 << 8 * (length - 8)) - 1))
        else:
            for k in range(length):
                made[row, 1 + k // 4] |= np.int32(np.uint32(buf[start + k]) << np.uint32(8 * (k % 4)))
    return made


@njit(cache=True, nogil=True)
def distinct(buf, starts, stops):
    """Distinct texts of one buffer: the number (n,) int32 of each, and a row (k,) int64 that has each, by number."""
    n, size = len(starts), 1024
    while size < 2 * n:
        size *= 2
    slots, codes, rows = np.full(size, -1, np.int32), np.empty(n, np.int32), np.empty(n, np.int64)
    hashes, count = np.empty(n, np.uint64), 0
    for row in range(n):
        mark = _hash(buf, starts[row], stops[row])
        at = np.int64(mark & np.uint64(size - 1))
        while slots[at] >= 0:
            code = slots[at]
            if hashes[code] == mark and _same(buf, starts[row], stops[row], starts[rows[code]], stops[rows[code]]):
                break
            at = (at + 1) & (size - 1)
        if slots[at] < 0:
            slots[at], rows[count], hashes[count] = count, row, mark
            count += 1
        codes[row] = slots[at]
    return codes, rows[:count]


@uncounted
def _hash(buf, at, stop):
    value = np.uint64(stop - at) * np.uint64(0x9E3779B97F4A7C15)
    while at + 8 <= stop:
        value = (value ^ np.uint64(word(buf, at))) * np.uint64(0xBF58476D1CE4E5B9)
        value ^= value >> np.uint64(29)
        at += 8
    while at < stop:
        value = (value ^ np.uint64(buf[at])) * np.uint64(0x94D049BB133111EB)
        at += 1
    return value ^ (value >> np.uint64(32))


@uncounted
def _same(buf, at, stop, other, other_stop):
    if stop - at != other_stop - other:
        return False
    for k in range(stop - at):  # noqa: SIM110 - numba compiles no generators
        if buf[at + k] != buf[other + k]:
            return False
    return True
