"""Experiments on load in the store: what was asked for, what came of it, and what was measured."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.experiments.load.shapes import Load
from hdfs_pipeline.store.experiments import left_running
from hdfs_pipeline.store.store import Store, publish_into

STATUSES = ("running", "completed", "failed")


@dataclass(frozen=True)
class Record:
    """A row of `experiments`."""

    experiment: str
    load: Load
    status: str
    reason: str
    host: dict[str, Any]
    started_at: datetime
    ended_at: datetime | None = None

    @property
    def name(self) -> str:
        """The name that it was given."""
        return self.load.name

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self) | {"load": self.load.to_json()}


def begun(store: Store, load: Load, host: dict[str, Any]) -> Record:
    """A new row of an experiment that runs from now on. Those that were killed long ago are marked as failed."""
    now = datetime.now(UTC)
    left_running(store, now)
    record = Record(f"{load.name}.{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}", load, "running", "", host, now)
    with store.write() as con:
        con.execute(
            "INSERT INTO experiments BY NAME SELECT $experiment AS experiment, $name AS name, 'running' AS status, "
            "'' AS reason, $load::JSON AS load, $host::JSON AS host, $now AS started_at",
            {"experiment": record.experiment, "name": load.name, "load": json.dumps(load.to_json()),
             "host": json.dumps(host), "now": now},
        )  # fmt: skip
    return record


def ended(
    store: Store,
    record: Record,
    status: str,
    reason: str,
    figures: Sequence[tuple[Any, ...]] = (),
    lags: Sequence[tuple[Any, ...]] = (),
) -> Record:
    """Write down how an experiment ended, and what was measured: rows of `performance_metrics` and `consumer_lag`."""
    now = datetime.now(UTC)
    tables = {
        "performance_metrics": (figures, ("component", "component_id", "metric", "value", "measured_at")),
        "consumer_lag": (lags, ("consumer", "part", "current_offset", "end_offset", "lag", "measured_at")),
    }
    with store.write() as con:
        con.execute(
            "UPDATE experiments SET status = ?, reason = ?, ended_at = ? WHERE experiment = ?",
            [status, reason[:1000], now, record.experiment],
        )
        for table, (rows, names) in tables.items():
            if rows:
                columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
                publish_into(con, table, pa.table({"experiment": [record.experiment] * len(rows), **columns}))
    return replace(record, status=status, reason=reason, ended_at=now)


def experiments(store: Store, names: Sequence[str] = (), status: str = "") -> list[Record]:
    """The experiments of a store, the latest last: those of some names or ids, and of a status.

    Raises: UsageError for a name or a status that there is none of.
    """
    if status and status not in STATUSES:
        raise UsageError(f"no experiment is {status!r}: choose from {', '.join(STATUSES)}")
    with store.read() as con:
        rows = con.execute(
            "SELECT experiment, load, status, reason, host, started_at, ended_at FROM experiments ORDER BY started_at"
        ).fetchall()
    found = [
        Record(experiment, Load(**json.loads(load)), state, reason, json.loads(host), started, over)
        for experiment, load, state, reason, host, started, over in rows
    ]
    known = {each for record in found for each in (record.experiment, record.name)}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no experiment is called {unknown[0]}: `hdfs-pipeline experiment list` names them")
    return [
        record
        for record in found
        if (not names or record.experiment in names or record.name in names) and (not status or record.status == status)
    ]


def figures_of(store: Store, experiments: Sequence[str]) -> dict[str, dict[tuple[str, str, str], float]]:
    """By experiment, the figure of each component, component id and metric: the last one, where there are several."""
    found: dict[str, dict[tuple[str, str, str], float]] = {each: {} for each in experiments}
    with store.read() as con:
        rows = con.execute(
            """SELECT experiment, component, component_id, metric, arg_max(value, measured_at) FROM performance_metrics
            WHERE list_contains($experiments, experiment) GROUP BY ALL""",
            {"experiments": list(experiments)},
        ).fetchall()
    for experiment, *key, value in rows:
        found[experiment][tuple(key)] = float(value)
    return found


def lag_over_time(store: Store, experiment: str) -> list[tuple[int, datetime, int]]:
    """Partition, time and lag of an experiment, in order."""
    with store.read() as con:
        rows = con.execute(
            "SELECT part, measured_at, lag FROM consumer_lag WHERE experiment = ? ORDER BY part, measured_at",
            [experiment],
        ).fetchall()
    return [(int(part), time, int(lag)) for part, time, lag in rows]
