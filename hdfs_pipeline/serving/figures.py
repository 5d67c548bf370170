"""What the server tells Prometheus: of its own answers, and of the home as `verdicts` sees it."""

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from hdfs_pipeline.scoring.severity import SEVERITIES
from hdfs_pipeline.verdicts.health import ILL, Health

_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Figures:
    """Counters of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def make(kind: Any, name: str, about: str, *labels: str, **more: Any) -> Any:
            return kind(f"hdfs_pipeline_{name}", about, labels, registry=self._registry, **more)

        about = "Requests by route and status."
        self._requests = make(Counter, "requests", about, "route", "method", "status")
        self._seconds = make(Histogram, "request_seconds", "From request to answer.", "route", buckets=_SECONDS)
        self._open = make(Gauge, "open_incidents", "Incidents that are open or acknowledged.", "severity")
        self._ill = make(Gauge, "part_ill", "1 where a part of the home does not work, else 0.", "part")
        self._lag = make(Gauge, "sink_lag_messages", "Messages that the store has not taken yet.", "topic", "partition")
        self._dead = make(Gauge, "dead_letters", "Dead letters that the store holds.")

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, health: Health, severities: Mapping[str, int]) -> bytes:
        """All figures as Prometheus reads them, with those of the home as given."""
        for severity in SEVERITIES:
            self._open.labels(severity).set(severities.get(severity, 0))
        for part in health.parts:
            self._ill.labels(part.name).set(part.state == ILL)
        for (topic, partition), messages in health.lag.items():
            self._lag.labels(topic, str(partition)).set(messages)
        self._dead.set(health.dead_letters)
        return generate_latest(self._registry)
