"""Files into `raw_logs`: every record once, what is no record into `dead_letters`, nothing lost."""

import hashlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from hdfs_pipeline.domains.blocks.batch import Batch, Staged
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.file_names import writer
from hdfs_pipeline.domains.blocks.kernel import connect, fault_sql
from hdfs_pipeline.domains.blocks.matched import EVENT, MOST, Matched
from hdfs_pipeline.domains.blocks.parse import ENOUGH, best_catalogue, counted_catalogue, settled_catalogue
from hdfs_pipeline.domains.blocks.pools import Pool, settle_pool
from hdfs_pipeline.domains.blocks.records import CHUNK_BYTES, RECORDS, LogFormat, split_records
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline.sources.finding import Found, LeftOut, find_files, folded
from hdfs_pipeline.sources.line_ends import with_line_feeds
from hdfs_pipeline.sources.wire import EXCERPT
from hdfs_pipeline.store.quoting import quoted
from hdfs_pipeline.store.scratch import scratch_folder
from hdfs_pipeline.store.store import Store

_STAGED: Final = RECORDS.append(EVENT)
_SIZED: Final = ("origin", "message", "more")  # what `fault_sql` measures
_SAMPLE = 1 << 20  # bytes that tell whether a file is a log
_STAGING = ".staging.ingest."
_TRIES: Final = 3  # of a file that changes while it is read
_ROUNDS: Final = 3  # of looking for files, where some moved while others were read


@dataclass
class Ingested:
    """What one ingest did.

    `skipped` are files whose content was read before. `unread` says which files and folders could not be read, and why;
    `left_out` what scans of folders did not take. `notes` are for people. `layouts` counts the records by the layout of
    their heads, `wrapped` the lines by what stood around them.
    """

    files: int = 0
    lines: int = 0
    records: int = 0
    dead_letters: int = 0
    skipped: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    layouts: Counter[str] = field(default_factory=Counter)
    wrapped: Counter[str] = field(default_factory=Counter)

    @property
    def forms(self) -> dict[str, int]:
        """How the lines were written: records by layout, then lines by what stood around them."""
        return {**dict(self.layouts.most_common()), **{f"in {name}": n for name, n in self.wrapped.most_common()}}


def ingest(
    store: Store, settings: Settings, paths: Iterable[str], on_file: Callable[[int, int, Path], None] | None = None
) -> Ingested:
    """Read the files that `paths` name (see `find_files`) into the store, small ones together in one transaction.

    A file whose unpacked content is in the store already is skipped, whatever its name, and so is the beginning of such
    content (a copy that was cut short). One that begins with such content (a log that has grown) is read on from its
    last record, which may have been cut. What cannot be read is named in the result, and the rest is read. `on_file` is
    called with (number, how many files, path) before each file.

    Raises: DataError where there is nothing to read; SetupError where the store cannot be written, or where another
    ingest into this home is under way.
    """
    done = Ingested()
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(settings.home / "ingest.lock", timeout=settings.lock_timeout_s),
            scratch_folder(settings.home, _STAGING) as staging,
        ):
            if advice := settle_pool(store, settings):
                done.notes.append(advice)
            paths = list(paths)
            found = find_files(paths, staging)
            _read_all(_Reader(store, settings, staging, done), found, paths, on_file)
    except Timeout:
        raise SetupError(
            f"another ingest into {settings.home} is under way: wait until it has ended, or end it"
        ) from None
    except PermissionError as error:
        raise SetupError(f"{error.filename}: no permission to write; choose another home with --home") from None
    except (FileExistsError, NotADirectoryError):
        raise SetupError(f"{settings.home} is no folder; choose another home with --home") from None
    return done


