"""Work that takes longer than an answer may: each job in a process of its own, which ends with the server."""

import multiprocessing
import os
import secrets
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, Final, Literal, Protocol

from hdfs_pipeline.errors import NotFoundError, PipelineError


class Tell(Protocol):
    """Says what a job does now, and which share of it is done, 0 to 1; None where that is not known."""

    def __call__(self, step: str, share: float | None = None) -> None:
        """Say it."""


Work = Callable[..., dict[str, Any]]
"""A function of a module: takes a `Tell` and plain values, and gives plain values. It runs in the job's process."""

_KEPT: Final = 50  # of all kinds; the oldest that have ended go first
_PATIENCE_S: Final = 5.0  # for a process to end
_NICE: Final = 5  # whoever asks the server comes first


@dataclass
class Job:
    """What is known of a job. `result` is what its work gave; `error` says what went wrong and what to do next."""

    id: str
    kind: str
    started_at: datetime
    state: Literal["running", "done", "failed"] = "running"
    step: str = "starting"
    share: float | None = None
    ended_at: datetime | None = None
    result: dict[str, Any] | None = None
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """It as JSON, times in ISO 8601."""
        ended = None if self.ended_at is None else self.ended_at.isoformat(timespec="seconds")
        return {**vars(self), "started_at": self.started_at.isoformat(timespec="seconds"), "ended_at": ended}


class Jobs:
    """The jobs of one server, the latest last; one of each kind at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._processes: dict[str, Any] = {}
        self._ended = False

    def start(self, kind: str, work: Work, *given: Any, then: Callable[[], None] = lambda: None) -> Job | None:
        """Begin a job; None where one of this kind is running. `then` is called in a thread once it has ended."""
        with self._lock:
            if self._ended or self.running(kind) is not None:
                return None
            job = Job(secrets.token_hex(8), kind, datetime.now(UTC))
            context = multiprocessing.get_context("spawn")  # a fork would copy the server's threads and locks
            ours, theirs = context.Pipe()
            process = context.Process(target=_run, args=(theirs, work, given), name=kind, daemon=True)
            process.start()
            theirs.close()
            self._jobs[job.id], self._processes[job.id] = job, process
            over = [each.id for each in self._jobs.values() if each.state != "running"]
            for old in over[: max(len(self._jobs) - _KEPT, 0)]:
                del self._jobs[old]
        threading.Thread(target=self._follow, args=(job, ours, process, then), name=f"job {kind}", daemon=True).start()
        return job

    def find(self, identity: str) -> Job:
        """The job with this id. Raises: NotFoundError."""
        job = self._jobs.get(identity)
        if job is None:
            raise NotFoundError("no such job: this server keeps the latest ones until it ends")
        return job

    def running(self, kind: str) -> Job | None:
        """The job of this kind that is running."""
        return next((job for job in [*self._jobs.values()] if job.kind == kind and job.state == "running"), None)

    def end(self) -> None:
        """End all that are running, and begin no more."""
        with self._lock:
            self._ended = True
            processes = [*self._processes.values()]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_PATIENCE_S)
            if process.is_alive():
                process.kill()

    def _follow(self, job: Job, told: Connection, process: Any, then: Callable[[], None]) -> None:
        """Take in what the process tells, until it has ended."""
        result: dict[str, Any] | None = None
        error = "the process of this job ended before its work was done: the server's log says why"
        try:
            while True:
                what, *values = told.recv()
                if what == "step":
                    job.step, job.share = values
                elif what == "result":
                    result = values[0]
                else:
                    error = values[0]
        except (EOFError, OSError):
            pass
        process.join()
        then()
        with self._lock:
            self._processes.pop(job.id, None)
            job.ended_at, job.result = datetime.now(UTC), result
            job.error, job.step = ("", "done") if result is not None else (error, job.step)
            job.share = 1.0 if result is not None else job.share
            job.state = "done" if result is not None else "failed"  # last: who sees it sees the rest
        told.close()


def _run(told: Connection, work: Work, given: tuple[Any, ...]) -> None:
    """What the process of a job does: its work, until that is done or the server is gone."""
    os.nice(_NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    threading.Thread(target=_end_with_the_server, args=(told,), daemon=True).start()
    try:
        told.send(("result", work(lambda step, share=None: told.send(("step", step, share)), *given)))
    except PipelineError as error:
        told.send(("error", str(error)))


def _end_with_the_server(told: Connection) -> None:
    """The server says nothing; its end of the pipe closes when it is gone, however it went."""
    try:
        told.recv()
    except (EOFError, OSError):
        os._exit(1)
