"""The page of web traffic: how services answered over time, with what is anomalous in it, and requests one by one."""

from collections.abc import Mapping, Sequence
from math import floor, log2
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.traffic.timeline import (
    ALL,
    MINUTE,
    endpoint_names,
    services,
    top_endpoints,
    window_lines,
)
from hdfs_pipeline.domains.weblogs import analytics
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.serving.cache import STORE_S
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.pages.charts import Chart, line, number, seconds, spread, table_rows
from hdfs_pipeline.serving.pages.render import respond
from hdfs_pipeline.serving.pages.spans import PER_PAGE, AskedSpan, Window, shaded
from hdfs_pipeline.serving.routes.web import anomalous_windows, marked_requests, named, recorded
from hdfs_pipeline.verdicts.lacks import duration
from hdfs_pipeline.verdicts.listing import Wanted, list_incidents
from hdfs_pipeline.verdicts.marked import Mark, is_judged

router = APIRouter(prefix="/web", include_in_schema=False)

_WINDOWS: Final = 12  # anomalous ones in the table; the pictures have all
_INCIDENTS: Final = 12
_ENDPOINTS: Final = 15
_CLIENTS: Final = 12
_LEAST: Final = -4  # the least range of response times ends at 2 ** -3 ms
_FROM: Final = "From (UTC)"


class Asked(AskedSpan):
    """What the address of the page says: the window, whose requests, and which page of them."""

    path = "/web"
    service: str = Field("", max_length=300)
    endpoint: str = Field("", max_length=300)


@router.get("", dependencies=[needs("read")])
async def web(request: Request, home: TheHome, asked: Annotated[Asked, Query()]) -> Response:
    """The traffic of a window, by default of the day before the latest request."""
    return await respond(request, home, "web.html", lambda: _values(home, asked))


@router.get("/more", dependencies=[needs("read")])
async def more(request: Request, home: TheHome, asked: Annotated[Asked, Query()]) -> Response:
    """Response times, answers and clients of the same window, which each request must be asked for."""
    return await respond(request, home, "web_more.html", lambda: _more(home, asked), STORE_S)


def _values(home: Home, asked: Asked) -> dict[str, Any]:
    known = recorded(home)
    if known is None:
        return {"window": None, "filled_by": domain_named("weblogs").filled_by}
    shown = asked.shown(known)
    if shown is None:
        return _form(asked, known, [], []) | {"shown": None}
    only = asked.show == "anomalous"
    with home.store.read():  # one view of the store for all questions
        lines = window_lines(home.store, shown, asked.service, asked.endpoint or ALL)
        marks = anomalous_windows(home, shown, asked.service, asked.endpoint)
        total, rows = marked_requests(
            home, shown, asked.service, asked.endpoint, only=only, limit=PER_PAGE, offset=asked.offset
        )
        names = endpoint_names(home.store, shown, asked.service)
        number_of, incidents = _incidents(home, asked, shown)
        return _form(asked, known, services(home.store, shown), names) | {
            "shown": Window(*shown).fields,
            "lines": lines,
            "charts": _charts(lines, marks),
            "marks": [mark.to_json() for mark in marks[:_WINDOWS]],
            "anomalous": len(marks),
            "number": number_of,
            "incidents": incidents,
            "judged": is_judged(home.store, domain_named("traffic")),
            "endpoints": top_endpoints(home.store, shown, asked.service, _ENDPOINTS),
            "rows": rows,
            **asked.pages(total),
        }


