"""Simulated logs: into a file as fast as they can be written, or into Kafka as if they were written now."""

import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.simulation import Fault, Simulator, block_s, kinds_named, stretch_of
from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import is_embedded
from hdfs_pipeline.streaming.send.pace import Throttle
from hdfs_pipeline.streaming.send.sender import LINGER_MS, LOW_LINGER_MS, LOW_RATE, Report, Sender, Tell
from hdfs_pipeline.streaming.topics import ensure_topics

QUIET: Final = 0.25
"""The share of the time that passes before the first fault, where there was no history."""
_PERIOD_S: Final = 7200.0  # without an end, each kind happens once in such a time
_LIVE_ROWS: Final = 20_000
_LIVE_S: Final = 5.0
_SLICE_S: Final = 0.02


class Labels:
    """What is known of simulated lines, as two CSV files: the faults at `path`, the labelled lines beside it.

    `<name>.lines.csv` has the numbers of lines (from 1) and the kinds of the faults that they are part of; lines that
    it lacks are normal. Without a path nothing is written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._files, self._seen = path, ExitStack(), 0

    def __enter__(self) -> "Labels":
        if self._path:
            faults, lines = self._path, self._path.with_name(f"{self._path.stem}.lines.csv")
            try:
                self._faults = self._files.enter_context(faults.open("w", newline="", encoding="utf-8"))
                self._lines = self._files.enter_context(lines.open("w", newline="", encoding="utf-8"))
            except OSError as error:
                raise UsageError(f"the labels cannot be written: {error}") from None
            csv.writer(self._faults).writerow(["kind", "service", "endpoint", "clients", "begin", "end", "strength"])
            csv.writer(self._lines).writerow(["line", "kind"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def faults(self, faults: Sequence[Fault]) -> None:
        """Write faults that are going to happen."""
        if self._path:
            for one in faults:
                times = one.begin.isoformat(), one.end.isoformat()
                row = (one.kind, one.service, one.endpoint, " ".join(one.clients), *times, f"{one.strength:.4g}")
                csv.writer(self._faults).writerow(row)
            self._faults.flush()

    def lines(self, table: pa.Table, count: int) -> None:
        """Write the labels of the first `count` rows, which follow those of the last call."""
        if self._path:
            kinds = table["label"].slice(0, count).cast(pa.string()).to_numpy()
            labelled = np.flatnonzero(kinds != "")
            csv.writer(self._lines).writerows(
                zip((labelled + self._seen + 1).tolist(), kinds[labelled].tolist(), strict=True)
            )
        self._seen += count


def write_simulated(
    simulator: Simulator,
    output: Path | None,
    *,
    begin: datetime,
    duration_s: float,
    rate: float,
    stopped: Event,
    anomalies: Sequence[str] = (),
    seed: int = 0,
    labels: Path | None = None,
    on_progress: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Write simulated lines into a file, or to standard output (None), as fast as it goes.

    `rate` is in lines a second, on average over a week. The same parameters give the same bytes. Raises: UsageError for
    a kind of anomaly that is not known, and where the file cannot be written.
    """
    report, started = Report(str(output or "-")), time.monotonic()
    begin_s, end_s = begin.timestamp(), begin.timestamp() + duration_s
    kinds = kinds_named(anomalies, simulator.kinds)
    faults = simulator.plan(kinds, begin_s + QUIET * duration_s, end_s, rate, seed, simulator.per_day)
    source = simulator.source(begin_s, rate, seed)
    with ExitStack() as files:
        known = files.enter_context(Labels(labels))
        file = files.enter_context(_writable(output)) if output else sys.stdout.buffer
        known.faults(faults)
        while source.now_s < end_s and not stopped.is_set():
            table = source.until(min(source.now_s + block_s(rate), end_s), faults)
            report.bytes += _write_lines(file, simulator.lines(table))
            known.lines(table, len(table))
            report.records = report.messages = report.records + len(table)
            report.seconds = time.monotonic() - started
            on_progress(report)
        file.flush()
    report.seconds, report.interrupted = time.monotonic() - started, stopped.is_set()
    return report


