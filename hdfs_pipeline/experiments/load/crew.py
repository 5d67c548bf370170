"""The processes of an experiment: producers, workers, the embedded broker. All end with it, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final, Self

import psutil

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.processes.guard import signalled
from hdfs_pipeline.processes.guarded import Guarded

_END_S: Final = 20.0  # from SIGTERM to SIGKILL
_TOLD: Final = 1500  # last characters of a process's output that are shown


class Interrupted(Exception):
    """The experiment was asked to stop."""


@dataclass
class Member:
    """A process of `hdfs-pipeline`, with its standard output and error in files."""

    kind: str
    name: str
    process: subprocess.Popen[bytes]
    out: Path
    log: Path

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace")

    def used(self) -> tuple[float, int]:
        """Seconds of CPU that it has used, and bytes of memory that it holds; zeros once it has ended."""
        try:
            process = psutil.Process(self.process.pid)
            times = process.cpu_times()
            return times.user + times.system, process.memory_info().rss
        except psutil.Error:
            return 0.0, 0

    def report(self) -> dict[str, Any]:
        """The JSON object that it printed at its end; empty where it printed none."""
        text = self.out.read_text(errors="replace").strip()
        with suppress(ValueError):
            found = json.loads(text[text.index("{") :])
            return found if isinstance(found, dict) else {}
        return {}


class Crew:
    """Starts processes with one environment, and ends them all: by itself, and by `guard.py` where it is killed."""

    def __init__(self, environment: Mapping[str, str], folder: Path, stopped: Event) -> None:
        self.members: list[Member] = []
        self._environment, self._folder, self._stopped = dict(environment), folder, stopped
        self._guarded = Guarded()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._guarded:
            self.end(self.members)

    def start(self, kind: str, name: str, *arguments: str, **environment: str) -> Member:
        """Start `hdfs-pipeline` with these arguments."""
        out, log = self._folder / f"{name}.out", self._folder / f"{name}.log"
        with out.open("wb") as output, log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "hdfs_pipeline", *arguments],
                env=os.environ | self._environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        self.members.append(member := Member(kind, name, process, out, log))
        self._guarded.started(process.pid)
        return member

    def of(self, kind: str) -> list[Member]:
        """The members of a kind."""
        return [member for member in self.members if member.kind == kind]

    def wait(self, done: Callable[[], bool], limit_s: float, what: str) -> None:
        """Wait until `done`, and look after the processes. Raises: SetupError where one ends, or it takes too long."""
        deadline = time.monotonic() + limit_s
        while not done():
            self.check()
            if time.monotonic() > deadline:
                raise SetupError(f"{what} did not come within {limit_s:g} s{self._last_words(self.members[-1])}")
            self.pause(0.1)

    def check(self) -> None:
        """Raises: SetupError where a process has ended that should not; Interrupted where all is to stop."""
        if self._stopped.is_set():
            raise Interrupted
        for member in self.members:
            if member.ended:
                raise SetupError(f"{member.name} ended by itself{self._last_words(member)}")

    def pause(self, seconds: float) -> None:
        """Wait. Raises: Interrupted where all is to stop."""
        if self._stopped.wait(seconds):
            raise Interrupted

    def end(self, members: list[Member]) -> None:
        """End processes with SIGTERM, and with SIGKILL those that are left after a while."""
        for member in members:
            signalled(member.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + _END_S
        for member in list(members):
            with suppress(subprocess.TimeoutExpired):
                member.process.wait(max(deadline - time.monotonic(), 0.1))
            signalled(member.process.pid, signal.SIGKILL)
            member.process.wait()
            self._guarded.gone(member.process.pid)
        self.members = [member for member in self.members if not member.ended]

    @staticmethod
    def _last_words(member: Member) -> str:
        text = (member.text() + member.out.read_text(errors="replace")).strip()[-_TOLD:]
        return f":\n{text}" if text else ""
