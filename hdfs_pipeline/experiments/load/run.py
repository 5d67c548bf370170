"""Run one experiment on load: fresh topics, warm up, measure, drain, and write down what was measured."""

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any, Final

import psutil

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.errors import NotTrainedError, PipelineError
from hdfs_pipeline.experiments.load.crew import Crew, Interrupted
from hdfs_pipeline.experiments.load.records import Record, begun, ended
from hdfs_pipeline.experiments.load.samples import Sample, Sampler, percentiles
from hdfs_pipeline.experiments.load.shapes import PAYLOADS, WARM_S, Load
from hdfs_pipeline.processes.ports import free_port
from hdfs_pipeline.scoring.models import copy_models
from hdfs_pipeline.settings import BOOTSTRAP, PREFIX, Settings
from hdfs_pipeline.sources.kafka import ADDRESS_FILE, bootstrap_servers, is_embedded
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.streaming.topics import delete_topics, ensure_topics

_START_S: Final = 120.0  # compiling may come first
_DRAIN_S: Final = 60.0
_EVERY_S: Final = 2.0
"""Seconds between two looks while it is measured."""
Say = Callable[[str, float], None]
"""Takes what is done now, and the share of the experiment that is over."""


def run_load(
    store: Store, settings: Settings, load: Load, sample: Path, stopped: Event, say: Say = lambda *_: None
) -> Record:
    """Run an experiment with the models of the home, on the broker of the settings or an embedded one of its own.

    Topics and consumer group are its own, and go with it. `sample` is the log file that is sent, if the payload is one.
    The row in `experiments` says whether it is running, completed or failed. Raises: NotTrainedError without models;
    SetupError where a process fails, or the broker; Interrupted where `stopped` was set. The row then says so.
    """
    if not settings.models.is_dir():
        raise NotTrainedError(f"no model in {settings.home}: run `hdfs-pipeline demo` first")
    record = begun(store, load, host_of(settings))
    try:
        with tempfile.TemporaryDirectory(prefix="experiment.") as folder:
            measured = _run(settings, load, record, sample, Path(folder), stopped, say)
    except BaseException as error:
        # What is no Exception interrupts: Ctrl-C, or Dagster's page where a person ends the run.
        interrupted = isinstance(error, Interrupted) or not isinstance(error, Exception)
        why = "interrupted" if interrupted else str(error) or repr(error)
        with suppress(PipelineError):
            ended(store, record, "failed", why)
        raise
    return ended(store, record, "completed", "", *measured)


