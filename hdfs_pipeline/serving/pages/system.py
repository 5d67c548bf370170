"""The pages of the system: its parts, who is polled, topics, dead letters, store, schedules, settings, tokens."""

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from hdfs_pipeline.errors import DataError, PipelineError, UsageError
from hdfs_pipeline.serving.home import Home, TheHome, needs, speaker
from hdfs_pipeline.serving.pages.render import form, page, respond
from hdfs_pipeline.serving.routes.system import do_requeue, letters_in
from hdfs_pipeline.serving.tokens import SCOPES
from hdfs_pipeline.verdicts.configuration import settings_in_force
from hdfs_pipeline.verdicts.health import ILL, OFF, STORE_S
from hdfs_pipeline.verdicts.housekeeping import collectors_of
from hdfs_pipeline.verdicts.letters import REQUEUED, WAITING, Asked, whole_letter

router = APIRouter(prefix="/system", include_in_schema=False)

PER_PAGE: Final = 50
_NEWEST: Final = 5  # letters on the first page
_NAME: Final = 200  # characters of somebody's name
_STATES: Final = (WAITING, REQUEUED, "all")
_NOTHING: Final[dict[str, Any]] = {"collectors": [], "letters": [], "total": 0, "reasons": {}}


@router.get("", dependencies=[needs("read")])
async def overview(request: Request, home: TheHome) -> Response:
    """What the store knows of the system; what must be asked elsewhere comes by itself."""
    return await respond(request, home, "system.html", lambda: _overview(home))


def _overview(home: Home) -> dict[str, Any]:
    if not home.settings.store_path.is_file():
        return _NOTHING | {"why": ""}
    try:
        with home.store.read(STORE_S):
            total, letters, reasons = letters_in(home, Asked(state=WAITING), _NEWEST, 0)
            return {
                "collectors": collectors_of(home.store, home.settings),
                "letters": letters,
                "total": total,
                "reasons": reasons,
                "why": "",
            }
    except PipelineError as error:
        return _NOTHING | {"why": str(error)}


@router.get("/health", dependencies=[needs("read")])
async def health(request: Request, home: TheHome) -> Response:
    """How each part is, the sentence first."""

    def make() -> dict[str, Any]:
        found = home.health()
        used = [part for part in found.parts if part.state != OFF]
        ill = [part.name for part in found.parts if part.state == ILL]
        sentence = f"All parts that are in use work ({len(used)} of {len(found.parts)})."
        if ill:
            verb = "does" if len(ill) == 1 else "do"
            sentence = f"{len(ill)} of {len(used)} parts in use {verb} not work: {', '.join(ill)}."
        return {"part": "health", "sentence": sentence, "rows": found.parts, "ill": bool(ill)}

    return await respond(request, home, "system_part.html", make)


@router.get("/store", dependencies=[needs("read")])
async def store(request: Request, home: TheHome) -> Response:
    """The store's file and tables, and how long rows are kept."""

    def make() -> dict[str, Any]:
        try:
            return {"part": "store", "found": home.storage(), "why": ""}
        except PipelineError as error:
            return {"part": "store", "found": None, "why": str(error)}

    return await respond(request, home, "system_part.html", make)


@router.get("/topics", dependencies=[needs("read")])
async def topics(request: Request, home: TheHome) -> Response:
    """Topics with what waits in them."""
    return await _part(request, home, "topics", home.topics)


@router.get("/schedules", dependencies=[needs("read")])
async def schedules(request: Request, home: TheHome) -> Response:
    """Schedules and sensors with their last ticks."""
    return await _part(request, home, "schedules", home.schedules)


async def _part(request: Request, home: Home, name: str, ask: Callable[[], dict[str, Any]]) -> Response:
    """A part that is asked of somebody else, who may be away."""
    return await respond(request, home, "system_part.html", lambda: {"part": name, "found": ask()})


@router.get("/dead-letters", dependencies=[needs("read")])
async def dead_letters(
    request: Request,
    home: TheHome,
    state: str = WAITING,
    reason: str = "",
    topic: str = "",
    source: str = "",
    number: Annotated[int, Query(alias="page", ge=1, le=200_000)] = 1,
) -> Response:
    """The dead letters that fit, the newest first."""
    if state not in _STATES:
        raise UsageError(f"{state!r} is no state of a dead letter; there are {', '.join(_STATES)}")
    asked = {"state": state, "reason": reason.strip(), "topic": topic.strip(), "source": source.strip()}
    return await respond(request, home, "letters.html", lambda: _letters(home, asked, number))


