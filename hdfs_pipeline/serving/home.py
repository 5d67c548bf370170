"""What the routes share: the home that they tell of, and who may ask."""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from hdfs_pipeline.serving.cache import STORE_S, Cache
from hdfs_pipeline.serving.figures import Figures
from hdfs_pipeline.serving.jobs import Jobs
from hdfs_pipeline.serving.kept import Kept
from hdfs_pipeline.serving.searching import Searches
from hdfs_pipeline.serving.sections import Sections
from hdfs_pipeline.serving.tokens import Scope, Tokens, are_needed
from hdfs_pipeline.serving.turns import Turns
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.health import Health, health_of
from hdfs_pipeline.verdicts.housekeeping import store_facts
from hdfs_pipeline.verdicts.outside import Judges
from hdfs_pipeline.verdicts.schedules import schedules_of
from hdfs_pipeline.verdicts.topics import topics_of

COOKIE: Final = "hdfsp_token"
"""Cookie in which a browser keeps the token that somebody has signed in with."""
_PROBES: Final = 4  # at once
_BEARER: Final = HTTPBearer(auto_error=False, description="Made by `hdfs-pipeline tokens make NAME --scope SCOPE`.")


@dataclass(frozen=True)
class Home:
    """The home that is served. Without `guarded` no token is needed, for only this machine can ask.

    What takes long waits for one of `turns`; probes have turns of their own.
    """

    settings: Settings
    store: Store
    cache: Cache
    tokens: Tokens
    figures: Figures
    judges: Judges
    jobs: Jobs
    sections: Sections
    searches: Searches
    turns: Turns
    probes: Turns
    health: Kept[Health]
    topics: Kept[dict[str, Any]]
    schedules: Kept[dict[str, Any]]
    storage: Kept[dict[str, Any]]
    guarded: bool

    @classmethod
    def of(cls, settings: Settings) -> "Home":
        """The home of these settings."""
        store, turns = Store.open(settings), Turns()
        return cls(
            settings,
            store,
            Cache(store, turns),
            Tokens(settings),
            Figures(),
            Judges(store, settings),
            Jobs(),
            Sections(store),
            Searches(),
            turns,
            Turns(_PROBES),
            Kept(lambda: health_of(store, settings)),
            Kept(lambda: topics_of(store, settings)),
            Kept(lambda: schedules_of(settings)),
            Kept(lambda: store_facts(store, settings), STORE_S),
            are_needed(settings),
        )


async def the_home(request: Request) -> Home:  # not blocking, and a plain `def` would cost each request a thread
    """The home that the application serves."""
    home: Home = request.app.state.home
    return home


TheHome = Annotated[Home, Depends(the_home)]


@cache
def needs(scope: Scope) -> Any:
    """A route's need of a token with `scope`. Whose it is stands in `request.state.by`, '' for nobody's."""

    async def check(
        request: Request, home: TheHome, shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]
    ) -> None:
        text = shown.credentials if shown else request.cookies.get(COOKIE, "")
        request.state.by = ""
        if not text and not home.guarded:
            return
        token = home.tokens.find(text) if text else None
        if token is None:
            why = "this token is unknown, revoked or over" if text else "a token is needed: `Authorization: Bearer …`"
            raise HTTPException(401, f"{why}; `hdfs-pipeline tokens make` makes one", {"WWW-Authenticate": "Bearer"})
        if not token.allows(scope):
            raise HTTPException(403, f"the token {token.name} is for {token.scope}; this needs {scope}")
        request.state.by = token.name

    check.scope = scope  # type: ignore[attr-defined] # so that a test can ask each route
    return Depends(check)


def speaker(request: Request, given: str) -> str:
    """Who says something: the holder of the token, or where there is none whom the request names."""
    return str(request.state.by or given)
