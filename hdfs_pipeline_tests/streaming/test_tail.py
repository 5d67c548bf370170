"""`hdfs-pipeline watch`: what it shows, what it passes over, and that it disturbs nobody."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest

from hdfs_pipeline.sources.kafka import ANOMALIES, producer
from hdfs_pipeline.sources.wire import Verdict, decode_verdict, encode_verdict
from hdfs_pipeline.streaming.tail import Modestly, in_words, verdicts
from hdfs_pipeline.streaming.topics import item_readers
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import run_command, start_command

pytestmark = pytest.mark.xdist_group("kafka")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VERDICT = Verdict(
    "blocks", "blk_-17", "final", "random_forest", 3, 0.987, 0.75, "no received block of a size (normally 3)", {}, 12,
    NOW, NOW, "aggregated_events", 4, 10, 30, NOW, "idle", "write failed", "dn3",
    {"block_id": "blk_-17", "catalogue": "hdfs_v1.v1"},
)  # fmt: skip


def send(home: Home, *values: bytes) -> None:
    def delivered(error: Any, _message: Any) -> None:
        assert error is None, error

    client = producer(home.settings)
    for number, value in enumerate(values):
        # A compacted topic takes nothing without a key.
        client.produce(ANOMALIES, value, b"blk_%d" % number, partition=number, on_delivery=delivered)
    assert client.flush(30) == 0


@contextmanager
def watching(home: Home, *arguments: str) -> Iterator[tuple[int, list[str]]]:
    """`watch` once nothing is missed; afterwards its exit code and its lines."""
    found: list[str] = []
    with start_command(home, "watch", *arguments) as process:
        assert process.stderr.readline() == "waiting for anomalies\n"
        yield process, found
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        found += out.splitlines()
        assert (process.returncode, err) == (0, "")


def test_what_arrives_is_shown_in_words(broker: Home) -> None:
    send(broker, encode_verdict(replace(VERDICT, item="blk_1")))
    normal = {"status": "withdrawn", "reason": "later records made it normal", "score": 0.2, "kind": "", "entity": ""}
    withdrawn = replace(VERDICT, item="blk_3", **normal)
    with watching(broker) as (process, rest):
        send(broker, encode_verdict(VERDICT), b"nonsense", encode_verdict(withdrawn))
        first = {process.stdout.readline().rstrip() for _ in range(2)}
    assert first == {
        "anomaly: blk_-17, write failed at dn3, score 0.99 by random_forest because no received block of a size "
        "(normally 3)",
        "withdrawn: blk_3, score 0.20 by random_forest, since later records made it normal",
    }
    assert rest == []


def test_for_programs_it_is_one_object_a_line_and_all_may_be_asked_for(broker: Home) -> None:
    send(broker, encode_verdict(VERDICT))
    with watching(broker, "--all", "--json") as (process, rest):
        line = process.stdout.readline()
    assert decode_verdict(line.encode(), None, item_readers()) == VERDICT
    assert json.loads(line)["block_id"] == "blk_-17"
    assert rest == []


def test_a_reader_that_has_enough_ends_it(broker: Home) -> None:
    with start_command(broker, "watch", "--all") as process:
        assert process.stderr.readline()
        process.stdout.close()
        send(broker, encode_verdict(VERDICT))
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
        process.stdout = None


def test_no_broker_is_a_setup_error(new_home) -> None:
    done = run_command(new_home(kafka_bootstrap_servers=""), "watch")
    assert done.returncode == 3 and "no Kafka broker" in done.stderr


def test_nothing_is_committed(broker: Home) -> None:
    from confluent_kafka import TopicPartition

    from hdfs_pipeline.sources.kafka import consumer

    send(broker, encode_verdict(VERDICT))
    stopped = Event()
    found = verdicts(broker.settings, stopped, everything=True)
    assert next(found) == VERDICT
    stopped.set()
    assert list(found) == []
    client = consumer(broker.settings, group_id=f"{broker.settings.stream_group}.watch")
    (place,) = client.committed([TopicPartition(ANOMALIES, 0)], timeout=30)
    assert place.offset < 0
    client.close()


def test_modest_watching_counts_what_it_leaves_out() -> None:
    every = Modestly(3600)
    assert every.line(VERDICT) == in_words(VERDICT)
    assert [every.line(VERDICT), every.line(VERDICT)] == [None, None]
    every._after = 0.0
    assert every.line(VERDICT) == f"{in_words(VERDICT)} (and 2 more before)"
    assert [Modestly(0).line(VERDICT) for _ in range(3)] == [in_words(VERDICT)] * 3