def _letters(home: Home, asked: dict[str, str], number: int) -> dict[str, Any]:
    state = asked["state"]
    found = Asked(**asked | {"state": "" if state == "all" else state})
    total, letters, reasons = letters_in(home, found, PER_PAGE, (number - 1) * PER_PAGE)
    last = max(-(-total // PER_PAGE), 1)

    def address(**changes: Any) -> str:
        wanted = {"state": "" if state == WAITING else state} | {name: asked[name] for name in asked if name != "state"}
        values = {name: value for name, value in (wanted | changes).items() if value}
        return f"/system/dead-letters?{urlencode(values)}" if values else "/system/dead-letters"

    return {
        "asked": asked,
        "states": _STATES,
        "total": total,
        "letters": letters,
        "reasons": [(why, count, address(reason=why)) for why, count in reasons.items()],
        "number": number,
        "last": last,
        "newer": address(page=number - 1) if number > 1 else "",
        "older": address(page=number + 1) if number < last else "",
    }


@router.get("/dead-letters/{identity}", dependencies=[needs("read")])
async def dead_letter(request: Request, home: TheHome, identity: str) -> Response:
    """A dead letter, with what it was."""
    return await respond(
        request, home, "letter.html", lambda: {"letter": whole_letter(home.store, home.settings, identity)}
    )


@router.post("/dead-letters/{identity}", dependencies=[needs("operate")])
async def put_back(request: Request, home: TheHome, identity: str) -> Response:
    """Put a dead letter back, and show what became of it."""
    fields = await form(request)
    by = speaker(request, fields.get("by", "").strip()[:_NAME])
    await to_thread.run_sync(lambda: do_requeue(home, identity, by))
    return RedirectResponse(f"/system/dead-letters/{identity}", 303)


@router.get("/settings", dependencies=[needs("admin")])
async def settings(request: Request, home: TheHome) -> Response:
    """The settings in force: those that were set, and the defaults."""

    def make() -> dict[str, Any]:
        found = settings_in_force(home.settings)
        return {
            "own": [each for each in found if each["origin"] != "default"],
            "defaults": [each for each in found if each["origin"] == "default"],
        }

    return await respond(request, home, "settings.html", make)


@router.get("/tokens", dependencies=[needs("admin")])
def tokens(request: Request, home: TheHome) -> Response:
    """The tokens, and a form for another one."""
    return _tokens(request, home)


def _tokens(request: Request, home: Home, *, made: str = "", name: str = "", wrong: str = "") -> Response:
    """The page of tokens; with the one that was just `made`, or with what was `wrong`."""
    return page(
        request,
        "tokens.html",
        400 if wrong else 200,
        tokens=[token.to_json() for token in home.tokens.all()],
        needed=home.guarded,
        scopes=SCOPES,
        made=made,
        named=name,
        wrong=wrong,
    )


@router.post("/tokens", dependencies=[needs("admin")])
async def change_tokens(request: Request, home: TheHome) -> Response:
    """Make a token, which the answer alone shows, or revoke one."""
    fields = await form(request)
    name = fields.get("name", "").strip()
    if "revoke" in fields:
        await to_thread.run_sync(lambda: home.tokens.revoke(fields["revoke"]))
        return RedirectResponse("/system/tokens", 303)
    try:
        scope, days = fields.get("scope", ""), _days(fields.get("days", "").strip())
        made = await to_thread.run_sync(lambda: home.tokens.make(name, scope, days))
    except DataError as error:
        wrong = str(error)
        return await to_thread.run_sync(lambda: _tokens(request, home, name=name, wrong=wrong))
    return await to_thread.run_sync(lambda: _tokens(request, home, made=made, name=name))


def _days(text: str) -> float | None:
    with suppress(ValueError):
        return float(text) if text else None
    raise UsageError(f"{text!r} is no number of days: write 30, or nothing for a token without an end")
