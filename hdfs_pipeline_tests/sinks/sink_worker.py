"""What tests of the stream sink share, and what they run in processes of their own:

`python sink_worker.py <home> <topic> <records per run> <die: no|inside>`.
"""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from hdfs_pipeline.domains.applogs.topics import APP_LOGS
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS, HDFS_LOGS, LABELS, RAW_LOGS
from hdfs_pipeline.domains.blocks.wire import Label, Vector, block_key, encode
from hdfs_pipeline.domains.weblogs.topics import WEB_LOGS
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline.sinks import topics as sink
from hdfs_pipeline.sinks.topics import Sunk
from hdfs_pipeline.sources.kafka import ADDRESS_FILE, ANOMALIES, producer
from hdfs_pipeline.sources.wire import Verdict, encode_verdict
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.streaming.broker import mock_cluster
from hdfs_pipeline.streaming.topics import all_topics

PARTS = 3
TIME = datetime(2026, 11, 21, 4, 0, 18, 725000, UTC)
VECTOR = Vector(-5, "hdfs_3.v1", {"E5": 2, "E9": 1}, 3, 1, TIME, TIME, 0, 7, 9, "idle")
VERDICT = Verdict(
    "blocks", "blk_-5", "final", "d", 1, 0.9, 0.5, "why", {"a": [1]}, 3, TIME, None, AGGREGATED_EVENTS, 0, 7, 9, TIME,
    "idle", "write failed", "dn3", {"block_id": "blk_-5", "catalogue": "c"},
)  # fmt: skip
FEATURES = Vector(8, "hdfs_v1.v1", {"E5": 2}, label="anomaly")
LABEL = Label(8, "anomaly", "disk")

STREAMED = {name: topic.sink.table for name, topic in all_topics().items() if topic.sink}
"""Table by topic."""

Message = tuple[bytes | None, bytes | None, int]  # key, value, partition


def ingest(store: Store, settings: Settings, topic: str, *arguments: Any, **more: Any) -> Sunk:
    """`ingest_range` with the topic's own sink."""
    return sink.ingest_range(store, settings, topic, sink_of(topic), *arguments, **more)


def sink_of(topic: str) -> sink.TopicSink:
    found = all_topics()[topic].sink
    assert found is not None
    return found


def encoded(message: Vector | Verdict | Label) -> bytes:
    return encode_verdict(message) if isinstance(message, Verdict) else encode(message)


def about(block_id: int, **fields: Any) -> Verdict:
    """`VERDICT`, on another block."""
    item = f"blk_{block_id}"
    return replace(VERDICT, item=item, more={"block_id": item, "catalogue": "c"}, **fields)


@contextmanager
def embedded(settings: Settings, parts: int = PARTS) -> Iterator[None]:
    """The home's own broker, with fresh topics; it lives in this process."""
    with mock_cluster(parts) as address:
        point_at(settings, address)
        yield


def point_at(settings: Settings, address: str) -> None:
    settings.broker.mkdir(parents=True, exist_ok=True)
    (settings.broker / ADDRESS_FILE).write_text(address)


def send(settings: Settings, topic: str, messages: Iterable[Message], **more: Any) -> None:
    sender = producer(settings, message_max_bytes=20_000_000, linger_ms=5)
    for key, value, part in messages:
        sender.produce(topic, value, key, partition=part, **more)
        sender.poll(0)
    assert sender.flush(60) == 0


def line(second: int, *blocks: int) -> bytes:
    named = " ".join(f"blk_{block}" for block in blocks)
    return f"2026-11-21 04:{second // 60:02}:{second % 60:02},725 INFO datanode.DataNode: Deleting {named}".encode()


POISON: list[tuple[bytes | None, bytes | None]] = [
    (b"blk_1", b"neither a line nor JSON"),
    (None, None),
    (b"blk_2", None),
    (b"blk_3", b""),
    (None, b"{}"),
    (b"blk_4", b'{"v": 1'),
    (b"blk_4", b"[1]"),
    (b"blk_4", b'{"v": 99, "block_id": "blk_4"}'),
    (b"\xff\xfe", b"\xff\xfe\x00" * 10),
    (b"blk_5", b"x" * 5_000_000),
    (b"blk_6", b"[" * 100_000),
]


def _spoiled(message: Vector | Verdict | Label) -> list[bytes]:
    """Messages that are well formed, and hold what no column can."""
    text = encoded(message)
    found = [text.replace(b'"v":1', b'"v":2'), text.replace(b'"blk_', b'"block ')]
    if isinstance(message, Label):
        return [*found, text.replace(b'"anomaly"', b'"odd"'), text.replace(b"disk", b"\\ud800")]
    if isinstance(message, Verdict):
        found.append(text.replace(b'"score":0.9', b'"score":1' + b"0" * 400))
        found.append(text.replace(b'{"a":[1]}', b'{"a":NaN}'))
        return [*found, text.replace(b'"version":1', b'"version":99999999999')]
    return [*found, text.replace(b'"E5":2', b'"E5":-2'), text.replace(b'"lines":', b'"lines":1' + b"0" * 30)]


