"""The system behind the verdicts: who is polled, topics, dead letters, store, schedules, settings, tokens."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from hdfs_pipeline.serving.home import Home, TheHome, needs, speaker
from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.shapes.system import (
    Collectors,
    KnownTokens,
    Letters,
    MadeToken,
    NewToken,
    Requeue,
    Requeued,
    Schedules,
    SettingsInForce,
    StoreFacts,
    Topics,
    WholeLetter,
)
from hdfs_pipeline.verdicts.configuration import settings_in_force
from hdfs_pipeline.verdicts.housekeeping import collectors_of
from hdfs_pipeline.verdicts.letters import Asked, list_letters, reasons, whole_letter
from hdfs_pipeline.verdicts.requeue import requeue

router = APIRouter(prefix="/api", tags=["system"])


@router.get("/collectors", response_model=Collectors, dependencies=[needs("read")])
async def collectors(request: Request, home: TheHome) -> Response:
    """The servers that are polled: when they were asked and answered last, their role, and what is wrong with them."""
    return await home.cache.respond(request, lambda: {"collectors": collectors_of(home.store, home.settings)})


@router.get("/topics", response_model=Topics, dependencies=[needs("read")])
async def topics(request: Request, home: TheHome) -> Response:
    """Each topic with its messages, and how many of each partition the store and the workers have not taken yet."""
    return await home.cache.respond(request, home.topics)


class AskedLetters(Shape):
    """Which dead letters are asked for, and which page of them."""

    state: Literal["waiting", "requeued", "all"] = Field(
        "waiting", description="waiting: nobody has put it back; requeued: somebody has."
    )
    reason: str = Field("", max_length=500, description="Part of the reason.")
    topic: str = Field("", max_length=300)
    source: str = Field("", max_length=4000, description="Part of the source: a file's path, or kafka:topic/partition.")
    limit: int = Field(40, ge=1, le=1000)
    offset: int = Field(0, ge=0, le=10_000_000)


@router.get("/dead-letters", response_model=Letters, dependencies=[needs("read")])
async def dead_letters(request: Request, home: TheHome, asked: Annotated[AskedLetters, Query()]) -> Response:
    """Messages and records that could not be used, and why, the newest first."""
    wanted = Asked("" if asked.state == "all" else asked.state, asked.reason, asked.topic, asked.source)

    def make() -> dict[str, Any]:
        total, found, why = letters_in(home, wanted, asked.limit, asked.offset)
        after = asked.offset + asked.limit
        following = request.url.include_query_params(limit=asked.limit, offset=after)
        address = f"{following.path}?{following.query}" if after < total else None
        page = {"total": total, "limit": asked.limit, "offset": asked.offset, "next": address}
        return page | {"letters": found, "reasons": why}

    return await home.cache.respond(request, make)


def letters_in(home: Home, asked: Asked, limit: int, offset: int) -> tuple[int, list[dict[str, Any]], dict[str, int]]:
    """How many dead letters fit, a page of them, and why letters wait; nothing of a home without a store."""
    if not home.settings.store_path.is_file():
        return 0, [], {}
    with home.store.read():  # one view of the store
        return *list_letters(home.store, asked, limit, offset), reasons(home.store)


@router.get("/dead-letters/{identity}", response_model=WholeLetter, dependencies=[needs("read")])
async def dead_letter(request: Request, home: TheHome, identity: str) -> Response:
    """A dead letter with its original, from Kafka while that has it."""
    return await home.cache.respond(request, lambda: whole_letter(home.store, home.settings, identity))


@router.post("/dead-letters/{identity}/requeue", dependencies=[needs("operate")])
def put_back(request: Request, home: TheHome, identity: str, asked: Requeue) -> Requeued:
    """Put a dead letter back, once: its message to its topic, or the line of a file through reading."""
    return Requeued(**do_requeue(home, identity, speaker(request, asked.by)))


def do_requeue(home: Home, identity: str, by: str) -> dict[str, Any]:
    """Put a letter back, over the API or on its page."""
    try:
        return requeue(home.store, home.settings, identity, by=by)
    finally:
        home.cache.clear()


@router.get("/store", response_model=StoreFacts, dependencies=[needs("read")])
async def store(request: Request, home: TheHome) -> Response:
    """The store: its file and tables, how long rows are kept, what the next pruning takes, and what is free."""
    return await home.cache.respond(request, home.storage)


@router.get("/schedules", response_model=Schedules, dependencies=[needs("read")])
async def schedules(request: Request, home: TheHome) -> Response:
    """Dagster's schedules and sensors: whether they run, when they are due, and their last ticks."""
    return await home.cache.respond(request, home.schedules)


@router.get("/settings", response_model=SettingsInForce, dependencies=[needs("admin")])
async def settings(request: Request, home: TheHome) -> Response:
    """The settings in force, each with where it came from. Secrets are hidden."""
    return await home.cache.respond(request, lambda: {"settings": settings_in_force(home.settings)})


@router.get("/tokens", response_model=KnownTokens, dependencies=[needs("admin")])
def tokens(home: TheHome) -> dict[str, Any]:
    """Every token by name, scope and end."""
    return {"needed": home.guarded, "tokens": [token.to_json() for token in home.tokens.all()]}


@router.post("/tokens", dependencies=[needs("admin")])
def make_token(home: TheHome, asked: NewToken) -> MadeToken:
    """Make a token. The answer is the only place where it is told."""
    return MadeToken(name=asked.name, scope=asked.scope, token=home.tokens.make(asked.name, asked.scope, asked.days))


@router.delete("/tokens/{name}", status_code=204, response_class=Response, dependencies=[needs("admin")])
def revoke_token(home: TheHome, name: str) -> Response:
    """Let a token open nothing any more."""
    home.tokens.revoke(name)
    return Response(status_code=204)
