"""The store: one DuckDB file, and the only way to read it, write it, back it up and export it.

One process at a time can write a DuckDB file, and a writer also shuts readers out. So each unit of work is short:
take the lock, attach the file, run one transaction, detach. Heavy work is done before, outside the lock, into Parquet.
"""

import fcntl
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow as pa
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import Settings

SCHEMA_VERSION = 1
Connection = duckdb.DuckDBPyConnection


class OffsetConflict(DataError):
    """Another worker has moved the offset since it was read: roll back, read the offset again, carry on from there."""


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type and what it holds."""

    type: str
    comment: str


@dataclass(frozen=True)
class Table:
    """One table. `key` names a row; it is enforced (a PRIMARY KEY) only if `indexed`, which big tables cannot afford."""

    name: str
    comment: str
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    indexed: bool = False

    def ddl(self, database: str) -> Iterator[str]:
        """The statements that make this table, with its comments, in the attached `database`."""
        lines = [f'"{name}" {column.type}' for name, column in self.columns.items()]
        key = ", ".join(f'"{name}"' for name in self.key)
        yield f'CREATE TABLE {database}."{self.name}" ({", ".join(lines + [f"PRIMARY KEY ({key})"] * self.indexed)})'
        note = f" Key, not enforced: {', '.join(self.key)}." if self.key and not self.indexed else ""
        yield f'COMMENT ON TABLE {database}."{self.name}" IS {_quoted(self.comment + note)}'
        for name, column in self.columns.items():
            yield f'COMMENT ON COLUMN {database}."{self.name}"."{name}" IS {_quoted(column.comment)}'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# name (key), `indexed` where the key is a PRIMARY KEY: comment; then the columns: name, type, comment.
_SCHEMA = """
meta (key) indexed: Facts about the store itself.
    key    VARCHAR  Name of the fact.
    value  VARCHAR  Its value, as text.
sources (source_id) indexed: One row per log file or stream that was read.
    source_id    INTEGER      Number of the source, from 1.
    path         VARCHAR      Where it was read from.
    sha256       VARCHAR      SHA-256 of its content, hexadecimal.
    bytes        BIGINT       Bytes read, after decompression.
    host         VARCHAR      Host that wrote it.
    daemon       VARCHAR      HDFS daemon that wrote it.
    layout       VARCHAR      Line layout that was recognised.
    lines        BIGINT       Lines read.
    records      BIGINT       Log records found; a record can span lines.
    ingested_at  TIMESTAMPTZ  When it was read, UTC.
raw_logs (source_id, position): Every log record as it was written.
    source_id  INTEGER  Source, as in `sources`.
    position   BIGINT   Line number of the record's first line in its source, from 1.
    line       VARCHAR  First line of the record.
    more       VARCHAR  Its continuation lines, joined with newlines; '' if there are none.
parsed_events (source_id, position): One row per record that could be parsed.
    source_id  INTEGER      Source, as in `sources`.
    position   BIGINT       Line number of the record's first line in its source, from 1.
    time       TIMESTAMPTZ  Time stamp of the record, UTC.
    level      VARCHAR      Log level.
    logger     VARCHAR      Class that logged it.
    event_id   VARCHAR      Template that it matches, as in `event_templates`.
    block_ids  BIGINT[]     Distinct HDFS block ids that it names.
    alarm      BOOLEAN      Level WARN, ERROR or FATAL, or the text speaks of an exception or corruption.
dead_letters (): Records that could not be parsed, and why.
    source_id  INTEGER      Source, as in `sources`.
    source     VARCHAR      Path of the source.
    position   BIGINT       Line number of the record's first line in its source, from 1.
    reason     VARCHAR      Why it could not be parsed.
    text       VARCHAR      Excerpt of the record.
    seen_at    TIMESTAMPTZ  When it was met, UTC.
event_templates (catalogue, event_id) indexed: The event templates of each catalogue.
    catalogue  VARCHAR  Name of the template catalogue.
    event_id   VARCHAR  Id of the template in its catalogue, such as E5.
    name       VARCHAR  Short name of the event.
    template   VARCHAR  Message text with <*> for the parts that vary.
    seen       BIGINT   Records that matched it.
    status     VARCHAR  'in use' or 'proposed'.
    example    VARCHAR  One message that matched it.