def mixture(topic: str) -> list[Message]:
    """Good messages of a topic, with repetitions and replacements, among everything that cannot be used."""
    if topic == RAW_LOGS:
        good: list[tuple[bytes | None, bytes]] = [(block_key(n % 7), line(n, n % 7)) for n in range(40)]
        good += [(block_key(b), line(50, 1, 2, 3)) for b in (1, 2, 3)] + [(None, line(51, 4)), (None, line(52))]
        good += [(b"blk_9", line(53, 9) + b"\n  at a.stack.trace(X.java:1)\njava.io.IOException: y")]
        good += [(b"blk_9", line(54, 9) + b"\n" + line(55, 9)), (b"blk_9", line(56, 9) + b"\x00\xff\xfe caf\xc3\xa9")]
        good += [(None, b'{"message": "%s", "host": {"name": "h"}}' % line(57, 3))]
    elif topic in LINES:
        good = [(b"shop%d" % (n % 5), LINES[topic] % (n, n)) for n in range(40)]
        odd = (LINES[topic] % (42, 42)).replace(b"shop/", b"\xff\xc3\xa9/")
        good += [(None, LINES[topic] % (41, 41)), (b"shop1", odd)]
    elif topic == LABELS:
        good = [(block_key(n % 5), encode(Label(n % 5, "anomaly" if n % 2 else "normal"))) for n in range(12)]
        good += [(None, bad) for bad in _spoiled(LABEL)]
    elif topic == HDFS_LOGS:
        good = [(block_key(n), encode(replace(FEATURES, block_id=n % 3))) for n in range(9)]
        good += [(None, bad) for bad in _spoiled(FEATURES)]
    elif topic == AGGREGATED_EVENTS:
        good = [
            (block_key(n % 4), encode(replace(VECTOR, block_id=n % 4, first_offset=n % 2, last_offset=n * 7 % 11)))
            for n in range(30)
        ] + [(None, bad) for bad in _spoiled(VECTOR)]
    else:
        status = ("final", "provisional", "withdrawn")
        good = [
            (block_key(n % 4), encode_verdict(about(n % 4, status=status[n % 3], score=n / 30))) for n in range(30)
        ] + [(None, bad) for bad in _spoiled(VERDICT)]
    # A block's messages share a partition.
    placed = [(key, value, len(key or b"") and key[-1] % PARTS if key else 0) for key, value in good]
    return placed + [(key, value, at % PARTS) for at, (key, value) in enumerate(POISON)]


LINES = {
    WEB_LOGS: b'10.0.0.1 - - [30/Nov/2026:10:00:%02d +0000] "GET /shop/%d HTTP/1.1" 200 5 "-" "curl"',
    APP_LOGS: b"2026-11-30 10:00:%02d,000 INFO shop.Cart: order %d was paid",
}
"""A good message of each topic of lines, with room for a second and a number."""
_LINES_SQL = """SELECT * EXCLUDE (source_id, revision), read_from FROM {}
    JOIN (SELECT source_id, path AS read_from FROM sources) USING (source_id)"""
TABLES = {
    WEB_LOGS: _LINES_SQL.format("requests"),
    APP_LOGS: _LINES_SQL.format("app_logs"),
    RAW_LOGS: """SELECT path, host, daemon, raw_logs.layout, position, time, origin, message, more, block_ids, alarm
        FROM raw_logs JOIN sources USING (source_id)""",
    AGGREGATED_EVENTS: "FROM aggregated_events",
    ANOMALIES: "FROM anomalies",
    HDFS_LOGS: "FROM hdfs_logs",
    LABELS: "FROM labels",
}


def everything(store: Store, topic: str) -> dict[str, list[tuple[Any, ...]]]:
    """All that the store holds of a topic, but for its source numbers and the time when it was read."""
    with store.read() as con:
        return {
            name: con.execute(f"SELECT * FROM ({sql}) ORDER BY ALL").fetchall()
            for name, sql in {
                "rows": TABLES[topic],
                "dead": "SELECT source, position, reason, text FROM dead_letters",
                "sources": "SELECT path, host, daemon, layout, records, lines, bytes FROM sources",
                "offsets": "SELECT topic, part, next FROM offsets",
                "gaps": "SELECT topic, epoch, part, from_offset, to_offset FROM stream_gaps",
            }.items()
        }


def main(home: str, topic: str, most: str, die: str) -> None:
    settings = load_settings(home).model_copy(
        update={"sink_max_records": int(most), "kafka_bootstrap_servers": "", "lock_timeout_s": 60.0}
    )
    store = Store.open(settings)
    print("ready", flush=True)
    if die == "inside":
        publish_into = sink.publish_into

        def publish_and_die(*arguments: Any, **more: Any) -> int:
            publish_into(*arguments, **more)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        for name in ("domains.blocks.log_sink", "domains.line_sink", "sinks.messages"):
            module = import_module(f"hdfs_pipeline.{name}")
            module.publish_into = publish_and_die  # type: ignore[attr-defined]
    while ingest(store, settings, topic).messages:
        print("ran", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
