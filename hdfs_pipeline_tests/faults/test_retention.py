"""A worker that stands still while retention passes it: what is gone is told, and nothing else is missing."""

import random
import re
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS
from hdfs_pipeline_tests.faults.reconcile import send
from hdfs_pipeline_tests.faults.topics import committed
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sinks.sink_worker import ingest
from hdfs_pipeline_tests.streaming.conftest import embedded_home, running_broker, wait_for
from hdfs_pipeline_tests.streaming.workers import StreamWorker, settle_in, vectors, worker

pytestmark = [pytest.mark.faults, pytest.mark.any_broker]
PART = 11


@pytest.fixture
def home(tmp_path: Path, trained: Home) -> Iterator[Home]:
    """On an embedded broker, whose retention is 5 MiB a partition."""
    found = embedded_home(tmp_path / "home")
    with running_broker(found):
        settle_in(found, trained)
        yield found


def records(first: int, count: int, size: int = 0) -> list[Any]:
    """Records of one block each, one every second; bytes that do not compress where they are long."""
    noise = random.Random(first)
    return [
        (
            b"blk_%d" % n,
            b"081109 20%02d%02d 148 INFO dfs.DataNode$DataXceiver: Receiving block blk_%d src: /a dest: /%s"
            % (n // 60 % 60, n % 60, n, noise.randbytes(size // 2).hex().encode()),
            PART,
        )
        for n in range(first, first + count)
    ]


def figure(running: StreamWorker, name: str) -> int:
    (address,) = re.findall(r"metrics at (\S+)", running.log)
    with urllib.request.urlopen(address, timeout=10) as answer:
        text = answer.read().decode()
    return round(float(re.search(rf"^hdfs_stream_{name}_total\{{[^}}]*\}} (\S+)$", text, re.MULTILINE)[1]))


@pytest.mark.parametrize("paused_s", [0.0, 8.0], ids=["within its session", "beyond its session"])
def test_what_retention_took_while_a_worker_was_paused_is_told(
    home: Home, paused_s: float, reconciled: Callable[[str], None]
) -> None:
    before, long = 200, 100
    with worker(home) as running:
        send(home, RAW_LOGS, records(0, before))
        wait_for(lambda: committed(home, home.settings.stream_group).get(PART) == before, what="all is committed")
        assert ingest(home.store, home.settings, RAW_LOGS).rows == before
        running.process.send_signal(signal.SIGSTOP)
        send(home, RAW_LOGS, records(before, long, 200_000), linger_ms=0)  # 20 MB, a fourth of which is kept
        if paused_s:
            until = time.monotonic() + paused_s
            wait_for(lambda: time.monotonic() > until)
        running.process.send_signal(signal.SIGCONT)
        running.wait_for("are gone: retention deleted them before they were read")
        wait_for(lambda: figure(running, "messages") + figure(running, "lost_messages") == before + long)
        lost = figure(running, "lost_messages")
        wait_for(lambda: len(vectors(home)) == before + long - lost, what="the vectors of what is left")
        assert running.end() == 0
        assert f"raw_logs/{PART}: {lost} messages from offset {before} on are gone" in running.log
    done = ingest(home.store, home.settings, RAW_LOGS)
    assert (done.missing, done.rows) == (lost, long - lost)
    assert home.rows("SELECT part, from_offset, to_offset FROM stream_gaps") == [(PART, before, before + lost)]
    reconciled(f"{before + long} sent = {before + long - lost} counted and stored + {lost} told as lost by both")