labels (block_id): What is known about blocks from outside.
    block_id  BIGINT   HDFS block id, without `blk_`; may be negative.
    label     VARCHAR  'normal', 'anomaly' or 'ambiguous'.
    kind      VARCHAR  Kind of anomaly, where it is known.
event_matrix (block_id): One row per block: what the detectors see.
    block_id    BIGINT       HDFS block id, without `blk_`; may be negative.
    first_time  TIMESTAMPTZ  Time of the block's first event, UTC.
    last_time   TIMESTAMPTZ  Time of the block's last event, UTC.
    duration_s  DOUBLE       Seconds from the first event to the last.
    lines       INTEGER      Log records that name the block.
    alarms      INTEGER      Those of them that are alarms.
    counts      INTEGER[]    Events per catalogue column, in the catalogue's order.
models (detector, version) indexed: One row per trained model.
    detector    VARCHAR      Name of the detector.
    version     INTEGER      Version of the model, from 1.
    catalogue   VARCHAR      Name of the template catalogue.
    threshold   DOUBLE       Score from which a block is anomalous.
    path        VARCHAR      Folder of the model's files.
    card        JSON         Model card: data, settings, seed, libraries.
    created_at  TIMESTAMPTZ  When it was trained, UTC.
evaluations (detector, version, split) indexed: Measured quality of each model on each split.
    detector    VARCHAR      Name of the detector.
    version     INTEGER      Version of the model, from 1.
    split       VARCHAR      Name of the split that it was tested on.
    metrics     JSON         Metrics with their intervals.
    created_at  TIMESTAMPTZ  When it was measured, UTC.
scores (block_id, detector): Each detector's latest score of each block.
    block_id    BIGINT       HDFS block id, without `blk_`; may be negative.
    detector    VARCHAR      Name of the detector.
    version     INTEGER      Version of the model, from 1.
    score       DOUBLE       The detector's score; higher is more anomalous.
    threshold   DOUBLE       Score from which a block is anomalous.
    is_anomaly  BOOLEAN      Whether the score reaches the threshold.
    scored_at   TIMESTAMPTZ  When it was scored, UTC.
anomalies (block_id, detector): The anomalous blocks, with the reason in words.
    block_id     BIGINT       HDFS block id, without `blk_`; may be negative.
    detector     VARCHAR      Name of the detector.
    version      INTEGER      Version of the model, from 1.
    score        DOUBLE       The detector's score; higher is more anomalous.
    threshold    DOUBLE       Score from which a block is anomalous.
    reason       VARCHAR      Why, in one sentence.
    explanation  JSON         What the score is made of.
    first_time   TIMESTAMPTZ  Time of the block's first event, UTC.
    last_time    TIMESTAMPTZ  Time of the block's last event, UTC.
    lines        INTEGER      Log records that name the block.
offsets (topic, part) indexed: How far each stream partition has been read; moves in the transaction that writes its rows.
    topic       VARCHAR  Name of the topic.
    part        INTEGER  Partition, from 0.
    next        BIGINT   Offset of the first message that is not in the store yet.
    cluster_id  VARCHAR  Id of the Kafka cluster.
    topic_id    VARCHAR  Id of the topic; another one means that the topic was made anew.
