"""How many lines a second a stream worker takes, and how soon an anomaly is out: broker, producer, worker apart.

The producer repeats a sample with fresh block ids and rising times, or simulates requests. One worker runs twice: at
`rate` lines a second, to see how many it takes; and at another rate, to see how long it takes from the record that
closes a block, or is an item itself, as the producer stamped it, to the anomaly that the broker acknowledged, and where
this time goes.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import psutil

from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.course import PARTS
from hdfs_pipeline.errors import NotTrainedError, SetupError
from hdfs_pipeline.processes.ports import free_port
from hdfs_pipeline.scoring.models import copy_models
from hdfs_pipeline.settings import BOOTSTRAP, PREFIX, Settings
from hdfs_pipeline.sources.kafka import ADDRESS_FILE, is_embedded

LATENCY_RATE: Final = 10_000
_WARM_S: Final = 12.0
_START_S: Final = 120.0  # numba may have to compile first
_REPORT_S: Final = 10.0
_DRAIN_S: Final = 60.0


@dataclass
class _Process:
    """One of the processes, with the seconds of CPU that it has used."""

    name: str
    popen: subprocess.Popen[bytes]

    def cpu(self) -> float:
        parent = psutil.Process(self.popen.pid)
        times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
        return sum(used.user + used.system for used in times)

    def end(self) -> None:
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(30)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


@dataclass
class _Bench:
    """What the runs share: an environment with a home of its own, the worker's metrics, its reports."""

    env: dict[str, str]
    folder: Path
    metrics: str
    topic: str
    producer: tuple[str, ...]
    latency_rate: int
    reports: list[dict[str, Any]] = field(default_factory=list)

    def start(self, name: str, *arguments: str) -> _Process:
        log = (self.folder / f"{name}.log").open("wb")
        command = [sys.executable, "-m", "hdfs_pipeline", *arguments]
        return _Process(name, subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True))

    def wait(self, process: _Process, what: str, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_S
        while not done():
            if process.popen.poll() is not None or time.monotonic() > deadline:
                tail = (self.folder / f"{process.name}.log").read_text(errors="replace")[-2000:]
                raise SetupError(f"the {process.name} did not come to {what}:\n{tail}")
            time.sleep(0.1)

    def read(self) -> dict[str, float]:
        """Messages read, messages waiting and blocks closed, of the worker's metrics."""
        from prometheus_client.parser import text_string_to_metric_families

        sums: dict[str, float] = {"messages": 0.0, "lag": 0.0, "blocks": 0.0}
        names = {
            "hdfs_stream_messages_total": "messages",
            "hdfs_stream_consumer_lag_messages": "lag",
            "hdfs_stream_closed_blocks_total": "blocks",
        }
        for family in text_string_to_metric_families(httpx.get(self.metrics, timeout=10).text):
            for sample in family.samples:
                if sample.name in names:
                    sums[names[sample.name]] += sample.value
        return sums


def bench_stream(
    settings: Settings,
    sample: Path,
    *,
    rate: int = 160_000,
    seconds: float = 30.0,
    latency_rate: int = LATENCY_RATE,
    simulated: str = "",
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure on the broker that the settings name, or on an embedded one of its own.

    The models are those of the home. With `simulated`, the name of a generator such as web, its records take the place
    of the `sample`. Raises: NotTrainedError without models; SetupError where a process does not start, or where the
    topic of records is not empty on the named broker.
    """
    if not settings.models.is_dir():
        raise NotTrainedError(f"no model in {settings.home}: run `hdfs-pipeline demo` first")
    name = "embedded" if is_embedded(settings) else "real"
    with tempfile.TemporaryDirectory(prefix="bench.stream.") as folder:
        say(f"{name} broker: starting")
        topic = f"{simulated}_logs" if simulated else domain_named().records_topic
        records = (simulated, "--anomalies", "all") if simulated else ("raw", str(sample), "--loop")
        bench = _prepare(settings, Path(folder), topic, ("produce", *records), latency_rate)
        measured = _measure(bench, name, rate, seconds, say)
    return {"machine": machine(), "rate_asked": rate, "latency_rate": latency_rate, "brokers": {name: measured}}


def _prepare(settings: Settings, folder: Path, topic: str, producer: tuple[str, ...], latency_rate: int) -> _Bench:
    home = folder / "home"
    copy_models(settings, home)
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name != BOOTSTRAP}
    env |= {f"{PREFIX}HOME": str(home), f"{PREFIX}METRICS_PORT": str(port), f"{PREFIX}STREAM_REPORT_S": str(_REPORT_S)}
    if not is_embedded(settings):
        env |= {BOOTSTRAP: settings.kafka_bootstrap_servers, f"{PREFIX}KAFKA": json.dumps(settings.kafka)}
    metrics = f"http://{settings.metrics_host}:{port}/metrics"
    return _Bench(env, folder, metrics, topic, producer, latency_rate)


def _measure(bench: _Bench, name: str, rate: int, seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    with ExitStack() as stack:
        bench.env[f"{PREFIX}DAGSTER_URL"] = stack.enter_context(_reports_to(bench.reports))
        broker = None
        if name == "real":
            _refuse_unless_empty(bench)
        else:
            broker = bench.start("broker", "broker")
            stack.callback(broker.end)
            written = Path(bench.env[f"{PREFIX}HOME"]) / "broker" / ADDRESS_FILE
            bench.wait(broker, "its address", written.exists)
        say("starting the worker")
        worker = bench.start("worker", "stream", "--from", bench.topic)
        stack.callback(worker.end)
        log = bench.folder / "worker.log"
        bench.wait(worker, "its partitions", lambda: b"taken over" in log.read_bytes())
        say(f"{rate:,} lines/s for {seconds:g} s")
        held = _throughput(bench, worker, broker, rate, seconds)
        say(f"{bench.latency_rate:,} lines/s for {seconds:g} s")
        latency = _latency(bench, worker, broker, seconds)
        return {"throughput": held, "latency": latency}


def _refuse_unless_empty(bench: _Bench) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hdfs_pipeline", "topics", "--json"], env=bench.env, capture_output=True, check=False
    )
    if done.returncode:
        raise SetupError(done.stderr.decode(errors="replace").strip())
    if any(topic["messages"] for topic in json.loads(done.stdout) if topic["name"] == bench.topic):
        raise SetupError(f"the broker's {bench.topic} is not empty: a benchmark needs a broker of its own")


@contextmanager
def _producer(bench: _Bench, rate: int) -> Iterator[_Process]:
    process = bench.start("producer", *bench.producer, "--rate", str(rate), "--json")
    try:
        time.sleep(_WARM_S)
        if process.popen.poll() is not None:
            tail = (bench.folder / "producer.log").read_text(errors="replace")[-2000:]
            raise SetupError(f"the producer ended:\n{tail}")
        yield process
    finally:
        process.end()


def _throughput(bench: _Bench, worker: _Process, broker: _Process | None, rate: int, seconds: float) -> dict[str, Any]:
    with _producer(bench, rate) as producer:
        processes = [process for process in (worker, producer, broker) if process is not None]
        before, cpu, started = bench.read(), [process.cpu() for process in processes], time.monotonic()
        time.sleep(seconds)
        after, lasted = bench.read(), time.monotonic() - started
        used = {process.name: process.cpu() - was for process, was in zip(processes, cpu, strict=True)}
    lines = after["messages"] - before["messages"]
    began = time.monotonic()
    last = after
    while last["lag"] > 0 and time.monotonic() - began < _DRAIN_S:
        time.sleep(0.5)
        last = bench.read()
    return {
        "lines_per_s": round(lines / lasted),
        "produced_per_s": round((lines + after["lag"] - before["lag"]) / lasted),
        "blocks_per_s": round((after["blocks"] - before["blocks"]) / lasted),
        "lag_at_begin": int(before["lag"]),
        "lag_at_end": int(after["lag"]),
        "cpu_s_per_100k_lines": {name: round(value / lines * 100_000, 3) for name, value in used.items()},
        "worker_rss_mb": round(psutil.Process(worker.popen.pid).memory_info().rss / 2**20),
    }


def _latency(bench: _Bench, worker: _Process, broker: _Process | None, seconds: float) -> dict[str, Any]:
    with _producer(bench, bench.latency_rate) as producer:
        processes = [process for process in (worker, producer, broker) if process is not None]
        cpu, started = [process.cpu() for process in processes], time.monotonic()
        time.sleep(_REPORT_S)  # the first report may still count what came before
        bench.reports.clear()
        while time.monotonic() - started < seconds + _REPORT_S:
            time.sleep(0.1)
        lasted = time.monotonic() - started
        used = {process.name: process.cpu() - was for process, was in zip(processes, cpu, strict=True)}
        windows = [report for report in bench.reports if "latency_p99_ms" in report]
    if not windows:
        raise SetupError("the worker has reported no anomaly: is the sample long enough?")
    return {
        "lines_per_s": [report["lines_per_s"] for report in windows],
        "anomalies": [report["anomalies"] for report in windows],
        "p50_ms": [report["latency_p50_ms"] for report in windows],
        "p99_ms": [report["latency_p99_ms"] for report in windows],
        "parts_ms": _over(windows, "latency_parts_ms"),
        "slowest_parts_ms": _over(windows, "slowest_parts_ms"),
        "cpu_share": {name: round(value / lasted, 3) for name, value in used.items()},
    }


def _over(windows: list[dict[str, Any]], name: str) -> dict[str, float]:
    """The means of each part of the latency over all anomalies of the windows."""
    weights = [report["anomalies"] for report in windows]
    return {
        part: round(float(np.average([report[name][part] for report in windows], weights=weights)), 1) for part in PARTS
    }


@contextmanager
def _reports_to(reports: list[dict[str, Any]]) -> Iterator[str]:
    """A server that takes the worker's reports as Dagster would; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reports.append(body["metadata"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
