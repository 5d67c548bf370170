"""The page of the feed: anomalies one by one as they come, the newest on top."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.live import Live
from hdfs_pipeline.serving.pages.render import respond
from hdfs_pipeline.verdicts.feed import latest

router = APIRouter(include_in_schema=False)

_ROWS: Final = 100
_FRESH_S: Final = 0.5  # what came over Kafka does not change the store


@router.get("/feed", dependencies=[needs("read")])
async def feed(request: Request, home: TheHome) -> Response:
    """The newest anomalies; the script of the page goes on from there."""
    live: Live = request.app.state.live
    at, remembered = live.now(), live.anomalies.latest()
    return await respond(request, home, "feed.html", lambda: _values(home, at, remembered), _FRESH_S)


def _values(home: Home, at: str, remembered: list[dict[str, Any]]) -> dict[str, Any]:
    has_store = home.settings.store_path.is_file()
    stored = latest(home.store, _ROWS) if has_store else []
    newest: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in sorted([*stored, *remembered], key=lambda row: str(row["scored_at"])):
        newest[(row["domain"], row["item"], row["detector"])] = row
    rows = sorted(newest.values(), key=lambda row: (row["scored_at"], row["first_time"] or ""), reverse=True)
    return {"rows": rows[:_ROWS], "most": _ROWS, "at": at, "has_store": has_store}
