"""What `up` costs while it is left on: processor time of each process, and Dagster's runs, idle and under load.

`up` starts once, in a fresh home on its own embedded broker; then a producer sends it records at one rate after the
other. The producer's time counts, since `up` would send its own replay. Nothing is trained: what needs no training
judges.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import psutil

from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.processes.ports import free_port
from hdfs_pipeline.settings import BOOTSTRAP, PREFIX

RATES: Final = (0, 500, 2_000)
"""Lines a second; 0 is idle."""
SECONDS: Final = 120.0
_START_S: Final = 240.0
_WARM_S: Final = 30.0
_COUNTED_S: Final = 120.0  # a run may wait for two minutes: a shorter time says nothing of how many there are
_SHARES: Final = {0: 15.0, 500: 40.0}
_RUNS: Final = {0: 30.0, 2_000: 60.0}
_PORTS: Final = ("DAGSTER_PORT", "SERVE_PORT", "METRICS_PORT")
_WORD: Final = re.compile(r"[a-z][a-z_-]*$")
_DAGSTER: Final = {"dagster_webserver": "web", "webserver": "web", "daemon": "daemon", "grpc": "code"}


def bench_up(
    sample: Path,
    *,
    rates: Sequence[int] = RATES,
    seconds: float = SECONDS,
    warm_s: float = _WARM_S,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Start `up`, and measure it for `seconds` at each of `rates`, after `warm_s` seconds at that rate.

    Returns a JSON-able dict: `loads`, of each `rate`: `share`, per cent of one core of all processes together,
    `shares` of each, `runs` that Dagster began, `runs_per_h` (None of less than two minutes), `memory_mb`, which counts
    what processes share once for each; `targets`; `machine`. Raises: SetupError where it does not start.
    """
    with TemporaryDirectory(prefix="bench.up.") as name, ExitStack() as stack:
        folder = Path(name)
        env = {key: value for key, value in os.environ.items() if key != BOOTSTRAP}
        env |= {f"{PREFIX}{port}": str(free_port()) for port in _PORTS} | {f"{PREFIX}HOME": str(folder / "home")}
        dagster = f"http://127.0.0.1:{env[f'{PREFIX}DAGSTER_PORT']}"
        say("starting")
        up = stack.enter_context(_running(folder / "up.log", env, "up", "--no-replay"))
        _wait_for(up, folder / "up.log", dagster)
        loads = []
        for rate in rates:
            with ExitStack() as sending:
                started = [up]
                if rate:
                    send = ("produce", "raw", str(sample), "--loop", "--fresh", "--rate", str(rate))
                    started.append(sending.enter_context(_running(folder / "send.log", env, *send)))
                say(f"{rate:,} lines/s: warming up")
                time.sleep(warm_s)
                say(f"{rate:,} lines/s for {seconds:g} s")
                loads.append({"rate": rate, **_measured(started, dagster, seconds)})
    result = {"sample": sample.name, "seconds": seconds, "loads": loads, "machine": machine()}
    return result | {"targets": [target for load in loads for target in _targets(load, seconds)]}


@contextmanager
def _running(log: Path, env: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """One of our commands, in a session of its own, until the end of the block."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "hdfs_pipeline", *arguments],
            env=env,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()  # the guard of `up` ends what it had started
            process.wait()


def _wait_for(up: subprocess.Popen[bytes], log: Path, dagster: str) -> None:
    """Until Dagster answers and the worker has its partitions."""
    deadline = time.monotonic() + _START_S
    while not (b"taken over" in log.read_bytes() and _runs(dagster) is not None):
        if up.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise SetupError(f"`up` was not there within {_START_S:.0f} s:\n{tail}")
        time.sleep(0.5)


def _measured(started: Sequence[subprocess.Popen[bytes]], dagster: str, seconds: float) -> dict[str, Any]:
    before, runs, began = _cpu(started), _runs(dagster), time.monotonic()
    time.sleep(seconds)
    after, later, lasted = _cpu(started), _runs(dagster), time.monotonic() - began
    if runs is None or later is None:
        raise SetupError("Dagster does not answer any more")
    if any(process.poll() is not None for process in started):
        raise SetupError("a process has ended while it was measured")
    shares = {name: 100 * (after[name] - before[name]) / lasted for name in {*before, *after}}
    return {
        "share": sum(shares.values()),
        "shares": {name: round(share, 2) for name, share in sorted(shares.items(), key=lambda each: -each[1])},
        "runs": later - runs,
        "runs_per_h": (later - runs) * 3600 / lasted if lasted >= _COUNTED_S else None,
        "memory_mb": sum(_memory_mb(process) for process in started),
    }


def _cpu(started: Sequence[subprocess.Popen[bytes]]) -> dict[str, float]:
    """Seconds of processor time by name, of what is running and of what has ended below it.

    A process that ends hands its time to the one that started it, so that none is lost or counted twice.
    """
    used: dict[str, float] = defaultdict(float)
    for root in started:
        for process, name in _tree(psutil.Process(root.pid), "up"):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used[name] += times.user + times.system + times.children_user + times.children_system
    return used


def _memory_mb(started: subprocess.Popen[bytes]) -> float:
    total = 0.0
    for process, _ in _tree(psutil.Process(started.pid), "up"):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


def _tree(process: psutil.Process, above: str) -> Iterator[tuple[psutil.Process, str]]:
    """A process and all below it, each with its name."""
    try:
        name, children = _name(process.cmdline(), above), process.children()
    except psutil.NoSuchProcess:
        return
    yield process, name
    for child in children:
        yield from _tree(child, name)


def _name(words: Sequence[str], above: str) -> str:
    """What a process is called: the words of our command, the part of Dagster; else as the one above it."""
    modules = [index + 1 for index, word in enumerate(words[:-1]) if word == "-m"]
    if modules and words[modules[0]] == "hdfs_pipeline":
        own = words[modules[0] + 1 : modules[0] + 3]
        return " ".join(word for word in own if _WORD.match(word)) or above
    if "dagster" in " ".join(words[:6]):
        part = next((_DAGSTER[key] for key in _DAGSTER if any(key in word for word in words)), "")
        return f"dagster {part}" if part else above if above.startswith("dagster") else "dagster"
    return above


def _runs(dagster: str) -> int | None:
    """How many runs Dagster's history holds; None while it does not answer."""
    query = "{ runsOrError { ... on Runs { count } } }"
    try:
        answer = httpx.post(f"{dagster}/graphql", json={"query": query}, timeout=30.0, trust_env=False)
        return int(answer.raise_for_status().json()["data"]["runsOrError"]["count"])
    except (httpx.HTTPError, KeyError, TypeError, ValueError):
        return None


def _targets(load: dict[str, Any], seconds: float) -> Iterator[dict[str, Any]]:
    rate = load["rate"]
    what = f"at {rate:,} lines/s" if rate else "idle"
    if rate in _SHARES:
        value, aim = load["share"], _SHARES[rate]
        yield {"what": f"% of a core, `up` {what}, at most", "value": value, "aim": aim, "met": value <= aim}
    if rate in _RUNS:
        per_h, aim = load["runs_per_h"], _RUNS[rate]
        met = None if per_h is None else per_h <= aim
        target = {"what": f"Dagster runs an hour, {what}, at most", "value": per_h, "aim": aim, "met": met}
        yield target | ({"why": f"`bench up --seconds {_COUNTED_S:.0f}` counts them"} if seconds < _COUNTED_S else {})
