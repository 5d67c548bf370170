"""The page of experiments on load: which there are, what they tell side by side, and their pictures."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.experiments.load.page import compared, drawn
from hdfs_pipeline.experiments.load.pictures import MOST_PARTITIONS
from hdfs_pipeline.experiments.load.records import STATUSES
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.pages.render import respond
from hdfs_pipeline.serving.routes.experiments import recorded

router = APIRouter(prefix="/experiments", include_in_schema=False)

MOST: Final = 100
"""Experiments on the page, the latest; the command line tells of all."""
MOST_LAGS: Final = 12
"""Experiments whose lag is drawn, the latest."""


@router.get("", dependencies=[needs("read")])
async def one(request: Request, home: TheHome, status: str = "") -> Response:
    """The experiments of a status, side by side."""
    if status not in ("", *STATUSES):
        raise UsageError(f"{status[:40]!r} is no status of an experiment; there are {', '.join(STATUSES)}")
    return await respond(request, home, "experiments.html", lambda: _values(home, status))


def _values(home: Home, status: str) -> dict[str, Any]:
    records = recorded(home, status=status)
    shown = records[-MOST:]
    values = {"status": status, "statuses": STATUSES, "total": len(records), "most": MOST, "lags": MOST_LAGS}
    if not shown:
        return values | {"records": [], "rows": [], "found": None, "drawn": None}
    found = compared(home.store, shown)
    return values | {
        "records": shown[::-1],
        "rows": list(zip(found.sides, found.efficiencies, strict=True)),
        "found": found,
        "drawn": drawn(home.store, found, MOST_LAGS),
        "partitions": MOST_PARTITIONS,
    }
