"""What the requests of a home say together: endpoints by errors, response times, clients, answers over time.

Each is one question to the table `requests`, over a span of time [from, to) and, if they are named, of one service
(`''` are requests that name none) and one endpoint group (`other` are those without windows of their own).
"""

from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.weblogs.explain import NETWORK_SQL
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.store.store import Store

OTHER: Final = "other"
"""Endpoint groups that have no windows of their own."""
_SPAN: Final = "time >= $begin AND time < $end"
_OTHERS: Final = """endpoint NOT IN (SELECT endpoint FROM request_windows
    WHERE minute >= $begin AND minute < $end AND ($service::VARCHAR IS NULL OR service = $service))"""


def endpoints(store: Store, span: Span, limit: int = 50, service: str | None = None) -> pa.Table:
    """Groups of paths, those with the most errors of the server first, then by misses and by requests.

    Columns: service, endpoint, requests, errors (5xx), misses (4xx), error_rate (0 to 1), bytes, timed (requests with a
    response time), p50_ms, p95_ms, p99_ms (NULL without any).
    """
    return _asked(
        store,
        f"""SELECT service, endpoint, count(*) AS requests, count(*) FILTER (status >= 500) AS errors,
            count(*) FILTER (status BETWEEN 400 AND 499) AS misses,
            count(*) FILTER (status >= 500) / count(*) AS error_rate, coalesce(sum(bytes), 0)::BIGINT AS bytes,
            count(response_us) AS timed, {_quantiles(50, 95, 99)}
        FROM requests WHERE {of(service)} GROUP BY service, endpoint
        ORDER BY errors DESC, misses DESC, requests DESC, service, endpoint LIMIT $limit""",
        parameters(span, service) | {"limit": limit},
    )


def latencies(store: Store, span: Span, service: str | None = None, endpoint: str = "") -> pa.Table:
    """How many requests were answered within which time: `from_ms`, `to_ms` (half-octaves) and `requests`, by time."""
    return _asked(
        store,
        f"""SELECT 2 ** (step / 2) AS from_ms, 2 ** ((step + 1) / 2) AS to_ms, requests FROM (
            SELECT floor(2 * log2(greatest(response_us, 1) / 1000)) AS step, count(*) AS requests FROM requests
            WHERE {of(service, endpoint)} AND response_us IS NOT NULL GROUP BY step
        ) ORDER BY step""",
        parameters(span, service, endpoint),
    )


def clients(store: Store, span: Span, limit: int = 50, service: str | None = None, endpoint: str = "") -> pa.Table:
    """Clients with the most requests.

    Columns: client, network, requests, misses (4xx), errors (5xx), endpoints (distinct), bytes, first_time, last_time.
    """
    return _asked(
        store,
        f"""WITH most AS (
            SELECT client FROM requests WHERE {of(service, endpoint)} GROUP BY client
            ORDER BY count(*) DESC, client LIMIT $limit)
        SELECT client, {NETWORK_SQL} AS network, count(*) AS requests,
            count(*) FILTER (status BETWEEN 400 AND 499) AS misses, count(*) FILTER (status >= 500) AS errors,
            count(DISTINCT endpoint) AS endpoints, coalesce(sum(bytes), 0)::BIGINT AS bytes,
            min(time) AS first_time, max(time) AS last_time
        FROM requests SEMI JOIN most USING (client) WHERE {of(service, endpoint)}
        GROUP BY client ORDER BY requests DESC, client""",
        parameters(span, service, endpoint) | {"limit": limit},
    )


def answers(store: Store, span: Span, steps: int = 60, service: str | None = None) -> pa.Table:
    """Answers over time, in `steps` equal steps of the span: `time` (its begin), `status` (2 for 2xx), `requests`.

    Steps without a request are left out.
    """
    begin, end = span
    return _asked(
        store,
        f"""SELECT time_bucket(to_microseconds($step::BIGINT), time, $begin::TIMESTAMPTZ) AS time,
            status // 100 AS status, count(*) AS requests
        FROM requests WHERE {of(service)} GROUP BY ALL ORDER BY ALL""",
        parameters(span, service) | {"step": max(round((end - begin).total_seconds() * 1e6 / steps), 1)},
    )


def statuses(store: Store, span: Span, service: str | None = None, endpoint: str = "") -> pa.Table:
    """How many requests were answered with each `status` (0 if unknown), as `requests`; the lowest status first."""
    return _asked(
        store,
        f"""SELECT status, count(*) AS requests FROM requests WHERE {of(service, endpoint)}
        GROUP BY status ORDER BY status""",
        parameters(span, service, endpoint),
    )


def of(service: str | None, endpoint: str = "") -> str:
    """SQL of the requests of a span of time, a service (None for all) and an endpoint group ('' for all)."""
    by_service = "" if service is None else " AND service = $service"
    by_endpoint = "" if not endpoint else f" AND {_OTHERS}" if endpoint == OTHER else " AND endpoint = $endpoint"
    return _SPAN + by_service + by_endpoint


def parameters(span: Span, service: str | None, endpoint: str = "") -> dict[str, Any]:
    """The parameters of `of`."""
    found: dict[str, Any] = {"begin": span[0], "end": span[1]}
    if service is not None or endpoint == OTHER:
        found["service"] = service
    return found | ({"endpoint": endpoint} if endpoint not in ("", OTHER) else {})


def _quantiles(*percents: int) -> str:
    return ", ".join(f"quantile_cont(response_us, {each / 100}) / 1000 AS p{each}_ms" for each in percents)


def _asked(store: Store, query: str, given: dict[str, Any]) -> pa.Table:
    with store.read() as con:
        return con.sql(query, params=given).to_arrow_table()
