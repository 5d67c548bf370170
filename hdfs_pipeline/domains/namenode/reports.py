"""Answers about a NameNode for the console, the pages and the REST routes: plain JSON values, times in ISO 8601."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.domains.champions import load_scorer, ready_detectors, serving_detector
from hdfs_pipeline.domains.namenode.detectors import RULES, lead_s, params_of, persistence
from hdfs_pipeline.domains.namenode.domain import NameNode
from hdfs_pipeline.domains.namenode.explain import (
    Judged,
    Usual,
    explained_incidents,
    incident_json,
    judge,
    openers,
    users_at,
)
from hdfs_pipeline.domains.namenode.frames import frame_of, usable
from hdfs_pipeline.domains.namenode.labels import DOMAIN, words
from hdfs_pipeline.domains.namenode.metrics import BY_NAME
from hdfs_pipeline.domains.namenode.series import iso, last_sample, load_series, the_namenode
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.frames import Frame
from hdfs_pipeline.scoring.incidents import Incident, with_words
from hdfs_pipeline.scoring.models import cards, champion_version, read_card
from hdfs_pipeline.scoring.runs import step_seconds
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, dicts

_TIMES = ("started_at", "ended_at", "peak_at", "opened_at")
_TRAINED_ON = ("namenode", "role", "trained_from", "trained_to", "steps", "left_out", "findings")
_OF_TRAINING = (*_TRAINED_ON, "created_at", "params")


def model_status(settings: Settings) -> dict[str, Any]:
    """The models that serve, by detector, and all versions of the one whose verdict counts, the `detector`.

    `trained` says whether there is a model.
    """
    domain = NameNode()
    main, ready = serving_detector(settings, domain), ready_detectors(settings, domain)
    serving = champion_version(settings, DOMAIN, main)
    status: dict[str, Any] = {
        "trained": serving is not None,
        "detector": main,
        "serving": serving,
        "versions": [card.version for card in cards(settings, DOMAIN, main)],
        "detectors": {},
        "rules": params_of(settings, RULES)["limits"],
    }
    if serving is None:
        return status
    for name in ready:
        version = champion_version(settings, DOMAIN, name)
        if version is None:
            continue
        card = read_card(settings, DOMAIN, name, version)
        status["detectors"][name] = {
            "about": detector_row(name).about,
            "opens_incidents": name in openers(ready),
            **{key: getattr(card, key) for key in ("version", "threshold", "rule")},
            **{key: card.facts[key] for key in ("facts", "seconds")},
            "seed": card.seed,
        }
        if name == main:
            facts = card.facts | {"steps": card.items, "created_at": card.created_at, "params": card.params}
            status |= {key: facts[key] for key in _OF_TRAINING}
    return status


def ready_scorers(settings: Settings) -> dict[str, Scorer]:
    """The detectors that serve, the one whose verdict counts first. Raises: NotTrainedError without a model."""
    domain = NameNode()
    ready = {serving_detector(settings, domain), *ready_detectors(settings, domain)}
    return {name: load_scorer(settings, domain, name) for name in domain.detectors if name in ready}


@dataclass(frozen=True)
class Judgement:
    """A stretch of steps, each detector's scores of it, and the incidents in it."""

    namenode: str
    frame: Frame
    judged: list[Judged]
    incidents: list[Incident]


def judge_window(
    store: Store,
    settings: Settings,
    *,
    namenode: str | None = None,
    start: float | None = None,
    end: float | None = None,
    threshold: float | None = None,
) -> Judgement:
    """Judge the stored samples from `start` to `end`, Unix seconds; by default the last hour.

    `threshold` replaces that of the detector that serves; the other learned thresholds move in proportion.
    Raises: NotTrainedError, also for models of other columns; DataError if there are no samples.
    """
    name = the_namenode(store, namenode)
    scorers = ready_scorers(settings)
    main = next(iter(scorers.values())).card
    until = last_sample(store, name) + 1e-3 if end is None else end
    since = until - 3600 if start is None else start
    series = load_series(store, name, since - lead_s(settings), until, users=True)
    span = f"between {iso(since, 'seconds')} and {iso(until, 'seconds')}"
    if not len(series):
        raise DataError(f"no samples of {name} {span}")
    if series.columns != main.columns:
        raise NotTrainedError("the models know other metrics than this release: run `hdfs-pipeline namenode train`")
    # A standby serves three operations of nineteen: judged as an active NameNode it would be one long incident.
    role = main.facts["role"]
    frame = usable(series, role=role)
    if not len(frame):
        raise DataError(f"{name} was not {role} {span}, as the baseline was")
    judged = judge(frame, scorers, 1.0 if threshold is None else threshold / main.threshold)
    users = users_at(series, frame)
    incidents = explained_incidents(frame, judged, Usual.of(scorers), persistence(settings), namenode=name, users=users)
    inside = [incident for incident in incidents if incident.end >= since and incident.start <= until]
    return Judgement(name, frame, judged, with_words(inside, words(store)))


