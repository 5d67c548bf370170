"""The web page and the daemon, for real: up, a sensor that ticks, and nothing left after SIGTERM."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.running.orchestration import serve
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.defs.page import ask, until


@pytest.fixture
def served(home: Settings, free_port: int) -> Iterator[subprocess.Popen]:
    code = (
        "import sys\nfrom hdfs_pipeline.running.orchestration import serve\n"
        "from hdfs_pipeline.settings import load_settings\n"
    )
    environment = {**os.environ, "HDFS_PIPELINE_DAGSTER_PORT": str(free_port)}
    process = subprocess.Popen([sys.executable, "-c", code + "sys.exit(serve(load_settings()))"], env=environment)
    yield process
    process.terminate()
    process.wait(60)


@pytest.mark.slow
def test_it_answers_takes_a_new_file_and_leaves_no_process(
    served: subprocess.Popen, home: Settings, free_port: int, excerpt: tuple[Path, Path]
) -> None:
    until(lambda: ask(free_port, "{version}"), 90)
    home.incoming.mkdir()
    (home.incoming / "HDFS.log").write_bytes(excerpt[0].read_bytes())
    query = "{runsOrError{... on Runs{results{jobName status}}}}"
    (run,) = until(lambda: ask(free_port, query)["runsOrError"]["results"], 120)
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
