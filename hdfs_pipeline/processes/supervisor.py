"""The supervisor of several processes: it starts each when it may start, restarts those that fail, ends all together.

Each process runs in a session of its own, so that one signal reaches all that it has started. A process that fails
starts again after a pause, which doubles each time. Processes that need it end and start again with it (Erlang calls
this strategy rest_for_one); all others keep running. If the supervisor itself is killed, `guard.py` ends what it had
started.
"""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Final

import psutil

from hdfs_pipeline.processes.guard import signalled
from hdfs_pipeline.processes.guarded import Guarded

Say = Callable[[str, str], None]
"""Takes the name of a process and a line of its output, or a line about it. Called from several threads."""

LOOK_S: Final = 0.1
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
_HEALTHY_S: Final = 60.0  # after a run of this length the next pause is the first one again
_ORPHANED_S: Final = 2.0  # patience with what a process leaves behind, and with processes that lost what they need
_KILLED_S: Final = 5.0  # from SIGKILL to giving up: a process may hang in the kernel
_REMIND_S: Final = 60.0
_KEPT: Final = 20  # last lines of output
_IN_A_ROW: Final = 3  # failures after which the last lines of output are shown
_MEANINGS: Final = {
    2: "wrong use",
    3: "machine or store not ready",
    4: "data that cannot be used",
    5: "not trained",
}


def _always() -> bool:
    return True


def _any(_line: str) -> bool:
    return True


