"""The bytes of one record of a file, to be read once more, where it was a dead letter."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final

from hdfs_pipeline.domains.pieces import CHUNK_BYTES
from hdfs_pipeline.domains.reading import from_line
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline.sources.line_ends import with_line_feeds
from hdfs_pipeline.sources.wire import EXCERPT

_BEGINS: Final = 4 * EXCERPT  # bytes that hold an excerpt, whatever its characters


def bytes_again(path: str, position: int, text: str) -> tuple[Iterator[bytes], str]:
    """The file `path` from line `position` on, which begins with a letter's `text`; and a note for people, or ''.

    Where the file is gone, or has another line there, it is the letter's own text, if that is all of it.
    Raises: DataError where it is not.
    """
    if not text:
        raise DataError("there is no text to read again: this letter stands for the end of a file that is damaged")
    chunks, begins = _lines(path, position), b""
    while len(begins) < _BEGINS and (chunk := next(chunks, b"")):
        begins += chunk
    if text in begins.partition(b"\n")[0].decode("utf-8", "replace"):
        return chain((begins,), chunks), ""
    if len(text) >= EXCERPT:
        raise DataError(f"{path} is gone or has changed, and the store has only the beginning of this record")
    note = "the file is gone or has changed: read from what the store has, without continuation lines"
    return iter([text.encode() + b"\n"]), note


def _lines(path: str, position: int) -> Iterator[bytes]:
    """The bytes of a file from a line on; none where it cannot be read."""
    with suppress(DataError):
        yield from from_line(with_line_feeds(LogFile(Path(path)).chunks(CHUNK_BYTES)), position)
