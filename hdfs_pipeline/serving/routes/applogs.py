"""Messages of applications: by service over time, by template, and one by one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.applogs.templates import catalogue_of
from hdfs_pipeline.domains.applogs.timeline import Chosen, message_lines, newest_messages, services, templates
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.routes.spans import answer, in_json, next_page
from hdfs_pipeline.serving.routes.web import MARKED
from hdfs_pipeline.serving.shapes.applogs import (
    AppCounts,
    AppMessages,
    AppServices,
    AppTemplates,
    AskedCounts,
    AskedMessages,
    AskedNewest,
    AskedTemplates,
)
from hdfs_pipeline.verdicts.marked import marks_between, marks_on

router = APIRouter(prefix="/api/app", tags=["app"])


@router.get("/services", response_model=AppServices, dependencies=[needs("read")])
async def app_services(request: Request, home: TheHome, asked: Annotated[AskedMessages, Query()]) -> Response:
    """The applications and services that wrote messages in a span of time, the busiest first."""
    return await _answer(request, home, asked, {"services": []}, lambda chosen: {
        "services": [in_json(row) for row in services(home.store, chosen)]
    })  # fmt: skip


@router.get("/counts", response_model=AppCounts, dependencies=[needs("read")])
async def counts(request: Request, home: TheHome, asked: Annotated[AskedCounts, Query()]) -> Response:
    """Messages and errors a minute over time, of the busiest services and of all others together."""
    none = {"times": [], "step_s": 60.0, "services": [], "total": {"messages": 0, "errors": 0}}
    return await _answer(request, home, asked, none, lambda chosen: message_lines(home.store, chosen, asked.points))


@router.get("/templates", response_model=AppTemplates, dependencies=[needs("read")])
async def app_templates(request: Request, home: TheHome, asked: Annotated[AskedTemplates, Query()]) -> Response:
    """The templates of messages, those with the most errors first, then the most frequent ones."""
    return await _answer(request, home, asked, {"templates": []}, lambda chosen: {
        "templates": [
            in_json(row) for row in templates(home.store, catalogue_of(home.settings), chosen, limit=asked.limit)
        ]
    })  # fmt: skip


@router.get("/messages", response_model=AppMessages, dependencies=[needs("read")])
async def messages(request: Request, home: TheHome, asked: Annotated[AskedNewest, Query()]) -> Response:
    """Messages one by one, the newest first, each with why it is anomalous if it is."""
    none: dict[str, Any] = {"total": 0, "limit": asked.limit, "offset": asked.offset, "next": None, "messages": []}

    def make(chosen: Chosen) -> dict[str, Any]:
        total, found = marked_messages(home, chosen, asked.show == "anomalous", asked.limit, asked.offset)
        return {"total": total, "next": next_page(request, asked.limit, asked.offset, total), "messages": found}

    return await _answer(request, home, asked, none, make)


def recorded(home: Home) -> Span | None:
    """From the first message of a home to just after the last; None where there is none."""
    if not home.settings.store_path.is_file():
        return None
    known = domain_named("applogs").recorded(home.store)
    return None if known is None else (known[0], known[1] + timedelta.resolution)


def marked_messages(
    home: Home, chosen: Chosen, only: bool, limit: int, offset: int
) -> tuple[int, list[dict[str, Any]]]:
    """How many messages there are, or with `only` anomalous ones, and some of them with their `anomaly`."""
    kind = domain_named("applogs")
    if only:
        marks = {mark.item: mark for mark in marks_between(home.store, home.settings, kind, chosen.span, MARKED)}
        total, rows = newest_messages(home.store, chosen, limit, offset, [*marks])
    else:
        total, rows = newest_messages(home.store, chosen, limit, offset)
        marks = marks_on(home.store, home.settings, kind, [row["item"] for row in rows])
    return total, [row | {"anomaly": marks[row["item"]].to_json() if row["item"] in marks else None} for row in rows]


async def _answer(
    request: Request,
    home: Home,
    asked: AskedMessages,
    none: dict[str, Any],
    make: Callable[[Chosen], dict[str, Any]],
) -> Response:
    edges = asked.from_ts, asked.to_ts
    return await answer(
        request, home, edges, recorded, none, lambda span: make(Chosen(span, asked.service, asked.level))
    )
