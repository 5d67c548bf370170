"""Files that are staged go into the store together: each whole or not at all, many small ones in one transaction."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa

from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.store.quoting import parquet
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline.store.store import Connection, Store, count, publish_into

_FILES: Final = 500
_BYTES: Final = 64 << 20  # unpacked


@dataclass(frozen=True)
class Known:
    """How far a source was read: its row of `sources`."""

    source_id: int
    bytes: int = 0
    lines: int = 0
    records: int = 0


@dataclass(frozen=True)
class Staged:
    """A file that waits to be published.

    `path` is the Parquet file of its records from line `first` on, `source` its row of `sources` to be, whose `records`
    counts the staged ones alone; `start` says how far it was read before. `problem` is why its end could not be read,
    '' where it could. `ended` says whether its last line has a line end. `extra` is what `Intake.stage` gave.
    """

    path: Path
    source: dict[str, Any]
    start: Known
    first: int
    problem: str
    ended: bool
    extra: Any

    @property
    def name(self) -> str:
        """The file's name, for people."""
        return Path(self.source["path"]).name


class Intake(ABC):
    """How the lines of a domain's files become rows of its table.

    `table` has the columns `source_id` and `position`, the number of a record's first line in its file. What is staged
    of a file has these, the table's others and `reason`, which says of a dead letter why it is one; its text stands in
    the column `text`.
    """

    domain: str
    table: str
    text: str

    @abstractmethod
    def holds_records(self, sample: bytes) -> bool:
        """Whether any line at the beginning of a file, which has zero bytes, is a record."""

    def author(self, path: Path) -> tuple[str, str]:
        """The host and the daemon that a file's name tells, '' where it tells none."""
        return "", ""

    @abstractmethod
    def stage(
        self, chunks: Iterator[bytes], tally: Tally, source_id: int, file: Path, path: Path, unreadable: str
    ) -> Any:
        """Write the records of `file` into the Parquet file `path`, outside the store's lock; count them in `tally`.

        Its lines come from line `tally.lines` + 1 on. All are dead letters where it is `unreadable`, which says why.
        Returns what `store` and `settle` want to know beside it. Raises: what reading raises.
        """

    def beginnings(self, con: Connection, waiting: Sequence["Staged"]) -> dict[int, str]:
        """Those of the staged files that are the beginning of another one: number to the other's path."""
        return {}

    @abstractmethod
    def withdraw(self, con: Connection, grown: Sequence["Staged"]) -> None:
        """Take records out of what is counted of them, before those of files that have grown go: from `first` on."""

    def store(self, con: Connection, rows: str, waiting: Sequence["Staged"]) -> None:
        """Put the staged records (SQL of a relation) into the table, inside the transaction."""
        columns = ", ".join(TABLES[self.table].columns)
        put(con, self.table, f"SELECT {columns} FROM {rows} WHERE reason IS NULL")

    @abstractmethod
    def settle(self, con: Connection, rows: str, waiting: Sequence["Staged"]) -> None:
        """Count what was stored, once the rows of `sources` are there."""


class Counts(Protocol):
    """What publishing adds to: see `reading.Ingested`."""

    files: int
    lines: int
    records: int
    dead_letters: int
    skipped: list[str]
    notes: list[str]


