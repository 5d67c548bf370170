"""The store: one DuckDB file, and the only way to read it, write it, back it up and export it.

Only one process at a time can write a DuckDB file, and a writer also shuts readers out. So each unit of work is short:
take the lock, attach the file, run one transaction, detach. Heavy work happens before that, outside the lock, and goes
into Parquet files.
"""

import fcntl
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pyarrow as pa
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from hdfs_pipeline.errors import DataError, SetupError, UsageError, unknown
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.errors import MIDWAY, WRITING, in_plain_words, nameable
from hdfs_pipeline.store.migration.backups import free_name
from hdfs_pipeline.store.migration.tables import upgrade
from hdfs_pipeline.store.quoting import identifier, one_file
from hdfs_pipeline.store.schema import SCHEMA_VERSION, TABLES, Table

Connection = duckdb.DuckDBPyConnection
_log = logging.getLogger("hdfs_pipeline.store")
_FORMATS = ("parquet", "csv")  # of an export


def _is_locked(error: BaseException) -> bool:
    """Whether another process, or another DuckDB instance of this one, has the file open."""
    text = str(error)
    return isinstance(error, duckdb.Error) and ("Could not set lock" in text or "file handle conflict" in text)


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, BlockingIOError)


class Deadline:
    """The time by which a unit must have the file: `limit_s` seconds after it began to wait."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._at = time.monotonic() + limit_s

    @property
    def left_s(self) -> float:
        """Seconds that are left, 0 where none are."""
        return max(0.0, self._at - time.monotonic())


def _until(deadline: Deadline, attempt: Callable[[], Any], busy: Callable[[BaseException], bool]) -> None:
    """Repeat `attempt` while it fails with `busy` errors; at the deadline raise the last one."""
    stop = stop_after_delay(deadline.left_s)
    # A random wait, because processes that wait in step would collide again and again.
    wait = wait_random(0.001, 0.02)
    Retrying(retry=retry_if_exception(busy), wait=wait, stop=stop, reraise=True)(attempt)


def _release(descriptor: int) -> None:
    # Unlocked by name: a forked child still has a copy of the descriptor, which would keep the lock after the close.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


class _OldSchemaError(Exception):
    """The file was made by an older release, or lacks the tables of a new domain, and this unit cannot write."""


@dataclass
class _Instance:
    """The in-memory DuckDB of one process, and how many of its units of work use the attached file."""

    base: Connection
    users: int = 0


class Store:
    """The DuckDB file at `path`, shared by threads and processes. Nothing touches the disk before the first unit.

    `lock_timeout_s` is how long a unit waits for the file, in seconds; `memory_limit` is DuckDB's, such as 1GB.
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
    def read(self, limit_s: float | None = None) -> Iterator[Connection]:
        """A connection that can only read; other readers run beside it. Inside another unit, that unit's connection.

        With `limit_s` it waits at most that long for the file, in seconds, in place of `lock_timeout_s`. Fetch what you
        need inside the block: an Arrow reader that outlives it keeps the file, and shuts writers out.
        Raises: SetupError, also if there is no store yet.
        """
        outer: Connection | None = getattr(self._thread, "connection", None)
        if outer is not None:
            yield outer
            return
        with ExitStack() as stack:
            try:
                con = stack.enter_context(self._unit(write=False, limit_s=limit_s))
            except _OldSchemaError:
                self._bring_up_to_date()
                con = stack.enter_context(self._unit(write=False, limit_s=limit_s))
            stack.enter_context(in_plain_words(self.path, MIDWAY, (duckdb.Error,)))
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
                with in_plain_words(self.path, MIDWAY, (duckdb.Error,)):
                    yield con
                with in_plain_words(self.path):
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
        if target.exists():
            raise DataError(f"{target} exists already, and a backup overwrites nothing: name another file.")
        with self.read() as con:
            _copy_database(con, target)

    def export(
        self, folder: Path | str, format: str = "parquet", tables: Sequence[str] | None = None
    ) -> dict[str, Path]:
        """Write each of `tables` (all of them by default) to `<folder>/<table>.<format>`, replacing what is there.

        `format` is 'parquet' or 'csv'; CSV holds lists as JSON text. Returns the file of each table.
        Raises: UsageError for another format or an unknown table; SetupError.
        """
        names = list(TABLES) if tables is None else list(tables)
        if format not in _FORMATS:
            raise UsageError(unknown("format", format, _FORMATS))
        if strangers := [name for name in names if name not in TABLES]:
            raise UsageError(unknown("table", strangers[0], TABLES))
        files = {name: Path(folder).resolve() / f"{name}.{format}" for name in names}
        with self.read() as con:
            for name, file in files.items():
                with in_plain_words(file, WRITING):
                    _export_table(con, TABLES[name], file)
        return files

    @contextmanager
    def _unit(self, *, write: bool, limit_s: float | None = None) -> Iterator[Connection]:
        """Lock, attach, lend the connection, detach, unlock. `in_plain_words` guards the way in only."""
        deadline = Deadline(self.lock_timeout_s if limit_s is None else limit_s)
        with ExitStack() as stack:
            with in_plain_words(nameable(self.path)):
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
    def _locked(self, write: bool, deadline: Deadline) -> Iterator[None]:
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

    def _flock(self, suffix: str, write: bool, deadline: Deadline) -> int:
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
                raise self._held_by(self._lock_owner(), deadline) from None
            raise
        return descriptor

    def _lock_owner(self) -> int | None:
        with suppress(OSError, ValueError):
            return int(Path(f"{self.path}.lock").read_text())
        return None

    def _held_by(self, pid: int | None, deadline: Deadline) -> SetupError:
        """The error that names the process which holds the file."""
        who = "another process" if pid is None else f"process {pid}"
        if pid is not None:
            with suppress(psutil.Error):
                who += f" ({_program(psutil.Process(pid))})"
        own = (
            " That is this program: another thread, or an Arrow reader or connection left open."
            if pid == os.getpid()
            else ""
        )
        return SetupError(
            f"{self.path} is in use by {who}; waited {deadline.limit_s:g} s.{own} Close that program (a DuckDB "
            "shell or DBeaver keeps the file for as long as it is open), or wait and try again; the setting "
            "lock_timeout_s (HDFS_PIPELINE_LOCK_TIMEOUT_S) says how long to wait."
        )

    @contextmanager
    def _attached(self, write: bool, deadline: Deadline) -> Iterator[Connection]:
        """A connection whose default database is the file; the last unit of this process to leave detaches it."""
        # Another thread may wait for the file for longer than this one may.
        if not self._mutex.acquire(timeout=deadline.left_s):
            raise self._held_by(None, deadline)
        try:
            instance = self._instance()
            if write and not self.path.exists():
                self._create(instance.base)
            if instance.users == 0:
                self._attach(instance.base, write, deadline)
            instance.users += 1
            con = instance.base.cursor()
        finally:
            self._mutex.release()
        try:
            con.execute("USE store; SET enable_progress_bar = false")
            self._check_schema(con, write)
            yield con
        finally:
            with self._mutex:
                con.close()
                instance.users -= 1
                if instance.users == 0:
                    self._detach(instance)

    def _instance(self) -> _Instance:
        # By pid: DuckDB's threads do not survive a fork, so a child makes its own and leaves the inherited one alone.
        pid = os.getpid()
        if pid not in self._instances:
            config: dict[str, Any] = {
                "autoinstall_known_extensions": False,  # a missing extension would cost seconds of failed download
                "autoload_known_extensions": False,
                "preserve_insertion_order": False,
                "memory_limit": self.memory_limit,
                "allocator_background_threads": True,  # memory that a query needed goes back to the system soon after
                "temp_directory": f"{self.path}.tmp",
            }
            base = duckdb.connect(":memory:", config=config)
            base.execute("SET GLOBAL TimeZone = 'UTC'")
            self._instances[pid] = _Instance(base)
        return self._instances[pid]

    def _attach(self, base: Connection, write: bool, deadline: Deadline) -> None:
        """Attach the file; wait for programs that hold DuckDB's own lock and do not use ours."""
        statement = "ATTACH ? AS store" if write else "ATTACH ? AS store (READ_ONLY)"
        try:
            _until(deadline, lambda: base.execute(statement, [str(self.path)]), _is_locked)
        except duckdb.Error as error:
            if not _is_locked(error):
                raise
            holder = re.search(r"PID (\d+)", str(error))
            raise self._held_by(int(holder[1]) if holder else os.getpid(), deadline) from error

    def _detach(self, instance: _Instance) -> None:
        try:
            instance.base.execute("DETACH store")
        except duckdb.Error:
            # The transaction is over, committed or not. Only the instance cannot be used again (after a fatal error).
            del self._instances[os.getpid()]
            with suppress(duckdb.Error):
                instance.base.close()

    def _create(self, base: Connection) -> None:
        """Make the file under another name and rename it, so that nobody ever opens half a schema."""
        fresh = self.path.with_name(f"{self.path.name}.new")
        _remove(fresh)
        Path(f"{self.path}.wal").unlink(missing_ok=True)  # the log of a store that was deleted; DuckDB would refuse it
        base.execute("ATTACH ? AS fresh", [str(fresh)])
        try:
            base.execute("BEGIN TRANSACTION")  # one commit in place of one for each statement
            for statement in (line for table in TABLES.values() for line in table.ddl("fresh")):
                base.execute(statement)
            facts = [str(SCHEMA_VERSION), " ".join(TABLES)]
            base.execute("INSERT INTO fresh.meta VALUES ('schema_version', ?), ('tables', ?)", facts)
            base.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # a commit that failed has ended the transaction already
                base.execute("ROLLBACK")
            raise
        finally:
            base.execute("DETACH fresh")
        fresh.rename(self.path)

    def _check_schema(self, con: Connection, write: bool) -> None:
        try:
            facts = dict(con.execute("SELECT key, value FROM meta").fetchall())
        except (duckdb.CatalogException, duckdb.BinderException):
            facts = {}
        if "schema_version" not in facts:
            raise SetupError(f"{self.path} is a DuckDB database, but no hdfs-pipeline store: choose another home.")
        version = int(facts["schema_version"])
        if version > SCHEMA_VERSION:
            raise SetupError(
                f"{self.path} was made by a newer hdfs-pipeline (schema {version}, this one knows {SCHEMA_VERSION}): "
                "upgrade hdfs-pipeline."
            )
        # A domain may have come since, with tables of its own.
        if version < SCHEMA_VERSION or not TABLES.keys() <= set(facts.get("tables", "").split()):
            if not write:
                raise _OldSchemaError
            self._upgrade(con, version)

    def _upgrade(self, con: Connection, version: int) -> None:
        """Bring the store from schema `version` up to date, in one transaction; keep a copy of an older schema."""
        backup = free_name(self.path, version) if version < SCHEMA_VERSION else None
        if backup is not None:
            for partial in self.path.parent.glob(f".{self.path.name}.schema*.partial*"):  # of one that was killed
                partial.unlink()
            _copy_database(con, backup)
        try:
            con.execute("BEGIN TRANSACTION")
            try:
                upgrade(con, version)
                con.execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):  # a commit that failed has ended the transaction already
                    con.execute("ROLLBACK")
                raise
        except BaseException:
            if backup is not None:  # otherwise each further try would leave a copy
                _remove(backup)
            raise
        if backup is not None:
            _log.warning(
                "%s was made by an older release (schema %d) and has been brought up to date (schema %d). %s is a copy "
                "of it as it was. To go back to that release, end every hdfs-pipeline, put the copy in the store's "
                "place, and if there is a copy of the models' folder, put that in the folder's place.",
                *(self.path, version, SCHEMA_VERSION, backup),
            )

    def _bring_up_to_date(self) -> None:
        try:
            with self.write():
                pass
        except SetupError as error:
            raise SetupError(
                f"{self.path} was made by an older release and must be brought up to date once, which failed: {error}"
            ) from error


