"""Work on many messages at once that one bad message among them cannot stop."""

from collections.abc import Callable
from typing import Final, TypeVar

from hdfs_pipeline.errors import DataError, PipelineError

_Done = TypeVar("_Done")
# What no message causes: they would fail with any other message too, so they end the work.
_OURS: Final = (PipelineError, OSError, MemoryError)


def by_halves(work: Callable[[int, int], _Done], start: int, end: int) -> tuple[list[_Done], list[tuple[int, str]]]:
    """`work` on the messages [start, end); where it raises, on each half by itself, down to single messages.

    `work` must change nothing before it has succeeded. Returns what it gave, in the order of the messages, and the bad
    messages: the index of each, and why. Raises: what no message causes, such as a full disk.
    """
    if start >= end:
        return [], []
    try:
        return [work(start, end)], []
    except Exception as error:  # whatever one message raises is that message's
        if isinstance(error, _OURS) and not isinstance(error, DataError):
            raise
        if end - start == 1:
            return [], [(start, in_words(error))]
    middle = (start + end) // 2
    first, bad = by_halves(work, start, middle)
    second, more = by_halves(work, middle, end)
    return first + second, bad + more


def in_words(error: Exception) -> str:
    """Why a message is bad, from what it raised."""
    return str(error) if isinstance(error, DataError) else f"cannot be read: {type(error).__name__}: {error}"
