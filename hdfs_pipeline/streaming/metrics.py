"""What a worker reports of itself: Prometheus metrics, and the figures of the last seconds for Dagster and the log."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.course import PARTS
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.processes.hosts import answers_to
from hdfs_pipeline.settings import Settings

_SECONDS: Final = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
_MESSAGES: Final = (1, 10, 50, 100, 250, 500, 1000, 2000, 4000)
_KEPT: Final = 100_000  # latencies between two reports
COUNTS: Final = ("messages", "blocks_closed", "anomalies", "dead_letters", "unkeyed", "lost")
"""What is counted from report to report."""


class Metrics:
    """Counters of one worker. `stage` is the topic that it reads."""

    def __init__(self, stage: str) -> None:
        from prometheus_client import CollectorRegistry, Gauge, Histogram, Summary
        from prometheus_client import Counter as Total

        self.registry = CollectorRegistry()

        def make(kind: Any, name: str, about: str, *labels: str, **more: Any) -> Any:
            made = kind(f"hdfs_stream_{name}", about, ("stage", *labels), registry=self.registry, **more)
            return made if labels else made.labels(stage)

        self.stage = stage
        self._messages = make(Total, "messages", "Messages read.")
        self._dead = make(Total, "dead_letters", "Messages that were no record, or could not be used.")
        self._unkeyed = make(Total, "unkeyed_records", "Records that name items, in messages without the key of one.")
        self._lost = make(Total, "lost_messages", "Messages that retention deleted before they were read.")
        self._closed = make(Total, "closed_blocks", "Items closed and published.", "closed_by")
        self._verdicts = make(Total, "verdicts", "Verdicts published.", "status")
        self._batch = make(Histogram, "batch_messages", "Messages per batch.", buckets=_MESSAGES)
        self._latency = make(
            Histogram,
            "latency_seconds",
            "From the record that closes an item, as its producer stamped it, to its anomaly acknowledged.",
            buckets=_SECONDS,
        )
        parts = make(Summary, "latency_part_seconds", "Where these seconds go.", "part")
        self._parts = [parts.labels(stage, part) for part in PARTS]
        self._open = make(Gauge, "open_blocks", "Items that are open.")
        self._held = make(Gauge, "held_blocks", "Items in memory, open and remembered.")
        self._refused = make(Gauge, "model_refused", "1 while a model is to serve that cannot: an older one serves on.")
        self._odd_clocks = make(Gauge, "implausible_clocks", "Hosts whose clocks are too far ahead to be right.")
        self._lag = make(Gauge, "consumer_lag_messages", "Messages not read yet.", "partition")
        self.recent = Recent()

    def serve(self, settings: Settings) -> int:
        """Answer Prometheus until the process ends; the port. Raises: SetupError where the port is taken."""
        from prometheus_client import start_http_server

        host, port = settings.metrics_host, settings.metrics_port
        try:
            server, _ = start_http_server(port, host, self.registry)
        except OSError as error:
            raise SetupError(
                f"{host}:{port} cannot be listened on ({error.strerror}): set another port for the metrics with "
                "HDFS_PIPELINE_METRICS_PORT, 0 for any that is free"
            ) from None
        server.set_app(_for_own_names(server.get_app(), host))
        return int(server.server_port)

    def read(self, messages: int) -> None:
        """A batch was read."""
        self._messages.inc(messages)
        self._batch.observe(messages)
        self.recent.add(messages=messages)

    def dead(self, messages: int) -> None:
        """Messages went to `dead_letters`."""
        self._dead.inc(messages)
        self.recent.add(dead_letters=messages)

    def unkeyed(self, records: int) -> None:
        """Records could not be grouped, because their messages lacked the key of an item."""
        self._unkeyed.inc(records)
        self.recent.add(unkeyed=records)

    def lost(self, messages: int) -> None:
        """Retention deleted messages before this worker read them."""
        self._lost.inc(messages)
        self.recent.add(lost=messages)

    def closed(self, reasons: list[str | None]) -> None:
        """Items were published."""
        for reason, n in Counter(reasons).items():
            self._closed.labels(self.stage, str(reason)).inc(n)
        self.recent.add(blocks_closed=len(reasons))

    def verdict(self, status: str) -> None:
        """A verdict was published."""
        self._verdicts.labels(self.stage, status).inc()
        self.recent.add(anomalies=status == "final")

    def acknowledged(self, parts: Sequence[float]) -> None:
        """The brokers have an anomaly, after so many seconds in each of `course.PARTS`."""
        self._latency.observe(sum(parts))
        for part, seconds in zip(self._parts, parts, strict=True):
            part.observe(seconds)
        self.recent.latency(parts)

    def odd_clocks(self, leads: Mapping[str, float]) -> None:
        """Hosts whose clocks cannot be right, each with the seconds by which it is ahead."""
        self._odd_clocks.set(len(leads))
        self.recent.odd_clocks = ", ".join(f"{host or '?'} +{lead:.0f} s" for host, lead in list(leads.items())[:10])

    def refused(self, why: str) -> None:
        """A model is to serve that cannot; "" where none is."""
        self._refused.set(bool(why))
        self.recent.refused_model = why

    def held(self, still_open: int, remembered: int) -> None:
        """How many items are in memory: those that are open, and all."""
        self._open.set(still_open)
        self._held.set(remembered)
        self.recent.still_open = still_open

    def lag(self, by_partition: dict[int, int]) -> None:
        """How many messages wait in each partition."""
        for partition, messages in by_partition.items():
            self._lag.labels(self.stage, str(partition)).set(messages)
        self.recent.lag = sum(by_partition.values())

    def without(self, partitions: list[int]) -> None:
        """Partitions belong to another worker now."""
        for partition in partitions:
            self._lag.remove(self.stage, str(partition))


def _for_own_names(app: Any, bound: str) -> Any:
    """A WSGI application that answers 421 to a request by a name that is not this machine's."""

    def checked(environ: dict[str, Any], start_response: Any) -> Any:
        if answers_to(environ.get("HTTP_HOST"), bound):
            return app(environ, start_response)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain")])
        return [b"ask by the address of this machine, or by the name in metrics_host\n"]

    return checked


