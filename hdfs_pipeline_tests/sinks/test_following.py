"""The process that stores what comes: what it stores, what it says, and how it goes on after outages."""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from hdfs_pipeline.domains.blocks.topics import HDFS_LOGS, LABELS, RAW_LOGS
from hdfs_pipeline.domains.blocks.wire import block_key
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.sinks import following
from hdfs_pipeline.sinks.following import follow, is_followed
from hdfs_pipeline.sinks.messages import MessageStage
from hdfs_pipeline.streaming.broker import mock_cluster
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sinks.sink_worker import (
    PARTS,
    STREAMED,
    embedded,
    ingest,
    line,
    mixture,
    point_at,
    send,
    sink_of,
)
from hdfs_pipeline_tests.streaming.conftest import command, embedded_home, wait_for

LIMIT_S = 60
SINKS = {topic: sink_of(topic) for topic in STREAMED}


@pytest.fixture
def streamed(new_home: Callable[..., Home]) -> Iterator[Home]:
    """A home with an embedded broker of its own and empty topics."""
    home = new_home(kafka_bootstrap_servers="", kafka_partitions=PARTS)
    with embedded(home.settings):
        yield home


@contextmanager
def following_(home: Home) -> Iterator[list[str]]:
    """The process's work in a thread; what it says."""
    said: list[str] = []
    stopped = threading.Event()
    thread = threading.Thread(target=follow, args=(home.settings, SINKS, stopped, said.append))
    thread.start()
    try:
        yield said
    finally:
        stopped.set()
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def logs(home: Home, count: int, first: int = 0) -> None:
    send(home.settings, RAW_LOGS, [(block_key(n), line(n, n), n % PARTS) for n in range(first, first + count)])


def number(home: Home, sql: str = "SELECT count(*) FROM raw_logs") -> int:
    try:
        return int(home.rows(sql)[0][0])
    except SetupError:  # no store yet
        return -1


def test_what_comes_in_every_topic_is_stored_once(streamed: Home) -> None:
    with following_(streamed) as said:
        wait_for(lambda: is_followed(streamed.settings), LIMIT_S, "its lock")
        for topic in STREAMED:
            send(streamed.settings, topic, mixture(topic))
        sent = sum(len(mixture(topic)) for topic in STREAMED)
        offsets = "SELECT coalesce(sum(next), 0) FROM offsets"
        wait_for(lambda: number(streamed, offsets) == sent, LIMIT_S, "all offsets")
        before = number(streamed)
        logs(streamed, 7, first=100)
        wait_for(lambda: number(streamed) == before + 7, LIMIT_S, "seven more records")
        assert len(said) == 1 and "is stored within seconds" in said[0], "it is silent else"
    assert not is_followed(streamed.settings)
    assert all(not ingest(streamed.store, streamed.settings, topic).messages for topic in STREAMED)


def test_one_of_two_waits_and_takes_over(streamed: Home) -> None:
    with following_(streamed):
        wait_for(lambda: is_followed(streamed.settings), LIMIT_S, "the first one's lock")
        with following_(streamed) as second:
            wait_for(lambda: "another process" in " ".join(second), LIMIT_S, "the second one's word")
            assert len(second) == 1
    with following_(streamed) as later:
        wait_for(lambda: "within seconds" in " ".join(later), LIMIT_S, "the next one")


def test_a_broker_that_goes_and_comes_again_is_told_once_each(new_home: Callable[..., Home]) -> None:
    home = new_home(kafka_bootstrap_servers="", kafka_partitions=PARTS)
    with following_(home) as said:
        wait_for(lambda: len(said) == 2, LIMIT_S, "that there is no broker")
        assert "no Kafka broker" in said[1]
        with mock_cluster(PARTS) as address:
            point_at(home.settings, address)
            logs(home, 5)
            wait_for(lambda: number(home) == 5, LIMIT_S, "the records of the first broker")
        wait_for(lambda: len(said) == 4, LIMIT_S, "that it has gone")
        with mock_cluster(PARTS) as address:
            point_at(home.settings, address)
            logs(home, 5)
            wait_for(lambda: number(home) == 10, LIMIT_S, "the records of the next broker")
        assert [("well again" in text) for text in said[1:]][:4] == [False, True, False, True]


def test_a_store_in_use_is_waited_for(streamed: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_LOCKED_S", 0.5)
    with streamed.store.write():
        pass
    held = duckdb.connect(str(streamed.settings.store_path))
    with following_(streamed) as said:
        logs(streamed, 5)
        wait_for(lambda: any("in use by process" in text for text in said), LIMIT_S, "its word")
        held.close()
        wait_for(lambda: number(streamed) == 5, LIMIT_S, "the records")


def test_a_topic_that_cannot_be_stored_holds_up_no_other(streamed: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_PAUSES_S", (0.5,))
    with following_(streamed) as said:
        with monkeypatch.context() as patch:
            patch.setattr(MessageStage, "publish", _no_room)
            for topic in (LABELS, HDFS_LOGS):
                send(streamed.settings, topic, mixture(topic))
            logs(streamed, 5)
            wait_for(lambda: number(streamed) == 5, LIMIT_S, "the records")
            wait_for(lambda: sum("no room" in text for text in said) == 2, LIMIT_S, "a word of each topic")
        stored = "SELECT count(DISTINCT topic) FROM offsets"
        wait_for(lambda: number(streamed, stored) == 3, LIMIT_S, "the other topics")


def _no_room(*_: object, **__: object) -> int:
    raise SetupError("no room on the disk")


def test_the_command_ends_at_sigterm_with_what_it_read_stored(tmp_path: Path) -> None:
    home = embedded_home(tmp_path / "home")
    with embedded(home.settings):
        line_, environment = command(home, "sink")
        log = tmp_path / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(line_, env=environment, stdout=file, stderr=file)
        try:
            logs(home, 20)
            wait_for(lambda: number(home) == 20, LIMIT_S, "the records")
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()
        assert len(log.read_text().splitlines()) == 1, log.read_text()
        assert not list(home.settings.home.glob(".staging.*"))
