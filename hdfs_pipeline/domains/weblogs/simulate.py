"""Simulated access logs: users, programs and crawlers of several services, with labelled anomalies on request.

Requests follow the rhythm of day and week (`domains/simulation.py`), endpoints have their own response times, sizes and
errors (`simulated_site.py`), users walk from page to page (`simulated_visits.py`), faults are injected
(`simulated_faults.py`). The same parameters give the same bytes.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from statistics import NormalDist
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hdfs_pipeline.domains.simulation import (
    Fault,
    Floats,
    Simulator,
    arrivals,
    coded,
    mixed,
    shown_seconds,
    shown_thousandths,
)
from hdfs_pipeline.domains.weblogs.simulated_faults import KINDS, LABELS, added_by, hit_by, plan_faults
from hdfs_pipeline.domains.weblogs.simulated_site import AUDIENCES
from hdfs_pipeline.domains.weblogs.simulated_text import addresses, agents, paths, queries, referers
from hdfs_pipeline.domains.weblogs.simulated_visits import ENDPOINTS, SERVICE_NAMES, Rows, mix, people, sessions
from hdfs_pipeline.domains.weblogs.topics import WEB_LOGS

_WARM_S: Final = 1800.0  # sessions that began so long before the first request go on in it
_STRETCH_US: Final = 5_000_000
_LINES: Final = 20_000
_SLOW_TAIL: Final = 0.002
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
REQUESTS: Final = pa.schema(
    [
        ("time", pa.timestamp("us", "UTC")),
        ("service", _TEXT),
        ("client", pa.string()),
        ("method", _TEXT),
        ("path", pa.string()),
        ("query", pa.string()),
        ("protocol", _TEXT),
        ("status", pa.int16()),
        ("bytes", pa.int64()),
        ("response_us", pa.int64()),
        ("referer", pa.string()),
        ("agent", _TEXT),
        ("label", _TEXT),
    ]
)
"""Columns of simulated requests; `label` is '' or the kind of the fault that changed or sent the request."""


class Traffic:
    """Requests from `begin_s` (seconds since 1970) on, `rate` a second on average over a week, block after block."""

    def __init__(self, begin_s: float, rate: float, seed: int) -> None:
        self.now_s, self._rate = begin_s, rate
        self._rng = np.random.default_rng([seed, 0])
        self._later: dict[int, list[Rows]] = {}  # requests of sessions that go on, by the stretch of time they lie in
        begun = self._visits(begin_s - min(_WARM_S, 1e6 / rate), begin_s)
        self._put_off(begun[begun["time"] >= begin_s * 1e6])

    def until(self, end_s: float, faults: Sequence[Fault] = ()) -> pa.Table:
        """The requests from where the last block ended until before `end_s`, in the order of time (`REQUESTS`)."""
        begin_s, self.now_s = self.now_s, end_s
        new = [added_by(fault, self._rate) for fault in faults if begin_s <= fault.span[0] < end_s]
        rows = self._due(np.concatenate([self._visits(begin_s, end_s), *new]), end_s * 1e6)
        for fault in faults:
            if fault.kind == "drop":
                rows = rows[~hit_by(fault, rows) | (self._rng.random(len(rows)) < fault.strength)]
        rows = rows[np.argsort(rows["time"], kind="stable")]
        return self._answered(rows, [fault for fault in faults if fault.kind in ("error-burst", "latency")])

    def _due(self, new: Rows, end_us: float) -> Rows:
        """What is due before a time (microseconds since 1970) of what was put off and of `new`, in that order."""
        ready = sorted(stretch for stretch in self._later if stretch * _STRETCH_US < end_us)
        rows = np.concatenate([*(each for stretch in ready for each in self._later.pop(stretch)), new])
        due = rows["time"] < end_us
        self._put_off(rows[~due])
        return rows[due]

    def _put_off(self, rows: Rows) -> None:
        """Keep requests for later, by their stretch: at high rates most of them are minutes away."""
        stretches = rows["time"] // _STRETCH_US
        order = np.argsort(stretches, kind="stable")
        ordered = stretches[order]
        for own in np.split(order, np.flatnonzero(np.diff(ordered)) + 1):
            if len(own):
                self._later.setdefault(int(stretches[own[0]]), []).append(rows[own])

    def _visits(self, begin_s: float, end_s: float) -> Rows:
        parts = []
        for row, audience in enumerate(AUDIENCES):
            each = self._rate * audience.share / mix(row)[0]
            starts = arrivals(self._rng, begin_s, end_s, each, audience.depth)
            parts.append(sessions(self._rng, row, starts, people(row, self._rate)))
        return np.concatenate(parts)

    def _answered(self, rows: Rows, faults: Sequence[Fault]) -> pa.Table:
        rng, endpoints = self._rng, rows["endpoint"].astype(np.int64)
        status = self._statuses(rows, endpoints)
        response = _of("median_ms")[endpoints] * 1e3 * np.exp(rng.standard_normal(len(rows)) * _of("sigma")[endpoints])
        response *= np.where(rng.random(len(rows)) < _SLOW_TAIL, 6.0, 1.0)
        label = rows["label"].copy()
        for fault in faults:
            hit = hit_by(fault, rows) & (label == 0)
            if fault.kind == "error-burst":
                hit &= rng.random(len(rows)) < fault.strength
                status[hit] = rng.choice([500, 502, 503, 504], int(hit.sum()), p=(0.5, 0.15, 0.25, 0.1))
            else:
                response[hit] *= fault.strength
            label[hit] = LABELS.index(fault.kind)
        response[status == 504] += 10e6
        return _table(rows, status, self._sizes(rows, endpoints, status), np.maximum(response, 100), label)

    def _statuses(self, rows: Rows, endpoints: NDArray[np.int64]) -> NDArray[np.int16]:
        drawn = self._rng.random(len(rows))
        errors, misses = _of("errors")[endpoints], _of("misses")[endpoints]
        status: NDArray[np.int16] = np.where(rows["status"] > 0, rows["status"], _of("status")[endpoints]).astype("i2")
        kept = (_of("is_static")[endpoints] > 0) & (drawn > 0.85) & (rows["status"] == 0)
        status[kept] = 304
        wrong = np.where(_of("is_login")[endpoints] > 0, 401, 404)
        missed = (drawn < errors + misses) & (rows["status"] == 0)
        status[missed] = wrong[missed]
        failed = drawn < errors
        status[failed] = self._rng.choice([500, 502, 503], int(failed.sum()), p=(0.7, 0.1, 0.2))
        return status

    def _sizes(self, rows: Rows, endpoints: NDArray[np.int64], status: NDArray[np.int16]) -> NDArray[np.int64]:
        """Sizes of answers: a file always has the same, a page nearly; errors are short."""
        own = (mixed(endpoints, rows["variable"]) >> np.uint64(54)).astype(np.int64)
        size = _of("size")[endpoints] * np.exp(0.7 * _normal()[own])
        size *= np.where(_of("is_static")[endpoints] > 0, 1.0, np.exp(0.1 * self._rng.standard_normal(len(rows))))
        size = np.where(status >= 400, 120 + own % 400, size)
        result: NDArray[np.int64] = np.where(np.isin(status, (204, 304)), 0, size).astype(np.int64)
        return result


@cache
def _of(name: str) -> Floats:
    if name == "is_login":
        return np.array([endpoint.path == "/login" for endpoint in ENDPOINTS], np.float64)
    return np.array([getattr(endpoint, name) for endpoint in ENDPOINTS])


@cache
def _normal() -> Floats:
    """The quantiles of the normal distribution, 1024 of them."""
    return np.array([NormalDist().inv_cdf((row + 0.5) / 1024) for row in range(1024)])


def _table(
    rows: Rows,
    status: NDArray[np.int16],
    size: NDArray[np.int64],
    response_us: Floats,
    label: NDArray[np.int8],
) -> pa.Table:
    endpoints, clients = rows["endpoint"].astype(np.int64), rows["client"]
    variables = rows["variable"].astype(np.int64)
    methods = list(dict.fromkeys(endpoint.method for endpoint in ENDPOINTS))
    method = np.array([methods.index(endpoint.method) for endpoint in ENDPOINTS])[endpoints]
    return pa.table(
        [
            pa.array(rows["time"]).cast(pa.timestamp("us", "UTC")),
            coded(rows["service"].astype(np.int64), SERVICE_NAMES),
            addresses(clients),
            coded(method, methods),
            paths(endpoints, variables),
            queries(endpoints, variables),
            coded((mixed(clients, 3) % np.uint64(10) < 6).astype(np.int64), ("HTTP/1.1", "HTTP/2.0")),
            pa.array(status),
            pa.array(size),
            pa.array(response_us.astype(np.int64)),
            referers(rows),
            agents(clients),
            coded(label.astype(np.int64), LABELS),
        ],
        schema=REQUESTS,
    )


def access_lines(table: pa.Table) -> Iterator[bytes]:
    """The requests as lines of a web server, without line ends.

    They are in Combined with the virtual host first and the response time in seconds last, as nginx writes
    `$host $remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"
    $request_time`.
    """
    for batch in table.to_batches(max_chunksize=_LINES):
        yield from _lines(batch).cast(pa.binary()).to_pylist()


def _lines(batch: pa.RecordBatch) -> pa.Array:
    times = shown_seconds(batch["time"].cast(pa.int64()).to_numpy(), "%d/%b/%Y:%H:%M:%S +0000")
    query = pc.if_else(pc.equal(batch["query"], ""), "", pc.binary_join_element_wise("?", batch["query"], ""))
    ms = (batch["response_us"].to_numpy() + 500) // 1000
    referer = pc.if_else(pc.equal(batch["referer"], ""), "-", batch["referer"])
    return pc.binary_join_element_wise(
        batch["service"].cast(pa.string()),
        " ",
        batch["client"],
        " - - [",
        times,
        '] "',
        batch["method"].cast(pa.string()),
        " ",
        batch["path"],
        query,
        " ",
        batch["protocol"].cast(pa.string()),
        '" ',
        batch["status"].cast(pa.string()),
        " ",
        batch["bytes"].cast(pa.string()),
        ' "',
        referer,
        '" "',
        batch["agent"].cast(pa.string()),
        '" ',
        pa.array(ms // 1000).cast(pa.string()),
        ".",
        shown_thousandths(ms),
        "",
    )


SIMULATOR: Final = Simulator(WEB_LOGS, KINDS, Traffic, plan_faults, access_lines, 3.0)
simulate: Final = SIMULATOR.simulate
