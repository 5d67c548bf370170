"""Answers about a NameNode for the console, the pages and the REST routes: plain JSON values, times in ISO 8601."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.domains.champions import load_scorer, ready_detectors, serving_detector
from hdfs_pipeline.domains.namenode.baseline import require
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
from hdfs_pipeline.domains.namenode.features import baseline_steps
from hdfs_pipeline.domains.namenode.frames import frame_of, usable
from hdfs_pipeline.domains.namenode.labels import DOMAIN, words
from hdfs_pipeline.domains.namenode.metrics import BY_NAME
from hdfs_pipeline.domains.namenode.series import iso, last_sample, load_series, the_namenode
from hdfs_pipeline.domains.namenode.timeline import POINTS, known_metrics, lines_of, plain, polls_between
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.frames import Frame
from hdfs_pipeline.scoring.incidents import Incident, with_words
from hdfs_pipeline.scoring.labels import UNLABELLED
from hdfs_pipeline.scoring.models import cards, champion_version, read_card
from hdfs_pipeline.scoring.runs import step_seconds
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.scoring.severity import SEVERITIES
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, dicts

_TIMES = ("started_at", "ended_at", "peak_at", "opened_at")
MOST_STEPS: Final = 50_000
"""Steps that are judged for one answer; three days of polls 5 s apart are less."""
MOST_SAMPLES: Final = 150_000
"""Samples of a baseline that are looked at for one answer: eight days of polls 5 s apart."""
_OF_CAUSE: Final = 5  # metrics of a cause
_CALLERS: Final = 10
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
    judgement = _judged(store, settings, namenode, start, end, threshold)
    return _window_json(judgement, settings, start, with_scores)


def analysis_report(
    store: Store,
    settings: Settings,
    *,
    namenode: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    threshold: float | None = None,
    metrics: Sequence[str] = (),
    points: int = POINTS,
) -> dict[str, Any]:
    """`window_report` with scores, and what people look at beside them.

    `causes` are the likely causes of its incidents, the gravest first, `users` who called most beyond the usual,
    `series` the chosen metrics over time (`timeline.Lines`), each with what was expected of it. Raises:
    NotTrainedError; DataError, also for an unknown metric or a window of more than MOST_STEPS polls.
    """
    names, name = known_metrics(metrics), the_namenode(store, namenode)
    require_length(store, name, start, end, MOST_STEPS)
    judgement = _judged(store, settings, name, start, end, threshold)
    report = _window_json(judgement, settings, start, with_scores=True)
    frame, expected = judgement.frame, judgement.judged[0].residuals.expected
    rows = frame.times >= (start.timestamp() if start else frame.times[-1] - 3600)
    columns = [frame.columns.index(each) for each in names]
    both = np.hstack([frame.values[rows][:, columns], expected[rows][:, columns]])
    keys = [*names, *(f"{each} expected" for each in names)]
    lines = lines_of(name, keys, frame.times[rows], frame.segment[rows], both, points)
    series: dict[str, Any] = {"step_s": lines.step_s, "times": [iso(at) for at in lines.times.tolist()], "metrics": {}}
    for each in names:
        low, high = lines.low[f"{each} expected"], lines.high[f"{each} expected"]
        found = {"unit": BY_NAME[each].unit, "low": plain(lines.low[each]), "high": plain(lines.high[each])}
        series["metrics"][each] = found | {"expected": plain((low + high) / 2)}
    ranked = sorted(report["incidents"], key=_gravity, reverse=True)
    return report | {"incidents": ranked, "causes": _causes(ranked), "users": _users(ranked), "series": series}


def _gravity(incident: Mapping[str, Any]) -> tuple[int, float]:
    """Severity, and how far beyond the threshold of a detector that opened it it was at the worst."""
    beyond = [about["score"] / about["threshold"] for about in incident["detectors"].values() if about["opened"]]
    return SEVERITIES.index(incident["severity"]), max(beyond, default=0.0)


def _causes(ranked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The causes of incidents, which are the gravest first; with what the gravest of each shows."""
    causes: dict[str, dict[str, Any]] = {}
    for incident in ranked:
        cause = incident["cause"]
        worst = {"severity": incident["severity"], "metrics": incident.get("metrics", [])[:_OF_CAUSE]}
        about = causes.setdefault(cause["name"], {**cause, "incidents": 0, "duration_s": 0.0} | worst)
        about["incidents"] += 1
        about["duration_s"] += incident["duration_s"]
    return list(causes.values())


