"""Detectors and the versions of their models: what there is, how well they do, and which version serves."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.champions import named_detectors, ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotFoundError, UsageError
from hdfs_pipeline.learning.retraining import RolledBack, roll_back
from hdfs_pipeline.monitoring.drift import measure_drift
from hdfs_pipeline.scoring.models import saved_versions
from hdfs_pipeline.serving.cache import STORE_S
from hdfs_pipeline.serving.home import Home, TheHome, needs, speaker
from hdfs_pipeline.serving.shapes.models import (
    Detectors,
    DriftReport,
    Evaluations,
    Models,
    Promotion,
    RollBack,
    Serves,
)
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.verdicts.evaluation import evaluations_of
from hdfs_pipeline.verdicts.models import choice_of, detectors_of, history_of, runs_of, versions_of

router = APIRouter(prefix="/api", tags=["models"])

_Detector = Annotated[str, Query(max_length=100, description="Name of a detector; by default all.")]


@router.get("/detectors", response_model=Detectors, dependencies=[needs("read")])
async def detectors(request: Request, home: TheHome, domain: str = "") -> Response:
    """Every detector of a domain: what it is, what it learns from, whether it serves, its threshold."""
    kind = domain_named(domain or None)

    def make() -> dict[str, Any]:
        return {"domain": kind.name, "detectors": detectors_of(home.settings, kind)}

    return await home.cache.respond(request, make, STORE_S)


@router.get("/models", response_model=Models, dependencies=[needs("read")])
async def models(request: Request, home: TheHome, domain: str = "", detector: _Detector = "") -> Response:
    """Every version of each model, the oldest first: its card, whether it serves; and what has served."""
    kind = domain_named(domain or None)
    names = named_detectors(kind, [detector or "all"], ready_detectors(home.settings, kind))
    return await home.cache.respond(request, lambda: _models(home.settings, kind, names), STORE_S)


def _models(settings: Settings, kind: Domain, names: list[str]) -> dict[str, Any]:
    runs = {name: runs_of(settings, kind, name) for name in names}
    return (
        {"domain": kind.name}
        | choice_of(settings, kind)
        | {
            "models": [
                row.to_json() | {"runs": runs[row.card.detector].get(row.card.version, {})}
                for row in versions_of(settings, kind, names)
            ],
            "served": [entry for name in names for entry in history_of(settings, kind, name)],
        }
    )


@router.get("/evaluation", response_model=Evaluations, dependencies=[needs("read")])
async def evaluation(
    request: Request,
    home: TheHome,
    domain: str = "",
    detector: _Detector = "",
    threshold: Annotated[
        float | None, Query(allow_inf_nan=False, description="What this one would change; of one detector.")
    ] = None,
) -> Response:
    """How well each detector does on what the home holds, and what moving its threshold would do."""
    kind = domain_named(domain or None)
    if threshold is not None and not detector:
        raise UsageError("name the detector whose threshold is meant: scores of two detectors are no numbers alike")

    def make() -> dict[str, Any]:
        asked = {} if threshold is None else {detector: threshold}
        found = evaluations_of(home.store, home.settings, kind, detector, asked)
        return {"domain": kind.name, "detectors": [report.to_json() for report in found]}

    return await home.cache.respond(request, make, STORE_S)


@router.get("/drift", response_model=DriftReport, dependencies=[needs("read")])
async def drift(
    request: Request,
    home: TheHome,
    domain: str = "",
    detector: Annotated[str, Query(max_length=100, description="By default the one that serves.")] = "",
) -> Response:
    """Whether the items that came since a model was trained still look like those that it learned from."""
    kind = domain_named(domain or None)
    return await home.cache.respond(request, lambda: drift_of(home, kind, detector), STORE_S)


def drift_of(home: Home, kind: Domain, detector: str) -> dict[str, Any]:
    """The drift of a detector, by default of the one that serves, as plain values.

    Raises: NotTrainedError, DataError where there is nothing to measure.
    """
    name = detector or serving_detector(home.settings, kind)
    kind.row(name)
    if not home.settings.store_path.is_file():
        advice = f": `{kind.filled_by}` reads some" if kind.filled_by else ""
        raise DataError(f"there are no {kind.item.plural} in this home yet{advice}")
    return measure_drift(home.store, home.settings, kind, name).to_json()


@router.post("/models/{detector}/promote", dependencies=[needs("admin")])
def promote(request: Request, home: TheHome, detector: str, wanted: Promotion) -> Serves:
    """Let a version of a detector's model serve, at once and also in MLflow."""
    by = speaker(request, wanted.by)
    return _told(let_serve(home, wanted.domain, detector, wanted.version, by, wanted.note))


@router.post("/models/{detector}/rollback", dependencies=[needs("admin")])
def rollback(request: Request, home: TheHome, detector: str, wanted: RollBack) -> Serves:
    """Let the version that served before serve again, at once and also in MLflow."""
    return _told(let_serve(home, wanted.domain, detector, None, speaker(request, wanted.by), wanted.note))


def let_serve(home: Home, domain: str, detector: str, version: int | None, by: str, note: str) -> RolledBack:
    """Let a version serve, the one that served before by default, and forget all answers.

    Raises: UsageError; NotFoundError for a version that is not there; DataError, NotTrainedError.
    """
    kind = domain_named(domain or None)
    kind.row(detector)
    if version is not None and version not in (saved := saved_versions(home.settings, kind.name, detector)):
        there = ", ".join(map(str, sorted(saved))) or "none"
        raise NotFoundError(f"{detector} has no version {version}; saved are {there}")
    try:
        return roll_back(home.settings, kind, detector, version, by=by, note=note)
    finally:
        home.cache.clear()


def _told(done: RolledBack) -> Serves:
    return Serves(**asdict(done))
