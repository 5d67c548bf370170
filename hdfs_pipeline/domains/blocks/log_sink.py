"""Messages of `raw_logs` into rows: staged as Parquet outside the store's lock, published under it.

A record that names several blocks arrives once for each, keyed by it: the copy that is keyed by the record's first
block is stored, the others are counted as `copies`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks import matrix
from hdfs_pipeline.domains.blocks.kernel import connect
from hdfs_pipeline.domains.blocks.lives import collect_stated, publish_stated
from hdfs_pipeline.domains.blocks.matrix import DOMAIN
from hdfs_pipeline.domains.blocks.messages import MessageRecords, read_messages
from hdfs_pipeline.domains.blocks.minutes import note_minutes
from hdfs_pipeline.domains.blocks.parse import counted_catalogue
from hdfs_pipeline.domains.blocks.pools import Pool
from hdfs_pipeline.domains.blocks.records import RECORDS, LogFormat
from hdfs_pipeline.domains.blocks.wire import parse_key
from hdfs_pipeline.domains.blocks.wrappers import Shipped, shipped_writer
from hdfs_pipeline.domains.stream_sources import Sources
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.letters import Letters, source_path
from hdfs_pipeline.sources.halves import by_halves
from hdfs_pipeline.sources.kafka import Headers, each_headers
from hdfs_pipeline.sources.ranges import Batch, Range
from hdfs_pipeline.sources.wire import valid
from hdfs_pipeline.store.quoting import parquet, quoted
from hdfs_pipeline.store.store import Connection, publish_into

if TYPE_CHECKING:
    from confluent_kafka import Message

RECORD_STEP: Final = 1 << 40
"""Between the positions of the records of one message: the first has the message's offset as its position."""

_STAGED: Final = RECORDS.append(pa.field("source_id", pa.int32())).append(pa.field("keep", pa.bool_()))
_TEXT: Final = "strlen(origin) + strlen(message) + strlen(more)"
_REMEMBERED: Final = 10_000
_COUNTED: Final = ("records", "lines", "bytes")
_WITHDRAWN: Final = pa.schema([("source_id", pa.int32()), ("first", pa.int64()), ("last", pa.int64())])
_LINES: Final = "CASE more WHEN '' THEN 1 ELSE strlen(more) - strlen(replace(more, chr(10), '')) + 2 END"
_FACTS: Final = f"""count(*) AS records, sum({_LINES})::BIGINT AS lines,
    sum({_TEXT})::BIGINT AS bytes"""

_ROUTE: Final = (
    "messages name a block and have no key, so the stream workers cannot group them: write them to shipped_logs and "
    "run `hdfs-pipeline route`"
)


@dataclass
class _Piece:
    """Some messages of a batch, read: their records, and the bad ones as (index, reason, source)."""

    records: list[pa.RecordBatch] = field(default_factory=list)
    bad: list[tuple[int, str, int]] = field(default_factory=list)
    copies: int = 0
    unkeyed: int = 0


