"""From bytes to messages: JSON objects, one a line, and plain lines in the known layouts with what follows them.

A plain message is a line that begins as a layout says, and the lines after it (a stack trace) up to the next such line.
Whatever is no message says why (`fault`), and holds the text: nothing is lost.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import pyarrow as pa

from hdfs_pipeline.domains.applogs.clocks import Clock
from hdfs_pipeline.domains.applogs.json_shapes import PARTS, Shapes
from hdfs_pipeline.domains.applogs.layouts import STAMPED, Layout, layouts_of
from hdfs_pipeline.domains.applogs.levels import level_named
from hdfs_pipeline.domains.pieces import LONGEST, whole_lines
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.settings import Settings

NAMELESS: Final = "unknown"
"""The service of messages that neither say one nor come with one."""
NO_HEAD: Final = "no message: the line is no JSON object and does not begin as a known layout says"
STRANGE: Final = "no message: the line begins with a time in a layout that is not known: give its pattern by app_format"
NO_JSON: Final = "no message: the JSON cannot be read"
NO_OBJECT: Final = "no message: the JSON is no object"
NO_TIME: Final = "no message: it has no time that can be read"
NO_TEXT: Final = "no message: it has no text"
MANY: Final = "no message: the JSON holds many records: have the collector write each by itself"

RECORDS: Final = pa.schema(
    [
        pa.field("position", pa.int64()),  # number of its first line in its file, from 1; index among messages
        pa.field("time", pa.timestamp("us", "UTC")),  # null where `fault` is not
        pa.field("service", pa.string()),
        pa.field("level", pa.string()),  # one of `levels.LEVELS`, or as written in capitals; '' where none is
        pa.field("host", pa.string()),
        pa.field("logger", pa.string()),
        pa.field("message", pa.string()),  # its first line; the whole text where there is a `fault`
        pa.field("more", pa.string()),  # the lines after it, a stack trace; '' without
        pa.field("layout", pa.string()),  # shape or layout, as `json_shapes` and `layouts` name them
        pa.field("fault", pa.string()),  # why it is no message; null for a good one
    ]
)


@dataclass(frozen=True)
class MessageFormat:
    """How messages are written: layouts of plain lines, zone of times without one, names of a home's own JSON."""

    layouts: tuple[Layout, ...]
    zone: str
    json_fields: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings) -> "MessageFormat":
        """The format that the settings describe. Raises: SetupError for a pattern that cannot be used."""
        own = {part: name for part, name in settings.json_fields.items() if part in PARTS}
        return cls(layouts_of(settings.app_format), settings.log_timezone, own)


def split_records(
    chunks: Iterable[bytes], fmt: MessageFormat, tally: Tally, service: str = "", host: str = ""
) -> Iterator[pa.RecordBatch]:
    """The messages of a file as batches of `RECORDS`, counted in `tally`; however it is cut they are the same.

    `service` and `host` are those of messages that say none.
    """
    reader = _Reader(fmt, tally)
    for piece in whole_lines(chunks, tally):
        for line in _lines(piece):
            reader.line(line, service, host)
        if len(reader.rows) > 1:
            yield reader.batch(reader.take())
    if reader.rows:
        yield reader.batch(reader.take(everything=True))


def read_messages(values: Sequence[bytes], fmt: MessageFormat, services: Sequence[str] | None = None) -> pa.RecordBatch:
    """A row of `RECORDS` for each of n messages, a plain one with its stack trace; `position` is its index.

    `services` (n,) are those of messages that say none.
    """
    reader = _Reader(fmt, Tally())
    for at, value in enumerate(values):
        reader.alone(at, value.decode("utf-8", "replace"), services[at] if services else "")
    return reader.batch(reader.take(everything=True))


def _lines(piece: bytes) -> list[str]:
    lines = piece.decode("utf-8", "replace").split("\n")
    return lines[:-1] if not lines[-1] else lines


_Row = tuple[int | str | None, ...]
_MORE: Final = RECORDS.get_field_index("more")
_FAULT: Final = RECORDS.get_field_index("fault")
_LAYOUT: Final = RECORDS.get_field_index("layout")
_MESSAGE: Final = RECORDS.get_field_index("message")


