"""Experiments on load, and their report."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from hdfs_pipeline.experiments.load.page import compared
from hdfs_pipeline.experiments.load.records import Record, experiments
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.routes.spans import in_json, next_page
from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.shapes.experiments import ExperimentReport, Experiments

router = APIRouter(prefix="/api/experiments", tags=["experiments"])


class AskedExperiments(Shape):
    """Which experiments are asked for, and which page of them."""

    status: Literal["", "running", "completed", "failed"] = Field("", description="By default all.")
    limit: int = Field(40, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=10_000_000)


@router.get("", response_model=Experiments, dependencies=[needs("read")])
async def list_experiments(request: Request, home: TheHome, asked: Annotated[AskedExperiments, Query()]) -> Response:
    """Experiments on load, the latest first: what was asked for, and what came of it."""

    def make() -> dict[str, Any]:
        found = recorded(home, status=asked.status)[::-1]
        page = found[asked.offset : asked.offset + asked.limit]
        return {
            "total": len(found),
            "limit": asked.limit,
            "offset": asked.offset,
            "next": next_page(request, asked.limit, asked.offset, len(found)),
            "experiments": [in_json(record.to_json()) for record in page],
        }

    return await home.cache.respond(request, make)


@router.get("/report", response_model=ExperimentReport, dependencies=[needs("read")])
async def report(
    request: Request,
    home: TheHome,
    name: Annotated[
        list[str] | None,
        Query(max_length=100, description="Names or ids of experiments, one or several; by default all."),
    ] = None,
) -> Response:
    """Completed experiments side by side: throughput, latency, what limited each, and what to do."""

    def make() -> dict[str, Any]:
        return compared(home.store, recorded(home, name or ())).to_json()

    return await home.cache.respond(request, make)


def recorded(home: Home, names: Sequence[str] = (), status: str = "") -> list[Record]:
    """The experiments of a home, the latest last; none of a home without a store.

    Raises: UsageError for a name or a status that there is none of.
    """
    if not home.settings.store_path.is_file() and not names:
        return []
    return experiments(home.store, names, status)
