"""What Dagster's processes print: what is worth showing to people who run `up`."""

import subprocess
import sys

import pytest

from hdfs_pipeline.running.orchestration import dagster_processes
from hdfs_pipeline.settings import Settings

_THREAD_OUTLIVES_US = """
import threading, duckdb
con = duckdb.connect()
started = threading.Event()
def work():
    started.set()
    threading.Event().wait()
threading.Thread(target=work, daemon=True).start()
started.wait(30)
"""


@pytest.fixture
def shows(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", "")  # put back after the test: the processes' home is set there
    monkeypatch.setenv("HDFS_PIPELINE_HOME", str(tmp_path))
    return dagster_processes(Settings(home=tmp_path, dagster_port=1024))[0].shows


def test_what_duckdb_says_of_threads_that_outlive_a_run_is_not_shown(shows):
    said = subprocess.run(
        [sys.executable, "-c", _THREAD_OUTLIVES_US], capture_output=True, text=True, timeout=60, check=True
    ).stderr.splitlines()
    assert said, "this release of DuckDB says nothing: the rule can go"
    assert [line for line in said if shows(line)] == []


@pytest.mark.parametrize(
    "line",
    [
        "Traceback (most recent call last):",
        " - leakage of a DataNode",
        "2026-01-01 12:00:00 +0000 - dagster - ERROR - blocks_job - failed",
        "HDFS_PIPELINE_NO_SUCH is no setting",
    ],
)
def test_what_tells_of_trouble_is_shown(shows, line):
    assert shows(line)


@pytest.mark.parametrize("line", [" 40% ▕████      ▏", "2026-01-01 12:00:00 +0000 - dagster - DEBUG - blocks_job - x"])
def test_progress_is_not_shown(shows, line):
    assert not shows(line)
