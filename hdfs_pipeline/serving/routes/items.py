"""Items of each domain: what the home knows of one, groups of like ones, and what people say of them."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from hdfs_pipeline.domains import DOMAINS, domain_named
from hdfs_pipeline.domains.champions import serving_detector
from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.serving.cache import STORE_S
from hdfs_pipeline.serving.home import TheHome, needs, speaker
from hdfs_pipeline.serving.shapes.items import Feedback, Groups, Kept
from hdfs_pipeline.verdicts.explain import explain_item
from hdfs_pipeline.verdicts.feedback import give_feedback, give_feedback_on_group, give_feedback_on_stretch
from hdfs_pipeline.verdicts.groups import report_groups

router = APIRouter(prefix="/api", tags=["items"])


@router.get("/groups", response_model=Groups, dependencies=[needs("read")])
async def groups(
    request: Request,
    home: TheHome,
    domain: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 40,
) -> Response:
    """Like anomalies together, the most worth knowing first, and after them what is worth asking about."""
    kind = domain_named(domain or None)

    def make() -> dict[str, Any]:
        if not home.settings.store_path.is_file() or not kind.days(home.store):
            return {"total": 0, "groups": []}
        total, found = report_groups(home.store, home.settings, kind, limit)
        return {"total": total, "groups": [group.to_json() for group in found]}

    return await home.cache.respond(request, make, STORE_S)


@router.post("/feedback", dependencies=[needs("feedback")])
def feedback(request: Request, home: TheHome, word: Feedback) -> Kept:
    """Say what an item, a whole group or a stretch of time really was: the next training learns it."""
    kind, by = domain_named(word.domain or None), speaker(request, word.by)
    stretch = word.from_ts is not None and word.to_ts is not None
    named = [word.item is not None, word.group is not None, stretch]
    if sum(named) != 1 or (word.from_ts is None) != (word.to_ts is None) or (word.entity and not stretch):
        raise UsageError("name an item, or a group, or a stretch of time with from_ts and to_ts (and its entity)")
    items = incidents = 0
    if word.item is not None:
        give_feedback(home.store, home.settings, kind, word.item, word.verdict, note=word.note, by=by)
        items = 1
    elif word.group is not None:
        items = give_feedback_on_group(home.store, home.settings, kind, word.group, word.verdict, note=word.note, by=by)
    else:
        begin, end = (_time(text or "") for text in (word.from_ts, word.to_ts))
        row = give_feedback_on_stretch(
            home.store, kind, begin, end, word.verdict, entity=word.entity, note=word.note, by=by
        )
        incidents = row["incidents"]
    home.cache.clear()
    return Kept(verdict=word.verdict, items=items, incidents=incidents)


def _time(text: str) -> datetime:
    with suppress(ValueError, OverflowError):  # what is no time is told below, as one without a zone is
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    raise UsageError(f"{text!r} is no time with its zone: write 2026-11-21T08:00:00Z")


def _of(name: str) -> APIRouter:
    """The route of one item of a domain."""
    kind = domain_named(name)
    own = APIRouter(prefix=f"/api/{name}", tags=["items"])

    @own.get("/{identity:path}", dependencies=[needs("read")], response_model=dict[str, Any], name=f"one of {name}")
    async def one(
        request: Request,
        home: TheHome,
        identity: str,
        detector: Annotated[
            str, Query(description="Whose verdict leads; by default that of the one that serves.")
        ] = "",
        scored: Annotated[bool, Query(description="Of the files that were scored last, not of the home.")] = False,
        everything: Annotated[bool, Query(description="All raw records, not only those that tell.")] = False,
    ) -> Response:
        named = detector or serving_detector(home.settings, kind)

        def make() -> dict[str, Any]:
            report = explain_item(home.store, home.settings, kind, identity, named, scored=scored)
            return report.to_json(everything=everything)

        return await home.cache.respond(request, make, STORE_S)

    one.__doc__ = f"A {kind.item.noun}: its verdict and why, each detector's score, what people said, its raw records."
    return own


of_domains = [_of(name) for name in DOMAINS]
"""A router for each domain."""
