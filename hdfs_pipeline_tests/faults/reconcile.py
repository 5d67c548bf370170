"""Holds what went into a broker against what the workers said and what the sinks stored: nothing lost or doubled."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.item import parse_block_id
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS, RAW_LOGS
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.sources.kafka import ANOMALIES, producer
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sinks.sink_worker import ingest
from hdfs_pipeline_tests.streaming.conftest import read_topic
from hdfs_pipeline_tests.streaming.workers import (
    batch_counts,
    batch_flagged,
    final_counts,
    flagged,
    vectors,
    verdicts,
    wait_until_equal,
)

SUNK = (RAW_LOGS, AGGREGATED_EVENTS, ANOMALIES)


def send(home: Home, topic: str, messages: list[tuple[bytes | None, bytes | None, int]], **more: Any) -> list[int]:
    """Send messages (key, value, partition); their offsets, -1 for one that the brokers refused."""
    client = producer(home.settings, message_max_bytes=20_000_000, compression_type="lz4", **more)
    offsets = [-1] * len(messages)

    def heard(at: int, error: Any, message: Any) -> None:
        if error is None:
            offsets[at] = message.offset()

    for at, (key, value, part) in enumerate(messages):
        client.produce(topic, value, key, partition=part, on_delivery=lambda e, m, at=at: heard(at, e, m))
        client.poll(0)
    assert client.flush(60) == 0
    return offsets


def reconcile(home: Home, trained: Home, records: int, limit_s: float = 180) -> str:
    """Wait for the batch's last words in the stream, store all of it, and compare; says what was counted."""
    try:
        wait_until_equal(home, trained, limit_s=limit_s)
    except AssertionError:
        pytest.fail(difference(home, trained))
    sink(home)
    said, judged = vectors(home), verdicts(home)
    stored = home.rows("SELECT count(*), count(DISTINCT (source_id, position)) FROM raw_logs")
    assert stored == [(records, records)], "each record is stored once"
    assert len(read_topic(home.settings, RAW_LOGS)) == records
    counts: dict[int, dict[str, int]] = {}
    for block, found in home.rows("SELECT block_id, counts FROM aggregated_events"):
        total = counts.setdefault(block, {})
        for event, n in found.items():
            total[event] = total.get(event, 0) + n
    assert counts == batch_counts(trained)
    assert home.rows("SELECT count(*) FROM aggregated_events") == [
        (len({(vector.block_id, vector.partition, vector.first_offset) for vector in said}),)
    ]
    standing = home.rows(
        "SELECT DISTINCT item FROM anomalies WHERE status <> 'withdrawn' AND detector = 'random_forest'"
    )
    assert {parse_block_id(item) for (item,) in standing} == batch_flagged(trained)
    return (
        f"{records:,} records sent = stored; {len(counts):,} blocks counted as the batch counts them, "
        f"in {len(said):,} vectors; {len(standing)} anomalies as the batch finds them, in {len(judged)} verdicts"
    )


def difference(home: Home, trained: Home) -> str:
    """What the stream says otherwise than the batch."""
    wanted, found = batch_counts(trained), final_counts(vectors(home))
    counts = {block: (found.get(block), wanted.get(block)) for block in {*wanted, *found}}
    other = {block: pair for block, pair in counts.items() if pair[0] != pair[1]}
    verdict = batch_flagged(trained) ^ flagged(verdicts(home))
    logs = "\n".join(path.read_text(errors="replace") for path in home.settings.home.glob("worker.*.log"))
    return f"counts (stream, batch) differ: {other}\nverdicts differ: {verdict}\n{logs}"


def sink(home: Home) -> None:
    """All that the topics hold, into the store."""
    for topic in SUNK:
        while ingest(home.store, home.settings, topic).messages:
            pass


@contextmanager
def sinking(home: Home) -> Iterator[list[str]]:
    """Runs of the sinks, one after the other, whatever becomes of the broker; what they have said in trouble."""
    troubles: list[str] = []
    stop = threading.Event()

    def run() -> None:
        store = Store(home.settings.store_path, lock_timeout_s=60.0, memory_limit="500MB")
        while not stop.wait(0.5):
            for topic in SUNK:
                try:
                    ingest(store, home.settings, topic, stall_s=5.0)
                except SetupError as error:
                    troubles.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield troubles
    finally:
        stop.set()
        thread.join(180)
        assert not thread.is_alive()
