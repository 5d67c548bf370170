"""JSON messages into rows of a table, one row for each key.

Of the messages with one key the latest in the sink's order is kept, and among equals the last one in the topic. So the
rows do not depend on the order of the messages, on repetitions, or on the number of runs.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.letters import Letters, source_path
from hdfs_pipeline.sinks.topics import Life
from hdfs_pipeline.sources.halves import by_halves
from hdfs_pipeline.sources.ranges import Batch, Range
from hdfs_pipeline.sources.wire import decode_verdict
from hdfs_pipeline.store.columns import ARROW_TYPES
from hdfs_pipeline.store.quoting import parquet
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline.store.store import Connection, Store, count, publish_into

if TYPE_CHECKING:
    from confluent_kafka import Message

_LATEST_MS: Final = 253_402_300_799_000  # the last second of year 9999, UTC

Row = dict[str, Any]
LATEST: Final = ("epoch", "last_offset", "position")
"""The order of messages that replace each other."""


@dataclass(frozen=True)
class MessageSink:
    """How the messages of one topic become rows of one table.

    `row` makes a row of a message, or raises DataError; `epoch` and `position` (the message's offset) are added to the
    row. Of rows with the same key the one with the highest `order` is kept; `inserts` says that a key never
    comes twice.
    """

    table: str
    row: Callable[["Message"], Row]
    order: tuple[str, ...] = ()
    inserts: bool = False

    def open(self, store: Store, settings: Settings, topic: str, life: Life, folder: Path) -> "MessageStage":
        """See `TopicSink.open`."""
        return MessageStage(self, settings, topic, life.epoch, folder)


def verdict_sink(items: Mapping[str, Callable[[str], str]]) -> MessageSink:
    """The sink that puts verdicts beside those of a batch. `items` reads the ids of items, as in `decode_verdict`."""

    def row(message: "Message") -> Row:
        verdict = decode_verdict(message.value(), message.key(), items)
        # The column is JSON, which has no NaN.
        explanation = json.dumps(verdict.explanation, allow_nan=False)
        named = {"host": verdict.entity, "records": verdict.lines, "part": verdict.partition}
        return vars(verdict) | named | {"explanation": explanation}

    return MessageSink("anomalies", row, LATEST)


def sent_at(message: "Message") -> datetime:
    """The time stamp of a message; the present where it has none."""
    kind, ms = message.timestamp()
    return datetime.fromtimestamp(min(max(ms, 0), _LATEST_MS) / 1000, UTC) if kind else datetime.now(UTC)


class MessageStage:
    """What a run has read of a topic of JSON messages, staged in `folder`."""

    copies = 0
    unkeyed = 0
    notes: tuple[str, ...] = ()

    def __init__(self, sink: MessageSink, settings: Settings, topic: str, epoch: int, folder: Path) -> None:
        self.topic, self.epoch, self.messages = topic, epoch, 0
        self._sink, self._max_bytes = sink, settings.max_record_bytes
        self._path = folder / "rows.parquet"
        self._table = TABLES[sink.table]
        columns = {name: column.type for name, column in self._table.columns.items()} | {"position": "BIGINT"}
        self._schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns.items()])
        self.letters = Letters(topic, epoch, folder / "dead.parquet")

    def stage(self, batches: Iterator[Batch]) -> None:
        """Decode all batches into Parquet, one after the other. Raises: what reading them raises."""
        with pq.ParquetWriter(self._path, self._schema) as writer:
            for batch in batches:
                self.messages += len(batch.messages)
                rows: list[Row] = []
                kept: list[Message] = []
                for message in batch.messages:
                    found, bad = by_halves(partial(self._row, message), 0, 1)
                    rows += found
                    kept += [message] * len(found)
                    self._bury([message], bad)
                # A value that does not fit its column shows only here.
                tables, bad = by_halves(partial(self._arrow, rows), 0, len(rows))
                self._bury(kept, bad)
                for table in tables:
                    writer.write_table(table)
                self.letters.flush()
        self.letters.close()

    def _arrow(self, rows: list[Row], start: int, end: int) -> pa.Table:
        return pa.Table.from_pylist(rows[start:end], self._schema)

    def _row(self, message: "Message", *_: int) -> Row:
        """The row of a message with its place. Raises: DataError; whatever a bad message raises."""
        if len(message) > self._max_bytes:
            raise DataError(f"longer than {self._max_bytes} bytes")
        return self._sink.row(message) | {"epoch": self.epoch, "position": message.offset()}

    def _bury(self, messages: "Sequence[Message]", bad: Sequence[tuple[int, str]]) -> None:
        for index, reason in bad:
            message = messages[index]
            self.letters.add(message.partition(), message.offset(), reason, message.value())

    def withdraw(self, con: Connection, ranges: Mapping[int, Range]) -> None:
        """Delete by offsets: the rows of a sink that only inserts, and the dead letters."""
        for part, (start, end) in ranges.items():
            where = "position >= ? AND position < ?"
            con.execute(
                f"DELETE FROM dead_letters WHERE source = ? AND {where}",
                [source_path(self.topic, self.epoch, part), start, end],
            )
            if self._sink.inserts:
                con.execute(
                    f"DELETE FROM {self._table.name} WHERE epoch = ? AND part = ? AND {where}",
                    [self.epoch, part, start, end],
                )

    def publish(self, con: Connection, *, again: bool) -> int:
        """Put the staged rows and the dead letters into the store; return how many rows are new or have changed."""
        publish_into(con, "dead_letters", self.letters.files)
        names = ", ".join(self._table.columns)
        staged = parquet([self._path])
        if self._sink.inserts:
            return count(con.execute(f"INSERT INTO {self._table.name} BY NAME SELECT {names} FROM {staged}"))
        key, order = self._table.key, self._sink.order
        con.execute(
            f"""CREATE OR REPLACE TEMP TABLE arrived AS SELECT {_of("s", self._table.columns)} FROM (
                SELECT * FROM {staged} QUALIFY row_number() OVER (
                    PARTITION BY {", ".join(key)} ORDER BY {", ".join(f"{n} DESC" for n in order or ("position",))}) = 1
            ) s LEFT JOIN {self._table.name} t ON {_same(key)}
            {f"WHERE t.{key[0]} IS NULL OR ({_of('s', order)}) >= ({_of('t', order)})" if order else ""}"""
        )
        con.execute(f"DELETE FROM {self._table.name} t USING arrived s WHERE {_same(key)}")
        rows = count(con.execute(f"INSERT INTO {self._table.name} BY NAME SELECT * FROM arrived"))
        con.execute("DROP TABLE arrived")
        return rows


def _of(name: str, columns: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(f"{name}.{column}" for column in columns)


def _same(key: Sequence[str]) -> str:
    return " AND ".join(f"t.{name} = s.{name}" for name in key)
