"""Log files: where they are, and their bytes. Plain, .gz and .zst; globs, directories, standard input ("-")."""

import glob
import hashlib
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hdfs_pipeline.errors import DataError

_LOG_NAME = re.compile(r"\.log(\.[\w-]+)*$")


@dataclass
class LogFile:
    """One file. `problem` says, after reading, why its end could not be read."""

    path: Path
    problem: str | None = field(default=None, init=False)

    @property
    def shown(self) -> str:
        """Its path as text for people and for the store: bytes that are not UTF-8 become U+FFFD."""
        return os.fsencode(self.path).decode(errors="replace")

    def chunks(self, size: int, stop: int | None = None) -> Iterator[bytes]:
        """Its bytes, unpacked, in pieces of about `size`; only the first `stop`, in case it has grown meanwhile.

        A packed file that ends early or is damaged gives what can be read; `problem` then says so.
        """
        done = 0
        for chunk in self._unpacked(size):
            if stop is not None and done + len(chunk) > stop:
                yield chunk[: stop - done]
                return
            done += len(chunk)
            yield chunk

    def sample(self, size: int) -> bytes:
        """Its first `size` unpacked bytes; fewer where it is shorter."""
        parts: list[bytes] = []
        for chunk in self.chunks(size, stop=size):
            parts.append(chunk)
            if sum(map(len, parts)) >= size:
                break
        return b"".join(parts)

    def _unpacked(self, size: int) -> Iterator[bytes]:
        self.problem = None
        try:
            with self.path.open("rb") as raw:
                if self.path.suffix == ".gz":
                    yield from self._gunzip(raw, size)
                elif self.path.suffix == ".zst":
                    yield from self._unzstd(raw, size)
                else:
                    yield from iter(lambda: raw.read(size), b"")
        except OSError as error:
            raise DataError(f"{self.shown}: {error.strerror or error}") from None

    def _gunzip(self, raw: BinaryIO, size: int) -> Iterator[bytes]:
        """Like gzip.open, but keeps what stands before a cut, and all but the last 64 KiB before a fault."""
        unpack, data, inside = zlib.decompressobj(wbits=31), b"", False
        done = bytearray()  # small steps, since one that meets a fault gives nothing, gathered to pieces of `size`
        step = min(size, 1 << 16)
        try:
            while data := data or raw.read(1 << 18):
                data = data if inside else data.lstrip(b"\0")  # padding between members
                if not data:
                    continue
                done += unpack.decompress(data, step)
                if len(done) > size - step:
                    yield bytes(done)
                    done.clear()
                inside = not unpack.eof
                data = unpack.unconsumed_tail
                if unpack.eof:
                    data = unpack.unused_data
                    unpack = zlib.decompressobj(wbits=31)
            if inside:
                done += unpack.flush()
                if not unpack.eof:
                    self.problem = "the packed file ends early: it was cut short"
        except zlib.error as error:
            self.problem = f"cannot be unpacked to its end ({error})"
        if done:
            yield bytes(done)

    def _unzstd(self, raw: BinaryIO, size: int) -> Iterator[bytes]:
        import zstandard

        packer = zstandard.ZstdDecompressor()
        unpack, data, inside = packer.decompressobj(), b"", False
        try:
            while data := data or raw.read(1 << 16):
                chunk = unpack.decompress(data)
                yield from (chunk[at : at + size] for at in range(0, len(chunk), size))
                inside, data = not unpack.eof, b""
                if unpack.eof:
                    data = unpack.unused_data
                    unpack = packer.decompressobj()
        except zstandard.ZstdError as error:
            self.problem = f"cannot be unpacked to its end ({error})"
            return
        if inside:
            self.problem = "the packed file ends early: it was cut short"

    def prefix_digests(self, lengths: Iterable[int], size: int) -> dict[int, str]:
        """SHA-256 of its first n unpacked bytes for each n of `lengths` that it reaches, and of all of it."""
        hasher, done, digests = hashlib.sha256(), 0, {}
        wanted = sorted(set(lengths))
        for chunk in self.chunks(size):
            while wanted and wanted[0] <= done + len(chunk):
                length = wanted.pop(0)
                part = hasher.copy()
                part.update(chunk[: length - done])
                digests[length] = part.hexdigest()
            hasher.update(chunk)
            done += len(chunk)
        digests[done] = hasher.hexdigest()
        return digests


def find_files(paths: Iterable[str], spool: Path) -> list[LogFile]:
    """The files that `paths` name: files, globs, directories (in which names with ``.log`` count), "-".

    "-" is standard input, which is kept in the folder `spool` to be read like a file.

    Raises: DataError naming the path where there is nothing to read.
    """
    files: dict[Path, None] = {}
    for name in paths:
        if name == "-":
            files[_spool_stdin(spool)] = None
            continue
        path = Path(name)
        if path.is_dir():
            logs = _logs_in(path)
            if not logs:
                raise DataError(f"{path}: no file in this folder has .log in its name; name the files themselves")
        else:
            matches = [path] if path.is_file() else [Path(p) for p in sorted(glob.glob(name, recursive=True))]
            logs = [
                p
                for match in matches
                for p in (_logs_in(match) if match.is_dir() else [match] if match.is_file() else [])
            ]
            if not logs:
                reason = (
                    "no file to be read twice; give a stream as standard input, with -" if matches else "no such file"
                )
                raise DataError(f"{name}: {reason}")
        files.update(dict.fromkeys(p.resolve() for p in logs))
    return [LogFile(path) for path in files]


def _logs_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and _LOG_NAME.search(path.name)]


def _spool_stdin(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="stdin.", suffix=".log", delete=False) as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return Path(file.name)
