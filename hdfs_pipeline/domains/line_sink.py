"""Messages that are records into a domain's table: staged as Parquet outside the store's lock, published under it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.lines import Lines, put_rows, staged_rows, staged_schema, with_fault
from hdfs_pipeline.domains.record_ids import record_keys, source_hash
from hdfs_pipeline.domains.stream_sources import Sources
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.letters import Letters, source_path
from hdfs_pipeline.sinks.topics import Life
from hdfs_pipeline.sources.halves import by_halves
from hdfs_pipeline.sources.ranges import Batch, Range
from hdfs_pipeline.sources.wire import valid
from hdfs_pipeline.store.quoting import parquet
from hdfs_pipeline.store.store import Connection, Store, publish_into

if TYPE_CHECKING:
    from confluent_kafka import Message

_KEY, _VALUE = methodcaller("key"), methodcaller("value")
_LONGEST_SERVICE: Final = 200  # characters of a key that can be the name of a service


def stream_keys(topic: str, topic_id: str, parts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Keys (n,) int64 of the messages at `offsets` (n,) of partitions `parts` (n,) of a topic's life.

    A sink and a worker give the same message the same key.
    """
    known = np.unique(parts)
    hashes = np.array([source_hash(f"{topic}/{part}@{topic_id}") for part in known.tolist()], np.uint64)
    return record_keys(hashes[np.searchsorted(known, parts)], offsets)


def services_of(messages: Sequence["Message"], default: str) -> list[str]:
    """The service that each message's key names; `default` where it has none."""
    keys = [*map(_KEY, messages)]
    names: dict[bytes | None, str] = {None: default}
    for key in set(keys) - names.keys():
        text = valid(bytes(key).decode("utf-8", "replace")).strip()
        names[key] = text if text.isprintable() and 0 < len(text) <= _LONGEST_SERVICE else default
    return [*map(names.__getitem__, keys)]


def records_of(lines: Lines, messages: Sequence["Message"]) -> pa.RecordBatch:
    """The records of messages, one of each, those that cannot be used with their `fault`."""
    values = [*map(_VALUE, messages)]
    found = lines.judged(
        lines.messages(
            [value or b"" for value in values] if (lacks := None in values) else values,
            services_of(messages, lines.default_service),
        )
    )
    if lacks:
        found = with_fault(found, pa.array([value is None for value in values]), "no value")
    return found


@dataclass(frozen=True)
class LineSink:
    """Messages of a topic into the table of `lines`, one row for each, whoever sent it."""

    lines: type[Lines]

    @property
    def table(self) -> str:
        """See `TopicSink.table`."""
        return self.lines.table

    def open(self, store: Store, settings: Settings, topic: str, life: Life, folder: Path) -> "LineStaging":
        """See `TopicSink.open`."""
        with store.read() as con:
            return LineStaging(self.lines(settings), topic, life, Sources.of(con, topic), folder)


@dataclass
class LineStaging:
    """What a run has read of a topic of lines, staged in `folder`."""

    lines: Lines
    topic: str
    life: Life
    sources: Sources
    folder: Path
    messages: int = 0
    copies: int = 0
    unkeyed: int = 0
    notes: tuple[str, ...] = ()
    _records: dict[int, int] = field(default_factory=dict)  # read, by source
    _bytes: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path = self.folder / "rows.parquet"
        self.letters = Letters(self.topic, self.life.epoch, self.folder / "dead.parquet")

    def stage(self, batches: Iterator[Batch]) -> None:
        """Read all batches into Parquet, one after the other. Raises: what reading them raises."""
        import pyarrow.parquet as pq

        schema = staged_schema(self.lines)
        with pq.ParquetWriter(self.path, schema, compression="zstd", compression_level=1) as writer:
            for batch in batches:
                self.messages += len(batch.messages)
                pieces, bad = by_halves(partial(self._piece, batch), 0, len(batch.messages))
                for rows, faults in pieces:
                    writer.write_table(rows)
                    bad = bad + faults
                for index, reason in bad:
                    self._bury(batch, index, reason)
                self._count(batch)
                self.letters.flush()
        self.letters.close()

    def _piece(self, batch: Batch, start: int, end: int) -> tuple[pa.Table, list[tuple[int, str]]]:
        """The good records of the messages [start, end), and the others: index and reason."""
        import pyarrow.compute as pc

        messages = batch.messages[start:end]
        found = records_of(self.lines, messages)
        parts, offsets = np.array(batch.parts[start:end], np.int64), np.array(batch.offsets[start:end], np.int64)
        keys = stream_keys(self.topic, self.life.topic_id, parts, offsets)
        source_of = self._sources_of(batch.parts[start:end])
        sources = np.array([source_of[part] for part in batch.parts[start:end]], np.int32)
        own: dict[str, Any] = {self.lines.key: pa.array(keys), "position": pa.array(offsets)}
        rows = staged_rows(self.lines, found, own, pa.array(sources), staged_schema(self.lines))
        good = pc.is_null(found["fault"])
        faults = [
            (start + index, reason)
            for index, reason in enumerate(found["fault"].to_pylist() if pc.any(pc.invert(good)).as_py() else ())
            if reason is not None
        ]
        return rows.filter(good), faults

    def _bury(self, batch: Batch, index: int, reason: str) -> None:
        part = batch.parts[index]
        self.letters.add(part, batch.offsets[index], reason, batch.messages[index].value(), self._source(part))

    def _count(self, batch: Batch) -> None:
        source_of = self._sources_of(batch.parts)
        for part, message in zip(batch.parts, batch.messages, strict=True):
            source = source_of[part]
            self._records[source] = self._records.get(source, 0) + 1
            self._bytes[source] = self._bytes.get(source, 0) + len(message)

    def _sources_of(self, parts: Sequence[int]) -> dict[int, int]:
        """The source of each partition, each looked up once, in the order in which they come."""
        return {part: self._source(part) for part in dict.fromkeys(parts)}

    def _source(self, part: int) -> int:
        return self.sources.id_of((source_path(self.topic, self.life.epoch, part), "", ""))

    def withdraw(self, con: Connection, ranges: Mapping[int, Range]) -> None:
        """Delete what the store has of these ranges, to be published anew."""
        for part, (start, end) in ranges.items():
            place = [self._source(part), start, end]
            for table in (self.lines.table, "dead_letters"):
                con.execute(f"DELETE FROM {table} WHERE source_id = ? AND position >= ? AND position < ?", place)

    def publish(self, con: Connection, *, again: bool) -> int:
        """Put the staged rows, the dead letters and their sources into the store; how many rows.

        Raises: OffsetConflict where another run has numbered sources meanwhile.
        """
        self.sources.require_present(con)
        rows = put_rows(con, self.lines, parquet([self.path]))
        publish_into(con, "dead_letters", self.letters.files)
        now = datetime.now(UTC)
        self.sources.publish(con, self.lines.domain, now)
        if not again:  # messages that were read again were counted the first time
            for source, records in self._records.items():
                con.execute(
                    """UPDATE sources SET records = records + ?, lines = lines + ?, bytes = bytes + ?, ingested_at = ?
                    WHERE source_id = ?""",
                    [records, records, self._bytes[source], now, source],
                )
        return rows
