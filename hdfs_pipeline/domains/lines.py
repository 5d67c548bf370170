"""Records that are items themselves: how lines of files and messages of Kafka become rows of a domain's table."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import ClassVar, Final

import pyarrow as pa

from hdfs_pipeline.domains import reading
from hdfs_pipeline.domains.again import bytes_again
from hdfs_pipeline.domains.contract import Again, Read, Retention
from hdfs_pipeline.domains.record_ids import record_keys
from hdfs_pipeline.domains.staged import Intake, Staged, put
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.finding import shortened
from hdfs_pipeline.sources.wire import EXCERPT
from hdfs_pipeline.store.columns import ARROW_TYPES
from hdfs_pipeline.store.counters import counter, next_number
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline.store.store import Connection, Store, count

_OWN: Final = ("source_id", "revision")
"""Columns of a domain's table that storing gives; its key column and `position` are given before."""


class Lines(ABC):
    """How a domain reads its lines into `table`.

    `key` is the column that names the item, `text` the one with the line, `rest` others that hold the rest of it.

    Batches of records have `position`, the columns of the table but its key, `source_id` and `revision`, and `fault`:
    why a line is no record, null for a good one. `text` is then what was there instead.
    """

    domain: ClassVar[str]
    table: ClassVar[str]
    key: ClassVar[str]
    text: ClassVar[str]
    rest: ClassVar[tuple[str, ...]] = ()
    default_service: ClassVar[str]
    """The service of messages that name none."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def split(self, chunks: Iterable[bytes], tally: Tally, file: Path) -> Iterator[pa.RecordBatch]:
        """The records of a file in its order; `position` is the number of a record's first line, from 1."""

    @abstractmethod
    def messages(self, values: Sequence[bytes], services: Sequence[str]) -> pa.RecordBatch:
        """The records of messages, one of each; `position` is the index of the message."""

    def judged(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch in which what is too long has that as its `fault`."""
        import pyarrow.compute as pc

        most = self.settings.max_record_bytes
        lengths = (pc.binary_length(_plain(batch[name], pa.string())) for name in (self.text, *self.rest))
        long = pc.greater(reduce(pc.add, (pc.fill_null(length, 0) for length in lengths)), most)
        if not pc.any(long).as_py():
            return batch
        return with_fault(batch, long, f"longer than {most} bytes")

    def columns(self) -> list[str]:
        """The columns of the table that come with a record."""
        return [name for name in TABLES[self.table].columns if name not in _OWN]


def with_fault(batch: pa.RecordBatch, rows: pa.Array, why: str) -> pa.RecordBatch:
    """A batch of records in which some rows (n,) bool have this `fault`, whatever they had."""
    import pyarrow.compute as pc

    fault = pc.if_else(rows, why, _plain(batch["fault"], pa.string()))
    return batch.set_column(batch.schema.get_field_index("fault"), "fault", fault)


def revision_of(table: str) -> str:
    """The name of the counter of a table's changes."""
    return f"{table}_revision"


def last_change(con: Connection, table: str) -> int:
    """The number of the last change of a table, 0 before the first."""
    return counter(con, revision_of(table))


def next_revision(con: Connection, table: str) -> int:
    """The number of a change of a table that is about to be made, in its transaction."""
    return next_number(con, revision_of(table))


def read_lines(
    store: Store,
    settings: Settings,
    paths: Sequence[str],
    lines: Lines,
    on_step: Callable[[str, int | None, int | None], None],
) -> Read:
    """Read files into the table of a domain whose records are items. See `Domain.read`."""
    done = reading.ingest(
        store, settings, paths, lambda _: LineIntake(lines), lambda number, of, path: on_step(path.name, number - 1, of)
    )
    notes = [*done.notes]
    if done.skipped:
        notes.append(f"{shortened(done.skipped)}: read before, skipped")
    with store.read() as con:
        items = int(con.execute(f"SELECT count(*) FROM {lines.table}").fetchall()[0][0])
    return Read(
        *(done.files, done.lines, done.records, done.dead_letters, items),
        source="",
        coverage=1.0 - done.dead_letters / max(done.records, 1),
        notes=tuple(notes),
        skipped=tuple(done.skipped),
        unread=tuple(done.unread),
        left_out=tuple(done.left_out),
        forms=done.forms,
    )


def read_line_again(lines: Lines, source_id: int, path: str, position: int, text: str) -> Again:
    """Read the record once more that begins at a line of a file. See `Domain.read_again`.

    Raises: DataError where there is nothing left to read (see `bytes_again`).
    """
    chunks, note = bytes_again(path, position, text)
    batches = map(lines.judged, lines.split(chunks, Tally(lines=position - 1), Path(path)))
    first = next((batch.slice(0, 1) for batch in batches if len(batch)), None)
    if first is None:
        raise DataError(f"{path}: line {position} is empty now")
    keys = record_keys(source_id, first["position"].to_numpy())
    row = staged_rows(lines, first, {lines.key: pa.array(keys)}, source_id, staged_schema(lines))
    reason, found = first["fault"][0].as_py() or "", row[lines.text][0].as_py() or ""
    return Again(lines.table, row, reason, found[:EXCERPT], note, revision_of(lines.table))


def kept_since(con: Connection, table: str, column: str, days: float, now: datetime) -> datetime | None:
    """From when on rows of a table are kept; None where there are none.

    The days count back from the latest row, or from `now` where that is earlier: a log of long ago is kept whole.
    """
    ((latest,),) = con.execute(f"SELECT max({column}) FROM {table}").fetchall()
    return None if latest is None else min(now, latest) - timedelta(days=days)


def _old_rows(table: str, column: str) -> str:
    """SQL of the rows that are older than `$since`, but for a file's last one: where it grows, it is read on there."""
    old = f"{column} < $since"
    if "source_id" not in TABLES[table].columns:
        return old
    return f"""{old} AND (source_id, position) NOT IN (SELECT (source_id, max(position)) FROM {table}
        WHERE source_id > 0 AND source_id IN (SELECT source_id FROM {table} WHERE {old}) GROUP BY source_id)"""


def retention_of(store: Store, table: str, column: str, setting: str, days: float, now: datetime) -> Retention:
    """What is kept of a table by the time in a column, and how much of it a pruning takes at `now`."""
    with store.read() as con:
        old = {"since": kept_since(con, table, column, days, now)}
        ((rows,),) = con.execute(f"SELECT count(*) FROM {table} WHERE {_old_rows(table, column)}", old).fetchall()
    return Retention(table, setting, days, int(rows))


def prune_rows(store: Store, domain: str, table: str, column: str, days: float, now: datetime) -> int:
    """Delete old rows of a table, and their scores; what was called anomalous, and incidents, stay. How many went.

    Sources then count what is there of them.
    """
    if not retention_of(store, table, column, "", days, now).rows:
        return 0
    which = _old_rows(table, column)
    with store.write() as con:
        old = {"since": kept_since(con, table, column, days, now)}
        if "source_id" in TABLES[table].columns:
            con.execute(
                f"""UPDATE sources SET records = sources.records - gone.records FROM (
                    SELECT source_id, count(*) AS records FROM {table} WHERE {which} GROUP BY source_id
                ) gone WHERE gone.source_id = sources.source_id""",
                old,
            )
        con.execute("DELETE FROM scores WHERE domain = $domain AND time < $since", {"domain": domain, **old})
        return count(con.execute(f"DELETE FROM {table} WHERE {which}", old))


class LineIntake(Intake):
    """The lines of files into a domain's table."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.domain, self.table, self.text = lines.domain, lines.table, lines.text

    def holds_records(self, sample: bytes) -> bool:
        """See `Intake.holds_records`."""
        batches = self.lines.split(iter([sample]), Tally(), Path())
        return any(batch["fault"].null_count for batch in batches)

    def stage(
        self, chunks: Iterator[bytes], tally: Tally, source_id: int, file: Path, path: Path, unreadable: str
    ) -> None:
        """See `Intake.stage`."""
        import pyarrow.parquet as pq

        schema = staged_schema(self.lines, "reason")
        with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
            for batch in map(self.lines.judged, self.lines.split(chunks, tally, file)):
                reason = pa.array([unreadable] * len(batch)) if unreadable else batch["fault"]
                keys = record_keys(source_id, batch["position"].to_numpy())
                own = {self.lines.key: pa.array(keys), "reason": reason}
                writer.write_table(staged_rows(self.lines, batch, own, source_id, schema))

    def withdraw(self, con: Connection, grown: Sequence[Staged]) -> None:
        """See `Intake.withdraw`: nothing is counted of its records."""

    def store(self, con: Connection, rows: str, waiting: Sequence[Staged]) -> None:
        """See `Intake.store`."""
        put_rows(con, self.lines, f"(FROM {rows} WHERE reason IS NULL)")

    def settle(self, con: Connection, rows: str, waiting: Sequence[Staged]) -> None:
        """See `Intake.settle`: nothing is counted of its records."""


def put_rows(con: Connection, lines: Lines, rows: str) -> int:
    """Put staged records, SQL of a relation, into the table as one change of it; how many."""
    columns = ", ".join(lines.columns())
    revision = next_revision(con, lines.table)
    return put(con, lines.table, f"SELECT source_id, {columns}, {revision}::BIGINT AS revision FROM {rows}")


def staged_schema(lines: Lines, *more: str) -> pa.Schema:
    """The schema of staged rows: `source_id`, the table's columns that come with a record, and `more` texts."""
    columns = TABLES[lines.table].columns
    own = [(name, ARROW_TYPES[columns[name].type]) for name in lines.columns()]
    return pa.schema([("source_id", pa.int32()), *own, *((name, pa.string()) for name in more)])


def staged_rows(
    lines: Lines, batch: pa.RecordBatch, own: dict[str, pa.Array], source: int | pa.Array, schema: pa.Schema
) -> pa.Table:
    """A batch of records as rows of `schema`; dead letters keep the beginning of their text."""
    import pyarrow.compute as pc

    sources = pa.array([source] * len(batch), pa.int32()) if isinstance(source, int) else source
    columns = {name: batch[name] for name in batch.schema.names} | {"source_id": sources} | own
    text = columns[lines.text].cast(pa.string())
    if batch["fault"].null_count < len(batch):
        text = pc.if_else(pc.is_null(batch["fault"]), text, pc.utf8_slice_codeunits(text, 0, EXCERPT))
    columns[lines.text] = text
    return pa.table([_plain(columns[field.name], field.type) for field in schema], schema=schema)


def plain_text(column: pa.Array) -> pa.Array:
    """A column of views as texts of its own, which Arrow can filter; any other as it is."""
    return column.cast(pa.string()) if column.type == pa.string_view() else column


def _plain(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if column.type == kind else column.cast(kind)
