"""One record of a file, read once more: what was a dead letter may be a record since a setting has changed."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Final

import pyarrow as pa

from hdfs_pipeline.domains.blocks.kernel import connect, fault_sql
from hdfs_pipeline.domains.blocks.pools import Pool
from hdfs_pipeline.domains.blocks.records import LogFormat, split_records
from hdfs_pipeline.domains.contract import Again
from hdfs_pipeline.domains.pieces import CHUNK_BYTES
from hdfs_pipeline.domains.reading import from_line
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.files import LogFile
from hdfs_pipeline.sources.line_ends import with_line_feeds
from hdfs_pipeline.sources.wire import EXCERPT

_TABLE: Final = "raw_logs"
_BEGINS: Final = 4 * EXCERPT  # bytes that hold an excerpt, whatever its characters


def read_again(settings: Settings, source_id: int, path: str, position: int, text: str) -> Again:
    """The record that begins at a line of a file, with its continuation lines, or why it is none; see `Again`.

    Where the file is gone, or has another line there, the letter's own text is read, if that is all of it.
    Raises: DataError where it is not.
    """
    if not text:
        raise DataError("there is no text to read again: this letter stands for the end of a file that is damaged")
    chunks, note = _lines(path, position), ""
    begins = b""
    while len(begins) < _BEGINS and (chunk := next(chunks, b"")):
        begins += chunk
    if text in begins.partition(b"\n")[0].decode("utf-8", "replace"):
        first = _first(chain((begins,), chunks), settings, position)
    else:
        if len(text) >= EXCERPT:
            raise DataError(f"{path} is gone or has changed, and the store has only the beginning of this record")
        first = _first(iter([text.encode() + b"\n"]), settings, position)
        note = "the file is gone or has changed: read from what the store has, without continuation lines"
    assert first is not None
    con = connect(memory_limit=settings.memory_limit)
    con.register("records", pa.Table.from_batches([first]))
    found = con.sql(
        f"""SELECT {source_id}::INTEGER AS source_id, * EXCLUDE (fault),
            {fault_sql(settings.max_record_bytes)} AS reason
        FROM records"""
    ).to_arrow_table()
    reason, message = found["reason"][0].as_py() or "", found["message"][0].as_py()
    return Again(_TABLE, found.drop_columns(["reason"]), reason, message[:EXCERPT], note)


def _first(chunks: Iterator[bytes], settings: Settings, position: int) -> pa.RecordBatch | None:
    """The first record of chunks that begin at line `position`, as a batch of one row; None where there is none."""
    log_format = LogFormat.of(settings, Pool.of(settings))
    batches = split_records(chunks, log_format, Tally(lines=position - 1))
    first = next((batch for batch in batches if len(batch)), None)
    return None if first is None else first.slice(0, 1)


def _lines(path: str, position: int) -> Iterator[bytes]:
    """The bytes of a file from a line on; none where it cannot be read."""
    with suppress(DataError):
        yield from from_line(with_line_feeds(LogFile(Path(path)).chunks(CHUNK_BYTES)), position)
