"""The page of models: what serves, how well, what another threshold would change, drift, and which version serves."""

from math import isfinite
from typing import Any, Final
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from hdfs_pipeline.domains import DOMAINS, domain_named, option_of
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError, UsageError
from hdfs_pipeline.learning.tracking import ui_command
from hdfs_pipeline.scoring.feedback import feedback_sentence
from hdfs_pipeline.serving.cache import STORE_S
from hdfs_pipeline.serving.home import Home, TheHome, needs, speaker
from hdfs_pipeline.serving.pages.curves import MOST_LINES, histogram_picture, precision_over_recall, roc
from hdfs_pipeline.serving.pages.render import form, respond
from hdfs_pipeline.serving.routes.models import drift_of, let_serve
from hdfs_pipeline.verdicts.evaluation import evaluations_of
from hdfs_pipeline.verdicts.models import (
    Version,
    choice_of,
    detectors_of,
    earlier_version,
    history_of,
    judged_on,
    runs_of,
    versions_of,
)

router = APIRouter(prefix="/models", include_in_schema=False)

_ROWS: Final = 12  # thresholds in the table
_NAME: Final = 200
_NOTE: Final = 2000


@router.get("", dependencies=[needs("read")])
async def one(request: Request, home: TheHome, domain: str = "", detector: str = "", threshold: str = "") -> Response:
    """The models of a domain, and one detector in full, by default the one that serves."""
    kind, asked = domain_named(domain or None), _number(threshold)
    if detector:
        kind.row(detector)
    return await respond(request, home, "models.html", lambda: _values(home, kind, detector, asked), STORE_S)


def _number(text: str) -> float | None:
    """The threshold that somebody asks about. Raises: UsageError for what is no number."""
    try:
        value = float(text) if text.strip() else None
    except ValueError:
        value = float("nan")
    if value is not None and not isfinite(value):
        raise UsageError(f"{text[:40]!r} is no threshold: write a number such as 0.5")
    return value


def _values(home: Home, kind: Domain, detector: str, asked: float | None) -> dict[str, Any]:
    settings = home.settings
    detectors, chosen = detectors_of(settings, kind), choice_of(settings, kind)
    name = detector or chosen["serving"]
    found = evaluations_of(home.store, settings, kind, "", {} if asked is None else {name: asked})
    reports = {report.detector: report.to_json() for report in found}
    versions = versions_of(settings, kind, [each["detector"] for each in detectors if each["ready"]])
    own = [version for version in versions if version.card.detector == name]
    return {
        "domain": kind.name,
        "domains": [*DOMAINS],
        "option": option_of(kind.name),
        "item": kind.item,
        "filled_by": kind.filled_by,
        "has_items": settings.store_path.is_file() and bool(kind.days(home.store)),
        "detector": name,
        "asked": asked,
        "choice": chosen,
        "ready": [each | _about(each["detector"], versions, reports) for each in detectors if each["ready"]],
        "others": [each for each in detectors if not each["ready"]],
        "this": next(each for each in detectors if each["detector"] == name),
        "report": reports.get(name),
        "histogram": histogram_picture(reports[name]) if name in reports else None,
        "thresholds": _thresholds(reports[name]) if name in reports else [],
        "curves": _curves(reports, name),
        "versions": [_version(version) for version in reversed(own)],
        "feedback": next((feedback_sentence(each.card.feedback) for each in own if each.serves), ""),
        "runs": runs_of(settings, kind, name),
        "mlflow": ui_command(settings),
        "history": history_of(settings, kind, name),
        "earlier": earlier_version(settings, kind, name),
    }


def _about(name: str, versions: list[Version], reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the list of detectors tells of one beside the facts: its versions, how it was judged, what it flags."""
    own = [version for version in versions if version.card.detector == name]
    serving = next((version.card for version in own if version.serves), None)
    return {
        "card": serving,
        "judged": judged_on(serving) if serving else None,
        "challengers": [each.card.version for each in own if serving and each.card.version > serving.version],
        "report": reports.get(name),
    }


def _version(version: Version) -> dict[str, Any]:
    return {"card": version.card, "serves": version.serves, "judged": judged_on(version.card)}


def _curves(reports: dict[str, dict[str, Any]], name: str) -> list[Any]:
    """Both pictures of the detectors that can be judged: the chosen one, then the best ones by F1."""
    judged = [report for report in reports.values() if report["figures"]]
    judged.sort(key=lambda report: (report["detector"] != name, -report["figures"]["f1"]))
    return [precision_over_recall(judged[:MOST_LINES]), roc(judged[:MOST_LINES])] if judged else []


def _thresholds(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Some of the curve's points, with the fixed and the asked threshold among them."""
    curve = report["curve"]
    fixed = sum(point["threshold"] >= report["threshold"] for point in curve) - 1
    asked = sum(point["threshold"] >= report["asked"]["threshold"] for point in curve) - 1 if report["asked"] else -1
    every = max(-(-len(curve) // _ROWS), 1)
    chosen = sorted({*range(0, len(curve), every), *(at for at in (fixed, asked) if at >= 0)})
    exact = {fixed: report["threshold"]} | ({asked: report["asked"]["threshold"]} if report["asked"] else {})
    rows = [curve[at] | {"is_fixed": at == fixed, "is_asked": at == asked} for at in chosen]
    return [row | {"threshold": exact.get(at, row["threshold"])} for at, row in zip(chosen, rows, strict=True)]


@router.get("/drift", dependencies=[needs("read")])
async def drift(request: Request, home: TheHome, domain: str = "", detector: str = "") -> Response:
    """The drift of a detector, which takes its time: the page of models asks for it once it is there."""
    kind = domain_named(domain or None)
    if detector:
        kind.row(detector)

    def make() -> dict[str, Any]:
        about = {"domain": kind.name, "option": option_of(kind.name), "item": kind.item, "detector": detector}
        try:
            return about | {"drift": drift_of(home, kind, detector), "why": ""}
        except (NotTrainedError, DataError) as error:
            return about | {"drift": None, "why": str(error)}

    return await respond(request, home, "drift.html", make, STORE_S)


@router.post("/{does}", dependencies=[needs("admin")])
async def serve(request: Request, home: TheHome, does: str) -> Response:
    """Let the version of a form serve, or the one before, once somebody has ticked that this is meant."""
    if does not in ("promote", "rollback"):
        raise UsageError(f"nothing called {does!r} can be done with a model")
    fields = await form(request)
    version = fields.get("version", "")
    if does == "promote" and not (version.isascii() and version.isdigit() and 0 < len(version) < 8):
        raise UsageError(f"{version[:40]!r} is no version of a model")
    if fields.get("sure") != "yes":
        raise UsageError("nothing was changed: tick that this version is to serve, then send it again")
    kind, name = domain_named(fields.get("domain") or None), fields.get("detector", "")
    by, note = speaker(request, fields.get("by", "")[:_NAME]), fields.get("note", "")[:_NOTE]
    wanted = int(version) if does == "promote" else None
    await to_thread.run_sync(lambda: let_serve(home, kind.name, name, wanted, by, note))
    return RedirectResponse(f"/models?{urlencode({'domain': kind.name, 'detector': name})}#versions", 303)
