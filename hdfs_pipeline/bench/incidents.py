"""How long it takes to group many anomalies into incidents, and to tell the state of a large home."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.bench.samples import machine
from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline.verdicts.status import DAY, home_status, parse_since

ANOMALIES: Final = 100_000
BLOCKS: Final = 1_000_000
_CATALOGUE: Final = "hdfs_3.v1"
_NODES, _DAYS, _FAULT, _RECORDS = 50, 7, 200, 20  # DataNodes; days; anomalies of a fault; records of a block
_ROUNDS: Final = 3
_GROUP_S, _STATUS_S = 2.0, 1.0
_FIRST_BLOCK: Final = 1 << 30
_STATEMENTS: Final = (
    """INSERT INTO event_matrix BY NAME SELECT $first + i AS block_id, $begin + to_seconds(i * $step) AS first_time,
        first_time + to_seconds(60) AS last_time, 60 AS duration_s, $records AS lines, 0 AS alarms,
        [1, 3, 3, 3] AS counts, '' AS unfinished FROM range($blocks) t(i)""",
    """INSERT INTO scores BY NAME SELECT 'blocks' AS domain, '' AS entity, 'blk_' || ($first + i) AS item,
        $begin + to_seconds(i * $step) AS time, 'lifecycle' AS detector, 0 AS version, 0 AS score, .5 AS threshold,
        false AS is_anomaly, $end AS scored_at, '' AS unfinished FROM range($blocks) t(i)""",
    """INSERT INTO raw_logs BY NAME SELECT 1 + i % $nodes AS source_id, 1 + i // $nodes AS position,
        $begin + to_seconds(i * $step / $records) AS time, 'INFO' AS level, '' AS message, '' AS more,
        [$first + i // $records] AS block_ids, false AS alarm FROM range($blocks * $records) t(i)""",
    """INSERT INTO sources BY NAME SELECT 1 + i AS source_id, 'blocks' AS domain, 'dn' || i || '.log' AS path,
        'dn' || i AS host, 'datanode' AS daemon, '10.0.0.' || i || ':9866' AS node,
        $begin AS ingested_at FROM range($nodes) t(i)""",
)


def bench_incidents(settings: Settings, anomalies: int = ANOMALIES, blocks: int = BLOCKS) -> dict[str, Any]:
    """Group made-up anomalies, and tell the state of a home with made-up blocks; the best of three times each.

    The home is made for it and goes afterwards. A JSON-able dict with seconds, aims and the machine.
    """
    domain = domain_named("blocks")
    begin = datetime.now(UTC) - timedelta(days=_DAYS)
    with TemporaryDirectory(prefix="bench") as folder:
        own = settings.model_copy(update={"home": Path(folder)})
        store = Store.open(own)
        with store.write() as con:
            con.execute("INSERT INTO meta VALUES ('catalogue', ?)", [_CATALOGUE])
        made = _anomalies(domain, [*domain.kinds(store, own)], anomalies, begin, settings.seed)
        with store.write() as con:
            publish_into(con, "anomalies", made)
        incidents = len(publish_incidents(store, own, domain))
        group_s = _best(lambda: publish_incidents(store, own, domain))
        _fill(store, blocks, begin)
        now = datetime.now(UTC)
        status_s = _best(lambda: home_status(store, own, parse_since(DAY, now), now=now, most=40))
    return {
        "anomalies": anomalies,
        "incidents": incidents,
        "blocks": blocks,
        "records": blocks * _RECORDS,
        "group_s": group_s,
        "status_s": status_s,
        "targets": [
            {"what": f"seconds to group {anomalies:,} anomalies, at most", "value": group_s, "aim": _GROUP_S,
             "met": group_s <= _GROUP_S},
            {"what": f"seconds of status on {blocks:,} blocks, at most", "value": status_s, "aim": _STATUS_S,
             "met": status_s <= _STATUS_S},
        ],
        "machine": machine(),
    }  # fmt: skip


def _anomalies(domain: Domain, kinds: list[str], count: int, begin: datetime, seed: int) -> pa.Table:
    """Anomalies of faults that last some seconds each, on one DataNode each, over days."""
    draw = np.random.default_rng(seed)
    fault = np.arange(count) // _FAULT
    faults = int(fault[-1]) + 1
    starts = np.sort(draw.uniform(0, _DAYS * 86400 - 60, faults))
    told = begin.timestamp() + starts[fault] + draw.uniform(0, 20, count)
    times = pa.array((told * 1e6).astype(np.int64), pa.timestamp("us", "UTC"))
    nodes = [f"10.0.0.{node}:9866" for node in range(_NODES)]
    blamed = [[nodes[at]] for at in draw.integers(0, _NODES, faults)[fault]]
    of_fault = draw.integers(0, len(kinds), faults)[fault]
    return pa.table(
        {
            "domain": pa.array([domain.name] * count),
            "entity": pa.array([""] * count),
            "item": pa.array([domain.item.show(_FIRST_BLOCK + at) for at in range(count)]),
            "detector": pa.array([domain.day_one] * count),
            "version": np.zeros(count, np.int32),
            "score": draw.uniform(0.5, 1, count),
            "threshold": np.full(count, 0.5),
            "kind": pa.array([kinds[at] for at in of_fault.tolist()]),
            "status": pa.array(["final"] * count),
            "origin": pa.array(["batch"] * count),
            "part": np.full(count, -1, np.int32),
            "first_offset": np.full(count, -1, np.int64),
            **dict.fromkeys(("first_time", "last_time", "told_from", "told_to", "scored_at"), times),
            "blamed": pa.array(blamed, pa.list_(pa.string())),
            "traits": pa.array([{"client": f"DFSClient_{at % 97}"} for at in fault], pa.map_(pa.string(), pa.string())),
            "line": pa.array([f"{at} WARN DataNode: {'x' * 200}" for at in range(count)]),
        }
    )


def _fill(store: Store, blocks: int, begin: datetime) -> None:
    values = {"begin": begin, "end": datetime.now(UTC), "blocks": blocks, "records": _RECORDS, "nodes": _NODES}
    values |= {"first": _FIRST_BLOCK, "step": (_DAYS * 86400 - 120) / blocks}
    with store.write() as con:
        for statement in _STATEMENTS:
            con.execute(statement, {name: value for name, value in values.items() if f"${name}" in statement})


def _best(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of some rounds."""
    seconds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
