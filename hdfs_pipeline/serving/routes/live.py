"""The live feed."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from hdfs_pipeline.serving.home import needs
from hdfs_pipeline.serving.live import Live, parse_id


class EventStream(StreamingResponse):
    """An answer of server-sent events."""

    media_type = "text/event-stream"


router = APIRouter(prefix="/api", tags=["state"])


@router.get("/live", dependencies=[needs("read")], response_class=EventStream)
async def live(
    request: Request, last_event_id: Annotated[str, Header(description="The last event that was seen.")] = ""
) -> StreamingResponse:
    """Each change of an incident as a server-sent event `incident`, until the client goes; resumable by event id."""
    feed: Live = request.app.state.live
    if last_event_id:
        parse_id(last_event_id)
    return EventStream(feed.events(last_event_id))
