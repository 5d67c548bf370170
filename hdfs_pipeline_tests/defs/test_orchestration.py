"""The web page and the daemon, for real: up, a sensor that ticks, and nothing left after SIGTERM."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.running.orchestration import serve
from hdfs_pipeline.settings import Settings


def _until(found: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if value := found():
                return value
        except OSError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s")


def _ask(port: int, query: str) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["data"]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def served(home: Settings, port: int) -> Iterator[subprocess.Popen]:
    code = (
        "import sys\nfrom hdfs_pipeline.running.orchestration import serve\n"
        "from hdfs_pipeline.settings import load_settings\n"
    )
    environment = {**os.environ, "HDFS_PIPELINE_DAGSTER_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-c", code + "sys.exit(serve(load_settings()))"], env=environment)
    yield process
    process.terminate()
    process.wait(60)


@pytest.mark.slow
def test_it_answers_takes_a_new_file_and_leaves_no_process(
    served: subprocess.Popen, home: Settings, port: int, excerpt: tuple[Path, Path]
) -> None:
    _until(lambda: _ask(port, "{version}"), 90)
    home.incoming.mkdir()
    (home.incoming / "HDFS.log").write_bytes(excerpt[0].read_bytes())
    query = "{runsOrError{... on Runs{results{jobName status}}}}"
    (run,) = _until(lambda: _ask(port, query)["runsOrError"]["results"], 120)
    assert run["jobName"] == "blocks_job"
    children = psutil.Process(served.pid).children(recursive=True)
    assert len(children) >= 3
    served.send_signal(signal.SIGTERM)
    assert served.wait(45) == 0
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


def test_a_port_that_is_taken_is_a_setup_error(home: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = home.model_copy(update={"dagster_port": taken.getsockname()[1]})
        with pytest.raises(SetupError, match="HDFS_PIPELINE_DAGSTER_PORT"):
            serve(busy)
