"""The state of the home and of the server: the morning's answer, health, readiness, Prometheus."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse

from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.problems import problem
from hdfs_pipeline.serving.shapes.state import HomeHealth, HomeStatus
from hdfs_pipeline.verdicts.health import ILL, STORE_S, WELL, store_part
from hdfs_pipeline.verdicts.status import DAY, home_status, open_severities, parse_since

router = APIRouter(prefix="/api", tags=["state"])
bare = APIRouter(tags=["state"])
"""Routes outside of /api."""


@router.get("/status", response_model=HomeStatus, dependencies=[needs("read")])
async def status(
    request: Request,
    home: TheHome,
    since: Annotated[str, Query(description="ISO 8601, or a span before now: 90m, 24h, 7d.")] = DAY,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many incidents are listed, the gravest first.")] = 40,
) -> Response:
    """What is wrong now, what changed, what the watcher itself lacks, and what to type next."""
    parse_since(since, datetime.now(UTC))

    def make() -> dict[str, Any]:
        now = datetime.now(UTC)
        return home_status(home.store, home.settings, parse_since(since, now), now=now, most=limit).to_json()

    return await home.cache.respond(request, make)


@router.get("/health", response_model=HomeHealth, dependencies=[needs("read")])
async def health(request: Request, home: TheHome) -> Response:
    """Whether store, broker, models and senders of data work, and how many messages wait for the store."""
    return await home.cache.respond(request, lambda: home.health().to_json())


@router.get("/ready", status_code=204, response_class=Response)
async def ready(home: TheHome) -> Response:
    """Whether this server can answer, told within two seconds: nobody needs a token to ask."""
    part = await home.probes.run(lambda: store_part(home.store, home.settings))
    return problem(503, part.text) if part.state == ILL else Response(status_code=204)


@bare.get("/metrics", dependencies=[needs("read")], response_class=PlainTextResponse)
async def metrics(home: TheHome) -> Response:
    """The figures of this server and of the home, for Prometheus."""
    text = await home.probes.run(lambda: _figures(home))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _figures(home: Home) -> bytes:
    found = home.health()
    severities: dict[str, int] = {}
    if found.parts[0].state == WELL:
        # Somebody may write meanwhile: what is known of the parts is told all the same.
        with suppress(PipelineError), home.store.read(STORE_S) as con:
            severities = open_severities(con)
    return home.figures.text(found, severities)
