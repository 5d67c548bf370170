"""Jobs: one of a kind at a time, in processes of their own that end with the server, whatever becomes of either."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hdfs_pipeline.errors import DataError, NotFoundError
from hdfs_pipeline.serving.jobs import Job, Jobs, Tell
from hdfs_pipeline.settings import PROJECT

LIMIT_S = 60.0


def add(tell: Tell, one: int, two: int) -> dict[str, Any]:
    tell("adding", 0.5)
    return {"sum": one + two, "process": os.getpid()}


def refuse(_tell: Tell) -> dict[str, Any]:
    raise DataError("needs 30 steps, has 0")


def crash(_tell: Tell) -> dict[str, Any]:
    raise RuntimeError("secret of the inside")


def wait(tell: Tell, path: str) -> dict[str, Any]:
    """Goes on until the file is there."""
    tell(str(os.getpid()))
    until = time.monotonic() + LIMIT_S
    while not Path(path).exists() and time.monotonic() < until:
        time.sleep(0.02)
    return {}


def until(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + LIMIT_S
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    found = Jobs()
    yield found
    found.end()


def ended(job: Job | None) -> Job:
    assert job is not None
    until(lambda: job.state != "running")
    return job


def test_a_job_runs_in_a_process_of_its_own_and_tells_its_result(jobs: Jobs) -> None:
    cleared = threading.Event()
    job = ended(jobs.start("sum", add, 2, 3, then=cleared.set))
    assert job.result is not None and job.result["sum"] == 5 and job.result["process"] != os.getpid()
    assert (job.state, job.step, job.share, job.error) == ("done", "done", 1.0, "") and cleared.is_set()
    told = jobs.find(job.id).to_json()
    assert told["ended_at"] >= told["started_at"] and told["started_at"].endswith("+00:00")
    with pytest.raises(NotFoundError, match="no such job"):
        jobs.find("nonsense")


def test_what_goes_wrong_is_told_in_plain_words_and_no_more(jobs: Jobs) -> None:
    refused = ended(jobs.start("sum", refuse))
    assert (refused.state, refused.error, refused.result) == ("failed", "needs 30 steps, has 0", None)
    crashed = ended(jobs.start("sum", crash))
    assert crashed.state == "failed" and "log says why" in crashed.error and "secret" not in crashed.error


def test_one_job_of_a_kind_at_a_time(jobs: Jobs, tmp_path: Path) -> None:
    path = tmp_path / "go"
    first = jobs.start("wait", wait, str(path))
    assert first is not None and jobs.start("wait", wait, str(path)) is None and jobs.running("wait") is first
    assert ended(jobs.start("sum", add, 1, 1)).state == "done"  # another kind
    path.touch()
    assert ended(first).state == "done" and jobs.running("wait") is None


def test_the_oldest_are_forgotten(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdfs_pipeline.serving.jobs._KEPT", 2)
    first, *others = [ended(jobs.start("sum", refuse)) for _ in range(3)]
    assert [jobs.find(job.id) for job in others] == others
    with pytest.raises(NotFoundError):
        jobs.find(first.id)


def test_jobs_end_with_the_server(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.start("wait", wait, str(tmp_path / "never"))
    assert job is not None
    process = int(until(lambda: job.step.isdecimal() and job.step))
    jobs.end()
    until(lambda: not psutil.pid_exists(process))
    assert ended(job).state == "failed" and jobs.start("sum", add, 1, 1) is None


_SERVER = """
import sys, time
from hdfs_pipeline.serving.jobs import Jobs
from hdfs_pipeline_tests.serving.test_jobs import wait
job = Jobs().start("wait", wait, sys.argv[1])
while not job.step.isdecimal():
    time.sleep(0.02)
print(job.step, flush=True)
time.sleep(60)
"""


def test_jobs_end_with_a_server_that_was_killed(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(tmp_path / "never")], stdout=subprocess.PIPE, cwd=PROJECT, text=True
    )
    assert server.stdout is not None
    process = int(server.stdout.readline())
    assert psutil.pid_exists(process)
    server.kill()
    server.communicate()
    until(lambda: not psutil.pid_exists(process) or psutil.Process(process).status() == psutil.STATUS_ZOMBIE)
