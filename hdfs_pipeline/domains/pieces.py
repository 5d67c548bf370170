"""Pieces of a file: cut at line ends, worked on by threads beside the reader, taken in their order."""

import ctypes
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Final, TypeVar

from hdfs_pipeline.domains.tally import Tally

CHUNK_BYTES: Final = 4 << 20
"""Bytes to read at a time: about as many rows as suit DuckDB best."""
LONGEST: Final = 32 << 20
"""Bytes at which a record that grows on is cut, so that memory stays bounded."""
_AHEAD: Final = 2  # pieces worked on before they are asked for
_KEPT: Final = 128 << 20
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as malloc.h numbers them
Result = TypeVar("Result")


def in_turn(works: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """What each work gives, in their order. A few run beside the caller: compiled code holds no interpreter lock."""
    _keep_freed_memory()
    with ThreadPoolExecutor(_AHEAD) as pool:
        pending: deque[Future[Result]] = deque()
        for work in works:
            pending.append(pool.submit(work))
            if len(pending) > _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@cache
def _keep_freed_memory() -> None:
    """Let the C library give freed memory to the next piece of a file, up to `_KEPT` bytes of it.

    By default it gives the pages of large arrays back, and the kernel clears new ones: a tenth of the time from a
    file to its matrix.
    """
    libc = ctypes.CDLL(None)
    with suppress(AttributeError):  # not glibc, which has other ways
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)
        libc.mallopt(_MMAP_THRESHOLD, LONGEST)


def whole_lines(chunks: Iterable[bytes], tally: Tally) -> Iterator[bytes]:
    """Chunks cut at line ends. A line longer than `LONGEST` is cut, and the rest of it is dropped."""
    carry, dropping = b"", False
    for chunk in chunks:
        tally.bytes += len(chunk)
        data = carry + chunk
        if dropping:
            data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
            dropping = not data and chunk[-1:] != b"\n"
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > LONGEST:
            cut, dropping = len(data), True
        carry = data[cut:]
        if cut:
            yield data[:cut]
    if carry:
        yield carry
