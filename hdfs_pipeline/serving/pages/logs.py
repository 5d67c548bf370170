"""The page Logs: a search of raw records with every condition in the address, and the patterns of a window."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Query, Request, Response

from hdfs_pipeline.domains import DOMAINS, all_domains, domain_named
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.domains.following import leader_of
from hdfs_pipeline.errors import PipelineError, SetupError
from hdfs_pipeline.serving.cache import STORE_S
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.pages.render import page, respond
from hdfs_pipeline.serving.routes.logs import Asked
from hdfs_pipeline.verdicts.listing import Wanted, list_incidents
from hdfs_pipeline.verdicts.logs import LEVELS, Search
from hdfs_pipeline.verdicts.patterns import Show, report_patterns

router = APIRouter(prefix="/logs", include_in_schema=False)

PER_PAGE: Final = 50
SPANS: Final = ("15m", "1h", "24h", "7d")
_SECONDS: Final = 3.0  # of a search on a page, for which somebody waits
_DAY: Final = "24h"
_PATTERNS: Final = 100
_INCIDENTS: Final = 5
_AROUND: Final = timedelta(seconds=30)  # on both sides of a record
_ITEMS: Final = 3  # of a record that are named
_LINES: Final = 8  # of a record that are shown before the others are asked for
_BUSY, _WRONG, _AWAY = 503, 400, 503
_NOTHING: Final[dict[str, Any]] = {
    "records": [], "incidents": [], "search": None, "wrong": "", "busy": "", "away": ""
}  # fmt: skip


class Piece(NamedTuple):
    """A piece of a line, and whether it was sought."""

    text: str
    sought: bool


@router.get("", dependencies=[needs("read")])
async def search(request: Request, home: TheHome, asked: Annotated[Asked, Query()]) -> Response:
    """The records that meet every condition, the latest first; without one the latest of all."""
    values, status = dict(_NOTHING), 200
    try:
        if not asked.model_dump(exclude_defaults=True):  # what whoever comes to the page is shown, and nobody cancels
            return await respond(request, home, "logs.html", lambda: _latest(home, asked))
        found = await to_thread.run_sync(lambda: _search(home, asked))
        records = [record async for chunk in home.searches.chunks(request, found) for record in chunk]
        values |= await to_thread.run_sync(lambda: _found(home, found, records))
    except HTTPException as error:
        status, values["busy"] = _BUSY, str(error.detail)
    except SetupError as error:
        status, values["away"] = _AWAY, str(error)
    except PipelineError as error:
        status, values["wrong"] = _WRONG, str(error)
    return page(request, "logs.html", status, **values, **_form(asked, "/logs"), has_store=_has_store(home))


def _latest(home: Home, asked: Asked) -> dict[str, Any]:
    """The values of the page that shows the latest records of all."""
    search = _search(home, asked)
    records = [record for chunk in search.chunks() for record in chunk]
    return _NOTHING | _found(home, search, records) | _form(asked, "/logs") | {"has_store": _has_store(home)}


def _found(home: Home, search: Search, records: list[dict[str, Any]]) -> dict[str, Any]:
    """What a search has found, and the incidents of that time."""
    shown = [_shown(record, search.domain.name) for record in records]
    return {"records": shown, "incidents": _incidents(home, records), "search": search}


@router.get("/patterns", dependencies=[needs("read")])
async def patterns(
    request: Request,
    home: TheHome,
    domain: Annotated[str, Query(max_length=100)] = "",
    begin: Annotated[str, Query(alias="from", max_length=100)] = _DAY,
    end: Annotated[str, Query(alias="to", max_length=100)] = "",
    show: Show = "all",
) -> Response:
    """The patterns of a window, what is new first."""

    def make() -> dict[str, Any]:
        found = report_patterns(home.store, home.settings, domain, begin, end, show)
        asked = Asked.model_validate({"domain": domain, "from": begin, "to": end})
        rows = found.pop("patterns")
        more = {"patterns": rows[:_PATTERNS], "hidden": max(len(rows) - _PATTERNS, 0), "show": show}
        return found | more | _form(asked, "/logs/patterns") | {"has_store": _has_store(home)}

    return await respond(request, home, "patterns.html", make, STORE_S)


def _search(home: Home, asked: Asked) -> Search:
    return Search(home.store, home.settings, asked.question(), PER_PAGE, _SECONDS)


def _has_store(home: Home) -> bool:
    return home.settings.store_path.is_file()


def _form(asked: Asked, path: str) -> dict[str, Any]:
    """What the fields hold, and the addresses of the same question with something else in it."""
    given = {name: value for name, value in asked.model_dump(by_alias=True).items() if value}

    def address(to: str = path, /, **changes: Any) -> str:
        kept = given | {
            "from" if name == "begin" else "to" if name == "end" else name: v for name, v in changes.items()
        }
        if "after" not in changes:
            kept.pop("after", None)
        query = urlencode({name: value for name, value in kept.items() if value}, doseq=True)
        return f"{to}?{query}" if query else to

    window: dict[str, str] = {name: given[name] for name in ("domain", "from", "to") if name in given}
    return {
        "asked": asked,
        "address_of": address,
        "kinds": [(kind.name, f"{path}?{urlencode({'domain': kind.name})}") for kind in _searchable()],
        "kind": next((kind for kind in _searchable() if kind.name == asked.domain), _searchable()[0]),
        "spans": SPANS,
        "levels": LEVELS,
        "filtered": bool(given.keys() - {"domain", "after"}),
        "to_search": f"/logs?{urlencode(window)}" if window else "/logs",
        "to_patterns": f"/logs/patterns?{urlencode(window)}" if window else "/logs/patterns",
    }


@cache
def _searchable() -> tuple[Domain, ...]:
    """The domains whose raw records can be searched."""
    return tuple(kind for kind in all_domains() if kind.searchable)


def in_logs(domain: str, **asked: str) -> str:
    """The address of a search in the records that a domain's items are made of; without it in the first kind's."""
    first = _searchable()[0]
    leader = leader_of(domain_named(domain)) if domain in DOMAINS else first
    named = {"domain": leader.name} if leader.searchable and leader.name != first.name else {}
    return f"/logs?{urlencode(named | asked)}"


def _shown(record: dict[str, Any], domain: str) -> dict[str, Any]:
    """A record with its line in pieces, the window around it, and the first of its items."""
    at = datetime.fromisoformat(record["time"])
    around = {"from": _iso(at - _AROUND), "to": _iso(at + _AROUND)}
    items, line = record["items"], record["line"]
    head = "\n".join(line.split("\n", _LINES)[:_LINES])
    cut = len(head) if line.count("\n", len(head)) > 1 else len(line)  # a single line more is shown with the others
    return record | {
        "head": pieces(line, record["marks"], 0, cut),
        "rest": pieces(line, record["marks"], cut + 1, len(line)),
        "lines": line.count("\n", cut),
        "around": in_logs(domain, **around),
        "items": items[:_ITEMS],
        "more_items": max(len(items) - _ITEMS, 0),
        "short": record["logger"].rpartition(".")[2],
    }


def pieces(line: str, marks: Sequence[Sequence[int]], begin: int, end: int) -> list[Piece]:
    """A part of a line in pieces, by the beginnings and ends of what was sought in the line."""
    found, at = [], begin
    for mark in marks:
        first, last = max(mark[0], at), min(mark[1], end)
        if first < last:
            found += [Piece(line[at:first], False), Piece(line[first:last], True)]
            at = last
    return [piece for piece in (*found, Piece(line[at:end], False)) if piece.text]


def _iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}"


def _incidents(home: Home, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Incidents of the time of what was found."""
    if not records:
        return []
    times = [datetime.fromisoformat(record["time"]) for record in records]
    return list_incidents(home.store, Wanted(since=min(times), until=max(times)), _INCIDENTS)[1]