"""


def _tables(schema: str) -> Iterator[Table]:
    for name, key, indexed, comment, columns in re.findall(
        r"^(\w+) \((.*)\)( indexed)?: (.*)((?:\n .*)+)", schema, re.MULTILINE
    ):
        parts = [line.split(maxsplit=2) for line in columns.strip().splitlines()]
        described = {column: Column(type, text) for column, type, text in parts}
        yield Table(name, comment, described, tuple(re.findall(r"\w+", key)), bool(indexed))


TABLES: dict[str, Table] = {table.name: table for table in _tables(_SCHEMA)}

# What DuckDB or the system says, what it means, what to do. Each message gets the original text at its end.
_EXHAUSTED = (
    (
        "No space left|File too large|quota exceeded|max_temp_directory_size",
        "the disk is full. The unfinished write was undone: free some space, then run the command again",
    ),
    ("Out of Memory", "the memory limit was reached. Raise the setting memory_limit (HDFS_PIPELINE_MEMORY_LIMIT)"),
)
_CAUSES = (
    *_EXHAUSTED,
    (
        "memory_limit|[Mm]emory (must|limit)|for memory",
        "the setting memory_limit is not one that DuckDB knows. Write it like 1GB or 500MB",
    ),
    (
        "not a valid DuckDB|Is a directory",
        "this is not a DuckDB database. Move it away, or choose another home (HDFS_PIPELINE_HOME)",
    ),
    ("version number|newer version", f"made by a newer DuckDB than this one ({duckdb.__version__}): upgrade duckdb"),
    ("Corrupt|checksum", "the file is damaged. Put the latest backup in its place"),
    (
        "Permission denied|Read-only file system|not permitted",
        "no permission to open or write it, or the disk is read-only. Change the permissions, or choose another home",
    ),
    (
        "Not a directory|File exists|No such file",
        "its folder cannot be made or is gone. Choose another home (HDFS_PIPELINE_HOME)",
    ),
)


@contextmanager
def _plainly(
    path: Path,
    causes: Sequence[tuple[str, str]] = _CAUSES,
    kinds: tuple[type[Exception], ...] = (duckdb.Error, OSError),
) -> Iterator[None]:
    """Turn the errors that a person can mend into a SetupError about `path`; let the others through."""
    try:
        yield
    except kinds as error:
        for pattern, meaning in causes:
            if re.search(pattern, str(error)):
                raise SetupError(f"{path}: {meaning}. ({str(error).splitlines()[0]})") from error
        raise


def _is_locked(error: BaseException) -> bool:
    """Whether another process, or another DuckDB instance of this one, has the file open."""
    text = str(error)
    return isinstance(error, duckdb.Error) and ("Could not set lock" in text or "file handle conflict" in text)


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, BlockingIOError)


def _until(deadline: float, attempt: Callable[[], Any], busy: Callable[[BaseException], bool]) -> None:
    """Repeat `attempt` while it fails with `busy` errors; at the deadline (monotonic seconds) raise the last one."""
    stop = stop_after_delay(max(0.0, deadline - time.monotonic()))
    # A random wait, because processes that wait in step would collide again and again.
    wait = wait_random(0.001, 0.02)
    Retrying(retry=retry_if_exception(busy), wait=wait, stop=stop, reraise=True)(attempt)


def _release(descriptor: int) -> None:
    # Unlocked by name: a forked child still has a copy of the descriptor, which would keep the lock after the close.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


@dataclass
class _Instance:
    """The in-memory DuckDB of one process, and how many of its units of work use the attached file."""

    base: Connection
    users: int = 0


class Store:
    """The DuckDB file at `path`, shared by threads and processes. Nothing touches the disk before the first unit.

    `lock_timeout_s` is how long a unit waits for the file, in seconds; `memory_limit` is DuckDB's, as it writes it.
    Every unit raises SetupError if the file is held too long by another process (named with its pid), cannot be
    written, is no store, or was made by a newer version. Keep units short, and do not wait inside one for another
    thread's unit: a waiting writer lets no new reader in.
    """

    def __init__(self, path: Path | str, *, lock_timeout_s: float = 30.0, memory_limit: str = "1GB") -> None:
        self.path = Path(path).resolve()
        self.lock_timeout_s = lock_timeout_s
        self.memory_limit = memory_limit
        self._mutex = threading.Lock()
        self._instances: dict[int, _Instance] = {}
        self._thread = threading.local()

    @classmethod
    def open(cls, settings: Settings) -> "Store":
        """The store of `settings.home`; the same object each time, so that nested units know of each other."""
        return _shared(settings.store_path.resolve(), settings.lock_timeout_s, settings.memory_limit)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that can only read; other readers run beside it. Inside another unit, that unit's connection.

        Fetch what you need inside the block: an Arrow reader that outlives it keeps the file, and shuts writers out.
        Raises: SetupError, also if there is no store yet.
        """
        outer: Connection | None = getattr(self._thread, "connection", None)
        if outer is not None:
            yield outer
            return
        with self._unit(write=False) as con, _plainly(self.path, _EXHAUSTED, (duckdb.Error,)):
            yield con

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, alone on the file: committed at the end of the block, rolled back if the block raises.

        Makes the folder, the file and the tables if need be. Raises: SetupError; RuntimeError inside another unit.
        """
        if getattr(self._thread, "connection", None) is not None:
            raise RuntimeError("Store.write() inside read() or write() of the same thread: end the outer block first.")
        with self._unit(write=True) as con:
            con.execute("BEGIN TRANSACTION")
            try:
                with _plainly(self.path, _EXHAUSTED, (duckdb.Error,)):
                    yield con
                with _plainly(self.path):
                    con.execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):  # a commit that failed has ended the transaction already
                    con.execute("ROLLBACK")
                raise

    def backup(self, target: Path | str) -> None:
        """Copy the store to the new file `target`, which appears only once it is whole.

        A plain copy of the file would miss rows that are still in DuckDB's write-ahead log.
        Raises: DataError if `target` exists; SetupError.
        """
        target = Path(target).resolve()
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        alias = f"backup_{threading.get_ident()}"
        if target.exists():
            raise DataError(f"{target} exists already, and a backup overwrites nothing: name another file.")
        with self.read() as con, _plainly(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                con.execute(f"ATTACH ? AS {alias}", [str(partial)])
                try:
                    con.execute(f"COPY FROM DATABASE store TO {alias}")
                finally:
                    con.execute(f"DETACH {alias}")
                partial.rename(target)
            finally:
                _remove(partial)

    def export(
        self, folder: Path | str, format: str = "parquet", tables: Sequence[str] | None = None
    ) -> dict[str, Path]:
        """Write each of `tables` (all of them by default) to `<folder>/<table>.<format>`, replacing what is there.

        `format` is 'parquet' or 'csv'; CSV holds lists as JSON text. Returns the file of each table.
        Raises: DataError for another format or an unknown table; SetupError.
        """
        names = list(TABLES) if tables is None else list(tables)
        if format not in ("parquet", "csv"):
            raise DataError(f"export format {format!r}: there are parquet and csv.")
        if unknown := [name for name in names if name not in TABLES]:
            raise DataError(f"no table {unknown[0]!r} in the store. There are: {', '.join(TABLES)}.")
        files = {name: Path(folder).resolve() / f"{name}.{format}" for name in names}
        with self.read() as con:
            for name, file in files.items():
                with _plainly(file):
                    _export_table(con, TABLES[name], file)
        return files

    @contextmanager
    def _unit(self, *, write: bool) -> Iterator[Connection]:
        """Lock, attach, lend the connection, detach, unlock. Only the way in is guarded by `_plainly`, not the block."""
        deadline = time.monotonic() + self.lock_timeout_s
        with ExitStack() as stack:
            with _plainly(self.path):
                if write:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                elif not self.path.exists():
                    raise SetupError(f"there is no store at {self.path} yet. Make one: `hdfs-pipeline ingest PATH`.")
                stack.enter_context(self._locked(write, deadline))
                con = stack.enter_context(self._attached(write, deadline))
            self._thread.connection = con
            stack.callback(setattr, self._thread, "connection", None)
            yield con

    @contextmanager
    def _locked(self, write: bool, deadline: float) -> Iterator[None]:
        """Hold `<file>.lock`, exclusive to write and shared to read, with this process's pid in it for messages."""
        # A writer keeps the gate while it waits, so readers that follow one another without a gap cannot starve it.
        gate = self._flock(".gate", write, deadline)
        try:
            lock = self._flock(".lock", write, deadline)
        finally:
            _release(gate)
        try:
            with suppress(OSError):  # no room, or a reader without write permission: then messages lack the pid
                os.pwrite(lock, f"{os.getpid():10d}".encode(), 0)
            yield
        finally:
            _release(lock)

    def _flock(self, suffix: str, write: bool, deadline: float) -> int:
        file = f"{self.path}{suffix}"
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            if write:
                raise
            descriptor = os.open(file, os.O_RDONLY)  # enough for a shared lock: a reader of someone else's store
        mode = fcntl.LOCK_EX if write else fcntl.LOCK_SH
        try:
            _until(deadline, lambda: fcntl.flock(descriptor, mode | fcntl.LOCK_NB), _is_busy)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise self._held_by(self._lock_owner()) from None
            raise
        return descriptor

    def _lock_owner(self) -> int | None:
        with suppress(OSError, ValueError):
            return int(Path(f"{self.path}.lock").read_text())
        return None

    def _held_by(self, pid: int | None) -> SetupError:
        """The error that names the process which holds the file."""
        who = "another process" if pid is None else f"process {pid}"
        if pid is not None:
            with suppress(psutil.Error):
                who += f" ({' '.join(psutil.Process(pid).cmdline())})"
        own = (
            " That is this program: another thread, or an Arrow reader or connection left open."
            if pid == os.getpid()
            else ""
        )
        return SetupError(
            f"{self.path} is in use by {who}; waited {self.lock_timeout_s:g} s.{own} Close that program (a DuckDB shell "
            "or DBeaver keeps the file for as long as it is open), or wait and try again; the setting lock_timeout_s "
            "(HDFS_PIPELINE_LOCK_TIMEOUT_S) says how long to wait."
        )

    @contextmanager
    def _attached(self, write: bool, deadline: float) -> Iterator[Connection]:
        """A connection whose default database is the file; the last unit of this process to leave detaches it."""
        with self._mutex:
            instance = self._instance()
            if write and not self.path.exists():
                self._create(instance.base)
            if instance.users == 0:
                self._attach(instance.base, write, deadline)
            instance.users += 1
            con = instance.base.cursor()
        try:
            con.execute("USE store")
            self._check_schema(con)
            yield con
        finally:
            with self._mutex:
                con.close()
                instance.users -= 1
                if instance.users == 0:
                    self._detach(instance)

    def _instance(self) -> _Instance:
        # By pid: DuckDB's threads do not survive a fork, so a child starts afresh and lets the inherited one be.
        pid = os.getpid()
        if pid not in self._instances:
            config: dict[str, Any] = {
                "autoinstall_known_extensions": False,  # a missing extension would cost seconds of failed download
                "autoload_known_extensions": False,
                "preserve_insertion_order": False,
                "memory_limit": self.memory_limit,
                "temp_directory": f"{self.path}.tmp",
            }
            base = duckdb.connect(":memory:", config=config)
            base.execute("SET GLOBAL TimeZone = 'UTC'")
            self._instances[pid] = _Instance(base)
        return self._instances[pid]

    def _attach(self, base: Connection, write: bool, deadline: float) -> None:
        """Attach the file; wait for programs that hold DuckDB's own lock and know nothing of ours."""
        statement = "ATTACH ? AS store" if write else "ATTACH ? AS store (READ_ONLY)"
        try:
            _until(deadline, lambda: base.execute(statement, [str(self.path)]), _is_locked)
        except duckdb.Error as error:
            if not _is_locked(error):
                raise
            found = re.search(r"PID (\d+)", str(error))
            raise self._held_by(int(found[1]) if found else os.getpid()) from error

    def _detach(self, instance: _Instance) -> None:
        try:
            instance.base.execute("DETACH store")
        except duckdb.Error:
            # The transaction is over, committed or not; only the instance is of no more use (after a fatal error).
            del self._instances[os.getpid()]
            with suppress(duckdb.Error):
                instance.base.close()

    def _create(self, base: Connection) -> None:
        """Make the file under another name and rename it, so that no one ever meets half a schema."""
        fresh = self.path.with_name(f"{self.path.name}.new")
        _remove(fresh)
        Path(f"{self.path}.wal").unlink(missing_ok=True)  # the log of a store that was deleted; DuckDB would refuse it
        base.execute("ATTACH ? AS fresh", [str(fresh)])
        try:
            for statement in (line for table in TABLES.values() for line in table.ddl("fresh")):
                base.execute(statement)
            base.execute("INSERT INTO fresh.meta VALUES ('schema_version', ?)", [str(SCHEMA_VERSION)])
        finally:
            base.execute("DETACH fresh")
        fresh.rename(self.path)

    def _check_schema(self, con: Connection) -> None:
        try:
            found = con.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall()
        except (duckdb.CatalogException, duckdb.BinderException):
            found = []
        if not found:
            raise SetupError(f"{self.path} is a DuckDB database, but no hdfs-pipeline store: choose another home.")
        if int(found[0][0]) > SCHEMA_VERSION:
            raise SetupError(
                f"{self.path} was made by a newer hdfs-pipeline (schema {found[0][0]}, this one knows {SCHEMA_VERSION}): "
                "upgrade hdfs-pipeline."
            )


