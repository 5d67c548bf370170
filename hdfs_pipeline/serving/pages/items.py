"""The page of one item, such as a block: its verdict and why, its life by server, its raw records, what people say."""

from datetime import UTC, timedelta
from typing import Any, Final
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.champions import serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import NotFoundError
from hdfs_pipeline.serving.cache import STORE_S
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.pages.life import life_of
from hdfs_pipeline.serving.pages.logs import in_logs
from hdfs_pipeline.serving.pages.render import form, respond
from hdfs_pipeline.serving.pages.saying import WITHDRAW, word_of
from hdfs_pipeline.verdicts.beside import surplus
from hdfs_pipeline.verdicts.explain import ItemReport, explain_item
from hdfs_pipeline.verdicts.feedback import give_feedback, take_back
from hdfs_pipeline.verdicts.listing import Wanted, list_incidents

router = APIRouter(prefix="/items", include_in_schema=False)

_NEAR: Final = timedelta(minutes=1)  # around an item's life, in which incidents may be its own
_INCIDENTS: Final = 5


@router.get("/{domain}", dependencies=[needs("read")])
async def find(domain: str, id: str = "") -> Response:
    """The page of the item that somebody has typed."""
    kind = domain_named(domain)
    return RedirectResponse(f"/items/{kind.name}/{quote(kind.item.shown(id.strip()), safe='')}", 303)


@router.get("/{domain}/{identity:path}", dependencies=[needs("read")])
async def one(request: Request, home: TheHome, domain: str, identity: str, detector: str = "") -> Response:
    """An item, by the verdict of a detector, by default the one that serves."""
    return await respond(request, home, "item.html", lambda: _values(home, domain, identity, detector), STORE_S)


def _values(home: Home, domain: str, identity: str, detector: str) -> dict[str, Any]:
    kind = domain_named(domain)
    if not home.settings.store_path.is_file():
        raise NotFoundError(
            f"this home has no {kind.item.plural} yet" + (f": `{kind.filled_by}` brings some" if kind.filled_by else "")
        )
    name = detector or serving_detector(home.settings, kind)
    with home.store.read():  # one view of the store for all questions
        found = explain_item(home.store, home.settings, kind, identity, name, beside=True)
    report = found.to_json(everything=True)
    around = Wanted(
        domain=kind.name,
        kind=report["explanation"].get("kind") or "",
        since=report["first_time"] - _NEAR,
        until=report["last_time"] + _NEAR,
    )
    return {
        "domain": kind.name,
        "item": kind.item,
        "report": report,
        **_lives(found),
        "in_logs": _logs_of(kind, report) if report["lines"] else "",
        "lasted": (report["last_time"] - report["first_time"]).total_seconds(),
        "incidents": list_incidents(home.store, around, _INCIDENTS)[1] if report["is_anomaly"] else [],
    }


def _logs_of(kind: Domain, report: dict[str, Any]) -> str:
    """Where the records of an item are searched: by its id, or by time and server where it follows others."""
    if kind.searchable:
        return in_logs(kind.name, item=report["item"])
    edges = report["first_time"], report["last_time"] + timedelta(seconds=1)
    begin, end = (f"{edge.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" for edge in edges)
    by_host = {"host": report["host"]} if report["host"] else {}
    return in_logs(kind.name, **{"from": begin, "to": end}, **by_host)


def _lives(report: ItemReport) -> dict[str, Any]:
    """The picture of an item's life and of the normal one beside it, each with what only one of them has marked."""
    beside = report.beside
    if beside is None or not beside.item:
        return {"life": life_of(report.lines), "normal": None, "beside": beside}
    return {
        "life": life_of(report.lines, surplus(report.lines, beside.extra), "extra here"),
        "normal": life_of(beside.lines, surplus(beside.lines, beside.missing), "missing there"),
        "beside": beside,
    }


@router.post("/{domain}/{identity:path}", dependencies=[needs("feedback")])
async def say(request: Request, home: TheHome, domain: str, identity: str) -> Response:
    """Say what the item really was, or take that back, and show it again."""
    kind = domain_named(domain)
    word = word_of(request, await form(request), kind.item.noun)

    def keep() -> None:
        if word.verdict == WITHDRAW:
            take_back(home.store, home.settings, kind, identity)
        else:
            give_feedback(home.store, home.settings, kind, identity, word.verdict, note=word.note, by=word.by)

    await to_thread.run_sync(keep)
    home.cache.clear()
    return RedirectResponse(f"/items/{kind.name}/{quote(identity, safe='')}", 303)