def _read_all(
    reader: "_Reader", found: Found, paths: list[str], on_file: Callable[[int, int, Path], None] | None
) -> None:
    """Read all files that were found; look for `paths` again where some moved meanwhile, as rotated logs do."""
    done, unread = reader.done, dict[str, str]()
    for left in reversed(range(_ROUNDS)):
        reader.moved = False
        files = [file for file in found.files if file.identity not in reader.seen]
        for number, file in enumerate(files, start=1):
            unread.pop(file.shown, None)
            if on_file:
                on_file(number, len(files), file.path)
            try:
                reader.read(file)
            except DataError as error:
                unread[file.shown] = str(error)
        reader.batch.publish()
        paths = [path for path in paths if path != "-"]
        if not (left and reader.moved and paths):
            break
        try:
            found = find_files(paths, reader.staging)
        except DataError:  # all is gone
            break
    told = [why for path, why in unread.items() if not any(other.startswith(f"{path}: ") for other in found.unread)]
    done.unread, done.left_out = [*found.unread, *told], found.left_out
    done.notes += folded(done.left_out)


class _Reader:
    """Reads one file after the other, as one that holds the home's lock for it.

    `seen` are the files that were opened, `moved` whether one had moved or changed when it was to be read.
    """

    def __init__(self, store: Store, settings: Settings, staging: Path, done: Ingested) -> None:
        self.settings, self.staging, self.done = settings, staging, done
        self.log_format = LogFormat.of(settings, Pool.of(settings))
        self.batch = Batch(store, settings, done)
        with store.read() as con:
            self.catalogue = settled_catalogue(con, settings)
            self._chooses = self.catalogue is None and not counted_catalogue(con, settings)
        self.seen: set[tuple[int, int] | None] = set()
        self.moved = False
        self._con: duckdb.DuckDBPyConnection | None = None

    def read(self, file: LogFile) -> None:
        """Read a file, again where it changed meanwhile. Raises: DataError where it cannot be read."""
        for _ in range(_TRIES):
            try:
                with file.held() as identity:
                    self.moved |= identity != file.identity
                    self.seen.add(identity)
                    if self._read_held(file):
                        return
            except DataError:
                self.moved = True
                raise
            self.moved = True
        raise DataError(
            f"{file.shown}: it changed each of the {_TRIES} times that it was read, and nothing of it was stored; "
            "read it again when it is no longer cut or overwritten"
        )

    def _read_held(self, file: LogFile) -> bool:
        """Stage the file for the next transaction, unless its content is known; False where it changed meanwhile."""
        digests = file.prefix_digests(self.batch.sizes(), CHUNK_BYTES)
        whole = max(digests)
        if self.batch.knows(whole, digests[whole]):
            self.done.skipped.append(file.shown)
            return True
        start = self.batch.start_of(digests)
        sample = b"".join(with_line_feeds([file.sample(_SAMPLE)]))
        unreadable = self._unreadable(sample)
        first = self.batch.resume_at(start)  # line from which to read
        bytes_read = _Hashed(file.chunks(CHUNK_BYTES, stop=whole))
        staged, tally, matched = self._stage(bytes_read, start.source_id, unreadable=unreadable, first=first)
        if not unreadable and bytes_read.sha256 != digests[whole]:
            staged.unlink()
            return False
        author = writer(file.path)
        source: dict[str, Any] = {
            "source_id": start.source_id,
            "path": file.shown,
            "sha256": digests[whole],
            "bytes": whole,
            "host": author.host,
            "daemon": author.daemon,
            "layout": tally.layout,
            "lines": tally.lines,
            "records": tally.records + (file.problem is not None),
        }
        self.done.layouts.update(tally.layouts)
        self.done.wrapped.update(tally.wrapped)
        self.batch.add(Staged(staged, source, start, first, file.problem or "", bytes_read.ended, matched))
        return True

    def _unreadable(self, sample: bytes) -> str:
        """What a file that begins so is, where it is no text that could be read; else nothing."""
        if b"\0" not in sample:
            return ""
        begins = sample[:400]
        every_second = max(begins[::2].count(0), begins[1::2].count(0)) * 2 >= len(begins) * 0.9
        if sample.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or (every_second and begins.count(0) < len(begins) * 0.9):
            return "text in UTF-16 or UTF-32: convert it first, as in: iconv -f UTF-16 -t UTF-8 a.log > b.log"
        return "" if self.log_format.holds_records(sample) else "a binary file"

    def _stage(
        self, bytes_read: "_Hashed", source_id: int, *, unreadable: str, first: int
    ) -> tuple[Path, Tally, list[Matched]]:
        """Parquet of all records from line `first` on, outside the store's lock; `reason` tells dead letters.

        Records are matched where it is known by which catalogue; those that are not have no `event_id`.
        """
        tally, matched = Tally(lines=first - 1), list[Matched]()
        chunks = iter([b"(binary)\n"]) if unreadable else from_line(with_line_feeds(bytes_read), first)
        batches = split_records(chunks, self.log_format, tally)
        path, con = self.staging / f"{source_id}.parquet", self._connection()
        con.register("records", pa.RecordBatchReader.from_batches(_STAGED, self._with_events(batches, matched)))
        reason = quoted(unreadable) if unreadable else fault_sql(self.settings.max_record_bytes)
        try:
            con.execute(
                f"""COPY (SELECT * REPLACE (if(reason IS NULL, message, left(message, {EXCERPT})) AS message) FROM (
                    SELECT {source_id}::INTEGER AS source_id, * EXCLUDE (fault), {reason} AS reason FROM records))
                TO {quoted(str(path))} (FORMAT parquet)"""
            )
        except duckdb.Error:
            if bytes_read.failure is not None:  # DuckDB knows only its text
                raise bytes_read.failure from None
            raise
        finally:
            con.unregister("records")
        return path, tally, matched

    def _with_events(self, batches: Iterable[pa.RecordBatch], matched: list[Matched]) -> Iterator[pa.RecordBatch]:
        """The batches with the field `EVENT`; whoever matches and counts their records is put into `matched`."""
        for batch in batches:
            if self._chooses:
                self._choose(batch)
            if self.catalogue is not None and not matched:
                matched.append(Matched(self.catalogue))
            if matched and matched[0].records < MOST:
                good = batch["fault"].is_null().to_numpy(zero_copy_only=False)
                good &= sum(map(_sizes, map(batch.column, _SIZED))) <= self.settings.max_record_bytes
                events = matched[0].take(batch, good)
            else:
                events = pa.nulls(len(batch), EVENT.type)
            yield pa.record_batch([*batch.columns, events], schema=_STAGED)

    def _choose(self, batch: pa.RecordBatch) -> None:
        """Choose the home's first catalogue by the records of a batch, where enough of them name a block."""
        carrying = np.count_nonzero(np.diff(batch["block_ids"].offsets.to_numpy()))
        if carrying >= ENOUGH:
            known = catalogues(self.settings.catalogues)
            label = self.settings.catalogue
            records = pa.Table.from_batches([batch])
            self.catalogue = best_catalogue(records, known) if label == "auto" else known.get(label)
            self._chooses = False

    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._con is None:
            self._con = connect(memory_limit=self.settings.memory_limit)
        return self._con


def _sizes(texts: pa.StringViewArray) -> np.ndarray:
    """The bytes of each text: (n,) int64."""
    views = np.frombuffer(texts.buffers()[1], np.int32).reshape(-1, 4)
    return views[texts.offset : texts.offset + len(texts), 0].astype(np.int64)


class _Hashed:
    """Chunks that are hashed while they are read.

    `sha256` is the digest of what has passed, `ended` whether the last of it ended a line, and `failure` what reading
    raised.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._hasher = chunks, hashlib.sha256()
        self.ended = True
        self.failure: BaseException | None = None

    @property
    def sha256(self) -> str:
        return self._hasher.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                self._hasher.update(chunk)
                self.ended = chunk.endswith((b"\n", b"\r"))
                yield chunk
        except BaseException as error:
            self.failure = error
            raise


def from_line(chunks: Iterable[bytes], first: int) -> Iterator[bytes]:
    """`chunks` without the lines before `first` (from 1)."""
    to_skip = first - 1
    for chunk in chunks:
        at = 0
        while to_skip and (at := chunk.find(b"\n", at) + 1):
            to_skip -= 1
        if not to_skip:
            yield chunk[at:]
