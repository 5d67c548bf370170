"""The DuckDB file is held by another program for long: sinks wait or fail, and a later run brings everything."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.sources.kafka import ANOMALIES
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.faults.reconcile import reconcile
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.sinks.sink_worker import ingest
from hdfs_pipeline_tests.streaming.conftest import run_command
from hdfs_pipeline_tests.streaming.workers import wait_until_equal, worker

pytestmark = [pytest.mark.faults, pytest.mark.any_broker]
HELD_S = 20.0  # at least
PATIENT_S = 300.0
HOLD = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


@contextmanager
def held(home: Home) -> Iterator[Callable[[], None]]:
    """The store, open in another program, as a DuckDB shell holds it; a function that ends that program."""
    with home.store.write():
        pass
    command = [sys.executable, "-c", HOLD, str(home.settings.store_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield lambda: process.communicate(timeout=10)
        finally:
            process.kill()


def test_a_store_that_is_locked_for_long(
    home: Home, trained: Home, excerpt: Any, reconciled: Callable[[str], None]
) -> None:
    records = excerpt.log.read_bytes().count(b"\n")
    patient = Store(home.settings.store_path, lock_timeout_s=PATIENT_S, memory_limit="500MB")
    impatient = Store(home.settings.store_path, lock_timeout_s=1.0, memory_limit="500MB")
    refusals = 0
    with worker(home) as running, held(home) as let_go, ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        assert run_command(home, "produce", "raw", str(excerpt.log)).returncode == 0
        waiting = pool.submit(ingest, patient, home.settings, RAW_LOGS)
        wait_until_equal(home, trained)  # the worker knows no store
        while not refusals or time.monotonic() - began < HELD_S:
            with pytest.raises(SetupError, match="is in use by process"):
                ingest(impatient, home.settings, ANOMALIES)
            refusals += 1
        assert not waiting.done()
        held_s = time.monotonic() - began
        let_go()
        assert waiting.result(60).rows == records
        told = reconcile(home, trained, records)
        assert running.end() == 0
    reconciled(f"held for {held_s:.0f} s: one run waited, {refusals} failed and named the holder; {told}")
