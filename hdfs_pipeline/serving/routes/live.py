"""The live feed."""

from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from hdfs_pipeline.serving.home import needs
from hdfs_pipeline.serving.live import ANOMALY, INCIDENT, Live, parse_id

_EVENTS: Final = f"^({INCIDENT}|{ANOMALY})(,({INCIDENT}|{ANOMALY}))?$"


class EventStream(StreamingResponse):
    """An answer of server-sent events."""

    media_type = "text/event-stream"


router = APIRouter(prefix="/api", tags=["state"])


@router.get("/live", dependencies=[needs("read")], response_class=EventStream)
async def live(
    request: Request,
    events: Annotated[
        str, Query(pattern=_EVENTS, description="`incident`, `anomaly`, or both with a comma between them.")
    ] = INCIDENT,
    after: Annotated[str, Query(description="As `Last-Event-ID`, for a first connection.")] = "",
    last_event_id: Annotated[str, Header(description="The last event that was seen.")] = "",
) -> StreamingResponse:
    """Changes of incidents and anomalies as server-sent events, until the client goes; resumable by event id.

    An event is `incident`, `anomaly`, or `skipped`: how many anomalies were left out, of more than 20 in a second.
    """
    feed: Live = request.app.state.live
    last = last_event_id or after
    if last:
        parse_id(last)
    return EventStream(feed.events(last, events.split(",")))
