"""Dead letters that nobody takes: the worker ends before it commits past the message, and the next one goes on."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS
from hdfs_pipeline.sources.kafka import DEAD_LETTERS
from hdfs_pipeline_tests.faults.reconcile import send
from hdfs_pipeline_tests.faults.topics import committed, configured
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import REAL, read_topic, run_command
from hdfs_pipeline_tests.streaming.workers import wait_until_equal, worker

pytestmark = pytest.mark.faults
BAD = bytes(random.Random(1).choices(range(14, 31), k=1000))  # 6,000 bytes as JSON, and no compression makes it small


@contextmanager
def refused_dead_letters(home: Home) -> Iterator[None]:
    """The brokers refuse them; the embedded one cannot, so there the client does, as by a limit of its own."""
    if REAL:
        with configured(home, [DEAD_LETTERS], "max.message.bytes", "400"):
            yield
        return
    path = home.settings.home / "settings.toml"
    before = path.read_text()
    path.write_text(before + '[kafka]\n"message.max.bytes" = "4000"\n')
    yield
    path.write_text(before)


def test_dead_letters_that_are_refused_stop_the_worker_and_lose_nothing(
    home: Home, trained: Home, excerpt: Any, reconciled: Callable[[str], None]
) -> None:
    part = 11
    with refused_dead_letters(home):
        (place,) = send(home, RAW_LOGS, [(b"blk_1", BAD, part)])
        assert run_command(home, "produce", "raw", str(excerpt.log)).returncode == 0
        for _ in range(2):  # however often it is started
            done = run_command(home, "stream")
            assert done.returncode == 3, done.stderr
            assert "a message was not taken: dead_letters" in " ".join(done.stderr.split())
            assert "Traceback" not in done.stderr
            assert committed(home, home.settings.stream_group).get(part, 0) <= place
        assert read_topic(home.settings, DEAD_LETTERS) == []
    with worker(home) as running:
        wait_until_equal(home, trained)
        assert running.end() == 0
    (letter,) = read_topic(home.settings, DEAD_LETTERS)
    assert json.loads(letter.value())["offset"] == place
    assert committed(home, home.settings.stream_group)[part] > place
    reconciled("2 workers ended with exit code 3 and committed nothing past the message; the third told of it once")