def window_report(
    store: Store,
    settings: Settings,
    *,
    namenode: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    threshold: float | None = None,
    with_scores: bool = False,
) -> dict[str, Any]:
    """What the models say of a window, by default the last hour; nothing is kept.

    `threshold` replaces that of the detector that serves, and the other learned ones move in proportion. `with_scores`
    adds each step's time and scores. Raises: NotTrainedError, DataError.
    """
    judgement = judge_window(
        store,
        settings,
        namenode=namenode,
        start=start.timestamp() if start else None,
        end=end.timestamp() if end else None,
        threshold=threshold,
    )
    since = start.timestamp() if start else judgement.frame.times[-1] - 3600
    rows = judgement.frame.times >= since
    length = settings.namenode_sequence_length
    scored = int((~np.isnan(judgement.judged[0].scores[rows])).sum())
    report: dict[str, Any] = {
        "namenode": judgement.namenode,
        "from": iso(float(judgement.frame.times[rows][0])) if rows.any() else None,
        "to": iso(float(judgement.frame.times[-1])),
        "steps": int(rows.sum()),
        "step_s": step_seconds(judgement.frame.times),
        "note": "" if scored else f"needs {length} steps without a gap, has {int(rows.sum())}",
        "detectors": {
            answer.name: {
                "version": answer.version,
                "threshold": answer.threshold,
                "threshold_rule": answer.rule,
                "steps_over": int(answer.over[rows].sum()),
                "highest": float(np.nanmax(answer.scores[rows], initial=0.0)),
            }
            for answer in judgement.judged
        },
        "incidents": [incident_json(incident) for incident in judgement.incidents],
    }
    if with_scores:
        report["times"] = [iso(float(at)) for at in judgement.frame.times[rows]]
        report["scores"] = {
            answer.name: [None if np.isnan(score) else float(score) for score in answer.scores[rows]]
            for answer in judgement.judged
        }
    return report


def list_incidents(
    store: Store,
    *,
    namenode: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    status: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Stored incidents, the latest first."""
    wanted = {"entity = ?": namenode, "ended_at >= ?": start, "started_at < ?": end, "status = ?": status}
    rows = _rows(
        store,
        """SELECT entity AS namenode, started_at, ended_at, peak_at, opened_at, duration_s, status, severity,
        kind AS cause, evidence, detectors, details FROM incidents""",
        wanted,
        f"ORDER BY started_at DESC LIMIT {int(limit)}",
    )
    for row in rows:
        row["detectors"] = json.loads(row["detectors"])
        row.update(json.loads(row.pop("details")))
        row.update({name: row[name].astimezone(UTC).isoformat(timespec="milliseconds") for name in _TIMES})
    return rows


def metric_series(
    store: Store,
    settings: Settings,
    *,
    metrics: list[str] | None = None,
    namenode: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> dict[str, Any]:
    """Values over time of some metrics (all by default) in the last hour by default, and what the model expected.

    Without a model nothing is expected. Raises: DataError for an unknown metric.
    """
    unknown = sorted(set(metrics or ()) - set(BY_NAME))
    if unknown:
        raise DataError(f"no metric {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    name = the_namenode(store, namenode)
    until = end.timestamp() if end else last_sample(store, name) + 1e-3
    since = start.timestamp() if start else until - 3600
    expected = None
    try:
        judgement = judge_window(store, settings, namenode=name, start=since, end=until)
        frame = judgement.frame
        expected = judgement.judged[0].residuals.expected
    except NotTrainedError:
        frame = frame_of(load_series(store, name, since, until))
    rows = (frame.times >= since) & (frame.times < until)
    wanted = [frame.columns.index(metric) for metric in metrics] if metrics else range(len(frame.columns))
    return {
        "namenode": name,
        "times": [iso(float(at)) for at in frame.times[rows]],
        "metrics": {
            frame.columns[at]: {
                "unit": BY_NAME[frame.columns[at]].unit,
                "values": _plain(frame.values[rows, at]),
                "expected": None if expected is None else _plain(expected[rows, at]),
            }
            for at in wanted
        },
    }


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


def _rows(store: Store, select: str, wanted: Mapping[str, Any], order: str) -> list[dict[str, Any]]:
    """Rows of this domain that meet the conditions of `wanted` whose values are given."""
    if not store.path.exists():
        return []
    given = {condition: value for condition, value in wanted.items() if value is not None}
    with store.read() as con:
        sql = f"{select} WHERE {' AND '.join(['domain = ?', *given])} {order}"
        return dicts(con, sql, [DOMAIN, *given.values()])
