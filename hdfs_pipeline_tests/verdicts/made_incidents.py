"""Incidents, sources and records put straight into a store, for the tests of what is told of them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline_tests.homes import Home

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
"""The morning on which the tests ask."""


def ago(**span: float) -> datetime:
    """A time before that morning."""
    return NOW - timedelta(**span)


def incident(number: int, **differing: Any) -> dict[str, Any]:
    """A row of `incidents` whose id begins with `number`, eight digits; an open major one of an hour ago."""
    began = differing.pop("began", ago(hours=1))
    lasted = differing.pop("lasted", timedelta(seconds=90))
    kind = differing.get("kind", "write failed: disk full")
    plain = {
        "id": f"{number:08x}00000000",
        "domain": "blocks",
        "entity": "10.0.0.7:9866",
        "kind": kind,
        "title": f"{kind} on 10.0.0.7:9866 (dn7): 12 blocks",
        "started_at": began,
        "ended_at": began + lasted,
        "peak_at": began,
        "opened_at": began,
        "duration_s": lasted.total_seconds(),
        "status": "open",
        "severity": "major",
        "items": 12,
        "evidence": "12 of 12 blocks blame 10.0.0.7:9866, usually 20 %",
        "detectors": {"lifecycle": {"score": 0.9, "threshold": 0.5, "version": 0, "opened": True}},
        "details": {},
        "kinds": {kind: 12},
        "next_steps": ["free space on that DataNode's volumes"],
        "related": [],
        "changed_at": began,
    }
    row = plain | differing
    return row | {name: json.dumps(row[name]) for name in ("detectors", "details", "kinds")}


def put(home: Home, table: str, *rows: dict[str, Any]) -> None:
    """Rows into a table."""
    with home.store.write() as con:
        publish_into(con, table, pa.Table.from_pylist(list(rows)))


def heard(home: Home, number: int, until: datetime, **differing: Any) -> None:
    """A log of DataNode 10.0.0.<number>, whose only record is of `until`."""
    source = {"source_id": number, "path": f"dn{number}.log", "host": f"dn{number}", "daemon": "datanode"}
    source |= {"node": f"10.0.0.{number}:9866", "ingested_at": until, "ended": until} | differing
    put(home, "sources", source)
    record = {"source_id": number, "position": 1, "time": until, "block_ids": [], "message": "m", "more": ""}
    put(home, "raw_logs", record)
