"""Health is told from cards and from one client of Kafka, and waits for nobody for long."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.champions import load_scorer, serving_version
from hdfs_pipeline.errors import NotTrainedError, SetupError
from hdfs_pipeline.sources.kafka import producer
from hdfs_pipeline.verdicts.health import ILL, OFF, WELL, health_of, store_part
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home
from hdfs_pipeline_tests.streaming.conftest import embedded_home, running_broker

LIMIT_S = 60.0
_HOLD = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


@contextmanager
def held(home: Home) -> Iterator[None]:
    """Another program has the store open for as long as the block lasts, as DBeaver does."""
    arguments = [sys.executable, "-c", _HOLD, str(home.settings.store_path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        try:
            yield
        finally:
            other.communicate("", LIMIT_S)


def parts(home: Home) -> dict[str, str]:
    return {part.name: part.state for part in health_of(home.store, home.settings).parts}


def test_models_are_told_by_their_cards(trained: Home, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    home = copy_home(trained, tmp_path / "home")
    version = load_scorer(home.settings, BLOCKS, "random_forest").card.version
    monkeypatch.setattr("hdfs_pipeline.domains.champions.load_model", None)
    assert serving_version(home.settings, BLOCKS, "random_forest") == version
    assert parts(home)["model of blocks"] == WELL and parts(home)["model of daemons"] in (WELL, OFF)
    with pytest.raises(NotTrainedError, match="train"):
        serving_version(home.settings, BLOCKS, "autoencoder")
    assert serving_version(home.settings, BLOCKS, domain_named("blocks").day_one) == 0
    next(home.settings.models.glob("blocks/random_forest/[0-9]*/model.*")).write_bytes(b"damaged")
    assert parts(home)["model of blocks"] == OFF


def test_one_client_asks_for_all_topics(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    home = embedded_home(tmp_path / "home", kafka_partitions=5)
    with home.store.write():
        pass
    from confluent_kafka.admin import AdminClient

    made: list[Any] = []
    begin = AdminClient.__init__
    with running_broker(home):
        client = producer(home.settings)
        for part in range(3):
            client.produce("raw_logs", b"nonsense", partition=part)
        client.flush(LIMIT_S)
        monkeypatch.setattr(AdminClient, "__init__", lambda *given: made.append(1) or begin(*given))
        found = health_of(home.store, home.settings)
    assert len(made) == 1
    assert {place: n for place, n in found.lag.items() if n} == {("raw_logs", part): 1 for part in range(3)}
    assert {topic for topic, _ in found.lag} >= {"raw_logs", "aggregated_events", "labels", "anomalies"}


def test_a_store_that_another_program_holds_is_told_within_two_seconds(home: Home) -> None:
    with held(home):
        waiting = threading.Thread(target=lambda: _read(home))
        waiting.start()  # a reader with all of lock_timeout_s, which must hold up nobody
        began = time.monotonic()
        part = store_part(home.store, home.settings)
        assert part.state == ILL and "in use by" in part.text and "waited 1.5 s" in part.text
        assert time.monotonic() - began < 2
        assert parts(home)["store"] == ILL
    waiting.join(LIMIT_S)
    assert store_part(home.store, home.settings).state == WELL


def _read(home: Home) -> None:
    try:
        with home.store.read():
            pass
    except SetupError as error:
        raise AssertionError(error) from error