@dataclass
class LogStage:
    """What a run has read of `raw_logs`, staged in `folder`."""

    settings: Settings
    topic: str
    epoch: int
    sources: Sources
    folder: Path
    messages: int = 0
    copies: int = 0
    unkeyed: int = 0
    _failure: BaseException | None = None
    _origins: list[tuple[str, str]] = field(default_factory=list)  # host and daemon by number
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    _by_headers: dict[Any, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log_format = LogFormat.of(self.settings, Pool.of(self.settings))
        self.path = self.folder / "raw.parquet"
        self.letters = Letters(self.topic, self.epoch, self.folder / "dead.parquet")

    @property
    def notes(self) -> list[str]:
        """Says what to do with records that workers cannot group."""
        return [f"{self.unkeyed:,} {_ROUTE}"] if self.unkeyed else []

    def stage(self, batches: Iterator[Batch]) -> None:
        """Read all batches into Parquet, one after the other. Raises: SetupError; what reading them raises."""
        con = connect(memory_limit=self.settings.memory_limit)
        con.register("records", pa.RecordBatchReader.from_batches(_STAGED, self._records(batches)))
        try:
            con.execute(
                f"""COPY (SELECT * EXCLUDE (keep, fault) FROM records WHERE keep)
                TO {quoted(str(self.path))} (FORMAT parquet)"""
            )
        except duckdb.Error:
            if self._failure is not None:  # DuckDB knows only its text
                raise self._failure from None
            raise
        finally:
            con.close()
        self.letters.close()

    def _records(self, batches: Iterator[Batch]) -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                yield from self._of_batch(batch)
        except BaseException as error:
            self._failure = error
            raise

    def _of_batch(self, batch: Batch) -> Iterator[pa.RecordBatch]:
        messages = batch.messages
        self.messages += len(messages)
        # Once, before anything can be tried again.
        headers = each_headers(messages)
        pieces, bad = by_halves(lambda start, end: self._piece(batch, headers, start, end), 0, len(messages))
        for piece in pieces:
            self.copies += piece.copies
            self.unkeyed += piece.unkeyed
            yield from piece.records
            for index, reason, source in piece.bad:
                self._bury(batch, index, reason, source)
        for index, reason in bad:
            self._bury(batch, index, reason, self._source(batch.parts[index], self._number(("", ""))))
        self.letters.flush()

    def _bury(self, batch: Batch, index: int, reason: str, source: int) -> None:
        self.letters.add(batch.parts[index], batch.offsets[index], reason, batch.messages[index].value(), source)

    def _piece(self, batch: Batch, headers: list[Headers], start: int, end: int) -> "_Piece":
        """The messages [start, end) of a batch."""
        messages = batch.messages[start:end]
        values = [message.value() for message in messages]
        found, bad, shipped = read_messages(values, self.settings.max_record_bytes, self.log_format)
        origins = np.array(self._origins_of(headers[start:end]), np.int64)
        for index, sent in shipped.items():
            origins[index] = self._shipped(origins[index], sent)
        parts, offsets = np.array(batch.parts[start:end], np.int64), np.array(batch.offsets[start:end], np.int64)
        piece = _Piece()
        piece.records.append(self._staged(found, messages, origins, parts, offsets, piece))
        piece.bad = [(start + at, reason, self._source(parts[at], origins[at])) for at, reason in bad]
        return piece

    def _staged(
        self,
        group: MessageRecords,
        messages: list["Message"],
        origins: np.ndarray,
        parts: np.ndarray,
        offsets: np.ndarray,
        piece: "_Piece",
    ) -> pa.RecordBatch:
        message, records = group.message, group.batch
        first = np.flatnonzero(np.diff(message, prepend=-1))  # where another message begins
        sizes = np.diff(first, append=len(message))  # records of each message
        number = np.arange(len(message)) - np.repeat(first, sizes)
        alone = np.repeat(sizes == 1, sizes)
        lists = records["block_ids"]
        starts = lists.offsets.to_numpy()
        counts, ids = np.diff(starts), lists.values.to_numpy()
        keep = np.ones(len(message), bool)
        keyed = np.fromiter((m.key() is not None for m in messages), bool, len(messages))[message]
        piece.unkeyed += int(((counts > 0) & ~keyed).sum())
        for row in np.flatnonzero((counts > 1) & keyed & alone):
            block, named_ids = parse_key(messages[message[row]].key()), ids[starts[row] : starts[row + 1]]
            keep[row] = block == named_ids[0] or block not in named_ids
        piece.copies += len(keep) - int(keep.sum())
        codes, inverse = np.unique(origins[message] * (1 << 31) + parts[message], return_inverse=True)
        sources = np.array([self._source(code & ((1 << 31) - 1), code >> 31) for code in codes], np.int64)
        columns = dict(zip(records.schema.names, records.columns, strict=True))
        columns["position"] = pa.array(offsets[message] + number * RECORD_STEP)
        columns |= {"source_id": pa.array(sources[inverse], pa.int32()), "keep": pa.array(keep)}
        return pa.record_batch([columns[name] for name in _STAGED.names], schema=_STAGED)

    def _origins_of(self, messages: list[Headers]) -> list[int]:
        """Number of the host and the daemon that each message's headers name."""
        numbers = []
        last, number = None, self._number(("", ""))
        for headers in messages:
            if headers != last:  # one sender's messages come one after the other
                last, number = headers, self._origin_number(headers)
            numbers.append(number)
        return numbers

    def _origin_number(self, headers: Headers) -> int:
        key = tuple(headers)
        number = self._by_headers.get(key)
        if number is None:
            texts = {name: (value or b"").decode("utf-8", "replace") for name, value in headers}
            number = self._number((texts.get("host", ""), texts.get("daemon", "")))
            if len(self._by_headers) < _REMEMBERED:  # tracing headers differ in every message
                self._by_headers[key] = number
        return number

    def _shipped(self, origin: int, sent: Shipped) -> int:
        """The number of a message's host and daemon, where its shipper's JSON says more than its headers."""
        host, daemon = self._origins[origin]
        author = shipped_writer(sent)
        return self._number((host or sent.host or author.host, daemon or author.daemon))

    def _number(self, origin: tuple[str, str]) -> int:
        number = self._numbers.get(origin)
        if number is None:
            number = self._numbers[origin] = len(self._origins)
            self._origins.append((valid(origin[0]), valid(origin[1])))
        return number

    def _source(self, part: int, origin: int) -> int:
        return self.sources.id_of((source_path(self.topic, self.epoch, part), *self._origins[origin]))

    def withdraw(self, con: Connection, ranges: Mapping[int, Range]) -> None:
        """Delete what the store has of these ranges, to be published anew."""
        paths = {source_path(self.topic, self.epoch, part): bounds for part, bounds in ranges.items()}
        rows = [
            {"source_id": source, "first": paths[path][0], "last": paths[path][1] - 1}
            for path, source in self.sources.paths
            if path in paths
        ]
        con.register("withdrawn", pa.Table.from_pylist(rows, _WITHDRAWN))
        which = f"""EXISTS (FROM withdrawn w WHERE w.source_id = {{0}}.source_id
            AND {{0}}.position % {RECORD_STEP} BETWEEN w.first AND w.last)"""
        matrix.take(con, counted_catalogue(con, self.settings), which.format("raw_logs"))
        for table in ("raw_logs", "dead_letters"):
            con.execute(f"DELETE FROM {table} WHERE {which.format(table)}")
        con.unregister("withdrawn")

    def publish(self, con: Connection, *, again: bool) -> int:
        """Put the staged rows, the dead letters and their sources into the store, and return the number of rows.

        Raises: OffsetConflict where another run has numbered sources meanwhile.
        """
        self.sources.require_present(con)
        rows = publish_into(con, "raw_logs", [self.path])
        note_minutes(con, _parquet([self.path]))
        publish_into(con, "dead_letters", self.letters.files)
        now = datetime.now(UTC)
        self.sources.publish(con, DOMAIN, now)
        # After messages were read again, all sources are counted anew: the deleted rows took their counts with them.
        raw, dead = (
            ("(SELECT * FROM raw_logs WHERE source_id < 0)", "(SELECT * FROM dead_letters WHERE source_id < 0)")
            if again
            else (_parquet([self.path]), _parquet(self.letters.files))
        )
        if again:
            con.execute(
                """UPDATE sources SET records = 0, lines = 0, bytes = 0, began = NULL, ended = NULL, told = NULL,
                started = NULL WHERE source_id < 0"""
            )
        collect_stated(con, raw)
        publish_stated(con)
        con.execute(
            f"""UPDATE sources SET {", ".join(f"{n} = {'' if again else f'sources.{n} + '}f.{n}" for n in _COUNTED)},
            ingested_at = ? FROM (
                SELECT source_id, sum(records)::BIGINT AS records, sum(lines)::BIGINT AS lines,
                    sum(bytes)::BIGINT AS bytes
                FROM (SELECT source_id, {_FACTS} FROM {raw} GROUP BY source_id
                    UNION ALL SELECT source_id, count(*), count(*), sum(strlen(text))::BIGINT
                    FROM {dead} GROUP BY source_id) GROUP BY source_id) AS f
            WHERE sources.source_id = f.source_id""",
            [now],
        )
        return rows


def _parquet(files: Sequence[Path]) -> str:
    if not files:
        return "(SELECT NULL::INTEGER AS source_id, '' AS text WHERE false)"
    return parquet(files)