def _writable(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def _write_lines(file: BinaryIO, lines: Iterator[bytes]) -> int:
    text = b"".join(line + b"\n" for line in lines)
    file.write(text)
    return len(text)


def produce_simulated(
    settings: Settings,
    simulator: Simulator,
    *,
    rate: float,
    stopped: Event,
    duration_s: float | None = None,
    anomalies: Sequence[str] = (),
    training: int = 0,
    seed: int = 0,
    labels: Path | None = None,
    group: str | None = None,
    on_progress: Callable[[Report], None] = lambda _: None,
    say: Tell = lambda _: None,
) -> Report:
    """Send simulated lines into their topic as if they were written now, until `duration_s` has passed or `stopped`.

    About `training` lines of the time before go first, without faults and as fast as it goes. The key of a message is
    its service. On the embedded broker the sender stays behind the consumer group `group`. Raises: UsageError for a
    kind of anomaly that is not known; SetupError where there is no broker.
    """
    kinds = kinds_named(anomalies, simulator.kinds)
    ensure_topics(settings, [simulator.topic])
    linger = LOW_LINGER_MS if rate <= LOW_RATE else LINGER_MS
    now_s = time.time()
    end_s = None if duration_s is None else now_s + duration_s
    with Labels(labels) as known:
        sender = Sender(settings, simulator.topic, stopped, linger_ms=linger, on_progress=on_progress)
        if group and is_embedded(settings):
            topic, idle = simulator.topic, sender.idle
            sender.throttle = Throttle(settings, topic, group, stopped=stopped, idle=idle, say=say)
        try:
            source = simulator.source(now_s - stretch_of(training, rate, now_s), rate, seed)
            while source.now_s < now_s and not stopped.is_set():
                table = source.until(min(source.now_s + block_s(rate, _LIVE_ROWS), now_s))
                known.lines(table, _send(sender, simulator, table, stopped, paced=False))
            faults: list[Fault] = []
            planned_s = now_s
            while not stopped.is_set() and (end_s is None or source.now_s < end_s):
                if source.now_s >= planned_s:
                    until_s = planned_s + _PERIOD_S if end_s is None else end_s
                    quiet_s = QUIET * (until_s - planned_s) if planned_s == now_s and not training else 0.0
                    faults = [one for one in faults if one.span[1] > source.now_s]
                    new = simulator.plan(kinds, planned_s + quiet_s, until_s, rate, seed, simulator.per_day)
                    known.faults(new)
                    faults, planned_s = faults + new, until_s
                ends = source.now_s + block_s(rate, _LIVE_ROWS, _LIVE_S)
                table = source.until(ends if end_s is None else min(ends, end_s), faults)
                known.lines(table, _send(sender, simulator, table, stopped, paced=True))
        finally:
            report = sender.close()
    return report


def _send(sender: Sender, simulator: Simulator, table: pa.Table, stopped: Event, *, paced: bool) -> int:
    """Send rows, each when its time has come where `paced`; how many were sent before the sender was to stop."""
    keys = {name: name.encode() for name in table["service"].unique().to_pylist()}
    moments = table["time"].cast(pa.int64()).to_pylist()
    services = table["service"].to_pylist()
    now_us = 0
    for sent, (line, moment, service) in enumerate(zip(simulator.lines(table), moments, services, strict=True)):
        if moment > now_us and paced:
            now_us = _wait(moment, sender, stopped)
        if stopped.is_set():
            return sent
        sender.send(line, keys[service])
        sender.report.records += 1
    return len(table)


def _wait(moment: int, sender: Sender, stopped: Event) -> int:
    """Return when a time (microseconds since 1970) has come, or when the sender is to stop; the time it is then."""
    while (left := moment / 1e6 - time.time()) > 0 and not stopped.is_set():
        sender.idle()
        stopped.wait(min(max(left, _SLICE_S), 0.1))
    return int(time.time() * 1e6)
