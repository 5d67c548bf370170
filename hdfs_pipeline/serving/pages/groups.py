"""The page of groups: like anomalies together, the most worth knowing first, and one word on all of a group."""

from typing import Any, Final
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from hdfs_pipeline.domains import DOMAINS, domain_named
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.serving.cache import STORE_S
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.pages.render import form, respond
from hdfs_pipeline.serving.pages.saying import WITHDRAW, word_of
from hdfs_pipeline.verdicts.feedback import give_feedback_on_group, take_back_group
from hdfs_pipeline.verdicts.groups import GroupReport, report_groups

router = APIRouter(prefix="/groups", include_in_schema=False)

_MOST: Final = 100


@router.get("", dependencies=[needs("read")])
async def many(request: Request, home: TheHome, domain: str = "") -> Response:
    """The groups of a domain."""
    name = domain_named(domain or None).name
    return await respond(request, home, "groups.html", lambda: _values(home, name), STORE_S)


def _values(home: Home, name: str) -> dict[str, Any]:
    kind, total, why = domain_named(name), 0, ""
    groups: list[GroupReport] = []
    if home.settings.store_path.is_file() and kind.days(home.store):
        try:
            total, groups = report_groups(home.store, home.settings, kind, _MOST)
        except DataError as error:
            why = str(error)
    return {
        "domain": name,
        "domains": [*DOMAINS],
        "item": kind.item,
        "total": total,
        "groups": [group.to_json() for group in groups],
        "why": why,
        "filled_by": kind.filled_by,
    }


@router.post("", dependencies=[needs("feedback")])
async def say(request: Request, home: TheHome) -> Response:
    """Say what all items of a group really were, or take that back, and show the groups again."""
    fields = await form(request)
    kind, group = domain_named(fields.get("domain") or None), fields.get("group", "")
    word = word_of(request, fields, "group")

    def keep() -> None:
        if word.verdict == WITHDRAW:
            take_back_group(home.store, home.settings, kind, group)
        else:
            give_feedback_on_group(home.store, home.settings, kind, group, word.verdict, note=word.note, by=word.by)

    await to_thread.run_sync(keep)
    home.cache.clear()
    return RedirectResponse(f"/groups?{urlencode({'domain': kind.name})}", 303)
