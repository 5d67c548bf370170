"""Files into `raw_logs`: every record once, what is no record into `dead_letters`, nothing lost."""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from filelock import FileLock, Timeout

from hdfs_pipeline.domains.blocks.kernel import connect, fault_sql
from hdfs_pipeline.domains.blocks.records import CHUNK_BYTES, LAYOUTS, RECORDS, Tally, detect_layout, split_records
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.files import LogFile, find_files
from hdfs_pipeline.store import Store, publish_into

_EXCERPT = 1000  # characters of a dead letter that are kept
_SAMPLE = 1 << 20  # bytes that tell a file's layout


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


def ingest(
    store: Store, settings: Settings, paths: Iterable[str], on_file: Callable[[int, int, Path], None] | None = None
) -> Ingested:
    """Read the files that `paths` name (see `find_files`) into the store, each in one transaction of its own.

    A file whose unpacked content is in the store already is skipped, whatever its name; one that begins with such
    content (a log that has grown) is read from there on. `on_file` hears (number, of how many, path) before each file.

    Raises: DataError where there is nothing to read; SetupError where the store cannot be written, or where another
    ingest into this home is under way.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    done = Ingested()
    try:
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
    return done


def _staging(settings: Settings) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=settings.home, prefix=".staging.")


def _ingest_file(store: Store, settings: Settings, file: LogFile, staging: Path, done: Ingested) -> None:
    with store.write() as con:  # makes the store where there is none
        rows = con.execute("SELECT bytes, sha256, source_id, lines, records FROM sources").fetchall()
        fresh = con.execute("SELECT coalesce(max(source_id), 0) + 1 FROM sources").fetchall()[0][0]
    known = {(size, digest): _Known(source_id, size, lines, records) for size, digest, source_id, lines, records in rows}
    digests = file.prefix_digests((size for size, _ in known), CHUNK_BYTES)
    whole = max(digests)
    if (whole, digests[whole]) in known:
        done.skipped.append(str(file.path))
        return
    grown = [known[found] for found in digests.items() if found in known and found[0] > 0]
    start = max(grown, key=lambda source: source.bytes, default=_Known(fresh))
    raw, dead, layout, tally = _stage(settings, file, staging, start)
    tally.records += file.problem is not None
    source = {
        "source_id": start.source_id,
        "path": str(file.path),
        "sha256": digests[whole],
        "bytes": whole,
        "host": file.host,
        "daemon": file.daemon,
        "layout": layout,
        "lines": start.lines + tally.lines,
        "records": start.records + tally.records,
        "ingested_at": datetime.now(UTC),
    }
    with store.write() as con:
        publish_into(con, "raw_logs", [raw])
        buried = publish_into(con, "dead_letters", [dead])
        row = pa.Table.from_pylist([source])
        publish_into(con, "sources", row, replace="source_id = ?", parameters=[start.source_id])
    done.files += 1
    done.lines += tally.lines
    done.records += tally.records
    done.dead_letters += buried
    if buried:
        why = file.problem or "no log of a known layout" if layout == "" or file.problem else "see `dead_letters`"
        done.notes.append(f"{file.path.name}: {buried:,} dead letters ({why})")
    elif whole == 0:
        done.notes.append(f"{file.path.name}: empty")


def _stage(settings: Settings, file: LogFile, staging: Path, start: _Known) -> tuple[Path, Path, str, Tally]:
    """Parquet of the good records and of the dead letters, outside the store's lock; the layout's name and the tally."""
    sample = next(file.chunks(_SAMPLE), b"")[:_SAMPLE]
    binary = b"\0" in sample
    layout = None if binary else detect_layout(sample)
    tally = Tally(lines=start.lines)
    chunks = iter([b"(binary)\n"]) if binary else file.chunks(CHUNK_BYTES, skip=start.bytes)
    batches = split_records(chunks, layout or LAYOUTS["log4j"], tally)
    all_path, raw, dead = (staging / f"{start.source_id}.{name}.parquet" for name in ("all", "raw", "dead"))
    con = connect(memory_limit=settings.memory_limit)
    con.register("records", pa.RecordBatchReader.from_batches(RECORDS, batches))
    con.execute(
        f"""COPY (SELECT {start.source_id}::INTEGER AS source_id, position,
            timezone(?, time) AS time, origin, message, more, block_ids,
            {"'a binary file'" if binary else fault_sql(settings.max_record_bytes)} AS reason
            FROM records) TO '{all_path}' (FORMAT parquet)""",
        [settings.log_timezone],
    )
    con.execute(f"COPY (SELECT * EXCLUDE (reason) FROM '{all_path}' WHERE reason IS NULL) TO '{raw}' (FORMAT parquet)")
    cut = [] if file.problem is None else [(tally.lines + 1, file.problem)]
    con.execute(
        f"""COPY (
            SELECT source_id, $source AS source, position, reason, left(message, {_EXCERPT}) AS text, now() AS seen_at
            FROM '{all_path}' WHERE reason IS NOT NULL
            UNION ALL SELECT {start.source_id}, $source, row[1]::BIGINT, row[2], '', now()
            FROM (SELECT unnest($cut::VARCHAR[][]) AS row)) TO '{dead}' (FORMAT parquet)""",
        {"source": str(file.path), "cut": [[str(at), why] for at, why in cut]},
    )
    con.close()
    all_path.unlink()
    tally.lines -= start.lines
    return raw, dead, layout.name if layout else "", tally
