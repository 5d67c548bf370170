"""A search of raw records: back in time piece by piece, within a limit of records and of seconds, until it is stopped.

Each piece is one short unit of the store, so that a long search holds up no writer. A search that ends early says up to
where it looked, and gives a cursor from which another one goes on.
"""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

import duckdb

from hdfs_pipeline.domains import all_domains, domain_named
from hdfs_pipeline.domains.contract import MARKS, Domain, RecordId, Sought, Told
from hdfs_pipeline.domains.following import followers
from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store
from hdfs_pipeline.verdicts.status import parse_since

LEVELS: Final = ("FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE")
SECONDS: Final = 5.0
"""For which a search looks, unless it is told otherwise."""
_FIRST: Final = timedelta(minutes=15)  # of the records that are looked at first
_FASTER: Final = 4  # times as much is looked at next, while a piece takes less than `_QUICK_S`
_QUICK_S: Final = 0.5
_MOST_SIGNS: Final = 256  # of an expression whose repetitions are written out: what is larger cannot be stopped soon
_CHUNK: Final = 500  # records that are read at once
_LOOK_S: Final = 0.02
_ONE: Final = timedelta(microseconds=1)
_TOKENS: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]])*\]|\{(?P<least>\d+)(?:,(?P<most>\d*))?\}|.", re.DOTALL)
"""What an expression is made of: signs, classes of them, and repetitions."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_SOURCE: Final = -(2**31)
"""Less than the number of any source: the place before all records of a time."""


@dataclass(frozen=True)
class Question:
    """Which raw records are asked for; '' and () for any. `Sought` says what `item`, `host` and `logger` mean.

    Text is found in whichever case, `expression` is one of RE2; `template` is named `DOMAIN/ID`. `begin` and `end` are
    times, or spans before the latest record; `after` is the cursor that an earlier search has given.
    """

    domain: str = ""
    text: str = ""
    expression: str = ""
    item: str = ""
    levels: Sequence[str] = ()
    host: str = ""
    logger: str = ""
    template: str = ""
    begin: str = ""
    end: str = ""
    after: str = ""


class Search:
    """One search; `span` is what is looked at, None where there are no records.

    Once `chunks` has ended, `ended` says why: "whole" (there is nothing more), "limit", "seconds" or "stopped". Up to
    `searched_from` everything was looked at, and `after` is the cursor that goes on from there, '' where nothing is
    left. Raises: UsageError for a condition that means nothing, DataError for a domain that keeps no records.
    """

    def __init__(self, store: Store, settings: Settings, asked: Question, limit: int, seconds: float = SECONDS) -> None:
        self._store, self._settings, self._limit, self._seconds = store, settings, limit, seconds
        self.domain = searchable(asked.domain)
        self._readers = (self.domain, *followers(self.domain))
        self._template = self._template_of(asked.template)
        if asked.item:
            self.domain.item.parse(asked.item)
        self._sought = Sought(
            _expressions(asked.text, asked.expression),
            asked.item,
            tuple(level.upper() for level in asked.levels),
            asked.host,
            asked.logger,
        )
        self._stopped = threading.Event()
        self.span = span_of(store, settings, self.domain, asked.begin, asked.end)
        self._before = read_cursor(asked.after) if asked.after else None
        self.found = 0
        self.ended, self.after, self.searched_from = "whole", "", self.span[0] if self.span else None

    def stop(self) -> None:
        """End the search within a few thousand records, from any thread; more than once does no harm."""
        self._stopped.set()

    def chunks(self) -> Iterator[list[dict[str, Any]]]:
        """The records that are found, the latest first, some at a time, as plain values.

        Each has `time`, `host`, `daemon`, `level`, `logger`, `template` (`DOMAIN/ID`, or '') and its `name`, `items`
        (domain and item of each), `line`, and `marks`: where in it something sought begins and ends.
        Raises: UsageError where not even the first piece can be searched in time.
        """
        if self.span is None:
            return
        begin, end = self.span
        if self._before is not None:
            end = min(end, self._before.time + _ONE)
        deadline, width, first = time.monotonic() + self._seconds, _FIRST, True
        while end > begin:
            start, began = max(begin, _minus(end, width)), time.monotonic()
            try:
                rows = self._piece((start, end), deadline)
            except duckdb.InterruptException:
                if first and not self._stopped.is_set():
                    raise UsageError(
                        f"the {self._seconds:g} s are over before the first records were searched: name a shorter "
                        "window, a host or a level"
                    ) from None
                rows = None
            if rows:
                yield rows
            if rows is not None and self._before is None:
                end = start
                width = width * _FASTER if time.monotonic() - began < _QUICK_S else width
            if end > begin and self._is_over(end, deadline, interrupted=rows is None):
                return
            first = False

    def _is_over(self, end: datetime, deadline: float, *, interrupted: bool) -> bool:
        """Whether the search ends although there are records left before `end`; then it says so."""
        if self.found >= self._limit:
            self.ended = "limit"
        elif self._stopped.is_set():
            self.ended = "stopped"
        elif interrupted or time.monotonic() >= deadline:
            self.ended = "seconds"
        else:
            return False
        at = self._before or RecordId(end, _NO_SOURCE, 0)
        self.after, self.searched_from = write_cursor(at), at.time
        return True

    def _piece(self, span: Span, deadline: float) -> list[dict[str, Any]]:
        """Search a span; `_before` is then the last record that was found, None where there are no more in it."""
        most = min(_CHUNK, self._limit - self.found)
        with self._store.read() as con, _interrupted(con, deadline, self._stopped):
            among = None
            if self._template is not None:
                whose, template = self._template
                among = whose.matching(self._store, self._settings, template, span)
            found = self.domain.search(
                self._store, self._settings, self._sought, span, most, before=self._before, among=among
            )
            if not len(found):
                self._before = None
                return []
            told = [reader.told(self._store, self._settings, found) for reader in self._readers]
        rows = [
            self._plain(row, of_each) for row, of_each in zip(found.to_pylist(), zip(*told, strict=True), strict=True)
        ]
        self.found += len(rows)
        last = found.slice(len(found) - 1).to_pylist()[0] if len(found) == most else None
        self._before = RecordId(last["time"], last["source_id"], last["position"]) if last else None
        return rows

    def _plain(self, row: dict[str, Any], told: Sequence[Told]) -> dict[str, Any]:
        asked = self._template[0] if self._template else None
        named = [pair for pair in zip(self._readers, told, strict=True) if pair[1].template]
        whose, said = min(named, key=lambda pair: pair[0] is not asked, default=(self.domain, Told()))
        return {
            "time": row["time"].astimezone(UTC).isoformat(timespec="milliseconds"),
            **{name: row[name] or "" for name in ("host", "daemon", "level", "logger")},
            "template": f"{whose.name}/{said.template}" if said.template else "",
            "name": said.name,
            "items": [
                {"domain": reader.name, "item": item}
                for reader, said in zip(self._readers, told, strict=True)
                for item in said.items
            ],
        } | _marked(row["line"])

    def _template_of(self, text: str) -> tuple[Domain, str] | None:
        if not text:
            return None
        name, _, template = text.partition("/")
        for reader in self._readers:
            if reader.name == name:
                return reader, template
        raise UsageError(f"{text!r} is no template: one looks like {self.domain.name}/E5")


def searchable(name: str = "") -> Domain:
    """The domain of a name, or the first one that keeps raw records. Raises: UsageError, DataError."""
    if not name:
        return next(domain for domain in all_domains() if domain.searchable)
    domain = domain_named(name)
    if not domain.searchable:
        raise DataError(f"{name} keeps no raw records of its own to search")
    return domain


def span_of(store: Store, settings: Settings, domain: Domain, begin: str, end: str) -> Span | None:
    """The part of a window in which there are records: [from, to); None where there are none at all.

    Times are ISO 8601, or spans before the latest record; '' stands for the first and the latest. Raises: UsageError.
    """
    recorded = domain.recorded(store) if settings.store_path.is_file() else None
    now = recorded[1] if recorded else datetime.now(UTC)
    first = parse_since(begin, now).time if begin else None
    last = parse_since(end, now).time if end else None
    if first is not None and last is not None and not first < last:
        raise UsageError(f"the window ends ({end}) before it begins ({begin})")
    if recorded is None:
        return None
    start, until = recorded[0], recorded[1] + _ONE
    first, last = max(first or start, start), min(last or until, until)
    return (first, last) if first < last else (first, first)


def write_cursor(at: RecordId) -> str:
    """A place in the order of records, as text."""
    return f"{(at.time - _EPOCH) // _ONE}.{at.source_id}.{at.position}"


def read_cursor(text: str) -> RecordId:
    """The place that `write_cursor` has written. Raises: UsageError for anything else."""
    if found := re.fullmatch(r"(-?\d{1,18})\.(-?\d{1,10})\.(-?\d{1,18})", text):
        time_us, source, position = map(int, found.groups())
        with suppress(OverflowError):
            at = _EPOCH + time_us * _ONE
            return RecordId(at, source, position) if at + _ONE else RecordId(at, 0, 0)
    raise UsageError(f"{text!r} is no place to go on from: take `after` of an answer as it is")


def _minus(time: datetime, span: timedelta) -> datetime:
    try:
        return time - span
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _expressions(text: str, expression: str) -> tuple[str, ...]:
    """Expressions that a record must match. Raises: UsageError for what is none."""
    if expression:
        try:
            _scratch().cursor().execute("SELECT regexp_matches('', ?)", [expression])
        except duckdb.Error as error:
            why = str(error).partition("Error: ")[2].splitlines()[0] if "Error: " in str(error) else str(error)
            raise UsageError(
                f"{expression!r} is no regular expression (RE2): {why}. Put \\ before a sign that stands for itself, "
                "or search for it as text"
            ) from None
        if _signs(expression) > _MOST_SIGNS:
            raise UsageError(f"this expression is as long as {_MOST_SIGNS} signs or more: repeat less, or use `.*`")
    return tuple(filter(None, (f"(?i){re.escape(text)}" if text else "", expression)))


def _signs(expression: str) -> int:
    """How many signs an expression has once its repetitions are written out."""
    sizes, last = [0], 0
    for token in _TOKENS.finditer(expression):
        if token[0] == "(":
            sizes.append(0)
        elif token[0] == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif token["least"]:
            times = max(int(token["least"]), int(token["most"] or 0), 1)
            sizes[-1] += last * (times - 1)
            last *= times
        else:
            last = 1
            sizes[-1] += 1
    return sum(sizes)


@cache
def _scratch() -> duckdb.DuckDBPyConnection:
    """A DuckDB without data, which knows whether an expression is one."""
    return duckdb.connect(":memory:")


def _marked(text: str) -> dict[str, Any]:
    """A line without the marks in it, and where they stood."""
    line, marks = "", []
    for at, piece in enumerate(re.split(f"[{MARKS}]", text)):
        if at % 2 and piece:
            marks.append([len(line), len(line) + len(piece)])
        line += piece
    return {"line": line, "marks": marks}


@contextmanager
def _interrupted(con: Connection, deadline: float, stopped: threading.Event) -> Iterator[None]:
    """Interrupt what runs on a connection at the deadline (monotonic seconds), or once `stopped` is set."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_S):
            if stopped.is_set() or time.monotonic() >= deadline:
                con.interrupt()  # again and again: between two queries it reaches none

    watcher = threading.Thread(target=watch, name="search limit")
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
