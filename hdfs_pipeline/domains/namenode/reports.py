"""What the console, the pages and the REST routes ask about a NameNode: JSON-able answers, times in ISO 8601."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hdfs_pipeline.domains.namenode import models
from hdfs_pipeline.domains.namenode.incidents import OPENERS, iso
from hdfs_pipeline.domains.namenode.lstm import LstmAutoencoder
from hdfs_pipeline.domains.namenode.metrics import BY_NAME
from hdfs_pipeline.domains.namenode.models import DETECTORS
from hdfs_pipeline.domains.namenode.rules import StaticRules
from hdfs_pipeline.domains.namenode.runs import step_seconds
from hdfs_pipeline.domains.namenode.series import load_series
from hdfs_pipeline.domains.namenode.watch import judge_window, last_sample, load_training, the_namenode, train_window
from hdfs_pipeline.domains.namenode.windows import frame_of
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_TIMES = ("started_at", "ended_at", "peak_at", "opened_at")


def model_status(settings: Settings) -> dict[str, Any]:
    """The model that serves, by detector, and the versions that are there. `trained` tells whether there is one."""
    serving = models.serving(settings)
    found: dict[str, Any] = {
        "trained": serving is not None,
        "serving": serving,
        "versions": models.versions(settings, LstmAutoencoder.name),
        "detectors": {},
        "rules": StaticRules.of_settings(settings).limits,
    }
    if serving is None:
        return found
    for name, model in load_training(settings).models.items():
        card = model.card
        found["detectors"][name] = {
            "about": model.detector.about,
            "opens_incidents": name in OPENERS,
            **{key: getattr(card, key) for key in ("version", "threshold", "rule", "facts", "seconds", "seed")},
        }
        if name == LstmAutoencoder.name:
            for key in (
                "namenode",
                "role",
                "trained_from",
                "trained_to",
                "steps",
                "left_out",
                "findings",
                "created_at",
                "params",
            ):
                found[key] = getattr(card, key)
    return found


def train_report(store: Store, settings: Settings, **window: Any) -> dict[str, Any]:
    """Train on a window (see `train_window`) and tell what came of it."""
    train_window(store, settings, **window)
    return model_status(settings)


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

    `threshold` replaces that of the LSTM autoencoder, and the other learned ones move in proportion. `with_scores` adds
    each step's time and scores. Raises: NotTrainedError, DataError.
    """
    found = judge_window(
        store,
        settings,
        namenode=namenode,
        start=start.timestamp() if start else None,
        end=end.timestamp() if end else None,
        threshold=threshold,
    )
    since = start.timestamp() if start else found.frame.times[-1] - 3600
    rows = found.frame.times >= since
    length = settings.namenode_sequence_length
    scored = int((~np.isnan(found.judged[0].scores[rows])).sum())
    report: dict[str, Any] = {
        "namenode": found.namenode,
        "from": iso(float(found.frame.times[rows][0])) if rows.any() else None,
        "to": iso(float(found.frame.times[-1])),
        "steps": int(rows.sum()),
        "step_s": step_seconds(found.frame.times),
        "note": "" if scored else f"needs {length} steps without a gap, has {int(rows.sum())}",
        "detectors": {
            each.name: {
                "version": each.version,
                "threshold": each.threshold,
                "threshold_rule": each.rule,
                "steps_over": int(each.over[rows].sum()),
                "highest": float(np.nanmax(each.scores[rows], initial=0.0)),
            }
            for each in found.judged
        },
        "incidents": [each.to_json() for each in found.incidents],
    }
    if with_scores:
        report["times"] = [iso(float(at)) for at in found.frame.times[rows]]
        report["scores"] = {
            each.name: [None if np.isnan(score) else float(score) for score in each.scores[rows]]
            for each in found.judged
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
    wanted = {"namenode = ?": namenode, "ended_at >= ?": start, "started_at < ?": end, "status = ?": status}
    given = {condition: value for condition, value in wanted.items() if value is not None}
    rows = _rows(
        store,
        f"SELECT * FROM namenode_incidents WHERE {' AND '.join(given) or 'true'} "
        f"ORDER BY started_at DESC LIMIT {int(limit)}",
        list(given.values()),
    )
    for row in rows:
        for name in ("detectors", "metrics", "users"):
            row[name] = json.loads(row[name])
        row |= {name: row[name].astimezone(UTC).isoformat(timespec="milliseconds") for name in _TIMES}
    return rows


def list_anomalies(
    store: Store,
    *,
    namenode: str | None = None,
    detector: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """Stored steps that reached a threshold, the latest first."""
    wanted = {"namenode = ?": namenode, "detector = ?": detector, "step_at >= ?": start, "step_at < ?": end}
    given = {condition: value for condition, value in wanted.items() if value is not None}
    rows = _rows(
        store,
        f"SELECT namenode, detector, version, step_at, score, threshold FROM namenode_scores "
        f"WHERE {' AND '.join(['is_anomaly', *given])} ORDER BY step_at DESC, detector LIMIT {int(limit)}",
        list(given.values()),
    )
    return [row | {"step_at": row["step_at"].astimezone(UTC).isoformat(timespec="milliseconds")} for row in rows]


def metric_series(
    store: Store,
    settings: Settings,
    *,
    metrics: list[str] | None = None,
    namenode: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> dict[str, Any]:
    """Values over time of some metrics (all by default), with what the model expected, where there is one.

    By default the last hour. Raises: DataError for a metric that there is none of.
    """
    unknown = sorted(set(metrics or ()) - set(BY_NAME))
    if unknown:
        raise DataError(f"no metric {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
    name = the_namenode(store, namenode)
    until = end.timestamp() if end else last_sample(store, name) + 1e-3
    since = start.timestamp() if start else until - 3600
    expected = None
    try:
        found = judge_window(store, settings, namenode=name, start=since, end=until)
        frame = found.frame
        expected = next(each for each in found.judged if each.name == LstmAutoencoder.name).residuals.expected
    except NotTrainedError:
        frame = frame_of(load_series(store, name, since, until))
    rows = (frame.times >= since) & (frame.times < until)
    wanted = [frame.columns.index(each) for each in metrics] if metrics else range(len(frame.columns))
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


def detectors() -> list[dict[str, Any]]:
    """Every detector of NameNode metrics: name, what its score is, whether it opens incidents."""
    every: list[Any] = [*DETECTORS.values(), StaticRules]
    return [{"name": each.name, "about": each.about, "opens_incidents": each.name in OPENERS} for each in every]


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in values]


def _rows(store: Store, sql: str, parameters: list[Any]) -> list[dict[str, Any]]:
    if not store.path.exists():
        return []
    with store.read() as con:
        cursor = con.execute(sql, parameters)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
