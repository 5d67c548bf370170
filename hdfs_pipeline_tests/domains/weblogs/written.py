"""Requests as rows of a home's table `requests`, for tests that need no file."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.lines import revision_of
from hdfs_pipeline.domains.record_ids import record_keys
from hdfs_pipeline.store.counters import next_number
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline_tests.homes import Home

WEBLOGS = domain_named("weblogs")
ROWS = pa.schema(
    [
        ("source_id", pa.int32()),
        ("position", pa.int64()),
        ("request_id", pa.int64()),
        ("time", pa.timestamp("us", "UTC")),
        *((name, pa.string()) for name in ("service", "client", "account", "method", "path", "query", "protocol")),
        ("status", pa.int16()),
        *((name, pa.int64()) for name in ("bytes", "request_bytes", "response_us")),
        *((name, pa.string()) for name in ("referer", "agent", "endpoint", "layout", "line")),
    ]
)
_COMBINED = re.compile(
    r'(?P<client>\S+) \S+ (?P<account>\S+) \[(?P<time>[^]]+)\] "(?P<request>.*?)" (?P<status>\d+) (?P<bytes>\d+|-)'
    r' "(?P<referer>.*?)" "(?P<agent>.*?)"?\s*'
)
_PLAIN: dict[str, Any] = {
    "service": "shop",
    "client": "198.51.100.7",
    "account": "",
    "method": "GET",
    "path": "/",
    "query": "",
    "protocol": "HTTP/1.1",
    "status": 200,
    "bytes": 5000,
    "request_bytes": None,
    "response_us": None,
    "referer": "",
    "agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0",
    "layout": "combined",
}


def rows_of(requests: Iterable[dict[str, Any]], source: int = 1) -> pa.Table:
    """Rows of `requests` (without `revision`); what one does not say is ordinary. Each has at least a `time`."""
    rows = [_PLAIN | {"position": at} | request for at, request in enumerate(requests, start=1)]
    for row in rows:
        row["source_id"] = source
        row.setdefault("endpoint", "/" + row["path"].strip("/").partition("/")[0])
        row.setdefault(
            "line", f"{row['client']} {row['method']} {row['path']} {row['query']} {row['status']} {row['agent']}"
        )
    keys = record_keys(source, np.array([row["position"] for row in rows], np.int64))
    return pa.Table.from_pylist([row | {"request_id": key} for row, key in zip(rows, keys.tolist(), strict=True)], ROWS)


def combined(line: str) -> dict[str, Any]:
    """What a line of the Combined Log Format says of its request."""
    found = _COMBINED.fullmatch(line)
    assert found, line
    method, _, rest = found["request"].partition(" ")
    target, _, protocol = rest.rpartition(" ")
    path, _, query = target.partition("?")
    return {
        "client": found["client"],
        "account": "" if found["account"] == "-" else found["account"],
        "time": datetime.strptime(found["time"], "%d/%b/%Y:%H:%M:%S %z"),
        "method": method,
        "path": path,
        "query": query,
        "protocol": protocol,
        "status": int(found["status"]),
        "bytes": None if found["bytes"] == "-" else int(found["bytes"]),
        "referer": "" if found["referer"] == "-" else found["referer"],
        "agent": "" if found["agent"] == "-" else found["agent"],
        "line": line.rstrip("\n"),
    }


def put(home: Home, rows: pa.Table) -> None:
    """Put rows into a home's table."""
    with home.store.write() as con:
        revision = pa.array(np.full(len(rows), next_number(con, revision_of("requests")), np.int64))
        publish_into(con, "requests", rows.append_column("revision", revision))


def some_days() -> pa.Table:
    """600 requests of ordinary clients over two days, and one client that scans in the second night."""
    draw = np.random.default_rng(3)
    begin = datetime(2026, 11, 20, 6, 0, 7, tzinfo=UTC)
    paths = ("/", "/cart", "/products/17", "/products/23", "/style.css", "/images/logo.png", "/about.html")
    ordinary = [
        {
            "time": begin + timedelta(seconds=int(at) * 217),
            "client": f"198.51.{draw.integers(3)}.{draw.integers(1, 9)}",
            "path": str(draw.choice(paths)),
            "status": int(draw.choice([200, 200, 200, 200, 200, 304, 404])),
            "response_us": int(draw.lognormal(10, 0.5)),
            "referer": str(draw.choice(["", "https://shop.example/"])),
        }
        for at in range(600)
    ]
    scan = [
        {"time": begin + timedelta(hours=29, seconds=at), "client": "203.0.113.9", "path": path, "status": 404}
        for at, path in enumerate(("/wp-login.php", "/.git/config", "/backup.sql", "/../../etc/passwd", "/phpmyadmin/"))
    ]
    return rows_of([*ordinary, *scan])


def lines_of(requests: pa.Table) -> list[bytes]:
    """Requests as lines of a web server, in Combined with the response time in seconds last."""
    return [
        (
            f'{row["client"]} - - [{row["time"]:%d/%b/%Y:%H:%M:%S +0000}] "{row["method"]} {row["path"]} HTTP/1.1" '
            f'{row["status"]} {row["bytes"]} "{row["referer"] or "-"}" "{row["agent"]}" '
            f"{(row['response_us'] or 0) / 1e6:.3f}"
        ).encode()
        for row in requests.to_pylist()
    ]
