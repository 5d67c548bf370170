"""Web traffic: windows of services over time, endpoints, response times, clients, and requests one by one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.traffic.timeline import (
    ALL,
    MEASURES,
    services,
    top_endpoints,
    window_lines,
    windows_between,
    written_as,
)
from hdfs_pipeline.domains.weblogs import analytics
from hdfs_pipeline.domains.weblogs.newest import newest_requests
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.routes.spans import answer, in_json, next_page
from hdfs_pipeline.serving.shapes.web import (
    AskedEndpoints,
    AskedLines,
    AskedRequests,
    AskedTop,
    AskedTraffic,
    AskedWindow,
    Latencies,
    Statuses,
    WebClients,
    WebEndpoints,
    WebRequests,
    WebServices,
    WebWindows,
)
from hdfs_pipeline.verdicts.marked import Mark, marks_between, marks_on

router = APIRouter(prefix="/api/web", tags=["web"])

MARKED: Final = 1000
"""Anomalous items of a span of time that are told at most."""


@router.get("/services", response_model=WebServices, dependencies=[needs("read")])
async def web_services(request: Request, home: TheHome, asked: Annotated[AskedWindow, Query()]) -> Response:
    """The web services of a span of time, the busiest first."""
    return await _answer(request, home, asked, {"services": []}, lambda span: {
        "services": [in_json(row) for row in services(home.store, span)]
    })  # fmt: skip


@router.get("/windows", response_model=WebWindows, dependencies=[needs("read")])
async def windows(request: Request, home: TheHome, asked: Annotated[AskedLines, Query()]) -> Response:
    """How a service, or one of its endpoint groups, answered minute by minute, and which windows are anomalous.

    Of more windows than `points` each step tells the greatest of its minutes. Without an endpoint the anomalies are
    those of all of them.
    """
    about = {"service": asked.service, "endpoint": asked.endpoint or ALL}
    none: dict[str, Any] = {"times": [], "step_s": 60.0, "anomalies": [], **about}
    none |= {"lines": {name: [] for name in MEASURES}, "total": {"requests": 0, "errors": 0, "late": 0}}

    def make(span: Span) -> dict[str, Any]:
        found = window_lines(home.store, span, asked.service, about["endpoint"], asked.points)
        marks = anomalous_windows(home, span, asked.service, asked.endpoint)
        return about | found | {"anomalies": [mark.to_json() for mark in marks]}

    return await _answer(request, home, asked, none, make)


@router.get("/endpoints", response_model=WebEndpoints, dependencies=[needs("read")])
async def endpoints(request: Request, home: TheHome, asked: Annotated[AskedEndpoints, Query()]) -> Response:
    """Endpoint groups of a span of time, those with the most errors first."""
    return await _answer(request, home, asked, {"endpoints": []}, lambda span: {
        "endpoints": top_endpoints(home.store, span, asked.service, asked.limit)
    })  # fmt: skip


@router.get("/latencies", response_model=Latencies, dependencies=[needs("read")])
async def latencies(request: Request, home: TheHome, asked: Annotated[AskedTraffic, Query()]) -> Response:
    """How many requests were answered within which time."""
    return await _answer(request, home, asked, {"latencies": []}, lambda span: {
        "latencies": analytics.latencies(home.store, span, named(home, asked.service), asked.endpoint).to_pylist()
    })  # fmt: skip


@router.get("/clients", response_model=WebClients, dependencies=[needs("read")])
async def clients(request: Request, home: TheHome, asked: Annotated[AskedTop, Query()]) -> Response:
    """The clients with the most requests."""

    def make(span: Span) -> dict[str, Any]:
        found = analytics.clients(home.store, span, asked.limit, named(home, asked.service), asked.endpoint)
        return {"clients": [in_json(row) for row in found.to_pylist()]}

    return await _answer(request, home, asked, {"clients": []}, make)


@router.get("/statuses", response_model=Statuses, dependencies=[needs("read")])
async def statuses(request: Request, home: TheHome, asked: Annotated[AskedTraffic, Query()]) -> Response:
    """How many requests were answered with which status."""
    return await _answer(request, home, asked, {"statuses": []}, lambda span: {
        "statuses": analytics.statuses(home.store, span, named(home, asked.service), asked.endpoint).to_pylist()
    })  # fmt: skip


@router.get("/requests", response_model=WebRequests, dependencies=[needs("read")])
async def requests(request: Request, home: TheHome, asked: Annotated[AskedRequests, Query()]) -> Response:
    """Requests one by one, the newest first, each with why it is anomalous if it is."""
    none: dict[str, Any] = {"total": 0, "limit": asked.limit, "offset": asked.offset, "next": None, "requests": []}

    def make(span: Span) -> dict[str, Any]:
        only = asked.show == "anomalous"
        total, found = marked_requests(
            home, span, asked.service, asked.endpoint, only=only, limit=asked.limit, offset=asked.offset
        )
        following = next_page(request, asked.limit, asked.offset, total)
        return {"total": total, "next": following, "requests": found}

    return await _answer(request, home, asked, none, make)


def recorded(home: Home) -> Span | None:
    """From the first request or window of a home to the end of the last; None where there is none."""
    if not home.settings.store_path.is_file():
        return None
    with home.store.read():
        known = [windows_between(home.store), domain_named("weblogs").recorded(home.store)]
    edges = [span for span in known if span is not None]
    if not edges:
        return None
    return min(begin for begin, _ in edges), max(end for _, end in edges) + timedelta.resolution


def anomalous_windows(home: Home, span: Span, service: str, endpoint: str, most: int = MARKED) -> list[Mark]:
    """The anomalous windows of a service and an endpoint group, of all where it is '', the latest first."""
    part, ending = f" {service} " if service else "", f" {endpoint}" if endpoint else ""
    return marks_between(home.store, home.settings, domain_named("traffic"), span, most, part, ending)


def marked_requests(
    home: Home, span: Span, service: str, endpoint: str, *, only: bool, limit: int, offset: int
) -> tuple[int, list[dict[str, Any]]]:
    """How many requests there are, or with `only` anomalous ones, and some of them with their `anomaly`."""
    kind, raw = domain_named("weblogs"), named(home, service)
    if only:
        marks = {mark.item: mark for mark in marks_between(home.store, home.settings, kind, span, MARKED)}
        total, rows = newest_requests(home.store, span, limit, offset, raw, endpoint, [*marks])
    else:
        total, rows = newest_requests(home.store, span, limit, offset, raw, endpoint)
        marks = marks_on(home.store, home.settings, kind, [row["item"] for row in rows])
    return total, [row | {"anomaly": marks[row["item"]].to_json() if row["item"] in marks else None} for row in rows]


def named(home: Home, service: str) -> str | None:
    """A service's name as requests write it; None for all."""
    return written_as(home.store, service) if service else None


async def _answer(
    request: Request, home: Home, asked: AskedWindow, none: dict[str, Any], make: Callable[[Span], dict[str, Any]]
) -> Response:
    return await answer(request, home, (asked.from_ts, asked.to_ts), recorded, none, make)
