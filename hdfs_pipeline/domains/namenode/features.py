"""The features of windows: a NameNode's samples as steps, with incidents and people's words on their time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from hdfs_pipeline.domains.contract import EVERYTHING, Selection
from hdfs_pipeline.domains.namenode.baseline import check_baseline, require
from hdfs_pipeline.domains.namenode.detectors import lead_s
from hdfs_pipeline.domains.namenode.explain import usual_callers
from hdfs_pipeline.domains.namenode.frames import main_role, usable
from hdfs_pipeline.domains.namenode.item import WINDOW, namenode_and_time
from hdfs_pipeline.domains.namenode.labels import DOMAIN, Stretch, labels_and_kinds, left_out, within, words
from hdfs_pipeline.domains.namenode.series import Series, iso, last_sample, latest_samples, load_series, the_namenode
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.feedback import Word, overlay
from hdfs_pipeline.scoring.labels import UNLABELLED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

FAMILY = "series"


def load_dataset(store: Store, settings: Settings, where: Selection = EVERYTHING, role: str | None = None) -> Dataset:
    """The windows of a selection, those of one NameNode; by default what a training learns from.

    A training learns from the `namenode_baseline_hours` up to the latest sample, without incidents and marked
    stretches. In other selections, only steps count that are in the `role` which the serving model has learned: a
    standby serves three operations of nineteen, so that judged as an active NameNode it would be one long incident.
    Raises: DataError if there are no samples at all, samples of several NameNodes, or none in that role.
    """
    if where.items is None and where.began is None:
        return load_baseline(store, settings, namenode=where.entity or None)
    namenode, since, until = _span(store, where)
    lead = lead_s(settings)
    # Steps at the beginning of a segment are judged with those that follow them.
    series = load_series(store, namenode, since - lead, until + lead)
    whole = dataset(series, settings, left_out(store, namenode, since, until), role, words(store))
    times = whole.main.inputs.times
    selected = (times >= since) & (times < until)
    if where.items is not None:
        selected &= np.isin(whole.keys, list(where.items))
    elif not selected.any() and len(series.slice(since, until)):
        raise DataError(f"{namenode} was not {role} between {_short(since)} and {_short(until)}, as the baseline was")
    return replace(whole.take(selected), matrices={FAMILY: whole.main.inputs.part(selected)})


def _span(store: Store, where: Selection) -> tuple[str, float, float]:
    """The NameNode of a selection, and the times [from, to) of its steps, Unix seconds."""
    known = latest_samples(store) if store.path.exists() else {}
    since, until = (edge.timestamp() for edge in where.began) if where.began is not None else (0.0, np.inf)
    if where.items is None:
        return the_namenode(store, where.entity or None), since, until
    ends = [(name, at) for name, at in map(namenode_and_time, where.items) if name in known]
    names = sorted({name for name, _ in ends})
    if len(names) > 1:
        raise DataError(f"windows of several NameNodes ({', '.join(names)}): ask for one at a time")
    if not names:
        return next(iter(known), None) or the_namenode(store, None), 0.0, 0.0
    times = [at for _, at in ends]
    return names[0], max(since, min(times)), min(until, max(times) + 1e-3)


def load_baseline(
    store: Store,
    settings: Settings,
    *,
    namenode: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    with_incidents: bool = False,
) -> Dataset:
    """The steps of a NameNode to learn from, from `start` to `end`; by default the last `namenode_baseline_hours`.

    Incidents (unless `with_incidents`) and marked stretches stay in it, labelled so that nothing is learned from them.
    Raises: DataError if too little is left.
    """
    _, data = baseline_steps(store, settings, namenode=namenode, start=start, end=end, with_incidents=with_incidents)
    learned = data.take(data.labels == UNLABELLED)
    require(learned.main.inputs, settings.namenode_sequence_length)
    return data


def baseline_steps(
    store: Store,
    settings: Settings,
    *,
    namenode: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    with_incidents: bool = False,
) -> tuple[Series, Dataset]:
    """The samples of a stretch, and their steps as `load_baseline` has them, however few those are."""
    name = the_namenode(store, namenode)
    until = end.timestamp() if end else last_sample(store, name) + 1
    since = start.timestamp() if start else until - settings.namenode_baseline_hours * 3600
    series = load_series(store, name, since, until, users=True)
    stretches = left_out(store, name, since, until, with_incidents=with_incidents)
    return series, dataset(series, settings, stretches, given=words(store))


def dataset(
    series: Series,
    settings: Settings,
    stretches: Sequence[Stretch] = (),
    role: str | None = None,
    given: Sequence[Word] = (),
) -> Dataset:
    """Samples as a Dataset of the steps in a role, by default the one that most samples have.

    Nothing is learned in `stretches`. The words on windows among people's words `given` become its feedback.
    """
    role = role or main_role(series)
    frame = usable(series, role=role)
    usual = ~within(series.times, [span for span, _ in stretches])
    users = [sample for sample, kept in zip(series.users or [], usual, strict=False) if kept]
    facts = {
        "role": role,
        "left_out": [{"from": iso(start), "to": iso(end), "why": why} for (start, end), why in stretches],
        "findings": [finding.to_json() for finding in check_baseline(series, settings.namenode_sequence_length)],
        "users": usual_callers(users),
    }
    data = Dataset(
        DOMAIN,
        {FAMILY: frame},
        np.round(frame.times * 1e6).astype(np.int64),
        np.full(len(frame), UNLABELLED, np.int8),
        np.full(len(frame), "", object),
        entity=series.namenode,
        plural=WINDOW.plural,
        alike=WINDOW.alike,
        facts=facts,
    )
    feedback = overlay(data, [word for word in given if word.key is not None]).feedback
    if feedback is not None:  # its windows are scored together with the steps before them
        part = frame.part(np.searchsorted(frame.keys, feedback.keys))
        feedback = replace(feedback, matrices={FAMILY: part})
    labels, kinds = labels_and_kinds(frame.times, stretches)
    return replace(data, labels=labels, kinds=kinds, feedback=feedback)


def _short(seconds: float) -> str:
    return iso(seconds, "seconds")
