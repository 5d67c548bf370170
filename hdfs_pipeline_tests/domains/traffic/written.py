"""Requests of two services over some hours, quiet but for what a test changes, as rows of the table `requests`."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline_tests.homes import Home

TRAFFIC = domain_named("traffic")
BEGIN = datetime(2026, 11, 19, 20, tzinfo=UTC)
SHOP, API = "shop.example", "api.example"
ENDPOINTS = {SHOP: ("/", "/cart", "/products/*"), API: ("/v1/orders",)}
PER_MINUTE = {SHOP: 60, API: 25}


def requests(minutes: range, seed: int = 7) -> pa.Table:
    """Requests of minutes after `BEGIN`, in the order of time, with a fault each at minutes 150, 170 and 190.

    From there on for three minutes half of the shop's requests to /cart fail, the API takes ten times as long, and
    nobody asks the shop.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for service, endpoints in ENDPOINTS.items():
        for minute in minutes:
            if service == SHOP and 190 <= minute < 193:
                continue
            count = rng.poisson(PER_MINUTE[service])
            endpoint = rng.integers(0, len(endpoints), count)
            took = rng.lognormal(np.log(40_000), 0.4, count) * (10 if service == API and 170 <= minute < 173 else 1)
            fails = 0.5 * (endpoint == 1) if service == SHOP and 150 <= minute < 153 else 0.002
            parts.append(
                {
                    "at": (minute * 60 + np.sort(rng.random(count)) * 60) * 1e6,
                    "service": [service] * count,
                    "endpoint": [endpoints[each] for each in endpoint],
                    "status": np.where(rng.random(count) < fails, 503, 200),
                    "bytes": rng.integers(200, 9000, count),
                    "response_us": took.astype(np.int64),
                    "client": [f"10.0.0.{each}" for each in rng.integers(1, 40, count)],
                }
            )
    at = np.concatenate([part["at"] for part in parts]).astype(np.int64)
    begin = int(BEGIN.timestamp() * 1e6)
    columns = {
        name: np.concatenate([np.asarray(part[name]) for part in parts])
        for name in ("service", "endpoint", "status", "bytes", "response_us", "client")
    }
    order = np.argsort(at, kind="stable")
    return pa.table(
        {"time": pa.array(at[order] + begin, pa.int64()).cast(pa.timestamp("us", "UTC"))}
        | {name: pa.array(column[order].tolist()) for name, column in columns.items()}
    )


def store_requests(home: Home, table: pa.Table, *, source: int = 1, revision: int = 1, first: int = 1) -> None:
    """Put requests into the home's table, as if they had been read from a file, from a line on."""
    status, paths = table["status"].to_pylist(), table["endpoint"].to_pylist()
    lines = [f'"GET {path} HTTP/1.1" {code}' for path, code in zip(paths, status, strict=True)]
    count = len(table)
    columns = {
        "source_id": pa.array([source] * count, pa.int32()),
        "position": pa.array(range(first, first + count), pa.int64()),
        "line": pa.array(lines, pa.string()),
        "revision": pa.array([revision] * count, pa.int64()),
    }
    for name, column in columns.items():
        table = table.append_column(name, column)
    with home.store.write() as con:
        publish_into(con, "requests", table)


def fill(home: Home, minutes: range) -> None:
    """Requests of minutes in the home, with their windows."""
    store_requests(home, requests(minutes))
    TRAFFIC.derive(home.store, home.settings)
