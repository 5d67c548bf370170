"""A NameNode: its models and their training, reports on a window, its metrics, and the state of HDFS."""

from datetime import datetime
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, HTTPException, Query, Request, Response

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.namenode.detectors import LEARNING, MAIN
from hdfs_pipeline.domains.namenode.features import load_baseline
from hdfs_pipeline.domains.namenode.reports import analysis_report, baseline_report, model_status
from hdfs_pipeline.domains.namenode.series import the_namenode
from hdfs_pipeline.domains.namenode.state_reports import state_report, state_series
from hdfs_pipeline.domains.namenode.timeline import metric_lines
from hdfs_pipeline.scoring.models import champion_version
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.jobs import Job, Tell
from hdfs_pipeline.serving.routes import jobs
from hdfs_pipeline.serving.shapes.jobs import JobState
from hdfs_pipeline.serving.shapes.namenode import (
    AskedBaseline,
    AskedMetrics,
    AskedState,
    Baseline,
    HdfsSeries,
    HdfsState,
    Metrics,
    ModelStatus,
    NameNodeName,
    Report,
    ToReport,
    ToTrain,
)
from hdfs_pipeline.serving.shapes.window import in_order
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

router = APIRouter(prefix="/api", tags=["namenode"])

TRAINING: Final = "namenode training"
"""The kind of job that a training is."""


@router.get("/model/status", response_model=ModelStatus, dependencies=[needs("read")])
async def status(request: Request, home: TheHome) -> Response:
    """The NameNode models that serve, what they learned from, their thresholds, and all versions."""
    return await home.cache.respond(request, lambda: model_status(home.settings))


@router.get("/model/baseline", response_model=Baseline, dependencies=[needs("read")])
async def baseline(request: Request, home: TheHome, asked: Annotated[AskedBaseline, Query()]) -> Response:
    """Whether a NameNode's polls in a window can be learned from, and what is odd about them."""
    start, end = in_order(asked.from_ts, asked.to_ts)

    def make() -> dict[str, Any]:
        return baseline_report(
            home.store,
            home.settings,
            namenode=asked.namenode or None,
            start=start,
            end=end,
            with_incidents=asked.with_incidents,
        )

    return await home.cache.respond(request, make)


@router.post("/model/train", status_code=202, dependencies=[needs("admin")])
def train(home: TheHome, asked: ToTrain, response: Response) -> JobState:
    """Train every NameNode detector on a window, in a process of its own. Ask the job's `url` how far it is.

    A first model serves at once; a later one serves if it is as quiet as the one that does. One training at a time.
    """
    in_order(asked.from_ts, asked.to_ts)
    job = begin_training(home, asked.namenode, asked.from_ts, asked.to_ts, asked.with_incidents)
    response.headers["Location"] = jobs.address(job)
    return jobs.state(job)


def begin_training(home: Home, namenode: str, start: datetime, end: datetime, with_incidents: bool) -> Job:
    """Begin to train. Raises: DataError where there are no polls of that NameNode; HTTPException while one goes on."""
    name = the_namenode(home.store, namenode or None)
    job = home.jobs.start(TRAINING, train_all, home.settings, name, start, end, with_incidents, then=home.cache.clear)
    if job is None:
        running = home.jobs.running(TRAINING)
        where = f": {jobs.address(running)} tells how far it is" if running else ""
        raise HTTPException(409, f"a training goes on{where}. Wait until it has ended")
    home.cache.clear()  # pages say that one goes on
    return job


def train_all(
    tell: Tell, settings: Settings, namenode: str, start: datetime, end: datetime, with_incidents: bool
) -> dict[str, Any]:
    """Train every detector, in the process of a job: their verdicts, what is odd about the window, the loss curve."""
    from hdfs_pipeline.learning.challenge import train_and_track

    kind, store = domain_named("namenode"), Store.open(settings)
    tell("reading the polls", 0.0)
    data = load_baseline(store, settings, namenode=namenode, start=start, end=end, with_incidents=with_incidents)
    cards = []
    for number, name in enumerate(LEARNING):

        def say(step: str, number: int = number) -> None:
            tell(f"{step} ({number + 1} of {len(LEARNING)})", number / len(LEARNING))

        say(f"{name}: training")
        cards.append(train_and_track(store, data, kind, name, settings, say)[0])
    facts = {card.detector: card.facts for card in cards}
    return {
        "namenode": namenode,
        **{name: cards[0].facts[name] for name in ("trained_from", "trained_to")},
        "steps": cards[0].items,
        "detectors": [
            {
                "detector": card.detector,
                "version": card.version,
                "threshold": card.threshold,
                "serves": champion_version(settings, kind.name, card.detector) == card.version,
                "verdict": card.judgement.get("verdict", "the first version: it serves"),
            }
            for card in cards
        ],
        "findings": data.facts["findings"],
        "left_out": data.facts["left_out"],
        "losses": facts[MAIN]["facts"]["losses"],
    }


@router.post("/report", response_model=Report, dependencies=[needs("read")])
async def report(home: TheHome, asked: ToReport) -> Response:
    """Judge a window: the error of each step, incidents with their likely causes and metrics, and who called most."""
    start, end = in_order(asked.from_ts, asked.to_ts)

    def work() -> bytes:
        found = analysis_report(
            home.store,
            home.settings,
            namenode=asked.namenode or None,
            start=start,
            end=end,
            threshold=asked.threshold_override,
            metrics=asked.metrics,
            points=asked.points,
        )
        return orjson.dumps(found)

    return Response(await home.turns.run(work), media_type="application/json")


@router.get("/metrics", response_model=Metrics, dependencies=[needs("read")])
async def metrics(request: Request, home: TheHome, asked: Annotated[AskedMetrics, Query()]) -> Response:
    """A NameNode's metrics over a window. Of more polls than `points`, each step keeps its least and greatest value."""
    start, end = in_order(asked.from_ts, asked.to_ts)

    def make() -> dict[str, Any]:
        return metric_lines(
            home.store, asked.metric, namenode=asked.namenode or None, start=start, end=end, points=asked.points
        ).to_json()

    return await home.cache.respond(request, make)


@router.get("/hdfs", response_model=HdfsState, dependencies=[needs("read")])
async def hdfs(request: Request, home: TheHome, namenode: Annotated[NameNodeName, Query()] = "") -> Response:
    """The state of HDFS at the last poll: blocks in trouble, DataNodes, capacity, safe mode, and what to do next."""
    return await home.cache.respond(request, lambda: state_report(home.store, namenode or None))


@router.get("/hdfs/series", response_model=HdfsSeries, dependencies=[needs("read")])
async def hdfs_series(request: Request, home: TheHome, asked: Annotated[AskedState, Query()]) -> Response:
    """Blocks in trouble, DataNodes and free capacity over time, by default in the last day."""
    start, end = in_order(asked.from_ts, asked.to_ts)
    return await home.cache.respond(request, lambda: state_series(home.store, asked.namenode or None, start, end))
