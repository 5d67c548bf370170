"""Files into `raw_logs`: every record once, what is no record into `dead_letters`, nothing lost."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

from hdfs_pipeline.domains.blocks.file_names import writer
from hdfs_pipeline.domains.blocks.kernel import connect, fault_sql
from hdfs_pipeline.domains.blocks.records import (
    CHUNK_BYTES,
    LAYOUTS,
    RECORDS,
    Layout,
    Tally,
    detect_layout,
    split_records,
)
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.files import LogFile, find_files
from hdfs_pipeline.sources.wire import EXCERPT
from hdfs_pipeline.store.schema import quoted
from hdfs_pipeline.store.store import Connection, Store, count, publish_into

_SAMPLE = 1 << 20  # bytes that tell a file's layout
_STAGING = ".staging.ingest."


@dataclass
class Ingested:
    """What one ingest did. `skipped` are files whose content was read before; `notes` are for people."""

    files: int = 0
    lines: int = 0
    records: int = 0
    dead_letters: int = 0
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Known:
    """How far a source was read: its row of `sources`."""

    source_id: int
    bytes: int = 0
    lines: int = 0
    records: int = 0
    layout: str = ""


def ingest(
    store: Store, settings: Settings, paths: Iterable[str], on_file: Callable[[int, int, Path], None] | None = None
) -> Ingested:
    """Read the files that `paths` name (see `find_files`) into the store, each in one transaction of its own.

    A file whose unpacked content is in the store already is skipped, whatever its name; one that begins with such
    content (a log that has grown) is read on from its last record, which may have been cut. `on_file` is called with
    (number, how many files, path) before each file.

    Raises: DataError where there is nothing to read; SetupError where the store cannot be written, or where another
    ingest into this home is under way.
    """
    done = Ingested()
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with FileLock(settings.home / "ingest.lock", timeout=settings.lock_timeout_s), _staging(settings) as staging:
            files = find_files(paths, Path(staging))
            for number, file in enumerate(files, start=1):
                if on_file:
                    on_file(number, len(files), file.path)
                _ingest_file(store, settings, file, Path(staging), done)
    except Timeout:
        raise SetupError(
            f"another ingest into {settings.home} is under way: wait until it has ended, or end it"
        ) from None
    except PermissionError as error:
        raise SetupError(f"{error.filename}: no permission to write; choose another home with --home") from None
    except (FileExistsError, NotADirectoryError):
        raise SetupError(f"{settings.home} is no folder; choose another home with --home") from None
    return done


def _staging(settings: Settings) -> tempfile.TemporaryDirectory[str]:
    for leftover in settings.home.glob(f"{_STAGING}*"):  # left by an ingest that was killed: this one has the lock
        shutil.rmtree(leftover, ignore_errors=True)
    return tempfile.TemporaryDirectory(dir=settings.home, prefix=_STAGING)


def _ingest_file(store: Store, settings: Settings, file: LogFile, staging: Path, done: Ingested) -> None:
    with store.write() as con:  # makes the store where there is none
        rows = con.execute(
            "SELECT sha256, source_id, bytes, lines, records, layout FROM sources WHERE source_id > 0"  # files
        ).fetchall()
        fresh = con.execute("SELECT greatest(coalesce(max(source_id), 0), 0) + 1 FROM sources").fetchall()[0][0]
    known = {(row[2], row[0]): _Known(*row[1:]) for row in rows}
    digests = file.prefix_digests((size for size, _ in known), CHUNK_BYTES)
    whole = max(digests)
    if (whole, digests[whole]) in known:
        done.skipped.append(file.shown)
        return
    grown = [known[prefix] for prefix in digests.items() if prefix in known and prefix[0] > 0]
    start = max(grown, key=lambda source: source.bytes, default=_Known(fresh))
    sample = file.sample(_SAMPLE)
    layout = detect_layout(sample)
    binary = layout is None and b"\0" in sample
    name = layout.name if layout else ""
    first = _resume_at(store, start) if name == start.layout else 1  # line from which to read
    raw, dead, tally = _stage(
        settings, file, staging, start.source_id, layout=layout, binary=binary, first=first, whole=whole
    )
    tally.records += file.problem is not None
    author = writer(file.path)
    source: dict[str, Any] = {
        "source_id": start.source_id,
        "path": file.shown,
        "sha256": digests[whole],
        "bytes": whole,
        "host": author.host,
        "daemon": author.daemon,
        "layout": name,
        "lines": tally.lines,
        "ingested_at": datetime.now(UTC),
    }
    with store.write() as con:
        old_records, old_letters = (
            _withdraw(con, table, start.source_id, first) for table in ("raw_logs", "dead_letters")
        )
        _withdraw(con, "parsed_events", start.source_id, first)
        publish_into(con, "raw_logs", [raw])
        new_letters = publish_into(con, "dead_letters", [dead])
        source["records"] = start.records - old_records - old_letters + tally.records
        row = pa.Table.from_pylist([source])
        publish_into(con, "sources", row, replace="source_id = ?", parameters=[start.source_id])
    done.files += 1
    done.lines += tally.lines - start.lines
    done.records += source["records"] - start.records
    done.dead_letters += new_letters - old_letters
    if new_letters:
        cause = file.problem or ("see `dead_letters`" if name else "no log of a known layout")
        done.notes.append(f"{Path(file.shown).name}: {new_letters:,} dead letters ({cause})")
    elif whole == 0:
        done.notes.append(f"{Path(file.shown).name}: empty")


def _resume_at(store: Store, start: _Known) -> int:
    """Line from which a source is read on: where its last record begins, since more of it may have been written."""
    if start.bytes == 0:
        return 1
    with store.read() as con:
        line = con.execute(
            """SELECT max(position) FROM (SELECT source_id, position FROM raw_logs
            UNION ALL SELECT source_id, position FROM dead_letters) WHERE source_id = ? AND position <= ?""",
            [start.source_id, start.lines],
        ).fetchall()[0][0]
    return int(line or 1)


def _withdraw(con: Connection, table: str, source_id: int, first: int) -> int:
    """Delete a source's rows from line `first` on; returns how many."""
    return count(con.execute(f"DELETE FROM {table} WHERE source_id = ? AND position >= ?", [source_id, first]))


