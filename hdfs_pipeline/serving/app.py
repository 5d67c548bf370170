"""The application: its routes, the shape of its errors, and what every request must pass."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Any, Final

from anyio import to_thread
from fastapi import FastAPI, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles

from hdfs_pipeline.serving.document import complete_document
from hdfs_pipeline.serving.guard import Guard
from hdfs_pipeline.serving.home import Home
from hdfs_pipeline.serving.live import Live
from hdfs_pipeline.serving.pages import applogs as applogs_pages
from hdfs_pipeline.serving.pages import docs, feed, groups, now, signing
from hdfs_pipeline.serving.pages import experiments as experiment_pages
from hdfs_pipeline.serving.pages import incidents as incident_pages
from hdfs_pipeline.serving.pages import items as item_pages
from hdfs_pipeline.serving.pages import logs as log_pages
from hdfs_pipeline.serving.pages import models as model_pages
from hdfs_pipeline.serving.pages import namenode as namenode_pages
from hdfs_pipeline.serving.pages import system as system_pages
from hdfs_pipeline.serving.pages import web as web_pages
from hdfs_pipeline.serving.pages.render import STATIC, shown_problem
from hdfs_pipeline.serving.problems import DOCUMENTED, tell_problems
from hdfs_pipeline.serving.routes import (
    anomalies,
    applogs,
    experiments,
    incidents,
    items,
    jobs,
    live,
    logs,
    models,
    namenode,
    score,
    state,
    system,
    web,
)
from hdfs_pipeline.settings import Settings

ABOUT: Final = """What is wrong on an HDFS cluster, where, since when and why.

Every error has one shape (`application/problem+json`). Times are ISO 8601 with their zone. What is polled has an ETag:
send it back as `If-None-Match`, and an answer that has not changed is 304 without a body. Where a token is needed, send
`Authorization: Bearer …`; each scope (read, feedback, operate, admin) includes those before it."""


def create_app(settings: Settings) -> FastAPI:
    """The application for a home, without its `Guard`."""
    home = Home.of(settings)
    live_feed = Live(home.store, settings, home.cache)

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(live_feed.watch())
        await to_thread.run_sync(home.sections.look, home.cache.state())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            await to_thread.run_sync(home.jobs.end)

    app = FastAPI(
        title="hdfs_pipeline",
        version=version("hdfs-pipeline"),
        description=ABOUT,
        responses=DOCUMENTED,
        lifespan=running,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        generate_unique_id_function=_name,
    )
    app.state.home, app.state.live = home, live_feed
    tell_problems(app, shown_problem)
    for router in (  # what is polled most comes first: routes are tried in their order
        incidents.router,
        state.router,
        state.bare,
        items.router,
        models.router,
        score.router,
        live.router,
        namenode.router,
        anomalies.router,
        jobs.router,
        system.router,
        logs.router,
        web.router,
        applogs.router,
        experiments.router,
        *items.of_domains,
    ):
        app.include_router(router)
    for page in (
        now,
        incident_pages,
        groups,
        feed,
        item_pages,
        namenode_pages,
        web_pages,
        applogs_pages,
        model_pages,
        experiment_pages,
        log_pages,
        system_pages,
        docs,
        signing,
    ):
        app.include_router(page.router)
    app.mount("/static", Files(directory=STATIC), name="static")
    complete_document(app)
    return app


class Files(StaticFiles):
    """The pages' files, which browsers may keep: their addresses change with their content."""

    def file_response(self, *args: Any, **more: Any) -> Response:
        """A file, for good where the address names its content."""
        answer = super().file_response(*args, **more)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


def guarded(app: FastAPI) -> Guard:
    """The application behind what every request must pass."""
    home: Home = app.state.home
    return Guard(app, home.settings, home.figures.count)


def _name(route: APIRoute) -> str:
    """The name of an operation, for clients made from the OpenAPI document."""
    return f"{'_'.join(map(str, route.tags))}_{route.name}".replace(" ", "_")
