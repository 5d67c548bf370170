"""Raw records: searched, as one answer or as a stream, and counted by their patterns."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal

import orjson
from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from hdfs_pipeline.serving.cache import STORE_S
from hdfs_pipeline.serving.home import TheHome, needs
from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.shapes.logs import LogPatterns, Logs
from hdfs_pipeline.verdicts.logs import SECONDS, Question, Search
from hdfs_pipeline.verdicts.patterns import Show, report_patterns

router = APIRouter(prefix="/api/logs", tags=["logs"])

NDJSON: Final = "application/x-ndjson"
_STREAM: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {NDJSON: {"schema": {"type": "string"}}}}}
_WHEN: Final = "ISO 8601, UTC where it names no zone, or a span before the latest record: 15m, 24h, 7d."


class Asked(Shape):
    """Which records are asked for: those that meet every condition."""

    domain: str = Field("", max_length=100, description="By default the first one that keeps raw records.")
    text: str = Field("", max_length=500, description="Part of the record after its time stamp, in whichever case.")
    regex: str = Field("", max_length=500, description="A regular expression of RE2 that matches a part of it.")
    item: str = Field("", max_length=500, description="Id of an item that the record names, such as a block.")
    level: list[str] = Field([], max_length=20, description="One or several log levels.")
    host: str = Field("", max_length=500, description="Host, daemon or server that wrote it.")
    logger: str = Field("", max_length=500, description="Part of the logger's name.")
    template: str = Field("", max_length=200, description="A template that it matches, as `DOMAIN/ID`.")
    begin: str = Field("", alias="from", max_length=100, description=_WHEN)
    end: str = Field("", alias="to", max_length=100, description="The same; by default until the latest record.")
    after: str = Field("", max_length=60, description="Go on where an answer with this `after` has ended.")

    def question(self) -> Question:
        """What is asked for, for `Search`."""
        given = self.model_dump(include={"domain", "text", "item", "host", "logger", "template", "begin", "end"})
        return Question(**given, expression=self.regex, levels=tuple(self.level), after=self.after)


class AskedStream(Asked):
    """Beside the records how many, how long, and in which form."""

    limit: int = Field(100, ge=1, le=10_000)
    seconds: float = Field(SECONDS, ge=0.1, le=30, description="For which it searches at most.")
    format: Literal["json", "ndjson"] = Field("json", description=f"`ndjson` as with `Accept: {NDJSON}`.")


@router.get("", response_model=Logs, dependencies=[needs("read")], responses=_STREAM)
async def logs(request: Request, home: TheHome, asked: Annotated[AskedStream, Query()]) -> Response:
    """Search raw records, the latest first; the search ends with the request.

    With `format=ndjson`, or `Accept: application/x-ndjson`, each record is a line of its own as soon as it is found,
    and the last line says how far the search went, as the other fields of the answer do.
    """
    question = asked.question()
    search = await to_thread.run_sync(lambda: Search(home.store, home.settings, question, asked.limit, asked.seconds))
    chunks = home.searches.chunks(request, search)
    if asked.format == "ndjson" or NDJSON in request.headers.get("accept", ""):
        first = await anext(chunks, None)  # so that what is wrong with the question is told by the status
        return StreamingResponse(_lines(request, search, first, chunks), media_type=NDJSON)
    records = [record async for chunk in chunks for record in chunk]
    return Response(orjson.dumps(_summary(request, search) | {"records": records}), media_type="application/json")


async def _lines(
    request: Request, search: Search, first: list[dict[str, Any]] | None, chunks: AsyncIterator[list[dict[str, Any]]]
) -> AsyncIterator[bytes]:
    if first:
        yield _encoded(first)
        async for chunk in chunks:
            yield _encoded(chunk)
    yield _encoded([_summary(request, search)])


def _encoded(records: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records)


def _summary(request: Request, search: Search) -> dict[str, Any]:
    """How far a search went."""
    begin, end = (time.isoformat(timespec="milliseconds") for time in search.span) if search.span else (None, None)
    following = request.url.include_query_params(after=search.after)
    return {
        "begin": begin,
        "end": end,
        "ended": search.ended,
        "searched_from": search.searched_from and search.searched_from.isoformat(timespec="milliseconds"),
        "after": search.after,
        "next": f"{following.path}?{following.query}" if search.after else None,
    }


@router.get("/patterns", response_model=LogPatterns, dependencies=[needs("read")])
async def patterns(
    request: Request,
    home: TheHome,
    domain: Annotated[str, Query(max_length=100)] = "",
    begin: Annotated[str, Query(alias="from", max_length=100, description=_WHEN)] = "24h",
    end: Annotated[str, Query(alias="to", max_length=100, description=_WHEN)] = "",
    show: Annotated[Show, Query(description="All, or only what is new, rare, or has stopped.")] = "all",
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """How often records of a window matched each template, step by step, against the window before; the new first."""

    def make() -> dict[str, Any]:
        found = report_patterns(home.store, home.settings, domain, begin, end, show)
        return found | {"patterns": found["patterns"][:limit]}

    return await home.cache.respond(request, make, STORE_S)
