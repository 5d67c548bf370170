"""Stream workers for the tests: homes with a model, workers as processes, what they have published."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hdfs_pipeline.domains.blocks import wire
from hdfs_pipeline.domains.blocks.item import parse_block_id
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.sources.kafka import ANOMALIES
from hdfs_pipeline.sources.wire import Verdict, decode_verdict
from hdfs_pipeline.streaming.topics import item_readers
from hdfs_pipeline_tests.homes import BLOCKS, Home
from hdfs_pipeline_tests.streaming.conftest import command, read_topic, wait_for

IDLE_S = 3.0


def settle_in(home: Home, trained: Home | None, **settings: object) -> None:
    """Give a home on a broker the models of `trained`, if any, and settings that keep the tests quick."""
    if trained is not None:
        shutil.copytree(trained.settings.models, home.settings.models)
    plain = {
        "stream_group": home.settings.stream_group,
        "stream_idle_s": IDLE_S,
        "metrics_port": 0,
        "dagster_url": "http://127.0.0.1:9",  # nobody takes the reports
        **settings,
    }
    lines = [f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value}" for name, value in plain.items()]
    (home.settings.home / "settings.toml").write_text("\n".join(lines) + "\n")


class StreamWorker:
    """`hdfs-pipeline stream` as a process; its log in a file."""

    def __init__(self, home: Home, *arguments: str) -> None:
        line, environment = command(home, "stream", *arguments)
        self.path = Path(tempfile.mkstemp(prefix="worker.", suffix=".log", dir=home.settings.home)[1])
        with self.path.open("wb") as log:
            self.process = subprocess.Popen(line, env=environment, stdout=log, stderr=log, start_new_session=True)

    @property
    def log(self) -> str:
        return self.path.read_text(errors="replace")

    def wait_for(self, text: str, times: int = 1) -> None:
        def said() -> bool:
            assert self.process.poll() is None, self.log
            return self.log.count(text) >= times

        wait_for(said, what=text)

    def end(self, number: signal.Signals = signal.SIGTERM, limit_s: float = 40.0) -> int:
        os.kill(self.process.pid, number)
        return self.process.wait(limit_s)


@contextmanager
def worker(home: Home, *arguments: str, ready: str = "taken over") -> Iterator[StreamWorker]:
    """A worker that has its partitions; killed at the end if it still runs."""
    started = StreamWorker(home, *arguments)
    try:
        if ready:
            started.wait_for(ready)
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def vectors(home: Home) -> list[Vector]:
    return [wire.decode_vector(message.value()) for message in read_topic(home.settings, AGGREGATED_EVENTS)]


def verdicts(home: Home) -> list[Verdict]:
    messages = read_topic(home.settings, ANOMALIES)
    return [decode_verdict(message.value(), message.key(), item_readers()) for message in messages]


def final_counts(found: list[Vector]) -> dict[int, dict[str, int]]:
    """The last word on each block, summed over what a block had before it was forgotten and after."""
    latest: dict[tuple[int, int, int], Vector] = {}
    for vector in found:
        name = vector.block_id, vector.partition, vector.first_offset
        if name not in latest or latest[name].last_offset <= vector.last_offset:
            latest[name] = vector
    counts: dict[int, Counter[str]] = {}
    for vector in latest.values():
        counts.setdefault(vector.block_id, Counter()).update(vector.counts)
    return {block: dict(each) for block, each in counts.items()}


def flagged(found: list[Verdict], detector: str = "random_forest") -> set[int]:
    """Blocks on which a detector's last verdict stands."""
    latest = {parse_block_id(verdict.item): verdict.status for verdict in found if verdict.detector == detector}
    return {block for block, status in latest.items() if status != "withdrawn"}


def batch_counts(trained: Home) -> dict[int, dict[str, int]]:
    matrix = BLOCKS.features(trained.store, trained.settings).matrix("events")
    return {
        int(key): {matrix.columns[at]: int(row[at]) for at in np.flatnonzero(row)}
        for key, row in zip(matrix.keys, matrix.values, strict=True)
    }


def batch_flagged(trained: Home, detector: str = "random_forest") -> set[int]:
    scorer = load_scorer(trained.settings, BLOCKS, detector)
    matrix = BLOCKS.features(trained.store, trained.settings).matrix(scorer.card.family)
    return set(matrix.keys[scorer.score(matrix) >= scorer.card.threshold].tolist())


def wait_until_equal(home: Home, trained: Home, check: Callable[[], Any] = lambda: None, limit_s: float = 180) -> None:
    """Until the stream's last words are the batch's."""
    expected, wanted = batch_counts(trained), batch_flagged(trained)

    def equal() -> bool:
        check()
        return final_counts(vectors(home)) == expected and flagged(verdicts(home)) == wanted

    wait_for(equal, limit_s, "the stream's vectors and verdicts equal the batch's")
