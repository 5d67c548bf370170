"""The windows of a home over any length of time, as few points that keep what stands out, and by service and group."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hdfs_pipeline.domains.traffic.derive import SERVICE_SQL
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.store.store import Store, dicts

POINTS: Final = 720
"""Steps of time of a picture, unless somebody asks for another number."""
ALL: Final = "*"
"""Stands for all endpoint groups of a service."""
MINUTE: Final = timedelta(minutes=1)
MEASURES: Final = (
    "least_requests", "requests", "usual_requests", "errors", "client_errors", "p50_ms", "p95_ms", "p99_ms",
)  # fmt: skip
"""What is told of each step of time."""
_OF: Final = "minute >= $begin AND minute < $end AND ($service = '' OR service = $service)"
_SERVICES: Final = f"""SELECT service, sum(requests)::BIGINT AS requests, sum(errors)::BIGINT AS errors,
        sum(client_errors)::BIGINT AS client_errors, min(minute) AS first_time, max(minute) AS last_time
    FROM request_windows WHERE endpoint = '{ALL}' AND minute >= $begin AND minute < $end
    GROUP BY service ORDER BY requests DESC, service"""
_ENDPOINTS: Final = f"""SELECT service, endpoint, sum(requests)::BIGINT AS requests, sum(errors)::BIGINT AS errors,
        sum(client_errors)::BIGINT AS client_errors, sum(errors) / sum(requests) AS error_rate,
        sum(bytes)::BIGINT AS bytes, sum(mean_ms * timed) / sum(timed) AS mean_ms, median(p95_ms) AS p95_ms,
        max(p99_ms) AS worst_p99_ms
    FROM request_windows WHERE {_OF} AND endpoint <> '{ALL}' AND requests > 0 GROUP BY service, endpoint
    ORDER BY errors DESC, client_errors DESC, requests DESC, service, endpoint LIMIT $limit"""
# Of several services the requests of a minute are added up, and the slowest one tells its response times.
_LINES: Final = f"""SELECT (epoch_us(minute) - epoch_us($begin::TIMESTAMPTZ)) // $step AS place,
        min(requests) AS least_requests, max(requests) AS requests, avg(usual_requests) AS usual_requests,
        max(errors) AS errors, max(client_errors) AS client_errors, max(p50_ms) AS p50_ms, max(p95_ms) AS p95_ms,
        max(p99_ms) AS p99_ms, sum(requests)::BIGINT AS total, sum(errors)::BIGINT AS failed, sum(late)::BIGINT AS late
    FROM (
        SELECT minute, sum(requests) AS requests, sum(usual_requests) AS usual_requests, sum(errors) AS errors,
            sum(client_errors) AS client_errors, max(p50_ms) AS p50_ms, max(p95_ms) AS p95_ms, max(p99_ms) AS p99_ms,
            sum(late) AS late
        FROM request_windows WHERE {_OF} AND endpoint = $endpoint GROUP BY minute
    ) GROUP BY place ORDER BY place"""


def windows_between(store: Store) -> Span | None:
    """From the first window to the end of the last one; None where there is none."""
    with store.read() as con:
        first, last = con.execute("SELECT min(minute), max(minute) FROM request_windows").fetchall()[0]
    return None if first is None else (first, last + MINUTE)


def services(store: Store, span: Span) -> list[dict[str, Any]]:
    """The services of a span of time, the busiest first.

    Each has `service`, `requests`, `errors` (status 500 and above), `client_errors` (400 to 499), `first_time` and
    `last_time` (the first and the last minute of it, UTC).
    """
    with store.read() as con:
        return dicts(con, _SERVICES, _times(span))


def top_endpoints(store: Store, span: Span, service: str = "", limit: int = 50) -> list[dict[str, Any]]:
    """Endpoint groups of a service, or of all, those with the most errors first, then by refused and by all requests.

    Each has `service`, `endpoint`, `requests`, `errors`, `client_errors`, `error_rate` (0 to 1), `bytes`, `mean_ms`,
    `p95_ms` (that of a usual minute) and `worst_p99_ms` (that of its worst minute); None without response times.
    """
    with store.read() as con:
        return dicts(con, _ENDPOINTS, _times(span) | {"service": service, "limit": limit})


def endpoint_names(store: Store, span: Span, service: str = "") -> list[str]:
    """The names of the endpoint groups of a service, or of all, in the order of the alphabet."""
    with store.read() as con:
        rows = con.execute(
            f"SELECT DISTINCT endpoint FROM request_windows WHERE {_OF} AND endpoint <> '{ALL}' ORDER BY endpoint",
            _times(span) | {"service": service},
        )
        return [name for (name,) in rows.fetchall()]


def window_lines(
    store: Store, span: Span, service: str = "", endpoint: str = ALL, points: int = POINTS
) -> dict[str, Any]:
    """The windows of a service ('' for all) and an endpoint group over a span of time, in `points` steps at most.

    `times` are the beginnings of k steps of `step_s` seconds, in ISO 8601; each of `MEASURES` has k values by minute:
    the greatest of a step's minutes, of `least_requests` the least, of `usual_requests` the mean; None where there is
    no window. `requests`, `errors` and `late` under `total` count those of all of the span.
    """
    begin, minutes = _floor(span[0]), max(-(-(span[1] - _floor(span[0])) // MINUTE), 1)
    step = -(-minutes // points) * MINUTE
    about = _times((begin, span[1])) | {"service": service, "endpoint": endpoint, "step": step // timedelta.resolution}
    with store.read() as con:
        rows = dicts(con, _LINES, about)
    steps = -(-minutes * MINUTE // step)
    lines: dict[str, list[float | None]] = {name: [None] * steps for name in MEASURES}
    for row in rows:
        for name, values in lines.items():
            values[row["place"]] = _plain(row[name])
    total = {"requests": "total", "errors": "failed", "late": "late"}
    return {
        "times": [(begin + at * step).astimezone(UTC).isoformat() for at in range(steps)],
        "step_s": step.total_seconds(),
        "lines": lines,
        "total": {name: sum(row[column] for row in rows) for name, column in total.items()},
    }


def written_as(store: Store, service: str) -> str:
    """A service's name as requests write it; blanks of it are `_` in windows, and no name is `-`."""
    if "_" not in service and service != "-":
        return service
    with store.read() as con:
        rows = con.execute(
            f"SELECT service FROM (SELECT DISTINCT service FROM requests) WHERE {SERVICE_SQL} = ? ORDER BY service",
            [service],
        ).fetchall()
    return str(rows[0][0] or "") if rows else service


def _times(span: Span) -> dict[str, Any]:
    return {"begin": span[0], "end": span[1]}


def _floor(time: datetime) -> datetime:
    """The beginning of a minute."""
    return time.replace(second=0, microsecond=0)


def _plain(value: Any) -> float | None:
    """A number of JSON with four significant digits at least; whole ones stay whole."""
    if value is None:
        return None
    return int(value) if value == int(value) else float(f"{value:.6g}")
