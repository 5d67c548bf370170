"""Watching a NameNode in the store: train on a window, score what is new, keep incidents and what people mark."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.namenode import models
from hdfs_pipeline.domains.namenode.baseline import Span, check_baseline, main_role, usable
from hdfs_pipeline.domains.namenode.incidents import Incident, Judged, find_incidents
from hdfs_pipeline.domains.namenode.models import DETECTORS
from hdfs_pipeline.domains.namenode.series import Series, load_series
from hdfs_pipeline.domains.namenode.training import Training, judge, persistence, train
from hdfs_pipeline.domains.namenode.windows import HOLD_S, Frame, frame_of
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into

KINDS: Final = ("maintenance", "false")
_AGAIN_S: Final = 300.0  # seconds that are scored again, since a window's last values may have come late


@dataclass(frozen=True)
class Marked:
    """A stretch of time that somebody marked; Unix seconds."""

    start: float
    end: float
    kind: str
    note: str


@dataclass(frozen=True)
class Judgement:
    """A stretch of steps with what every detector says of it and the incidents in it."""

    namenode: str
    frame: Frame
    judged: list[Judged]
    incidents: list[Incident]
    training: Training


def the_namenode(store: Store, namenode: str | None) -> str:
    """The NameNode that is meant: the only one that there are samples of, or that is active, unless named.

    Raises: DataError.
    """
    if not store.path.exists():
        raise DataError("no samples of a NameNode yet: `hdfs-pipeline collect` polls one")
    with store.read() as con:
        rows = con.execute(
            "SELECT namenode, arg_max(role, polled_at) = 'active' FROM namenode_metrics GROUP BY 1 ORDER BY 1"
        ).fetchall()
    known = [str(row[0]) for row in rows]
    if namenode is not None and namenode in known:
        return namenode
    for choice in (known, [str(name) for name, active in rows if active]):
        if namenode is None and len(choice) == 1:
            return choice[0]
    if not known:
        raise DataError("no samples of a NameNode yet: `hdfs-pipeline collect` polls one")
    raise DataError(f"which NameNode? There are samples of {', '.join(known)}")


def last_sample(store: Store, namenode: str) -> float:
    """Time of the latest sample, Unix seconds. Raises: DataError where there is none."""
    with store.read() as con:
        rows = con.execute(
            "SELECT epoch(max(polled_at)) FROM namenode_metrics WHERE namenode = ?", [namenode]
        ).fetchall()
    if rows[0][0] is None:
        raise DataError(f"no samples of {namenode} yet: `hdfs-pipeline collect` polls it")
    return float(rows[0][0])


def marks(store: Store, namenode: str) -> list[Marked]:
    """What people marked of a NameNode, in the order of time."""
    with store.read() as con:
        rows = con.execute(
            "SELECT epoch(from_at), epoch(to_at), kind, note FROM namenode_marks WHERE namenode = ? ORDER BY from_at",
            [namenode],
        ).fetchall()
    return [Marked(*row) for row in rows]


def mark(
    store: Store, start: datetime, end: datetime, kind: str, *, namenode: str | None = None, note: str = ""
) -> int:
    """Mark a stretch of time as maintenance or as a false alarm; how many incidents that concerns.

    Those change their status at once, and later ones in it too; the next training leaves the stretch out, and sets its
    thresholds above what was a false alarm. Raises: DataError for a stretch or kind that makes no sense.
    """
    if kind not in KINDS:
        raise DataError(f"a stretch can be marked as {' or '.join(KINDS)}, not as {kind!r}")
    if not start < end:
        raise DataError(f"the stretch ends ({end.isoformat()}) before it begins ({start.isoformat()})")
    name = the_namenode(store, namenode)
    row = {"namenode": name, "from_at": start, "to_at": end, "kind": kind, "note": note, "made_at": datetime.now(UTC)}
    with store.write() as con:
        publish_into(
            con,
            "namenode_marks",
            pa.Table.from_pylist([row]),
            replace="namenode = ? AND from_at = ? AND to_at = ?",
            parameters=[name, start, end],
        )
        con.execute(
            "UPDATE namenode_incidents SET status = ? WHERE namenode = ? AND started_at <= ? AND ended_at >= ?",
            [kind, name, end, start],
        )
        return int(con.fetchall()[0][0])


def train_window(
    store: Store,
    settings: Settings,
    *,
    namenode: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    with_incidents: bool = False,
    on_step: Callable[[str], None] = lambda _: None,
) -> Training:
    """Train on the samples from `start` to `end`, save the models as the next version and let them serve.

    By default that is the `namenode_baseline_hours` up to the latest sample. Incidents (unless `with_incidents`) and
    marked stretches are left out. Raises: DataError where too little is left.
    """
    name = the_namenode(store, namenode)
    until = end.timestamp() if end else last_sample(store, name) + 1
    since = start.timestamp() if start else until - settings.namenode_baseline_hours * 3600
    on_step("reading")
    series = load_series(store, name, since, until, users=True)
    left_out = _left_out(store, name, since, until, with_incidents)
    spans = [span for span, _ in left_out]
    findings = check_baseline(series, settings.namenode_sequence_length)
    false = [each for each in marks(store, name) if each.kind == "false"]
    training = train(
        usable(series, spans),
        settings,
        version=models.next_version(settings),
        namenode=name,
        role=main_role(series),
        left_out=left_out,
        false_alarms=_false_alarms(series, false),
        findings=findings,
        users=[users for users, at in zip(series.users or [], series.times, strict=True) if not _within(at, spans)],
        on_step=on_step,
    )
    on_step("saving")
    models.save(settings, training.models)
    rows = [_model_row(settings, model) for model in training.models.values()]
    with store.write() as con:
        same = "(detector, version) IN (SELECT detector, version FROM publish_source)"
        publish_into(con, "models", pa.Table.from_pylist(rows), replace=same)
    return training


def _model_row(settings: Settings, model: models.Model) -> dict[str, Any]:
    """A row of `models`; there it has the name of its folder."""
    card, folder = model.card, models.folder_of(settings, model.card.detector)
    return {
        "detector": folder.name,
        "version": card.version,
        "threshold": card.threshold,
        "path": str(folder / f"{card.version:04d}"),
        "card": json.dumps(card.to_json()),
        "created_at": datetime.fromisoformat(card.created_at),
    }


def _left_out(store: Store, name: str, since: float, until: float, with_incidents: bool) -> list[tuple[Span, str]]:
    found = [((each.start, each.end), each.kind) for each in marks(store, name)]
    if not with_incidents:
        with store.read() as con:
            rows = con.execute(
                "SELECT epoch(started_at), epoch(ended_at) FROM namenode_incidents WHERE namenode = ? "
                "AND status IN ('ongoing', 'resolved') ORDER BY started_at",
                [name],
            ).fetchall()
        # What follows is no usual time either: held values, a queue that drains.
        found += [((float(begin), float(end) + HOLD_S), "incident") for begin, end in rows]
    return sorted(each for each in found if each[0][1] >= since and each[0][0] <= until)


def _within(at: float, spans: Sequence[Span]) -> bool:
    return any(start <= at <= end for start, end in spans)


def _false_alarms(series: Series, false: Sequence[Marked]) -> tuple[Frame, np.ndarray] | None:
    frame = frame_of(series)
    marked = np.zeros(len(frame), dtype=bool)
    for each in false:
        marked |= (frame.times >= each.start) & (frame.times <= each.end)
    return (frame, marked) if marked.any() else None


def load_training(settings: Settings, version: int | None = None) -> Training:
    """The models that serve, or those of a version. Raises: NotTrainedError."""
    return Training({name: models.load(settings, name, version) for name in DETECTORS})


def judge_window(
    store: Store,
    settings: Settings,
    *,
    namenode: str | None = None,
    start: float | None = None,
    end: float | None = None,
    threshold: float | None = None,
) -> Judgement:
    """What the models say of the stored samples from `start` to `end`, Unix seconds; by default the last hour.

    `threshold` replaces that of the LSTM autoencoder; the other learned ones move in proportion.
    Raises: NotTrainedError; DataError where there are no samples, or models of other columns.
    """
    name = the_namenode(store, namenode)
    training = load_training(settings)
    main = next(iter(training.models.values())).card
    until = last_sample(store, name) + 1e-3 if end is None else end
    since = until - 3600 if start is None else start
    # Windows that end in the stretch begin before it, and beans that were not refreshed since are known from before.
    lead = settings.namenode_sequence_length * max(settings.namenode_poll_s, 1.0) * 2 + HOLD_S
    series = load_series(store, name, since - lead, until, users=True)
    if not len(series):
        raise DataError(f"no samples of {name} between {_iso(since)} and {_iso(until)}")
    if series.columns != main.columns:
        raise NotTrainedError("the models know other metrics than this release: run `hdfs-pipeline namenode train`")
    # A standby serves three operations of nineteen: judged as an active NameNode it would be one long incident.
    frame = usable(series, role=main.role)
    if not len(frame):
        raise DataError(f"{name} was not {main.role} between {_iso(since)} and {_iso(until)}, as the baseline was")
    kept = np.isin(series.times, frame.times)
    users = [each for each, keep in zip(series.users or [], kept, strict=True) if keep]
    judged = judge(frame, training, settings, 1.0 if threshold is None else threshold / main.threshold)
    rule = persistence(settings)
    incidents = find_incidents(frame, judged, training.scale, rule, users=users, usual_users=training.usual_users)
    marked = marks(store, name)
    return Judgement(
        name,
        frame,
        judged,
        [_as_marked(each, marked) for each in incidents if each.end >= since and each.start <= until],
        training,
    )


def _as_marked(incident: Incident, marked: Sequence[Marked]) -> Incident:
    for each in marked:
        if each.start <= incident.end and each.end >= incident.start:
            return replace(incident, status=each.kind)
    return incident


def update(store: Store, settings: Settings, namenode: str | None = None) -> dict[str, Any]:
    """Score what came in since the last time, and bring the incidents up to date; what was done, in numbers.

    Raises: NotTrainedError; DataError where there are no samples.
    """
    name = the_namenode(store, namenode)
    until = last_sample(store, name)
    with store.read() as con:
        scored = con.execute("SELECT epoch(max(step_at)) FROM namenode_scores WHERE namenode = ?", [name]).fetchall()[
            0
        ][0]
        since = max(until - 24 * 3600, 0) if scored is None else float(scored) - _AGAIN_S
        open_ones = con.execute(
            "SELECT min(epoch(started_at)) FROM namenode_incidents WHERE namenode = ? AND (status = 'ongoing' "
            "OR ended_at >= to_timestamp(?))",
            [name, since],
        ).fetchall()[0][0]
    since = since if open_ones is None else min(since, float(open_ones))
    found = judge_window(store, settings, namenode=name, start=since, end=until + 1e-3)
    rows = found.frame.times >= since
    now = datetime.now(UTC)
    scores = pa.concat_tables([_scores(found, each, rows, now) for each in found.judged])
    incidents = [each for each in found.incidents if each.end >= since]
    table = pa.Table.from_pylist([incident_row(name, each) for each in incidents]) if incidents else []
    with store.write() as con:
        publish_into(
            con,
            "namenode_scores",
            scores,
            replace="namenode = ? AND step_at >= to_timestamp(?)",
            parameters=[name, since],
        )
        publish_into(
            con,
            "namenode_incidents",
            table,
            replace="namenode = ? AND ended_at >= to_timestamp(?)",
            parameters=[name, since],
        )
    return {
        "namenode": name,
        "from": _iso(since),
        "to": _iso(until),
        "steps": int(rows.sum()),
        "incidents": len(incidents),
        "ongoing": sum(each.status == "ongoing" for each in incidents),
        "version": next(iter(found.training.models.values())).card.version,
        "age_s": max(0.0, datetime.now(UTC).timestamp() - until),
    }


def _scores(found: Judgement, each: Judged, rows: np.ndarray, now: datetime) -> pa.Table:
    n = int(rows.sum())
    scores = each.scores[rows]
    return pa.table(
        {
            "namenode": [found.namenode] * n,
            "detector": [each.name] * n,
            "step_at": pa.array((found.frame.times[rows] * 1e6).round().astype(np.int64), pa.timestamp("us", tz="UTC")),
            "version": np.full(n, each.version, np.int32),
            "score": pa.array(scores, mask=np.isnan(scores)),
            "threshold": np.full(n, each.threshold),
            "is_anomaly": each.over[rows],
            "scored_at": pa.array([now] * n, pa.timestamp("us", tz="UTC")),
        }
    )


def incident_row(namenode: str, each: Incident) -> dict[str, Any]:
    """An incident as a row of `namenode_incidents`."""
    when = {
        f"{name}_at": datetime.fromtimestamp(value, UTC)
        for name, value in (("started", each.start), ("ended", each.end), ("peak", each.peak), ("opened", each.opened))
    }
    return {
        "namenode": namenode,
        **when,
        "duration_s": each.duration_s,
        "status": each.status,
        "severity": each.severity,
        "cause": each.cause.name,
        "evidence": each.cause.evidence,
        "detectors": json.dumps(each.detectors),
        "metrics": json.dumps([asdict(metric) for metric in each.metrics]),
        "users": json.dumps([asdict(user) for user in each.users]),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
