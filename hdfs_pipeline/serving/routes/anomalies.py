"""Anomalous items of any domain."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.serving.home import TheHome, needs
from hdfs_pipeline.serving.shapes.anomalies import Anomalies
from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.shapes.window import Time, in_order
from hdfs_pipeline.verdicts.anomalies import WantedAnomalies, list_anomalies

router = APIRouter(prefix="/api/anomalies", tags=["items"])


class AskedAnomalies(Shape):
    """Which anomalies are asked for, and which page of them."""

    domain: str = Field("", description="By default all.")
    detector: str = ""
    entity: str = Field("", description="What they belong to, as host:port, or the host that tells of them.")
    from_ts: Time | None = Field(None, description="Ended then or later.")
    to_ts: Time | None = Field(None, description="Began before.")
    limit: int = Field(40, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=10_000_000)


@router.get("", response_model=Anomalies, dependencies=[needs("read")])
async def anomalies(request: Request, home: TheHome, asked: Annotated[AskedAnomalies, Query()]) -> Response:
    """The anomalies that fit, the latest first: each detector's verdict on an item, by batch and by stream."""
    name = domain_named(asked.domain).name if asked.domain else ""
    wanted = WantedAnomalies(name, asked.detector, asked.entity, *in_order(asked.from_ts, asked.to_ts))

    def make() -> dict[str, Any]:
        total, found = 0, list[dict[str, Any]]()
        if home.settings.store_path.is_file():
            total, found = list_anomalies(home.store, wanted, asked.limit, asked.offset)
        after = asked.offset + asked.limit
        following = request.url.include_query_params(limit=asked.limit, offset=after)
        address = f"{following.path}?{following.query}" if after < total else None
        page = {"total": total, "limit": asked.limit, "offset": asked.offset, "next": address}
        return page | {"anomalies": found}

    return await home.cache.respond(request, make)