def _program(process: psutil.Process) -> str:
    """What a process is, without its arguments, which may hold passwords: its program, and an interpreter's script."""
    script = (Path(part).name for part in process.cmdline()[1:2] if Path(process.cwd(), part).is_file())
    return " ".join([process.name(), *script])


@cache
def _shared(path: Path, lock_timeout_s: float, memory_limit: str) -> Store:
    return Store(path, lock_timeout_s=lock_timeout_s, memory_limit=memory_limit)


def _copy_database(con: Connection, target: Path) -> None:
    """Copy the store to the new file `target`, which appears only once it is whole. Raises: SetupError."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    alias = f"backup_{threading.get_ident()}"
    with in_plain_words(nameable(target), WRITING):
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


def _remove(database: Path) -> None:
    """Remove a temporary database file and its write-ahead log, if they are there."""
    for file in (database, Path(f"{database}.wal")):
        file.unlink(missing_ok=True)


def _export_table(con: Connection, table: Table, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    csv = file.suffix == ".csv"
    lists = [name for name, column in table.columns.items() if csv and column.type.endswith("[]")]
    as_text = f" REPLACE ({', '.join(f'to_json({n}) AS {n}' for n in map(identifier, lists))})" if lists else ""
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
    `parameters`, are deleted first; it may name an Arrow source as `publish_source`. Call it inside `Store.write()`,
    once for each table that must change together.
    Raises: KeyError for an unknown table; duckdb.Error for columns that do not fit.
    """
    name = TABLES[table].name
    arrow = isinstance(source, pa.Table)
    # Not by folder names: a parent folder called `detector=…` must not become a column.
    rows = "publish_source" if arrow else "read_parquet(?, hive_partitioning = false)"
    paths = [] if arrow else [[one_file(path) for path in source]]
    if arrow:
        con.register("publish_source", source)
    try:
        if replace is not None:
            con.execute(f"DELETE FROM {name} WHERE {replace}", list(parameters))
        if paths == [[]]:
            return 0
        return count(con.execute(f"INSERT INTO {name} BY NAME SELECT * FROM {rows}", paths))
    finally:
        with suppress(duckdb.Error):  # an insert that failed has aborted the transaction: let its error through
            con.unregister("publish_source")


def dicts(con: Connection, query: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
    """The rows that a query gives, each by the names of its columns."""
    cursor = con.execute(query, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def count(con: Connection) -> int:
    """The number of rows that the last statement has changed."""
    # `fetchall`, not `fetchone`: that would leave the result open, and `con.sql` refuses to work beside an open one.
    return int(con.fetchall()[0][0])
