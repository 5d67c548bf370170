"""The pages of incidents: the list, and one in full with what people do about it."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, get_args
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from hdfs_pipeline.domains import DOMAINS
from hdfs_pipeline.errors import NotFoundError, UsageError
from hdfs_pipeline.scoring.incidents import STATUSES
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.pages.bars import bars_of
from hdfs_pipeline.serving.pages.logs import in_logs
from hdfs_pipeline.serving.pages.render import form, page, respond
from hdfs_pipeline.serving.pages.saying import note_of
from hdfs_pipeline.serving.routes.incidents import Does, do
from hdfs_pipeline.verdicts.incidents import WATCHER
from hdfs_pipeline.verdicts.listing import Wanted, list_incidents, whole_incident
from hdfs_pipeline.verdicts.status import parse_since
from hdfs_pipeline.verdicts.telling import telling_parts
from hdfs_pipeline.verdicts.tickets import FORMATS
from hdfs_pipeline.verdicts.trend import with_trends

router = APIRouter(prefix="/incidents", include_in_schema=False)

PER_PAGE: Final = 50
_AROUND: Final = timedelta(seconds=5)  # before and after an incident, in which raw records may tell of it
_SPANS: Final = ("1h", "24h", "7d", "4w")
# What can be done with an incident of each status, the likeliest first.
_OVER: Final[tuple[Does, ...]] = ("reopen", "suppress", "false_alarm")
_DOES: Final[dict[str, tuple[Does, ...]]] = {
    "open": ("acknowledge", "resolve", "suppress", "false_alarm"),
    "acknowledged": ("resolve", "suppress", "false_alarm"),
    "resolved": _OVER,
    "expired": _OVER,
    "suppressed": ("reopen",),
}


@router.get("", dependencies=[needs("read")])
async def many(
    request: Request,
    home: TheHome,
    status: Annotated[list[str] | None, Query()] = None,
    domain: str = "",
    entity: str = "",
    kind: str = "",
    since: str = "",
    number: Annotated[int, Query(alias="page", ge=1, le=1_000_000)] = 1,
) -> Response:
    """The incidents that fit, the latest first."""
    asked = {"domain": domain, "entity": entity.strip(), "kind": kind.strip(), "since": since.strip()}
    states = [each for each in status or () if each]
    return await respond(request, home, "incidents.html", lambda: _list(home, states, asked, number))


def _list(home: Home, states: list[str], asked: dict[str, str], number: int) -> dict[str, Any]:
    since = parse_since(asked["since"], datetime.now(UTC)).time if asked["since"] else None
    wanted = Wanted(states, asked["domain"], asked["entity"], asked["kind"], since)
    total, found = 0, list[dict[str, Any]]()
    if has_store := home.settings.store_path.is_file():
        total, found = list_incidents(home.store, wanted, PER_PAGE, (number - 1) * PER_PAGE)
        found = with_trends(home.store, found)

    def address(**changes: Any) -> str:
        values = {"status": states} | asked | changes
        query = urlencode({name: value for name, value in values.items() if value}, doseq=True)
        return f"/incidents?{query}" if query else "/incidents"

    last = max(-(-total // PER_PAGE), 1)
    return {
        "rows": found,
        "total": total,
        "states": states,
        "asked": asked,
        "filtered": bool(states or any(asked.values())),
        "statuses": STATUSES,
        "domains": [*DOMAINS, WATCHER],
        "spans": [(span, address(since=span)) for span in _SPANS],
        "number": number,
        "last": last,
        "newer": address(page=number - 1) if number > 1 else "",
        "older": address(page=number + 1) if number < last else "",
        "has_store": has_store,
    }


@router.get("/{identity}", dependencies=[needs("read")])
async def one(request: Request, home: TheHome, identity: str) -> Response:
    """An incident: what, where, since when, why, and what to do."""
    try:
        return await respond(request, home, "incident.html", lambda: _whole(home, identity))
    except NotFoundError as error:
        return page(request, "no_incident.html", 404, identity=identity, why=str(error).partition(":")[0])


def _whole(home: Home, identity: str) -> dict[str, Any]:
    if not home.settings.store_path.is_file():
        raise NotFoundError("this home has no incidents yet")
    found = whole_incident(home.store, identity)
    lines = found["details"].get("lines") or ()
    return {
        "incident": found,
        "bars": bars_of(found),
        "lines": [telling_parts(found, line) for line in lines],
        "traits": _traits(found),
        "does": _DOES[found["status"]],
        "formats": [*FORMATS],
        **_logs(found),
        "has_items": found["domain"] in DOMAINS,
    }


def _logs(found: dict[str, Any]) -> dict[str, str]:
    """Where the raw records of an incident's time are searched, and those of its server."""
    begin, end = (datetime.fromisoformat(found[name]) for name in ("started_at", "ended_at"))
    around = {"from": f"{begin - _AROUND:%Y-%m-%dT%H:%M:%S}", "to": f"{end + _AROUND:%Y-%m-%dT%H:%M:%S}"}
    domain = found["domain"]
    return {"around": in_logs(domain, **around), "own": in_logs(domain, **around, host=found["entity"])}


def _traits(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What stands out, by trait: of servers all that are blamed, with the peers that are not."""
    where = found["details"].get("where") or {}
    servers = {"server": found["peers"] or where["server"]} if found["peers"] or "server" in where else {}
    return servers | {trait: rows for trait, rows in where.items() if trait != "server"}


@router.post("/{identity}/{does}", dependencies=[needs("operate")])
async def act(request: Request, home: TheHome, identity: str, does: str) -> Response:
    """Do what a form of the page asks for, and show the page again."""
    if does not in get_args(Does):
        raise UsageError(f"nothing called {does!r} can be done with an incident")
    note, by = note_of(request, await form(request))
    said = await to_thread.run_sync(lambda: do(home, identity, does, note, by))  # type: ignore[arg-type]
    return RedirectResponse(f"/incidents/{said['id']}", 303)