@dataclass(frozen=True)
class Process:
    """A process to run, and when.

    It starts once all of `needs` are ready and `after` is true (`waits_for` says that in words). It is ready once
    `ready` is true; then the message `told` is shown. With `once` it does its work and ends. It has `patience_s`
    seconds from SIGTERM to SIGKILL. `shows` decides which lines of its output are shown; with `quiet_end` none are
    shown after it was asked to end.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    needs: tuple[str, ...] = ()
    after: Callable[[], bool] = _always
    waits_for: str = ""
    ready: Callable[[], bool] = _always
    told: str = ""
    once: bool = False
    shows: Callable[[str], bool] = _any
    quiet_end: bool = False
    patience_s: float = 10.0


def supervise(processes: Iterable[Process], stopped: Event, say: Say) -> int:
    """Run processes until `stopped` is set, or until all have done their work. Returns the exit code.

    The exit code is 1 if a process with `once` failed, else 0. All processes have ended when this returns; those that
    others need end last.
    """
    with Guarded() as guarded:
        children = {process.name: _Child(process, say, guarded) for process in processes}
        try:
            while not stopped.is_set() and not all(child.done for child in children.values()):
                _step(children)
                stopped.wait(LOOK_S)
        finally:
            _end_all(children)
    return int(not stopped.is_set() and any(child.failed for child in children.values()))


def _step(children: dict[str, "_Child"]) -> None:
    now = time.monotonic()
    for child in children.values():
        child.look(now)
        missing = [name for name in child.process.needs if not children[name].ready]
        if missing and child.running:
            child.end(_ORPHANED_S, f"ends, since {missing[0]} has gone")
        elif not child.running and not child.done and now >= child.not_before:
            if missing or not child.process.after():
                child.remind(now, missing)
            else:
                child.start(now)


def _end_all(children: dict[str, "_Child"]) -> None:
    while alive := [child for child in children.values() if child.running]:
        needed = {name for child in alive for name in child.process.needs}
        for child in alive:
            if child.process.name not in needed:
                child.end(child.process.patience_s)
            child.look(time.monotonic())
        time.sleep(LOOK_S / 2)


class _Child:
    """One process with its present run, if there is one."""

    def __init__(self, process: Process, say: Say, guarded: Guarded) -> None:
        self.process, self._say, self._guarded = process, say, guarded
        self.ready = self.done = self.failed = False
        self.not_before = 0.0
        self._run: subprocess.Popen[str] | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._reader: Thread | None = None
        self._failures = 0
        self._began = self._reminded = time.monotonic()
        self._kill_at: float | None = None  # set while the run is being ended
        self._killed = self._asked = False

    @property
    def running(self) -> bool:
        """Whether the process, or anything that it started, is alive."""
        return self._run is not None

    def start(self, now: float) -> None:
        """Start a run."""
        process = self.process
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **process.environment}
        self._lines.clear()
        self._kill_at, self._killed, self._asked, self._began = None, False, False, now
        try:
            self._run = run = subprocess.Popen(
                list(process.command),
                env=environment,
                cwd=process.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            self._failed(f"cannot be started ({error.strerror or error})", now)
            return
        self._guarded.started(run.pid)
        self._reader = Thread(target=self._read, args=(run,), name=f"{process.name} output", daemon=True)
        self._reader.start()

    def _read(self, run: "subprocess.Popen[str]") -> None:
        assert run.stdout is not None
        with suppress(ValueError), run.stdout:
            for line in run.stdout:
                text = line.rstrip()
                if text:
                    self._lines.append(text)
                    if self.process.shows(text) and not (self._asked and self.process.quiet_end):
                        self._say(self.process.name, text)

    def end(self, patience_s: float, why: str = "") -> None:
        """Ask the run and all that it started to end."""
        if self._run is None or self._kill_at is not None:
            return
        if why:
            self._say(self.process.name, why)
        self.ready, self._asked = False, True
        self._kill_at = time.monotonic() + patience_s
        signalled(self._run.pid, signal.SIGTERM)

    def look(self, now: float) -> None:
        """Notice that the run is ready, or has ended; kill it if it does not end in time."""
        run = self._run
        if run is None:
            return
        code = run.poll()  # reaps a leader that has ended: otherwise it would count as alive
        if code is None and self._kill_at is None:
            if not self.ready and self.process.ready():
                self.ready = True
                if self.process.told:
                    self._say(self.process.name, f"{self.process.told} ({now - self._began:.0f} s)")
            return
        if self._kill_at is None:  # the process ended by itself: end what it started too
            self.ready, self._kill_at = False, now + _ORPHANED_S
            signalled(run.pid, signal.SIGTERM)
        if code is None or lives(run.pid):
            if now > self._kill_at and not self._killed:
                self._killed = True
                self._say(self.process.name, "has not ended in time: killed")
                signalled(run.pid, signal.SIGKILL)
            if now < self._kill_at + _KILLED_S:
                return
        self._gone(code, now)

    def _gone(self, code: int | None, now: float) -> None:
        assert self._run is not None
        self._guarded.gone(self._run.pid)
        self._run = None
        if self._reader:
            self._reader.join(1.0)  # so that its last output is shown before the message about its end
        if self._asked:
            self.not_before = now
        elif code == 0 and self.process.once:
            self.done = self.ready = True
        else:
            self._failed(how(code), now)

    def _failed(self, what: str, now: float) -> None:
        name = self.process.name
        self._failures = 1 if now - self._began > _HEALTHY_S else self._failures + 1
        if self.process.once:
            self.done = self.failed = True
            self._say(name, f"{what}; the others go on without it{self._last_lines()}")
            return
        pause = min(FIRST_PAUSE_S * 2 ** (self._failures - 1), LONGEST_PAUSE_S)
        self.not_before = now + pause
        often = f" ({self._failures} times in a row)" if self._failures > 1 else ""
        lines = self._last_lines() if self._failures == _IN_A_ROW else ""
        self._say(name, f"{what}{often}: starting it again in {pause:g} s{lines}")

    def _last_lines(self) -> str:
        return "".join(["; its last lines:", *(f"\n    {line}" for line in self._lines)]) if self._lines else ""

    def remind(self, now: float, missing: list[str]) -> None:
        """Say now and then what the process waits for."""
        if now - self._reminded > _REMIND_S:
            self._reminded = now
            self._say(self.process.name, f"still waits for {missing[0] if missing else self.process.waits_for}")


def lives(group: int) -> bool:
    """Whether a process group has a member that runs. One that has ended may stay a zombie for long."""
    if not signalled(group, 0):
        return False
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def how(code: int | None) -> str:
    """An exit code in words."""
    if code is None:
        return "does not end"
    if code == 0:
        return "ended by itself"
    if code < 0:
        with suppress(ValueError):
            name = signal.Signals(-code).name
            return f"was ended by {name}" + " (too little memory?)" * (name == "SIGKILL")
    meaning = _MEANINGS.get(code)
    return f"ended with exit code {code}" + (f" ({meaning})" if meaning else "")
