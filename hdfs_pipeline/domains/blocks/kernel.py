"""The kernel of the blocks domain: from records to events, and from events to counts per block.

All messages are matched by compiled code, whether they come as bytes of a file, from a stream or out of the store.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from hdfs_pipeline.scoring.catalogue import Catalogue

if TYPE_CHECKING:
    from hdfs_pipeline.domains.blocks.records import LogFormat, Scanned
    from hdfs_pipeline.domains.tally import Tally

EVENT_MATRIX: Final = pa.schema(
    [
        pa.field("block_id", pa.int64()),
        pa.field("first_time", pa.timestamp("us", "UTC")),
        pa.field("last_time", pa.timestamp("us", "UTC")),
        pa.field("duration_s", pa.float64()),
        pa.field("lines", pa.int32()),  # records that name the block
        pa.field("alarms", pa.int32()),  # of these, how many an engineer's search for trouble would find
        pa.field("counts", pa.list_(pa.int32())),  # one per catalogue column
    ]
)


def connect(*, threads: int | None = None, memory_limit: str = "1GB") -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB for work outside the store."""
    config: dict[str, Any] = {"preserve_insertion_order": "false", "memory_limit": memory_limit}
    config |= {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
    if threads:
        config["threads"] = str(threads)
    con = duckdb.connect(config=config)
    con.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return con


def counts_sql(events: str) -> str:
    """SELECT of block_id, event, n, alarms, first_time, last_time per block and event of a relation of events."""
    return f"""
        SELECT block_id, event, count(*) AS n, count(*) FILTER (alarm) AS alarms,
            min(time) AS first_time, max(time) AS last_time
        FROM (SELECT unnest(block_ids) AS block_id, event, alarm, time FROM {events}) GROUP BY ALL"""


def count_events(
    chunks: Iterable[bytes], log_format: "LogFormat", catalogue: Catalogue, max_bytes: int, tally: "Tally | None" = None
) -> pa.Table:
    """The event matrix (schema `EVENT_MATRIX`) of a file, straight from its bytes. Dead letters count for no block."""
    from hdfs_pipeline.domains.blocks.block_counts import BlockCounts
    from hdfs_pipeline.domains.blocks.records import judged, scans
    from hdfs_pipeline.domains.blocks.scan import GOOD, MESSAGE
    from hdfs_pipeline.domains.pieces import in_turn
    from hdfs_pipeline.domains.tally import Tally
    from hdfs_pipeline.scoring.matching import matcher_of

    matcher, counted = matcher_of(catalogue), BlockCounts(len(catalogue.columns))
    tally = tally if tally is not None else Tally()

    def matched(work: Callable[[], "Scanned"]) -> tuple["Scanned", np.ndarray]:
        scanned = work()
        return scanned, matcher.spans(np.frombuffer(scanned.text, np.uint8), *scanned.scan.text(MESSAGE))

    works = (partial(matched, work) for work in scans(chunks, log_format, tally))
    for scanned, events in in_turn(works):
        found = scanned.scan
        fine = (judged(scanned, log_format, tally) == GOOD) & (found.bytes() <= max_bytes)
        counted.add(found.offsets, found.ids, fine, events, found.alarm, log_format.utc(found.time, found.shift))
    return counted.table()


def fault_sql(max_bytes: int) -> str:
    """SQL of the reason why a record is a dead letter; NULL for a good one."""
    return f"""CASE WHEN fault IS NOT NULL THEN fault
        WHEN strlen(origin) + strlen(message) + strlen(more) > {max_bytes} THEN 'longer than {max_bytes} bytes' END"""


class EventMatcher:
    """Events of the records of many batches."""

    def __init__(self, catalogue: Catalogue) -> None:
        from hdfs_pipeline.scoring.matching import matcher_of  # compiled code, which readers do without

        self._matcher = matcher_of(catalogue)

    def match(self, batch: pa.RecordBatch) -> np.ndarray:
        """Index into the catalogue's columns of each record's event: (n,) int64."""
        return self._matcher.strings(batch["message"]).astype(np.int64)


def event_matrix(counts: pa.Table, catalogue: Catalogue) -> pa.Table:
    """Counts per block and event (rows that repeat are added up) as a table of schema `EVENT_MATRIX`, by block id."""
    from hdfs_pipeline.domains.blocks.block_counts import BlockCounts

    counted = BlockCounts(len(catalogue.columns))
    counted.add_counts(counts)
    return counted.table()