@dataclass
class Recent:
    """Figures since the last report; written by the worker's thread, taken by the reporter's."""

    still_open: int = 0
    lag: int = 0
    refused_model: str = ""
    odd_clocks: str = ""
    _counts: Counter[str] = field(default_factory=Counter)
    _latencies: list[Sequence[float]] = field(default_factory=list)  # by part
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **counts: int) -> None:
        """Add to the counts."""
        with self._mutex:
            self._counts.update(counts)

    def latency(self, parts: Sequence[float]) -> None:
        """Keep a latency, in seconds by part."""
        with self._mutex:
            if len(self._latencies) < _KEPT:
                self._latencies.append(parts)

    def take(self, seconds: float) -> dict[str, Any]:
        """The figures of the last `seconds`, which begin anew."""
        with self._mutex:
            counts, self._counts = self._counts, Counter()
            latencies, self._latencies = np.array(self._latencies) * 1000, []
        figures: dict[str, Any] = {name: int(counts[name]) for name in COUNTS}
        figures |= {"lines_per_s": round(counts["messages"] / seconds, 1), "lag": self.lag}
        figures["open_blocks"] = self.still_open
        told = {"refused_model": self.refused_model, "implausible_clocks": self.odd_clocks}
        figures |= {name: text for name, text in told.items() if text}
        if len(latencies):
            total = latencies.sum(axis=1)
            p50, p99 = np.percentile(total, [50, 99])
            figures |= {"latency_p50_ms": round(float(p50), 1), "latency_p99_ms": round(float(p99), 1)}
            figures |= {"latency_parts_ms": _means(latencies), "slowest_parts_ms": _means(latencies[total >= p99])}
        return figures


def _means(latencies: np.ndarray) -> dict[str, float]:
    """The mean of each part of latencies (n, parts)."""
    return {part: round(mean, 1) for part, mean in zip(PARTS, latencies.mean(axis=0).tolist(), strict=True)}
