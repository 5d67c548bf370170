"""Files into a domain's table: every record once, what is no record into `dead_letters`, nothing lost."""

import hashlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from hdfs_pipeline.domains.pieces import CHUNK_BYTES
from hdfs_pipeline.domains.staged import Batch, Intake, Staged
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline.sources.finding import Found, LeftOut, find_files, folded
from hdfs_pipeline.sources.line_ends import with_line_feeds
from hdfs_pipeline.store.scratch import scratch_folder
from hdfs_pipeline.store.store import Store

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
    store: Store,
    settings: Settings,
    paths: Iterable[str],
    intake: Callable[[Ingested], Intake],
    on_file: Callable[[int, int, Path], None] | None = None,
) -> Ingested:
    """Read the files that `paths` name (see `find_files`) into the store, small ones together in one transaction.

    A file whose unpacked content is in the store already is skipped, whatever its name, and so is the beginning of such
    content (a copy that was cut short). One that begins with such content (a log that has grown) is read on from its
    last record, which may have been cut. What cannot be read is named in the result, and the rest is read. `intake` is
    called with the result to be once the home is locked. `on_file` is called with (number, how many files, path) before
    each file.

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
            paths = list(paths)
            found = find_files(paths, staging)
            _read_all(_Reader(store, intake(done), staging, done), found, paths, on_file)
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

    def __init__(self, store: Store, intake: Intake, staging: Path, done: Ingested) -> None:
        self.intake, self.staging, self.done = intake, staging, done
        self.batch = Batch(store, intake, done)
        self.seen: set[tuple[int, int] | None] = set()
        self.moved = False

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
        staged, tally = self.staging / f"{start.source_id}.parquet", Tally(lines=first - 1)
        chunks = iter([b"(binary)\n"]) if unreadable else from_line(with_line_feeds(bytes_read), first)
        try:
            extra = self.intake.stage(chunks, tally, start.source_id, file.path, staged, unreadable)
        except Exception as error:
            if bytes_read.failure is not None and error is not bytes_read.failure:  # DuckDB knows only its text
                raise bytes_read.failure from None
            raise
        if not unreadable and bytes_read.sha256 != digests[whole]:
            staged.unlink()
            return False
        host, daemon = self.intake.author(file.path)
        source: dict[str, Any] = {
            "source_id": start.source_id,
            "path": file.shown,
            "sha256": digests[whole],
            "bytes": whole,
            "domain": self.intake.domain,
            "host": host,
            "daemon": daemon,
            "layout": tally.layout,
            "lines": tally.lines,
            "records": tally.records + (file.problem is not None),
        }
        self.done.layouts.update(tally.layouts)
        self.done.wrapped.update(tally.wrapped)
        self.batch.add(Staged(staged, source, start, first, file.problem or "", bytes_read.ended, extra))
        return True

    def _unreadable(self, sample: bytes) -> str:
        """What a file that begins so is, where it is no text that could be read; else nothing."""
        if b"\0" not in sample:
            return ""
        begins = sample[:400]
        every_second = max(begins[::2].count(0), begins[1::2].count(0)) * 2 >= len(begins) * 0.9
        if sample.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or (every_second and begins.count(0) < len(begins) * 0.9):
            return "text in UTF-16 or UTF-32: convert it first, as in: iconv -f UTF-16 -t UTF-8 a.log > b.log"
        return "" if self.intake.holds_records(sample) else "a binary file"


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
