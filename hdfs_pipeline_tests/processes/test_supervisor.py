"""The supervisor on small real processes: starting, starting again, ending, with all that they start themselves."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from hdfs_pipeline.processes import supervisor
from hdfs_pipeline.processes.guard import left_over
from hdfs_pipeline.processes.supervisor import Process, how, supervise

LIMIT_S = 30.0
FOR_EVER = "import time\nwhile True: time.sleep(60)"


def until(condition: Callable[[], Any], what: str = "") -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s: {what}"
        time.sleep(0.02)
    return found


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", textwrap.dedent(code), *map(str, arguments)]


@dataclass
class Running:
    """A supervisor in a thread; what it said, and its exit code."""

    stopped: threading.Event = field(default_factory=threading.Event)
    said: list[tuple[str, str]] = field(default_factory=list)
    code: int | None = None

    def start(self, *processes: Process) -> None:
        def work() -> None:
            self.code = supervise(processes, self.stopped, lambda name, line: self.said.append((name, line)))

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def lines(self, name: str) -> list[str]:
        return [line for who, line in self.said if who == name]

    def heard(self, name: str, text: str) -> str:
        return until(lambda: next((line for line in self.lines(name) if text in line), ""), f"{text} in {self.said}")

    def stop(self) -> int | None:
        self.stopped.set()
        return self.finished()

    def finished(self) -> int | None:
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()
        return self.code


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_S", 0.2)
    found = Running()
    yield found
    found.stop()


def test_a_crash_is_told_and_the_process_starts_again_with_growing_pauses(running: Running, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    code = """
        import sys, time
        with open(sys.argv[1], "a") as file: file.write(f"{time.monotonic()}\\n")
        print("the port is taken")
        sys.exit(3)
    """
    running.start(Process("worker", python(code, tries)), Process("other", python(FOR_EVER)))
    running.heard("worker", "6 times in a row): starting it again in 0.2 s")
    running.heard("worker", "exit code 3 (machine or store not ready)")
    assert "its last lines:\n    the port is taken" in running.heard("worker", "3 times in a row")
    assert len([line for line in running.lines("worker") if "its last lines" in line]) == 1
    moments = [float(line) for line in tries.read_text().split()]
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    # The pauses; starting takes some time besides.
    assert all(gap >= least for gap, least in zip(gaps, [0.05, 0.1, 0.2, 0.2, 0.2], strict=False))
    assert running.lines("other") == []
    assert running.stop() == 0


def test_a_process_that_recovers_is_left_alone(running: Running, tmp_path: Path) -> None:
    code = f"""
        import os, sys
        if not os.path.exists(sys.argv[1]):
            open(sys.argv[1], "w").close()
            os.kill(os.getpid(), 9)
        print("works", flush=True)
        {FOR_EVER.replace(chr(10), chr(10) + " " * 8)}
    """
    running.start(Process("worker", python(code, tmp_path / "tried")))
    running.heard("worker", "works")
    assert running.lines("worker")[0] == "was ended by SIGKILL (too little memory?): starting it again in 0.05 s"
    assert running.stop() == 0


def test_all_end_with_what_they_have_started_and_those_that_are_needed_last(running: Running, tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    code = """
        import os, signal, subprocess, sys, time
        def end(*_):
            open(sys.argv[2], "a").write(sys.argv[1] + " ")
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        inner = subprocess.Popen([sys.executable, "-c", "import time\\nwhile True: time.sleep(60)"])
        print("pids", os.getpid(), inner.pid, flush=True)
        while True: time.sleep(60)
    """
    running.start(
        Process("broker", python(code, "broker", ended)),
        Process("worker", python(code, "worker", ended), needs=("broker",)),
    )
    pids = [int(pid) for name in ("broker", "worker") for pid in running.heard(name, "pids").split()[1:]]
    assert all(alive(pid) for pid in pids)
    assert running.stop() == 0
    assert ended.read_text().split() == ["worker", "broker"]
    assert not any(alive(pid) for pid in pids)


def test_one_that_ignores_sigterm_is_killed_and_so_is_what_a_crash_leaves_behind(running: Running) -> None:
    deaf = """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("pid", os.getpid(), flush=True)
        while True: time.sleep(60)
    """
    leaves = """
        import os, subprocess, sys
        inner = subprocess.Popen([sys.executable, "-c", "import time\\nwhile True: time.sleep(60)"])
        print("pid", inner.pid, flush=True)
        os._exit(1)
    """
    running.start(Process("deaf", python(deaf), patience_s=0.3), Process("leaves", python(leaves)))
    left = int(running.heard("leaves", "pid").split()[1])
    until(lambda: not alive(left), "the process that was left behind has ended")
    pid = int(running.heard("deaf", "pid").split()[1])
    assert running.stop() == 0
    assert "has not ended in time: killed" in running.lines("deaf")
    assert not alive(pid)


def test_who_needs_a_process_starts_after_it_and_starts_again_with_it(running: Running, tmp_path: Path) -> None:
    address = tmp_path / "address"
    broker = f"""
        import os, sys
        print("pid", os.getpid(), flush=True)
        open(sys.argv[1], "w").close()
        {FOR_EVER.replace(chr(10), chr(10) + " " * 8)}
    """
    worker = f"""
        import os, sys
        print("address there:", os.path.exists(sys.argv[1]), flush=True)
        {FOR_EVER.replace(chr(10), chr(10) + " " * 8)}
    """
    go = threading.Event()
    running.start(
        Process("worker", python(worker, address), needs=("broker",), after=go.is_set, waits_for="a model"),
        Process("broker", python(broker, address), ready=address.exists, told="answers"),
        Process("other", python("print('once', flush=True)\n" + FOR_EVER)),
    )
    running.heard("broker", "answers (0 s)")
    assert running.lines("worker") == []
    go.set()
    assert running.heard("worker", "address") == "address there: True"
    address.unlink()
    os.kill(int(running.heard("broker", "pid").split()[1]), signal.SIGKILL)
    until(lambda: running.lines("worker").count("address there: True") == 2, f"a second worker: {running.said}")
    assert "ends, since broker has gone" in running.lines("worker")
    assert not any("starting it again" in line for line in running.lines("worker"))
    assert running.lines("other") == ["once"]


@pytest.mark.parametrize("code", [0, 4])
def test_work_that_is_to_be_done_once_ends(running: Running, code: int) -> None:
    text = f"print('reads'); print('hidden'); raise SystemExit({code})"
    running.start(Process("sample", python(text), once=True, shows=lambda line: line != "hidden"))
    assert running.finished() == (1 if code else 0)
    after = ["ended with exit code 4 (data that cannot be used); the others go on without it; its last lines:"]
    assert [line.split("\n")[0] for line in running.lines("sample")] == ["reads", *(after if code else [])]


def test_a_program_that_is_missing_is_told(running: Running, tmp_path: Path) -> None:
    running.start(Process("broker", [str(tmp_path / "missing")]))
    running.heard("broker", "cannot be started (No such file or directory): starting it again")
    assert running.stop() == 0


def test_what_is_waited_for_is_told(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_REMIND_S", 0.2)
    running.start(Process("worker", python(FOR_EVER), after=lambda: False, waits_for="a model"))
    running.heard("worker", "still waits for a model")
    assert running.stop() == 0


def test_when_the_supervisor_is_killed_its_processes_end(tmp_path: Path) -> None:
    inner = "import os, time\nprint('pid', os.getpid(), os.getppid(), flush=True)\nwhile True: time.sleep(60)"
    code = """
        import sys, threading
        from hdfs_pipeline.processes.supervisor import Process, supervise
        command = [sys.executable, "-c", sys.argv[1]]
        supervise([Process("worker", command)], threading.Event(), lambda name, line: print(line, flush=True))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), inner], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        pid = int(process.stdout.readline().split()[1])
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 2  # the worker and the guard
        process.kill()
    until(lambda: not alive(pid), "the worker has ended")
    until(lambda: not any(alive(child.pid) for child in children), "the guard has ended")


def test_the_guard_knows_what_is_left() -> None:
    assert left_over(["+5\n", "+7\n", "-5\n", "+9\n", "-11\n"]) == [7, 9]
    assert left_over([]) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "ended by itself"),
        (-15, "was ended by SIGTERM"),
        (5, "ended with exit code 5 (not trained)"),
        (77, "ended with exit code 77"),
        (None, "does not end"),
    ],
)
def test_exit_codes_in_words(code: int | None, words: str) -> None:
    assert how(code) == words
