"""Made-up experiments in a store, with figures of the same kind that a run writes down."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hdfs_pipeline.experiments.load.records import Record, begun, ended
from hdfs_pipeline.experiments.load.shapes import Load
from hdfs_pipeline.store.store import Store

HOST = {"host": "node-1", "cores": 8, "memory_gb": 33.6, "python": "3.11.9", "broker": "embedded"}
BEGAN = datetime(2026, 11, 21, 14, tzinfo=UTC)
LOADS = (
    (Load("baseline", 1, 1, 3), 21_000.0),
    (Load("baseline", 1, 1, 3), 19_500.0),
    (Load("consumers-2", 1, 2, 6), 37_000.0),
    (Load("balanced-3", 3, 3, 6), 48_000.0),
    (Load("balanced-4", 4, 4, 9), 52_000.0),
    (Load("stress", 4, 4, 50), 44_000.0),
)
"""Loads with what is read of each a second; the first has two trials."""


def completed(store: Store, load: Load, read: float, host: dict[str, Any] | None = None) -> Record:
    """An experiment that read `read` messages a second, and was sent a tenth more."""
    lags = [
        ("group", part, 100 * step, 100 * step + lag, lag, BEGAN + timedelta(seconds=2 * step))
        for part in range(load.partitions)
        for step, lag in enumerate(range(50 * part, 50 * part + 160 * 10, 160))
    ]
    return ended(store, begun(store, load, host or HOST), "completed", "", figures(load, read), lags)


def figures(load: Load, read: float) -> Sequence[tuple[Any, ...]]:
    """Rows of `performance_metrics`: component, its id, metric, value, time."""
    whole = {
        "seconds": 30.0,
        "sent_per_s": 1.1 * read,
        "read_per_s": read,
        "unread_at_begin": 1000.0,
        "unread_at_end": 1000.0 + 3 * read,
        "verdicts_per_s": read / 20,
        "cores_used": 0.8 * load.consumers + 0.6 * load.producers + 0.4,
        "cores_of_sampling": 0.012,
        "latency_p50_ms": 120.0,
        "latency_p95_ms": 430.0 * load.consumers,
        "latency_p99_ms": 910.0 * load.consumers,
    }
    rows = [("experiment", "", metric, value, BEGAN) for metric, value in whole.items()]
    rows += [("worker", f"worker-{n}", "cores", 0.8, BEGAN) for n in range(1, load.consumers + 1)]
    rows += [("producer", f"producer-{n}", "cores", 0.6, BEGAN) for n in range(1, load.producers + 1)]
    return [*rows, ("broker", "broker", "cores", 0.4, BEGAN)]


def fill(store: Store) -> list[Record]:
    """The experiments of `LOADS`, and one that failed."""
    records = [completed(store, load, read) for load, read in LOADS]
    failed = begun(store, Load("broken"), HOST)
    return [*records, ended(store, failed, "failed", "worker-1 ended by itself")]
