"""The broker itself is killed, a real one, while producers, workers and sinks are at work."""

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline_tests.faults.real_broker import real_broker
from hdfs_pipeline_tests.faults.reconcile import SUNK, reconcile, sinking
from hdfs_pipeline_tests.homes import Home, open_home
from hdfs_pipeline_tests.streaming.conftest import start_command
from hdfs_pipeline_tests.streaming.workers import settle_in, worker

pytestmark = [pytest.mark.faults, pytest.mark.any_broker]
KILLS = 3
FLOWS_S = 70.0  # on a busy machine a broker takes 20 s to come back


def test_a_broker_that_is_killed_comes_back_and_all_go_on(
    tmp_path: Path, trained: Home, excerpt: Any, chance: random.Random, reconciled: Callable[[str], None]
) -> None:
    records = excerpt.log.read_bytes().count(b"\n")
    with real_broker(tmp_path / "kafka") as broker:
        home = open_home(tmp_path / "home", kafka_bootstrap_servers=broker.address, lock_timeout_s=60.0)
        home.settings.home.mkdir(exist_ok=True)
        settle_in(home, trained)
        down = 0.0
        with (
            worker(home) as running,
            sinking(home) as troubles,
            start_command(home, "produce", "raw", str(excerpt.log), "--rate", f"{records / FLOWS_S:.0f}") as sender,
        ):
            for _ in range(KILLS):
                with pytest.raises(subprocess.TimeoutExpired):
                    running.process.wait(chance.uniform(1.0, 6.0))
                began = time.monotonic()
                broker.kill()
                assert sender.poll() is None, "records flow while the broker is killed"
                broker.start()
                down += time.monotonic() - began
            out, _ = sender.communicate(timeout=120)
            assert sender.returncode == 0, "every record was acknowledged"
            assert f"{records:,} records" in out
            told = reconcile(home, trained, records)
            assert running.end() == 0
        assert "Connection refused" in running.log or "no broker answers" in running.log
        unnamed = [trouble for trouble in troubles if not any(word in trouble for word in ("Kafka", *SUNK))]
        assert not unnamed, "a run that fails says that it is Kafka, or which topic"
    reconciled(
        f"{KILLS} kills -9 of the broker, {down:.0f} s without it; {len(troubles)} runs of the sinks failed; {told}"
    )