class _Reader:
    """Lines to rows; the last row is open for what follows it, if it is plain."""

    def __init__(self, fmt: MessageFormat, tally: Tally) -> None:
        self.rows: list[_Row] = []
        self._fmt, self._tally = fmt, tally
        self._clock, self._shapes = Clock(fmt.zone), Shapes(fmt.json_fields)
        self._heads = [(layout.head.match, layout.name, layout.head.groupindex) for layout in fmt.layouts]
        self._more: list[str] = []
        self._size = 0
        self._plain = False  # whether the last row is plain, and may go on

    def line(self, line: str, service: str, host: str) -> None:
        """One line of a file."""
        self._tally.lines += 1
        line = line.removesuffix("\r")
        is_object = line.startswith("{") or line.lstrip()[:1] == "{"
        if is_object and (row := self._object(self._tally.lines, line, service, host)) is not None:
            if row[_FAULT] is None or not self._plain:
                self._begin(row, plain=False)
                return
        elif (row := self._headed(self._tally.lines, line, service, host)) is not None:
            self._begin(row, plain=True)
            return
        if self._plain and self._size < LONGEST:
            self._more.append(line)
            self._size += len(line)
        elif line and not line.isspace():
            fault = NO_HEAD if not is_object else NO_JSON
            self._begin(_faulty(self._tally.lines, line, fault), plain=True)

    def alone(self, position: int, text: str, service: str) -> None:
        """A message that comes by itself."""
        first, _, more = text.partition("\n")
        if text.lstrip()[:1] == "{":
            row = self._object(position, text, service, "")
        else:
            row = self._headed(position, first.removesuffix("\r"), service, "")
            if row is not None and row[_FAULT] is None:
                row = _with(row, _MORE, more.rstrip())
        self._begin(_faulty(position, text, NO_HEAD) if row is None or row[_FAULT] == STRANGE else row, plain=False)

    def _begin(self, row: _Row, *, plain: bool) -> None:
        if self._plain:
            self._close()
        self.rows.append(row)
        self._plain = plain

    def _close(self) -> None:
        """Put the lines that followed the last row into it."""
        if self._more:
            row, text = self.rows[-1], "\n".join(self._more).rstrip()
            if row[_FAULT] is None:
                self.rows[-1] = _with(row, _MORE, text)
            else:
                self.rows[-1] = _with(row, _MESSAGE, f"{row[_MESSAGE]}\n{text}")
            self._more = []
        self._size, self._plain = 0, False

    def take(self, *, everything: bool = False) -> list[_Row]:
        """The rows to which nothing more comes; all of them at the end of a file."""
        if everything:
            self._close()
        cut = len(self.rows) if everything or not self._plain else len(self.rows) - 1
        taken, self.rows = self.rows[:cut], self.rows[cut:]
        return taken

    def batch(self, rows: list[_Row]) -> pa.RecordBatch:
        """Rows as a batch, counted."""
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(RECORDS)
        self._tally.records += len(rows)
        self._tally.layouts.update(row[_LAYOUT] for row in rows if row[_FAULT] is None)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, RECORDS, strict=True)]
        return pa.record_batch(arrays, schema=RECORDS)

    def _object(self, position: int, text: str, service: str, host: str) -> _Row | None:
        """The row of a JSON object; of what is none, a faulty one."""
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            return _faulty(position, text, NO_JSON)
        if not isinstance(document, dict):
            return _faulty(position, text, NO_OBJECT)
        if "resourceLogs" in document or "Records" in document:
            return _faulty(position, text, MANY)
        shape = self._shapes.of(document)
        time = self._clock.micros(shape.time)
        if time is None:
            return _faulty(position, text, NO_TIME)
        message, stack, more = shape.message or "", shape.stack, ""
        if stack:
            message, stack = (message, stack.strip("\n")) if message else (stack, "")
        if "\n" in message or stack:
            message, _, more = message.strip("\n").partition("\n")
            more = "\n".join(part for part in (more, stack) if part)
        if shape.message is None and not message:
            return _faulty(position, text, NO_TEXT)
        name, _, of, level, of_host, logger, _, _ = shape
        return (position, time, of or service or NAMELESS, level, of_host or host, logger, message, more, name, None)

    def _headed(self, position: int, line: str, service: str, host: str) -> _Row | None:
        """The row of a line that begins as a layout says; a faulty one for an unknown layout; None for neither."""
        for match, name, groups in self._heads:
            found = match(line)
            if found is None:
                continue
            time = self._clock.micros(found["time"])
            if time is None:
                return _faulty(position, line, NO_TIME)
            level = level_named(found["level"]) if "level" in groups else ""
            of_host = found["host"] if "host" in groups else host
            logger = found["logger"] if "logger" in groups else ""
            message = line[found.end() :].strip()
            return (position, time, service or NAMELESS, level, of_host, logger, message, "", name, None)
        return _faulty(position, line, STRANGE) if STAMPED.match(line) else None


def _faulty(position: int, text: str, fault: str) -> _Row:
    return (position, None, "", "", "", "", text, "", "", fault)


def _with(row: _Row, place: int, text: str) -> _Row:
    return (*row[:place], text, *row[place + 1 :])