def _users(ranked: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Who called most in the incidents, each user and operation once."""
    worst: dict[tuple[str, str], dict[str, Any]] = {}
    for user in (user for incident in ranked for user in incident.get("users", [])):
        key = user["user"], user["operation"]
        if key not in worst or worst[key]["calls"] < user["calls"]:
            worst[key] = user
    return sorted(worst.values(), key=lambda user: user["usual"] - user["calls"])[:_CALLERS]


def baseline_report(
    store: Store,
    settings: Settings,
    *,
    namenode: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    with_incidents: bool = False,
) -> dict[str, Any]:
    """Whether a NameNode's samples from `start` to `end` can be learned from, and what is odd about them.

    `samples` were polled, `steps` of them are left to learn from, without `left_out` stretches; `why_not` says why they
    do not suffice, '' where they do. Raises: DataError for more than MOST_SAMPLES, or where nothing was polled.
    """
    name = the_namenode(store, namenode)
    require_length(store, name, start, end, MOST_SAMPLES)
    series, data = baseline_steps(store, settings, namenode=name, start=start, end=end, with_incidents=with_incidents)
    learned, why_not = data.take(data.labels == UNLABELLED), ""
    try:
        require(learned.main.inputs, settings.namenode_sequence_length)
    except DataError as error:
        why_not = str(error)
    passed = np.diff(series.times)[series.gap[1:]] if len(series) else np.zeros(0)
    return {
        "namenode": name,
        "role": data.facts["role"],
        "from": iso(float(series.times[0])) if len(series) else None,
        "to": iso(float(series.times[-1])) if len(series) else None,
        "samples": len(series),
        "steps": len(learned),
        "step_s": step_seconds(series.times),
        "gaps": len(passed),
        "longest_gap_s": float(passed.max(initial=0.0)),
        "left_out": data.facts["left_out"],
        "findings": data.facts["findings"],
        "why_not": why_not,
    }


def _judged(
    store: Store,
    settings: Settings,
    namenode: str | None,
    start: datetime | None,
    end: datetime | None,
    threshold: float | None,
) -> Judgement:
    since, until = (None if edge is None else edge.timestamp() for edge in (start, end))
    return judge_window(store, settings, namenode=namenode, start=since, end=until, threshold=threshold)


def _window_json(judgement: Judgement, settings: Settings, start: datetime | None, with_scores: bool) -> dict[str, Any]:
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
    metrics = known_metrics(metrics or ())
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
                "values": plain(frame.values[rows, at]),
                "expected": None if expected is None else plain(expected[rows, at]),
            }
            for at in wanted
        },
    }


def require_length(store: Store, namenode: str, start: datetime | None, end: datetime | None, most: int) -> None:
    """Check that a window is not too long for one answer. Raises: DataError."""
    polls = polls_between(store, namenode, start, end)
    if polls > most:
        raise DataError(f"{polls:,} polls are in this window, and {most:,} can be looked at: choose a shorter one")


def _rows(store: Store, select: str, wanted: Mapping[str, Any], order: str) -> list[dict[str, Any]]:
    """Rows of this domain that meet the conditions of `wanted` whose values are given."""
    if not store.path.exists():
        return []
    given = {condition: value for condition, value in wanted.items() if value is not None}
    with store.read() as con:
        sql = f"{select} WHERE {' AND '.join(['domain = ?', *given])} {order}"
        return dicts(con, sql, [DOMAIN, *given.values()])
