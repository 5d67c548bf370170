"""The one SQL kernel of the blocks domain: from records to events, and from events to counts per block.

It runs in DuckDB over anything with the columns of `records.RECORDS`: Arrow batches of a file, of a stream or of a
Spark partition, and the table `raw_logs`.
"""

from collections.abc import Iterable
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks.records import RECORDS
from hdfs_pipeline.scoring.catalogue import Catalogue

"""From here on a time zone may carry a time out of the years that Python knows."""

EVENT_MATRIX = pa.schema(
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


def events_sql(relation: str, catalogue: Catalogue) -> str:
    """SELECT of all columns of `relation` and of `event`, an index into `catalogue.columns`."""
    return f"SELECT *, {catalogue.case('message')} AS event FROM {relation}"


def counts_sql(events: str) -> str:
    """SELECT of block_id, event, n, alarms, first_time, last_time per block and event of a relation of events."""
    return f"""
        SELECT block_id, event, count(*) AS n, count(*) FILTER (alarm) AS alarms,
            min(time) AS first_time, max(time) AS last_time
        FROM (SELECT unnest(block_ids) AS block_id, event, alarm, time FROM {events}) GROUP BY ALL"""


def count_events(
    con: duckdb.DuckDBPyConnection, batches: Iterable[pa.RecordBatch], catalogue: Catalogue, max_bytes: int
) -> pa.Table:
    """Counts per block and event of record batches, as `counts_sql` gives them; dead letters are left out."""
    records = pa.RecordBatchReader.from_batches(RECORDS, iter(batches))
    living = f"(SELECT * FROM records WHERE {fault_sql(max_bytes)} IS NULL)"
    con.register("records", records)
    try:
        return con.sql(counts_sql(f"({events_sql(living, catalogue)})")).to_arrow_table()
    finally:
        con.unregister("records")


def fault_sql(max_bytes: int) -> str:
    """SQL of the reason why a record is a dead letter; NULL for a good one."""
    return f"""CASE WHEN fault IS NOT NULL THEN fault
        WHEN strlen(origin) + strlen(message) + strlen(more) > {max_bytes} THEN 'longer than {max_bytes} bytes' END"""


class EventMatcher:
    """The kernel for many small batches: planned once, which costs more than matching a thousand records."""

    def __init__(self, catalogue: Catalogue, *, memory_limit: str = "1GB") -> None:
        self._con = connect(threads=1, memory_limit=memory_limit)
        self._con.execute("SET preserve_insertion_order = true")
        self._batch = pa.Table.from_batches([], RECORDS)
        # A prepared statement keeps what it was planned on: this object, which hands out another batch each time.
        self._con.register("records", self)
        self._con.execute(f"PREPARE match AS SELECT event FROM ({events_sql('records', catalogue)})")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The current batch, for DuckDB."""
        return self._batch.__arrow_c_stream__(requested_schema)

    def match(self, batch: pa.RecordBatch) -> np.ndarray:
        """Index into the catalogue's columns of each record's event: (n,) int64."""
        self._batch = pa.Table.from_batches([batch])
        try:
            return self._con.execute("EXECUTE match").fetchnumpy()["event"].astype(np.int64)
        finally:
            self._batch = pa.Table.from_batches([], RECORDS)


def event_matrix(counts: pa.Table, catalogue: Catalogue) -> pa.Table:
    """Counts per block and event (rows that repeat are added up) as a table of schema `EVENT_MATRIX`, by block id."""
    order = np.argsort(counts["block_id"].to_numpy())
    block, event, n, alarms, first, last = (
        counts[name].cast(pa.int64()).to_numpy()[order]
        for name in ("block_id", "event", "n", "alarms", "first_time", "last_time")
    )
    begins = np.flatnonzero(np.append(True, block[1:] != block[:-1])[: len(block)])
    rows = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(block))))
    width = len(catalogue.columns)
    values = np.zeros(len(begins) * width, np.int32)
    np.add.at(values, rows * width + event, n.astype(np.int32))
    earliest, latest = _reduce(np.minimum, first, begins), _reduce(np.maximum, last, begins)
    columns = {
        "block_id": block[begins],
        "first_time": pa.array(earliest, pa.timestamp("us", "UTC")),
        "last_time": pa.array(latest, pa.timestamp("us", "UTC")),
        "duration_s": (latest - earliest) / 1e6,
        "lines": _reduce(np.add, n, begins).astype(np.int32),
        "alarms": _reduce(np.add, alarms, begins).astype(np.int32),
        "counts": pa.ListArray.from_arrays(np.arange(0, len(values) + 1, width, dtype=np.int32), pa.array(values)),
    }
    return pa.table(columns, schema=EVENT_MATRIX)


def _reduce(function: np.ufunc, values: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """`function` over each group of `values` (n,); groups begin at `begins` (k,): (k,)."""
    return function.reduceat(values, begins) if len(begins) else values[:0]
