"""The page Now: the answer first, what is open, where and when, what changed, what the watcher lacks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.pages.lanes import lanes_of
from hdfs_pipeline.serving.pages.render import respond
from hdfs_pipeline.verdicts.listing import Wanted, list_incidents
from hdfs_pipeline.verdicts.status import CHANGES, DAY, Status, home_status, parse_since
from hdfs_pipeline.verdicts.trend import with_trends

router = APIRouter(include_in_schema=False)

SPANS: Final = ("1h", "6h", "24h", "7d", "4w")
_DRAWN: Final = 2000  # incidents in the picture
_LISTED: Final = 60
_EDGE: Final = 0.02  # of the window, on both sides of the picture


@router.get("/", dependencies=[needs("read")])
async def now(
    request: Request,
    home: TheHome,
    since: str = DAY,
    begin: Annotated[str, Query(alias="from")] = "",
    end: Annotated[str, Query(alias="to")] = "",
) -> Response:
    """What is wrong now, over a span before now or a window of time."""
    return await respond(request, home, "now.html", lambda: _values(home, since, begin, end))


def _values(home: Home, since: str, begin: str, end: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    window = _window(begin, end, now)
    asked = parse_since(since, now)
    status = home_status(home.store, home.settings, asked, now=now, most=_LISTED)
    start, until = window or (status.since, _until(status))
    drawn: list[dict[str, Any]] = []
    if home.settings.store_path.is_file():
        drawn = list_incidents(home.store, Wanted(since=start, until=until), _DRAWN)[1]
    if window:
        going_on = {row["id"] for row in status.open}
        ended = [row for row in drawn if row["id"] not in going_on]
        status = replace(status, ended=ended[:_LISTED], number_ended=len(ended))
    listed = with_trends(home.store, [*status.open, *status.ended])
    status = replace(status, open=listed[: len(status.open)], ended=listed[len(status.open) :])
    shown = _shown(drawn, start, until) if window is None else (start, until)
    edge = (shown[1] - shown[0]) * _EDGE
    return {
        "status": status,
        "since": since,
        "brushed": window is not None,
        "spans": SPANS,
        "window": {"begin": f"{start:%Y-%m-%dT%H:%M:%S}", "end": f"{until:%Y-%m-%dT%H:%M:%S}"},
        "lanes": lanes_of(drawn, shown[0] - edge, shown[1] + edge),
        "changes": [(word, status.changed[name]) for name, word in CHANGES.items() if status.changed.get(name)],
    }


def _until(status: Status) -> datetime:
    """Where the window ends: now, or with the records of logs that ended long ago."""
    return status.until if status.finished and status.until else status.now


def _shown(drawn: list[dict[str, Any]], start: datetime, until: datetime) -> tuple[datetime, datetime]:
    """The part of a span before now in which there was anything: a picture of nothing helps nobody."""
    began = [datetime.fromisoformat(row["started_at"]) for row in drawn]
    return max(min(began, default=start), start), until


def _window(begin: str, end: str, now: datetime) -> tuple[datetime, datetime] | None:
    if not begin and not end:
        return None
    last = parse_since(end, now).time if end else now
    first = parse_since(begin, now).time if begin else last - timedelta(days=1)
    if not first < last:
        raise UsageError(f"the window ends ({end}) before it begins ({begin})")
    return first, last
