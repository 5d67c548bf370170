"""Answers about a span of time of what a home has recorded, all of one from one view of the store."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fastapi import Request, Response

from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.serving.home import Home
from hdfs_pipeline.serving.shapes.window import in_order

DAY: Final = timedelta(days=1)
"""The span before the end of what was recorded that is told without a word."""


async def answer(
    request: Request,
    home: Home,
    edges: tuple[datetime | None, datetime | None],
    recorded: Callable[[Home], Span | None],
    none: dict[str, Any],
    make: Callable[[Span], dict[str, Any]],
) -> Response:
    """What `make` gives of a span, with `begin` and `end`; `none` where nothing was recorded, or nothing within it.

    `edges` are from when until when, None for the day before the end of what was recorded. Raises: UsageError where
    the span ends before it begins.
    """
    in_order(*edges)

    def work() -> dict[str, Any]:
        known = recorded(home)
        if known is None:
            return {"begin": None, "end": None} | none
        end = edges[1] or known[1]
        begin = edges[0] or end - DAY
        in_order(begin, end)
        about = {"begin": begin.astimezone(UTC).isoformat(), "end": end.astimezone(UTC).isoformat()}
        span = max(begin, known[0]), min(end, known[1])
        if not span[0] < span[1]:
            return about | none
        with home.store.read():
            return about | none | make(span)

    return await home.cache.respond(request, work)


def next_page(request: Request, limit: int, offset: int, total: int) -> str | None:
    """The address of the next page of a list; None after the last."""
    after = offset + limit
    following = request.url.include_query_params(limit=limit, offset=after)
    return f"{following.path}?{following.query}" if after < total else None


def in_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its times in ISO 8601, UTC."""
    return {
        name: value.astimezone(UTC).isoformat(timespec="milliseconds") if isinstance(value, datetime) else value
        for name, value in row.items()
    }
