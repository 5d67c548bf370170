"""A log file and its bytes, plain or packed, from one open file however its name moves meanwhile."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sources.packing import HEAD_BYTES, DamagedError, ahead, packing_of

Identity = tuple[int, int]
"""Device and inode: the file itself, whatever its name."""


@dataclass
class LogFile:
    """One file. `problem` says, after reading, why its end could not be read.

    `identity` is the file's own when it was found; None where nobody has looked.
    """

    path: Path
    identity: Identity | None = None
    problem: str | None = field(default=None, init=False)
    _held: BinaryIO | None = field(default=None, init=False, repr=False)

    @property
    def shown(self) -> str:
        """Its path as text for people and for the store: bytes that are not UTF-8 become U+FFFD."""
        return os.fsencode(self.path).decode(errors="replace")

    @contextmanager
    def held(self) -> Iterator[Identity]:
        """Keep it open: all that is read inside the block comes from one file, also if its name moves to another.

        Yields the identity of that file. Raises: DataError where it cannot be opened.
        """
        with self._opened() as raw:
            self._held = raw
            try:
                yield identity_of(os.fstat(raw.fileno()))
            finally:
                self._held = None

    def chunks(self, size: int, stop: int | None = None) -> Iterator[bytes]:
        """Its bytes, unpacked, in pieces of about `size`; only the first `stop`, in case it has grown meanwhile.

        A packed file that ends early or is damaged gives what can be read; `problem` then says so.
        Raises: DataError where it cannot be read.
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

    def prefix_digests(self, lengths: Iterable[int], size: int) -> dict[int, str]:
        """SHA-256 of its first n unpacked bytes for each n of `lengths` that it reaches, and of all of it.

        Each byte is hashed once, however many lengths there are.
        """
        hasher, done, digests = hashlib.sha256(), 0, {}
        wanted = iter(sorted(set(lengths)))
        length = next(wanted, None)
        for chunk in self.chunks(size):
            view, at = memoryview(chunk), 0
            while length is not None and length <= done + len(chunk):
                hasher.update(view[at : length - done])
                digests[length], at = hasher.hexdigest(), length - done
                length = next(wanted, None)
            hasher.update(view[at:])
            done += len(chunk)
        digests[done] = hasher.hexdigest()
        return digests

    def _unpacked(self, size: int) -> Iterator[bytes]:
        self.problem = None
        try:
            if self._held is not None:
                self._held.seek(0)
                yield from self._pieces(self._held, size)
            else:
                with self._opened() as raw:
                    yield from self._pieces(raw, size)
        except DamagedError as error:
            self.problem = str(error)
        except OSError as error:
            raise DataError(f"{self.shown}: {error.strerror or error}") from None

    def _pieces(self, raw: BinaryIO, size: int) -> Iterator[bytes]:
        head = raw.read(HEAD_BYTES)
        raw.seek(0)
        if packing := packing_of(head, self.path.suffix):
            yield from ahead(packing.unpack(raw, size))
        else:
            yield from iter(lambda: raw.read(size), b"")

    def _opened(self) -> BinaryIO:
        try:
            # Without a wait: a pipe that has taken the file's place would wait for a writer.
            raw = os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK), "rb")
        except OSError as error:
            raise DataError(f"{self.shown}: {error.strerror or error}") from None
        if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
            raw.close()
            raise DataError(f"{self.shown}: no regular file")
        return raw


def identity_of(found: os.stat_result) -> Identity:
    """Which file a look at it has found."""
    return found.st_dev, found.st_ino