@cache
def _shared(path: Path, lock_timeout_s: float, memory_limit: str) -> Store:
    return Store(path, lock_timeout_s=lock_timeout_s, memory_limit=memory_limit)


def _remove(database: Path) -> None:
    """Remove a temporary database file and its write-ahead log, if they are there."""
    for file in (database, Path(f"{database}.wal")):
        file.unlink(missing_ok=True)


def _export_table(con: Connection, table: Table, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    csv = file.suffix == ".csv"
    lists = [name for name, column in table.columns.items() if csv and column.type.endswith("[]")]
    as_text = f" REPLACE ({', '.join(f'to_json({name}) AS {name}' for name in lists)})" if lists else ""
    options = "FORMAT csv, HEADER" if csv else "FORMAT parquet, COMPRESSION zstd"
    try:
        con.execute(f"COPY (SELECT *{as_text} FROM {table.name}) TO ? ({options})", [str(partial)])
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def publish_into(
    con: Connection,
    table: str,
    source: pa.Table | Sequence[Path | str],
    *,
    replace: str | None = None,
    parameters: Sequence[Any] = (),
) -> int:
    """Put the rows of `source` (an Arrow table, or Parquet files) into `table`; returns how many.

    Columns go by name; those that `source` lacks become NULL. Rows that meet the SQL condition `replace`, with its
    `parameters`, are deleted first. Call it inside `Store.write()`, once for each table that must change together.
    Raises: KeyError for an unknown table; duckdb.Error for columns that do not fit.
    """
    name = TABLES[table].name
    if replace is not None:
        con.execute(f"DELETE FROM {name} WHERE {replace}", list(parameters))
    insert = f"INSERT INTO {name} BY NAME SELECT * FROM "
    if isinstance(source, pa.Table):
        con.register("publish_source", source)
        try:
            return _count(con.execute(insert + "publish_source"))
        finally:
            with suppress(duckdb.Error):  # an insert that failed has aborted the transaction: let its error through
                con.unregister("publish_source")
    if not source:
        return 0
    # Not by folder names: a parent folder called `detector=…` must not become a column.
    return _count(con.execute(insert + "read_parquet(?, hive_partitioning = false)", [[str(path) for path in source]]))


def _count(con: Connection) -> int:
    # All of it, here and below: after `fetchone` the result stays open, and `con.sql` would refuse to work beside it.
    return int(con.fetchall()[0][0])


def offsets(con: Connection, topic: str) -> dict[int, int]:
    """The next offset to read of each partition of `topic` that the store knows."""
    return dict(con.execute("SELECT part, next FROM offsets WHERE topic = ?", [topic]).fetchall())


def advance_offset(
    con: Connection, topic: str, part: int, expected: int | None, next: int, *, cluster_id: str, topic_id: str
) -> None:
    """Move the offset of one partition from `expected` (None: the store knows none yet) to `next`.

    Call it inside `Store.write()` with the rows it stands for; an error rolls them back together.
    Raises: OffsetConflict if the offset is not `expected`; DataError if it would go back, or if the topic or the
    cluster is another one than the offset belongs to.
    """
    rows = con.execute(
        "SELECT next, cluster_id, topic_id FROM offsets WHERE topic = ? AND part = ?", [topic, part]
    ).fetchall()
    row = rows[0] if rows else None
    if row is not None and row[1:] != (cluster_id, topic_id):
        raise DataError(
            f"topic {topic!r} is not the one that was read before: cluster {cluster_id}, topic id {topic_id}; the store "
            f"has cluster {row[1]}, topic id {row[2]}. It was made anew, and its offsets start again: read it into "
            f"another home, or delete the rows of {topic!r} from `offsets` to read it from its beginning."
        )
    if (row[0] if row is not None else None) != expected:
        found = "none" if row is None else row[0]
        raise OffsetConflict(f"{topic}/{part}: the next offset is {found}, not {expected}: another worker moved it.")
    if expected is not None and next < expected:
        raise DataError(f"{topic}/{part}: the next offset would go back from {expected} to {next}.")
    if expected is None:
        con.execute("INSERT INTO offsets VALUES (?, ?, ?, ?, ?)", [topic, part, next, cluster_id, topic_id])
        return
    changed = con.execute(
        "UPDATE offsets SET next = ? WHERE topic = ? AND part = ? AND next = ?", [next, topic, part, expected]
    )
    if _count(changed) == 0:
        raise OffsetConflict(f"{topic}/{part}: the next offset is no longer {expected}: another worker moved it.")