def _form(asked: Asked, known: Span, of_time: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """What the fields offer, beside what `AskedSpan.form` says."""
    service_names = [row["service"] for row in of_time]
    return asked.form(known) | {
        "services": of_time,
        "service_names": [*service_names, *({asked.service} - {"", *service_names})],
        "endpoint_names": [*names, *({asked.endpoint} - {"", *names})],
        "more": asked.address().replace("/web", "/web/more", 1),
    }


def _incidents(home: Home, asked: Asked, shown: Span) -> tuple[int, list[dict[str, Any]]]:
    """How many incidents the window has, and the latest: of minutes, and of requests where all services are shown."""
    wanted = [Wanted(domain="traffic", entity=asked.service, since=shown[0], until=shown[1])]
    if not asked.service:
        wanted.append(Wanted(domain="weblogs", since=shown[0], until=shown[1]))
    found = [list_incidents(home.store, each, _INCIDENTS) for each in wanted]
    rows = sorted((row for _, rows in found for row in rows), key=lambda row: str(row["started_at"]), reverse=True)
    return sum(number for number, _ in found), rows[:_INCIDENTS]


def _charts(lines: Mapping[str, Any], marks: Sequence[Mark]) -> list[Chart]:
    """Requests, errors and response times over time, with the anomalous windows shaded."""
    x, found, fine = [seconds(at) for at in lines["times"]], lines["lines"], lines["step_s"] <= MINUTE.total_seconds()
    common = {"x": x, "sync": "web", "brush": "window", "spans": shaded(marks, MINUTE)}
    high, low = found["requests"], found["least_requests"]
    drawn = [line("requests", high)] if fine else [line("most", high), line("least", low, "low")]
    usual = found["usual_requests"]
    steps = "minute by minute" if fine else f"in steps of {duration(lines['step_s'])}, by minute"
    total = lines["total"]
    return [
        Chart(
            "requests",
            "Requests a minute",
            f"{total['requests']:,} requests, {steps}: {spread(low, high)}; usually {spread(usual, usual)}."
            + (f" {total['late']:,} came after their minute had closed, and are counted." if total["late"] else ""),
            {**common, "lines": [*drawn, line("usual", usual, "expected")], "unit": "", "height": 180},
            (_FROM, "Requests", "Usual"),
            table_rows(x, [(low, high), (usual, usual)]),
        ),
        Chart(
            "errors",
            "Errors a minute",
            f"{total['errors']:,} requests failed (status 500 and above); most in a minute: "
            f"{number(_most(found['errors']))}, and refused (4xx): {number(_most(found['client_errors']))}.",
            {
                **common,
                "lines": [
                    line("failed, 5xx", found["errors"], "s4"),
                    line("refused, 4xx", found["client_errors"], "s2"),
                ],
                "unit": "",
                "height": 140,
                "log": True,
                "least": 0,
            },
            (_FROM, "Failed (5xx)", "Refused (4xx)"),
            table_rows(x, [(found[name], found[name]) for name in ("errors", "client_errors")]),
        ),
        Chart(
            "times",
            "Response times (ms)",
            f"Half of the answers took {spread(found['p50_ms'], found['p50_ms'])} ms at most, 95 % "
            f"{spread(found['p95_ms'], found['p95_ms'])} ms, 99 % {spread(found['p99_ms'], found['p99_ms'])} ms."
            if _most(found["p50_ms"]) is not None
            else "These logs tell no response times.",
            {
                **common,
                "lines": [
                    line("p50", found["p50_ms"], "s0"),
                    line("p95", found["p95_ms"], "s1"),
                    line("p99", found["p99_ms"], "s2"),
                ],
                "unit": "ms",
                "height": 170,
                "log": True,
                "least": 0,
            },
            (_FROM, "p50", "p95", "p99"),
            table_rows(x, [(found[name], found[name]) for name in ("p50_ms", "p95_ms", "p99_ms")]),
        ),
    ]


def _most(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _more(home: Home, asked: Asked) -> dict[str, Any]:
    known = recorded(home)
    shown = None if known is None else asked.shown(known)
    none: dict[str, Any] = {"latencies": [], "statuses": [], "clients": [], "back": asked.address()}
    if shown is None:
        return none
    with home.store.read():
        part = home.store, shown
        service = named(home, asked.service)
        latencies = analytics.latencies(*part, service, asked.endpoint).to_pylist()
        statuses = analytics.statuses(*part, service, asked.endpoint).to_pylist()
        clients = analytics.clients(*part, _CLIENTS, service, asked.endpoint).to_pylist()
    return none | {
        "latencies": _shares(_octaves(latencies)),
        "statuses": _shares(statuses),
        "clients": clients,
    }


def _octaves(latencies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ranges of response times that double each other; what took less than a tenth of a millisecond is together."""
    found: dict[int, int] = {}
    for row in latencies:
        step = max(floor(log2(row["from_ms"]) + 1e-9), _LEAST)
        found[step] = found.get(step, 0) + row["requests"]
    return [
        {"from_ms": 0.0 if step == _LEAST else 2.0**step, "to_ms": 2.0 ** (step + 1), "requests": requests}
        for step, requests in sorted(found.items())
    ]


def _shares(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with each one's share of all requests, and its length beside the most frequent (0 to 1)."""
    total = sum(row["requests"] for row in rows) or 1
    most = max((row["requests"] for row in rows), default=1)
    return [row | {"share": row["requests"] / total, "length": row["requests"] / most} for row in rows]
