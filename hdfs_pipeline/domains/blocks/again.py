"""One record of a file, read once more: what was a dead letter may be a record since a setting has changed."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from hdfs_pipeline.domains.again import bytes_again
from hdfs_pipeline.domains.blocks.kernel import connect, fault_sql
from hdfs_pipeline.domains.blocks.pools import Pool
from hdfs_pipeline.domains.blocks.records import LogFormat, split_records
from hdfs_pipeline.domains.contract import Again
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.wire import EXCERPT

_TABLE: Final = "raw_logs"


def read_again(settings: Settings, source_id: int, path: str, position: int, text: str) -> Again:
    """The record that begins at a line of a file, with its continuation lines, or why it is none; see `Again`.

    Raises: DataError where there is nothing left to read (see `bytes_again`).
    """
    chunks, note = bytes_again(path, position, text)
    first = _first(chunks, settings, position)
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