def host_of(settings: Settings) -> dict[str, Any]:
    """The machine that it runs on, and whose broker."""
    return {
        "host": platform.node(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "broker": "embedded" if is_embedded(settings) else settings.kafka_bootstrap_servers,
    }


def _run(
    settings: Settings, load: Load, record: Record, sample: Path, folder: Path, stopped: Event, say: Say
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    own, environment = _apart(settings, load, record, folder)
    topic = PAYLOADS[load.payload].topic
    domain = next(each for each in all_domains() if topic in each.ways)
    with Crew(environment, folder, stopped) as crew, _topics(own, crew):
        say("starting workers", 0.0)
        ports = [free_port() for _ in range(load.consumers)]
        detector = ("--detector", load.detector) if load.detector else ()
        for number, port in enumerate(ports, start=1):
            metrics = {f"{PREFIX}METRICS_PORT": str(port)}
            crew.start("worker", f"worker-{number}", "stream", "--from", topic, *detector, **metrics)
        crew.wait(lambda: _shared_out(crew, load), _START_S, "the workers' partitions")
        for number in range(1, load.producers + 1):
            crew.start("producer", f"producer-{number}", "produce", *_produced(load, sample, number), "--json")
        addresses = [f"http://{own.metrics_host}:{port}/metrics" for port in ports]
        sampler = Sampler(own, topic, domain.group(own, topic), crew, addresses)
        try:
            return _measured(load, crew, sampler, say)
        finally:
            sampler.close()


def _apart(settings: Settings, load: Load, record: Record, folder: Path) -> tuple[Settings, dict[str, str]]:
    """Settings and environment of a home of its own, with the models of this one, and with topics of its own."""
    home = folder / "home"
    copy_models(settings, home)
    update: dict[str, Any] = {
        "home": home,
        "kafka_partitions": load.partitions,
        "kafka_topic_prefix": f"{settings.kafka_topic_prefix}experiment.{record.experiment}.",
        "stream_group": f"experiment.{record.experiment}",
    }
    environment = {f"{PREFIX}{name.upper()}": str(value) for name, value in update.items()}
    environment[f"{PREFIX}KAFKA"] = json.dumps(settings.kafka)
    environment[BOOTSTRAP] = settings.kafka_bootstrap_servers
    return settings.model_copy(update=update), environment


@contextmanager
def _topics(own: Settings, crew: Crew) -> Iterator[None]:
    """The experiment's own topics: on an embedded broker of its own, or made on the given one and removed again."""
    if is_embedded(own):
        crew.start("broker", "broker", "broker")
        written = own.broker / ADDRESS_FILE
        crew.wait(lambda: written.exists() and bool(bootstrap_servers(own)), _START_S, "the broker's address")
        yield
        return
    ensure_topics(own)
    try:
        yield
    finally:
        crew.end(crew.members)
        delete_topics(own)


def _shared_out(crew: Crew, load: Load) -> bool:
    """Whether each worker that can have partitions has some, and they are all taken."""
    told = [member.text() for member in crew.of("worker")]
    return sum("taken over" in text for text in told) >= min(load.consumers, load.partitions)


def _produced(load: Load, sample: Path, number: int) -> list[str]:
    payload = PAYLOADS[load.payload]
    said = {"sample": str(sample), "rate": str(load.rate), "seed": str(number)}
    return [part.format(**said) for part in (payload.paced if load.rate else payload.flat_out)]


def _measured(
    load: Load, crew: Crew, sampler: Sampler, say: Say
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    crew.wait(lambda: any(place.end for place in sampler.places()), _START_S, "the first records")
    began = time.monotonic()
    whole = WARM_S + load.duration_s
    while (over := time.monotonic() - began) < WARM_S:
        crew.check()
        crew.pause(min(0.5, WARM_S - over))
        say("warming up", over / whole)
    sampler.cost_s = 0.0
    samples = [sampler.look()]
    while samples[-1].at - samples[0].at < load.duration_s:
        crew.pause(min(_EVERY_S, max(load.duration_s - (time.time() - samples[0].at), 0.05)))
        crew.check()
        samples.append(sampler.look())
        say("measuring", (WARM_S + samples[-1].at - samples[0].at) / whole)
    cost = sampler.cost_s
    producers = crew.of("producer")
    crew.end(producers)
    say("draining", 1.0)
    drained = _drain(crew, sampler)
    figures = _figures(samples, drained, cost)
    for producer in producers:
        figures += _of_producer(producer.name, producer.report(), samples[-1].at)
    lags = [
        (sampler.group, place.partition, place.current, place.end, place.lag, _time(sample.at))
        for sample in samples
        for place in sample.places
    ]
    return figures, lags


def _drain(crew: Crew, sampler: Sampler) -> Sample:
    """The state once all is read, or after a while."""
    deadline = time.monotonic() + _DRAIN_S
    while (sample := sampler.look()).unread and time.monotonic() < deadline:
        crew.check()
        crew.pause(0.5)
    return sample


def _figures(samples: list[Sample], drained: Sample, cost_s: float) -> list[tuple[Any, ...]]:
    """Rows of `performance_metrics` but for the experiment: component type and id, metric, value, time."""
    first, last = samples[0], samples[-1]
    seconds, at = last.at - first.at, _time(last.at)
    cores = {name: (last.cpu_s[name] - first.cpu_s[name]) / seconds for name in last.cpu_s}
    read, sent = last.read - first.read, last.sent - first.sent
    told = sum(worker.verdicts for worker in last.workers) - sum(worker.verdicts for worker in first.workers)
    whole: dict[str, float | None] = {
        "seconds": seconds,
        "sent_per_s": sent / seconds,
        "read_per_s": read / seconds,
        "unread_at_begin": first.unread,
        "unread_at_end": last.unread,
        "unread_after_drain": drained.unread,
        "drain_s": drained.at - last.at,
        "verdicts_per_s": told / seconds,
        "cores_used": sum(cores.values()),
        "cores_busy": (last.busy_s - first.busy_s) / seconds,
        "cores_of_sampling": cost_s / seconds,
    }
    ms = percentiles(first, last, (0.5, 0.95, 0.99))
    whole |= {f"latency_p{name}_ms": value for name, value in zip((50, 95, 99), ms, strict=True)}
    rows = [("experiment", "", name, value, at) for name, value in whole.items() if value is not None]
    for name, own in cores.items():
        kind = name.partition("-")[0]
        rows += [(kind, name, "cores", own, at), (kind, name, "memory_bytes", float(last.rss[name]), at)]
    for number, (before, after) in enumerate(zip(first.workers, last.workers, strict=True), start=1):
        rate = (after.messages - before.messages) / seconds
        rows.append(("worker", f"worker-{number}", "read_per_s", rate, at))
    for one, other in pairwise(samples):
        step = other.at - one.at
        rows.append(("experiment", "", "sent_per_s_then", (other.sent - one.sent) / step, _time(other.at)))
        rows.append(("experiment", "", "read_per_s_then", (other.read - one.read) / step, _time(other.at)))
    return rows


def _of_producer(name: str, report: dict[str, Any], at_s: float) -> list[tuple[Any, ...]]:
    if not report:
        return []
    delivered = 1 - report["failures"] / max(report["messages"], 1)
    told = {"messages": report["messages"], "messages_per_s": report["messages"] / max(report["seconds"], 1e-9)}
    told |= {"delivered_share": delivered}
    told |= {f"produce_{name}_ms": value for name, value in report.get("latency_ms", {}).items()}
    return [("producer", name, metric, float(value), _time(at_s)) for metric, value in told.items()]


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