class Batch:
    """What one ingest knows of the store's files, and the files that it has staged and not yet published.

    Only the holder of the home's ingest lock may have one: no other process changes the sources that are files.
    """

    def __init__(self, store: Store, intake: Intake, done: Counts) -> None:
        self._store, self._intake, self._done = store, intake, done
        self._waiting: dict[int, Staged] = {}
        self._bytes = 0
        with store.write() as con:  # makes the store where there is none
            rows = con.execute(
                """SELECT sha256, source_id, bytes, lines, records FROM sources
                WHERE source_id > 0 AND domain = ?""",  # files
                [intake.domain],
            ).fetchall()
            last = con.execute("SELECT greatest(max(source_id), 0) FROM sources").fetchall()[0][0]
        self._known = {(row[2], row[0]): Known(*row[1:]) for row in rows}
        self._last = int(last or 0)

    def sizes(self) -> Iterable[int]:
        """The sizes of known content, in bytes."""
        return (size for size, _ in self._known)

    def knows(self, size: int, digest: str) -> bool:
        """Whether content was read before."""
        return (size, digest) in self._known

    def start_of(self, digests: Mapping[int, str]) -> Known:
        """What is known of a file by the digests of its beginnings: the longest one that was read, or a new source."""
        start = self._longest(digests)
        if start is not None and start.source_id in self._waiting:
            self.publish()
            start = self._longest(digests)  # it is gone where it turned out to be the beginning of another file
        return Known(self._last + 1) if start is None else start

    def _longest(self, digests: Mapping[int, str]) -> Known | None:
        grown = [self._known[prefix] for prefix in digests.items() if prefix in self._known and prefix[0] > 0]
        return max(grown, key=lambda source: source.bytes, default=None)

    def resume_at(self, start: Known) -> int:
        """Line to read a source on from: where its last record begins, since more of it may have been written."""
        if start.bytes == 0:
            return 1
        with self._store.read() as con:
            line = con.execute(
                f"""SELECT max(position) FROM (SELECT source_id, position FROM {self._intake.table}
                UNION ALL SELECT source_id, position FROM dead_letters) WHERE source_id = ? AND position <= ?""",
                [start.source_id, start.lines],
            ).fetchall()[0][0]
        return int(line or 1)

    def add(self, staged: Staged) -> None:
        """Take a staged file; publish all that wait once they are many or large."""
        source, start = staged.source, staged.start
        self._waiting[start.source_id] = staged
        self._last = max(self._last, start.source_id)
        if start.bytes:
            self._known = {key: known for key, known in self._known.items() if known is not start}
        self._known[source["bytes"], source["sha256"]] = _known(source)
        self._bytes += source["bytes"]
        if len(self._waiting) >= _FILES or self._bytes >= _BYTES:
            self.publish()

    def publish(self) -> None:
        """Put all files that wait into the store, in one transaction; leave out the beginnings of others."""
        if self._waiting:
            self._leave_out_beginnings()
        waiting, self._waiting, self._bytes = list(self._waiting.values()), {}, 0
        if not waiting:
            return
        with self._store.write() as con:
            letters, reasons = _publish(con, self._intake, waiting)
        for staged in waiting:
            source, start = staged.source, staged.start
            self._known[source["bytes"], source["sha256"]] = _known(source)  # with the number of its records
            new, old = letters[start.source_id]
            self._done.files += 1
            self._done.lines += source["lines"] - start.lines
            self._done.records += source["records"] - start.records
            self._done.dead_letters += new - old
            if new:
                cause = staged.problem or reasons[start.source_id]
                self._done.notes.append(f"{staged.name}: {new:,} dead letters ({cause})")
            elif source["bytes"] == 0:
                self._done.notes.append(f"{staged.name}: empty")
            staged.path.unlink()

    def _leave_out_beginnings(self) -> None:
        with self._store.read() as con:
            found = self._intake.beginnings(con, list(self._waiting.values()))
        for source_id, whole in found.items():
            staged = self._waiting.pop(source_id)
            del self._known[staged.source["bytes"], staged.source["sha256"]]
            self._done.skipped.append(staged.source["path"])
            self._done.notes.append(f"{staged.name}: no more than the beginning of {whole}, which was read")
            staged.path.unlink()


def _known(source: Mapping[str, Any]) -> Known:
    return Known(*(source[name] for name in ("source_id", "bytes", "lines", "records")))


def _publish(
    con: Connection, intake: Intake, waiting: Sequence[Staged]
) -> tuple[dict[int, tuple[int, int]], dict[int, str]]:
    """The rows of all files, inside a transaction.

    Returns of each the numbers of dead letters that came and that went, and why most of them came.
    """
    now = datetime.now(UTC)
    letters: dict[int, tuple[int, int]] = {}
    if grown := [staged for staged in waiting if staged.start.bytes]:
        intake.withdraw(con, grown)
    for staged in waiting:
        source, start, old = staged.source, staged.start, (0, 0)
        if start.bytes:
            old_records, old_letters = (
                _withdraw(con, table, start.source_id, staged.first) for table in (intake.table, "dead_letters")
            )
            old = (old_records, old_letters)
        source["records"] += start.records - sum(old)
        source["ingested_at"] = now
        letters[start.source_id] = (int(bool(staged.problem)), old[1])
    rows = parquet([staged.path for staged in waiting])
    sources = pa.Table.from_pylist([staged.source for staged in waiting])
    intake.store(con, rows, waiting)
    publish_into(con, "sources", sources, replace="source_id IN (SELECT source_id FROM publish_source)")
    intake.settle(con, rows, waiting)
    put(
        con,
        "dead_letters",
        f"""SELECT source_id, sources.path AS source, position, reason, {intake.text} AS text, now() AS seen_at
        FROM {rows} JOIN sources USING (source_id) WHERE reason IS NOT NULL""",
    )
    cut = [_cut(staged, now) for staged in waiting if staged.problem]
    if cut:
        publish_into(con, "dead_letters", pa.Table.from_pylist(cut))
    dead = f"""SELECT source_id, count(*), mode(reason), count(DISTINCT reason) FROM {rows}
        WHERE reason IS NOT NULL GROUP BY source_id"""
    reasons = {}
    for source_id, number, reason, kinds in con.execute(dead).fetchall():
        cut_short, old_letters = letters[source_id]
        letters[source_id] = (cut_short + number, old_letters)
        usual = reason.removeprefix("no log record: ").partition(" (tried")[0]
        reasons[source_id] = usual if kinds == 1 else f"most: {usual}; all: table `dead_letters`, see `export`"
    return letters, reasons


def put(con: Connection, table: str, select: str) -> int:
    """Insert what `select` gives, and return the number of rows."""
    return count(con.execute(f"INSERT INTO {table} BY NAME {select}"))


def _cut(staged: Staged, now: datetime) -> dict[str, Any]:
    """The dead letter that stands for the end of a file that cannot be read."""
    source = staged.source
    own = {"source_id": source["source_id"], "source": source["path"], "position": source["lines"] + 1}
    return own | {"reason": staged.problem, "text": "", "seen_at": now}


def _withdraw(con: Connection, table: str, source_id: int, first: int) -> int:
    """Delete a source's rows from line `first` on; returns how many."""
    return count(con.execute(f"DELETE FROM {table} WHERE source_id = ? AND position >= ?", [source_id, first]))
