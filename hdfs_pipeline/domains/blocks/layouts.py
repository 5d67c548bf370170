"""Layouts compiled for the scan: those that are known (`heads`), each a pattern of log4j with an example.

A record's head is a time stamp in any known form (`heads.STAMPS`), and what a layout's pattern puts around it: level,
logger, thread. Every layout goes with every form of time stamp. The scan (`scan.find`) tries a line against all of
them, the one that fitted last first. A home may add patterns of its own (setting `log_layouts`), which are tried first.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property, lru_cache
from typing import Final

import numpy as np

from hdfs_pipeline.domains.blocks import scan
from hdfs_pipeline.domains.blocks.heads import LAYOUTS, STAMPS, VAGUE, Layout, written_as
from hdfs_pipeline.domains.blocks.scan import ANY, BLANKS, LEVEL, LITERAL, LOGGER, NUMBER, STAMP, WORD
from hdfs_pipeline.errors import SetupError

_CONVERSION: Final = re.compile(r"%(?:%|[-.\d]*(?P<name>[A-Za-z]+)(?P<braces>(?:\{[^}]*\})*))|(?P<text>[^%]+|%)")
_FIELDS: Final = {
    LEVEL: ("p", "le", "level"),
    LOGGER: ("c", "lo", "logger", "C", "class"),
    NUMBER: ("L", "line", "r", "relative", "pid", "processId", "sn", "sequenceNumber", "tid", "threadId", "T"),
    WORD: ("F", "file", "M", "method", "l", "location", "h", "host"),
    ANY: ("t", "tn", "thread", "threadName", "x", "NDC", "X", "mdc", "MDC", "marker", "K", "MAP"),
}
_KINDS: Final = {name: code for code, names in _FIELDS.items() for name in names}
_THREAD: Final = ("t", "tn", "thread", "threadName", "tid", "threadId", "T")
_MESSAGE: Final = ("m", "msg", "message")
_NOTHING: Final = ("n", "ex", "exception", "throwable", "xEx", "xException", "xThrowable", "rEx", "rException")
_SHAPES: Final = re.compile(
    r"'(?P<quoted>[^']*)'|(?P<month>MMM)|(?P<code>yyyy|yy|MM|dd|HH|mm|ss|SSS)|(?P<text>[^A-Za-z'])"
)
_CODES: Final = {"yyyy": "yyyy", "yy": "yy", "MM": "mm", "dd": "dd", "HH": "HH", "mm": "MM", "ss": "SS", "SSS": "fff"}
_NAMED: Final = ("", "ISO8601", "DEFAULT", "DATE", "ISO8601_BASIC", "ISO8601_PERIOD", "DEFAULT_PERIOD")


@cache
def _program(layout: Layout) -> tuple[tuple[int, str], ...]:
    """Steps of `scan.match` with the text that each needs: a literal, or the form of a time stamp.

    Raises: SetupError for a pattern that cannot be read back.
    """
    return tuple(_steps(layout.pattern))


def _steps(pattern: str) -> Iterable[tuple[int, str]]:
    steps: list[tuple[int, str]] = []
    ended = False
    for part in _CONVERSION.finditer(pattern.rstrip()):
        name, text = part["name"], part["text"] if part["text"] is not None else "%"
        if name in _NOTHING or (ended and name is None and text.isspace()):
            continue
        if ended:
            raise SetupError(f"layout {pattern!r}: nothing but the end of the line may follow %m")
        if name is None:
            steps += ((BLANKS if blank.isspace() else LITERAL, blank) for blank in re.findall(r"\s+|\S+", text))
        elif name in ("d", "date"):
            steps.append((STAMP, _form(pattern, part["braces"] or "")))
        elif name in _MESSAGE:
            ended = True
        elif name in _KINDS:
            code = _KINDS[name]
            steps.append((code, "thread" if name in _THREAD else ""))
        else:
            raise SetupError(f"layout {pattern!r}: %{name} is not known here; there are %d %p %c %t %F %M %L %X %m")
    codes = [code for code, _ in steps]
    if not ended or STAMP not in codes or not {LITERAL, BLANKS, LEVEL}.issuperset(codes[: codes.index(STAMP)]):
        raise SetupError(f"layout {pattern!r}: needs %d at its beginning (at most %p before it), and %m at its end")
    return steps


def _form(pattern: str, braces: str) -> str:
    """The shape that `%d{…}` asks for, "" for every known form."""
    form, *zone = re.findall(r"\{([^}]*)\}", braces) or [""]
    if zone:
        raise SetupError(f"layout {pattern!r}: give the time zone by the setting log_timezone, not in the pattern")
    if form in ("ABSOLUTE", "ABSOLUTE_MICROS", "ABSOLUTE_NANOS") or (
        form not in _NAMED and not {"y", "d", "H", "M"} <= set(re.sub(r"\\.", "", _shape(form)))
    ):
        raise SetupError(
            f"layout {pattern!r}: its time stamp {form!r} has no date and time, and lines cannot be placed"
        )
    return "" if form in _NAMED else form


def _shape(form: str) -> str:
    """The form of a time stamp with a letter of ymdHMSfb for each digit or letter; all else is escaped.

    A fraction of a second and a zone at the end are left out, since they may follow every form.
    """
    form = re.sub(r"\s*(?:[XZz]+)$", "", form)
    form = re.sub(r"[,.]S+$", "", form)
    shape, at = [], 0
    while at < len(form):
        part = _SHAPES.match(form, at)
        if part is None:
            raise SetupError(
                f"time stamp {form!r}: {form[at:]!r} is not known here; there are yyyy MM MMM dd HH mm ss SSS"
            )
        quoted = part["quoted"]
        shape.append(
            "".join(f"\\{letter}" for letter in quoted)
            if quoted is not None
            else "bbb"
            if part["month"]
            else _CODES.get(part[0], f"\\{part[0]}")
        )
        at = part.end()
    return "".join(shape)


def shape_of(form: str) -> np.ndarray:
    """The shape of a form as (length,) uint8: codes below 32 for digits and letters, other bytes for themselves."""
    parts = re.findall(r"\\(.)|(.)", _shape(form), re.DOTALL)
    shape = b"".join(literal.encode() if literal else bytes([scan.CODES[code]]) for literal, code in parts)
    if len(shape) > scan.SHAPE - scan.SHAPE_CODES:
        raise SetupError(f"time stamp {form!r}: longer than {scan.SHAPE - scan.SHAPE_CODES} characters")
    return np.frombuffer(shape, np.uint8)


class Layouts:
    """Layouts compiled for the scan, a home's own ones first.

    `table` is the array that `scan.find` takes; `names` are those of layout and form, by code. The code of a record's
    head is ``layout * len(forms) + form``.
    """

    def __init__(self, layouts: tuple[Layout, ...]) -> None:
        own_forms = {text for layout in layouts for code, text in _program(layout) if code == STAMP and text}
        known = [stamp.name for stamp in STAMPS]
        self.layouts = layouts
        self.forms = (*known, *sorted(own_forms - set(known)))
        codes = [shape_of(form) for form in (*self.forms, *VAGUE)]
        first = np.zeros(256, np.int64)
        first[list(b"0123456789[JFMASOND")] = 1
        for layout in layouts:
            code, text = _program(layout)[0]
            if code == LITERAL:
                first[text.encode()[0]] = 1
            elif code == LEVEL:
                first[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ idwetf")] = 1
            elif text:
                first |= _beginnings(codes[self.forms.index(text)])
        own = sum(layout not in LAYOUTS for layout in layouts)
        head = [len(known), len(self.forms), len(layouts), scan.FIRST_AT + 256, 0, 0, len(VAGUE), own, *first.tolist()]
        for shape in codes:
            head += _shape_row(shape)
        head[scan.SHADOWED_AT] = len(head)
        head += [0] * len(layouts)
        head[scan.BEGINS_AT] = len(head)
        self._programs = np.array(_with_programs(head, layouts, self.forms), np.int64)
        self.names = tuple(written_as(layout, form) for layout in layouts for form in self.forms)

    @cached_property
    def table(self) -> np.ndarray:
        """The table (int64), which also notes the layouts that fit an earlier one's example: such lines are that one's.

        It is made when it is first asked for, since it takes the compiled scan, and names and formats do not.
        """
        table, fields = self._programs.copy(), np.zeros(scan.FIELDS, np.int64)
        for place in range(len(self.layouts)):
            examples = (np.frombuffer(layout.example.encode(), np.uint8) for layout in self.layouts[:place])
            fits = any(scan.match(line, 0, len(line), table, place, fields) for line in examples)
            table[table[scan.SHADOWED_AT] + place] = fits
        return table

    def tried(self) -> str:
        """The names of the layouts, for people."""
        return ", ".join(layout.name for layout in self.layouts)


def _shape_row(shape: np.ndarray) -> list[int]:
    places = [int(np.flatnonzero(shape == scan.CODES[code])[:1].sum()) if (shape == scan.CODES[code]).any() else -1
              for code in "ymdHMSfb"]  # fmt: skip
    year = int((shape == scan.CODES["y"]).sum())
    row = [len(shape), places[0], year, *places[1:], *shape.tolist()]
    return row + [0] * (scan.SHAPE - len(row))


def _with_programs(head: list[int], layouts: tuple[Layout, ...], forms: tuple[str, ...]) -> list[int]:
    """The table with where each program begins, the programs, and the literals that their steps name."""
    begins, steps = len(head), len(head) + len(layouts) + 1
    literals_at = steps + 3 * sum(len(_program(layout)) for layout in layouts)
    starts: list[int] = []
    program: list[int] = []
    literals: list[int] = []
    for layout in layouts:
        starts.append(steps + len(program))
        for code, text in _program(layout):
            if code == LITERAL:
                program += [code, literals_at + len(literals), len(text.encode())]
                literals += text.encode()
            elif code == STAMP:
                program += [code, forms.index(text) if text else -1, 0]
            else:
                program += [code, int(text == "thread"), 0]
    assert begins + len(layouts) + 1 == steps
    return [*head, *starts, steps + len(program), *program, *literals]


def _beginnings(shape: np.ndarray) -> np.ndarray:
    """Which bytes (256,) int64 can begin a time stamp of a shape."""
    letters = b"JFMASOND" if shape[0] == scan.CODES["b"] else b"0123456789" if shape[0] < 32 else bytes(shape[:1])
    first = np.zeros(256, np.int64)
    first[list(letters)] = 1
    return first


@lru_cache(maxsize=8)
def _compiled(own: tuple[tuple[str, str], ...]) -> Layouts:
    mine = []
    for pattern, example in own:
        layout = Layout(f"own layout {pattern}", pattern, example, "")
        _check(layout)
        mine.append(layout)
    return Layouts((*mine, *LAYOUTS))


def _check(layout: Layout) -> None:
    """Raises: SetupError where a layout does not fit its own example."""
    found = scan.fields(layout.example.encode(), Layouts((layout,)).table)
    if found is None:
        raise SetupError(f"setting log_layouts: the pattern {layout.pattern!r} does not fit its example "
                         f"{layout.example!r}: mend one of them")  # fmt: skip


def known_layouts(own: Mapping[str, str] | None = None) -> Layouts:
    """The known layouts, after a home's own ones (pattern of log4j → example line). Raises: SetupError."""
    return _compiled(tuple((own or {}).items()))
