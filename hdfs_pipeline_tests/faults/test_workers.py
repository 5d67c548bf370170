"""Workers that are killed at random moments, and partitions that move between workers while records flow."""

import random
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline_tests.faults.reconcile import reconcile
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import REAL, embedded_home, running_broker, start_command, wait_for
from hdfs_pipeline_tests.streaming.workers import StreamWorker, settle_in, vectors, worker

pytestmark = pytest.mark.faults

KILLS = 12 if REAL else 50
GROUPS = 1 if REAL else 4  # each on a broker of its own: after a kill its group waits out the session, 6 s
CYCLE_S = 9.0  # about: the session, the start, the moment
EARLY = 0.2  # share of the kills that come before the worker has its partitions


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def kill_at(running: StreamWorker, moment: float) -> None:
    """kill -9 after so many seconds; a worker that has ended by itself before has failed."""
    try:
        running.process.wait(moment)
    except subprocess.TimeoutExpired:
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
    else:
        pytest.fail(running.log)


def torment(home: Home, trained: Home, log: Path, kills: int, draw: random.Random) -> tuple[str, int]:
    """Kill one worker after the other while records flow; what was reconciled, and how many had partitions."""
    rate = lines(log) / (CYCLE_S * kills)
    had = 0
    with start_command(home, "produce", "raw", str(log), "--rate", f"{rate:.1f}") as sender:
        for _ in range(kills):
            early = draw.random() < EARLY
            with worker(home, ready="" if early else "taken over") as running:
                kill_at(running, draw.uniform(0.05, 6.0 if early else 3.0))
                had += "taken over" in running.log
        with worker(home, ready="") as last:
            assert sender.wait(120) == 0, sender.communicate()
            told = reconcile(home, trained, lines(log))
            assert last.end() == 0
            assert "leaving the group" in last.log
    return told, had


def test_workers_killed_at_random_moments(
    request: pytest.FixtureRequest,
    trained: Home,
    excerpt: Any,
    tmp_path: Path,
    chance: random.Random,
    reconciled: Callable[[str], None],
) -> None:
    shares = [len(range(at, KILLS, GROUPS)) for at in range(GROUPS)]
    with ExitStack() as stack:
        if REAL:
            homes = [request.getfixturevalue("broker")]
        else:
            homes = [embedded_home(tmp_path / f"home-{at}") for at in range(GROUPS)]
            for home in homes:
                stack.enter_context(running_broker(home))
        for home in homes:
            settle_in(home, trained)
        draws = [random.Random(chance.random()) for _ in homes]
        with ThreadPoolExecutor(len(homes)) as pool:
            running = [
                pool.submit(torment, home, trained, excerpt.log, kills, draw)
                for home, kills, draw in zip(homes, shares, draws, strict=True)
            ]
            done = [each.result() for each in running]
    had = sum(n for _, n in done)
    reconciled(f"{KILLS} kills -9 in {len(done)} groups, {had} of workers with partitions, {KILLS - had} before")
    for told, _ in done:
        reconciled(told)


def test_one_worker_three_and_one_again_while_records_flow(
    home: Home, trained: Home, excerpt: Any, reconciled: Callable[[str], None]
) -> None:
    rate = f"{lines(excerpt.log) / 40:.0f}"
    with worker(home) as first, start_command(home, "produce", "raw", str(excerpt.log), "--rate", rate) as sender:
        wait_for(lambda: vectors(home), what="the first vectors")
        with worker(home) as second, worker(home) as third:
            first.wait_for("taken over", 2)
            assert sender.poll() is None, "records flow while partitions move"
            assert third.end() == 0
            assert second.end(signal.SIGKILL) == -signal.SIGKILL
        assert sender.wait(60) == 0
        assert first.process.poll() is None, first.log
        told = reconcile(home, trained, lines(excerpt.log))
        moves = first.log.count("taken over")
        assert moves >= 3
        assert first.end() == 0
    reconciled(f"1, 3 and 1 workers, {moves} assignments of the first; {told}")