def _from_line(chunks: Iterable[bytes], first: int) -> Iterator[bytes]:
    """`chunks` without the lines before `first` (from 1)."""
    to_skip = first - 1
    for chunk in chunks:
        at = 0
        while to_skip and (at := chunk.find(b"\n", at) + 1):
            to_skip -= 1
        if not to_skip:
            yield chunk[at:]


def _stage(
    settings: Settings,
    file: LogFile,
    staging: Path,
    source_id: int,
    *,
    layout: Layout | None,
    binary: bool,
    first: int,
    whole: int,
) -> tuple[Path, Path, Tally]:
    """Parquet of the good records and of the dead letters from line `first` on, outside the store's lock.

    Only the first `whole` bytes are read: what a daemon has written since they were hashed is for the next ingest.
    """
    tally = Tally(lines=first - 1)
    chunks = iter([b"(binary)\n"]) if binary else _from_line(file.chunks(CHUNK_BYTES, stop=whole), first)
    batches = split_records(chunks, layout or LAYOUTS["log4j"], tally)
    all_path, raw, dead = (staging / f"{source_id}.{name}.parquet" for name in ("all", "raw", "dead"))
    con = connect(memory_limit=settings.memory_limit)
    try:
        con.execute("SELECT timezone(?, TIMESTAMP '2000-01-01')", [settings.log_timezone]).fetchall()
    except duckdb.Error:
        raise SetupError(
            f"setting log_timezone: no time zone {settings.log_timezone!r}; write it like Europe/Berlin or UTC"
        ) from None
    con.register("records", pa.RecordBatchReader.from_batches(RECORDS, batches))
    con.execute(
        f"""COPY (SELECT {source_id}::INTEGER AS source_id, position,
            timezone(?, time) AS time, origin, message, more, block_ids, alarm,
            {"'a binary file'" if binary else fault_sql(settings.max_record_bytes)} AS reason
            FROM records) TO {quoted(str(all_path))} (FORMAT parquet)""",
        [settings.log_timezone],
    )
    con.execute(
        f"""COPY (SELECT * EXCLUDE (reason) FROM {quoted(str(all_path))} WHERE reason IS NULL)
        TO {quoted(str(raw))} (FORMAT parquet)"""
    )
    cut = [] if file.problem is None else [(tally.lines + 1, file.problem)]
    con.execute(
        f"""COPY (
            SELECT source_id, $source AS source, position, reason, left(message, {EXCERPT}) AS text, now() AS seen_at
            FROM {quoted(str(all_path))} WHERE reason IS NOT NULL
            UNION ALL SELECT {source_id}, $source, row[1]::BIGINT, row[2], '', now()
            FROM (SELECT unnest($cut::VARCHAR[][]) AS row)) TO {quoted(str(dead))} (FORMAT parquet)""",
        {"source": file.shown, "cut": [[str(at), why] for at, why in cut]},
    )
    con.close()
    all_path.unlink()
    return raw, dead, tally
