"""Incidents: the list, one in full, and what people do with them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from hdfs_pipeline.serving.home import Home, TheHome, needs, speaker
from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.shapes.incidents import Action, Incidents, Said, Status, WholeIncident
from hdfs_pipeline.verdicts.false_alarms import call_false
from hdfs_pipeline.verdicts.listing import Wanted, list_incidents, whole_incident
from hdfs_pipeline.verdicts.status import parse_since
from hdfs_pipeline.verdicts.tickets import FORMATS, export
from hdfs_pipeline.verdicts.trend import with_trends
from hdfs_pipeline.verdicts.words import say

router = APIRouter(prefix="/api/incidents", tags=["incidents"])

Does = Literal["acknowledge", "resolve", "suppress", "reopen", "false_alarm"]
_WORDS: dict[str, str] = {"acknowledge": "ack"}  # where the store has another
Format = Literal["json", "csv", "markdown"]


_FILES: dict[int | str, dict[str, Any]] = {
    200: {"description": "A file.", "content": {kind.partition(";")[0]: {} for kind in FORMATS.values()}}
}


class Asked(Shape):
    """Which incidents are asked for, and which page of them."""

    status: list[Status] = Field([], description="One or several.")
    domain: str = ""
    entity: str = Field("", description="A server, by its address or another name of it.")
    kind: str = Field("", description="Part of the kind of its anomalies.")
    since: str = Field("", description="Ended then or later: ISO 8601, or a span before now: 90m, 24h, 7d.")
    limit: int = Field(40, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=10_000_000)


@router.get("", response_model=Incidents, dependencies=[needs("read")])
async def many(request: Request, home: TheHome, asked: Annotated[Asked, Query()]) -> Response:
    """The incidents that fit, the latest first."""
    start = parse_since(asked.since, datetime.now(UTC)).time if asked.since else None
    wanted = Wanted(asked.status, asked.domain, asked.entity, asked.kind, start)

    def make() -> dict[str, Any]:
        total, found = 0, list[dict[str, Any]]()
        if home.settings.store_path.is_file():
            total, found = list_incidents(home.store, wanted, asked.limit, asked.offset)
            found = with_trends(home.store, found)
        after = asked.offset + asked.limit
        following = request.url.include_query_params(limit=asked.limit, offset=after)
        address = f"{following.path}?{following.query}" if after < total else None
        page = {"total": total, "limit": asked.limit, "offset": asked.offset, "next": address}
        return page | {"incidents": found}

    return await home.cache.respond(request, make)


@router.get("/{identity}", response_model=WholeIncident, dependencies=[needs("read")])
async def one(request: Request, home: TheHome, identity: str) -> Response:
    """An incident, by its id or the first digits of it, with people's words, related incidents and examples."""
    return await home.cache.respond(request, lambda: whole_incident(home.store, identity))


@router.get("/{identity}/export", dependencies=[needs("read")], response_class=Response, responses=_FILES)
async def exported(
    home: TheHome,
    identity: str,
    format: Annotated[Format, Query(description="csv has one row an anomaly; markdown is for a ticket.")] = "json",
) -> Response:
    """An incident as a file: all of it with its anomalies, its anomalies alone, or a summary for people."""
    name, text = await home.turns.run(lambda: export(home.store, identity, format))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=FORMATS[format], headers=headers)


@router.post("/{identity}/{does}", dependencies=[needs("operate")])
def act(request: Request, home: TheHome, identity: str, does: Does, action: Action) -> Said:
    """Say what is done about an incident. Only one that is open can be acknowledged; any other stays as it is.

    A false alarm is suppressed, and each of its anomalies gets the word `false`, from which detectors learn.
    """
    return Said(**do(home, identity, does, action.note, speaker(request, action.by)))


def do(home: Home, identity: str, does: Does, note: str, by: str) -> dict[str, Any]:
    """Do with an incident what somebody asks for, over the API or on its page."""
    if does == "false_alarm":
        said = call_false(home.store, identity, note=note, by=by)
    else:
        said = say(home.store, identity, _WORDS.get(does, does), note=note, by=by)
    home.cache.clear()
    return said
