"""Files into `raw_logs`: every record once, what is no record into `dead_letters`, nothing lost."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains import reading
from hdfs_pipeline.domains.blocks import matrix
from hdfs_pipeline.domains.blocks.beginnings import Waiting, beginnings
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.file_names import writer
from hdfs_pipeline.domains.blocks.kernel import connect, fault_sql
from hdfs_pipeline.domains.blocks.lives import collect_stated, publish_stated
from hdfs_pipeline.domains.blocks.matched import EVENT, MOST, Matched
from hdfs_pipeline.domains.blocks.matrix import DOMAIN
from hdfs_pipeline.domains.blocks.minutes import note_minutes
from hdfs_pipeline.domains.blocks.parse import (
    ENOUGH,
    best_catalogue,
    count_parsed,
    counted_catalogue,
    may_store,
    settled_catalogue,
)
from hdfs_pipeline.domains.blocks.pools import Pool, settle_pool
from hdfs_pipeline.domains.blocks.records import RECORDS, LogFormat, split_records
from hdfs_pipeline.domains.reading import Ingested
from hdfs_pipeline.domains.staged import Intake, Staged, put
from hdfs_pipeline.domains.tally import Tally
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.wire import EXCERPT
from hdfs_pipeline.store.quoting import quoted
from hdfs_pipeline.store.store import Connection, Store

_STAGED: Final = RECORDS.append(EVENT)
_SIZED: Final = ("origin", "message", "more")  # what `fault_sql` measures


def ingest(
    store: Store, settings: Settings, paths: Iterable[str], on_file: Callable[[int, int, Path], None] | None = None
) -> Ingested:
    """Read the files that `paths` name into the store. See `reading.ingest`."""

    def intake(done: Ingested) -> "LogIntake":
        if advice := settle_pool(store, settings):
            done.notes.append(advice)
        return LogIntake(store, settings)

    return reading.ingest(store, settings, paths, intake, on_file)


class LogIntake(Intake):
    """Log records into `raw_logs`; those of a known catalogue are matched while they are read, and counted."""

    domain = DOMAIN
    table = "raw_logs"
    text = "message"

    def __init__(self, store: Store, settings: Settings) -> None:
        self.settings = settings
        self.log_format = LogFormat.of(settings, Pool.of(settings))
        with store.write() as con:  # makes the store where there is none
            self.catalogue = settled_catalogue(con, settings)
            self._chooses = self.catalogue is None and not counted_catalogue(con, settings)
        self._con: duckdb.DuckDBPyConnection | None = None
        self._matched: list[Matched] = []  # who has counted what is stored; none where another catalogue counts

    def holds_records(self, sample: bytes) -> bool:
        """See `Intake.holds_records`."""
        return self.log_format.holds_records(sample)

    def author(self, path: Path) -> tuple[str, str]:
        """See `Intake.author`."""
        author = writer(path)
        return author.host, author.daemon

    def stage(
        self, chunks: Iterator[bytes], tally: Tally, source_id: int, file: Path, path: Path, unreadable: str
    ) -> list[Matched]:
        """See `Intake.stage`. Records that are not matched have no `event_id`; who matched them counts them."""
        matched: list[Matched] = []
        batches = split_records(chunks, self.log_format, tally)
        con = self._connection()
        con.register("records", pa.RecordBatchReader.from_batches(_STAGED, self._with_events(batches, matched)))
        reason = quoted(unreadable) if unreadable else fault_sql(self.settings.max_record_bytes)
        try:
            con.execute(
                f"""COPY (SELECT * REPLACE (if(reason IS NULL, message, left(message, {EXCERPT})) AS message) FROM (
                    SELECT {source_id}::INTEGER AS source_id, * EXCLUDE (fault), {reason} AS reason FROM records))
                TO {quoted(str(path))} (FORMAT parquet)"""
            )
        finally:
            con.unregister("records")
        return matched

    def _with_events(self, batches: Iterable[pa.RecordBatch], matched: list[Matched]) -> Iterator[pa.RecordBatch]:
        """The batches with the field `EVENT`; whoever matches and counts their records is put into `matched`."""
        for batch in batches:
            if self._chooses:
                self._choose(batch)
            if self.catalogue is not None and not matched:
                matched.append(Matched(self.catalogue))
            if matched and matched[0].records < MOST:
                good = batch["fault"].is_null().to_numpy(zero_copy_only=False)
                good &= sum(map(_sizes, map(batch.column, _SIZED))) <= self.settings.max_record_bytes
                events = matched[0].take(batch, good)
            else:
                events = pa.nulls(len(batch), EVENT.type)
            yield pa.record_batch([*batch.columns, events], schema=_STAGED)

    def _choose(self, batch: pa.RecordBatch) -> None:
        """Choose the home's first catalogue by the records of a batch, where enough of them name a block."""
        carrying = np.count_nonzero(np.diff(batch["block_ids"].offsets.to_numpy()))
        if carrying >= ENOUGH:
            known = catalogues(self.settings.catalogues)
            label = self.settings.catalogue
            records = pa.Table.from_batches([batch])
            self.catalogue = best_catalogue(records, known) if label == "auto" else known.get(label)
            self._chooses = False

    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._con is None:
            self._con = connect(memory_limit=self.settings.memory_limit)
        return self._con

    def beginnings(self, con: Connection, waiting: Sequence[Staged]) -> dict[int, str]:
        """See `Intake.beginnings`."""
        files = [
            Waiting(own["source_id"], own["bytes"], own["path"], staged.path, staged.first, staged.ended)
            for staged in waiting
            for own in (staged.source,)
        ]
        return beginnings(con, files)

    def withdraw(self, con: Connection, grown: Sequence[Staged]) -> None:
        """See `Intake.withdraw`: out of the event matrix."""
        ends = pa.table(
            {"source_id": [staged.start.source_id for staged in grown], "first": [staged.first for staged in grown]}
        )
        con.register("grown_sources", ends)
        which = """EXISTS (FROM grown_sources g WHERE g.source_id = raw_logs.source_id AND raw_logs.position >= g.first)
            AND source_id IN (SELECT source_id FROM grown_sources)"""
        matrix.take(con, counted_catalogue(con, self.settings), which)
        con.unregister("grown_sources")

    def store(self, con: Connection, rows: str, waiting: Sequence[Staged]) -> None:
        """See `Intake.store`."""
        matched: list[Matched] = [each for staged in waiting for each in staged.extra]
        self._matched = matched if matched and may_store(con, self.settings, matched[0].catalogue) else []
        event = "" if self._matched else " REPLACE (NULL AS event_id)"
        put(con, self.table, f"SELECT * EXCLUDE (reason){event} FROM {rows} WHERE reason IS NULL")
        note_minutes(con, f"(FROM {rows} WHERE reason IS NULL)")
        collect_stated(con, f"(FROM {rows} WHERE reason IS NULL)")

    def settle(self, con: Connection, rows: str, waiting: Sequence[Staged]) -> None:
        """See `Intake.settle`: what the logs show of blocks' lives, and the event matrix."""
        publish_stated(con)
        if self._matched:
            counts = pa.concat_tables([each.counts() for each in self._matched])
            count_parsed(con, counts, f"(FROM {rows} WHERE reason IS NULL AND event_id IS NOT NULL)")


def _sizes(texts: pa.StringViewArray) -> np.ndarray:
    """The bytes of each text: (n,) int64."""
    views = np.frombuffer(texts.buffers()[1], np.int32).reshape(-1, 4)
    return views[texts.offset : texts.offset + len(texts), 0].astype(np.int64)
