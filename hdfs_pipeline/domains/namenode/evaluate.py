"""Evaluate the detectors on labelled data: a recording of polls with faults, or a machine's metrics with labels."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from hdfs_pipeline.detectors import make_detector
from hdfs_pipeline.detectors.series.base import ScaledDetector
from hdfs_pipeline.detectors.series.majority import MEMBERS, Majority
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.namenode.baseline import require
from hdfs_pipeline.domains.namenode.detectors import MAIN, RULES, params_of, persistence, threshold_of
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
from hdfs_pipeline.domains.namenode.features import dataset
from hdfs_pipeline.domains.namenode.frames import main_role, usable
from hdfs_pipeline.domains.namenode.series import iso, read_series
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.frames import Frame, frame_of_matrix, moving_average
from hdfs_pipeline.scoring.incidents import Incident
from hdfs_pipeline.scoring.runs import step_seconds
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.scoring.vus import average_precision, vus_pr
from hdfs_pipeline.settings import Settings

SMOOTHING: Final = 10
"""Steps of the moving average over a machine's scores; the same for every detector."""

LAG_S: Final = 30.0
"""Seconds after a fault in which `/jmx` may still show its last values: Hadoop refreshes a bean every 10 to 20 s."""

GRACE_S: Final = 30.0
"""Seconds after a fault that count neither as fault nor as quiet: the queue drains, clients catch up."""

LEAST_QUIET_H: Final = 1.0
"""Hours of quiet from which false incidents are told per hour: "0 in three minutes" says nothing."""

COMBINED: Final = "incidents"
_TOP: Final = 5
_BUFFER: Final = 30  # steps, of a recording that is a few hundred long

OnStep = Callable[[str], None]
Fit = Callable[[Dataset, str, Settings], Scorer]
"""Trains the detector of a name on a Dataset, and fixes its threshold there."""


@dataclass(frozen=True)
class Fault:
    """A labelled fault; times in Unix seconds."""

    name: str
    start: float
    end: float
    expected: tuple[str, ...]


def read_faults(path: Path | str) -> list[Fault]:
    """Labels: one JSON object a line with fault, start, end (Unix seconds) and expected_metrics. Raises: DataError."""
    try:
        rows = [json.loads(line) for line in Path(path).read_text().splitlines() if line.strip()]
        faults = [
            Fault(str(row["fault"]), float(row["start"]), float(row["end"]), tuple(row.get("expected_metrics", ())))
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no labels of faults ({error}); a line is {{'fault', 'start', 'end'}}") from None
    if not faults:
        raise DataError(f"{path}: no fault in it")
    return sorted(faults, key=lambda fault: fault.start)


def evaluate_series(
    series_path: Path | str,
    labels_path: Path | str,
    settings: Settings,
    fit: Fit,
    *,
    seed: int | None = None,
    baseline_s: float | None = None,
    on_step: OnStep = lambda _: None,
) -> dict[str, Any]:
    """Train by `fit` on the time before the first fault of a recording, and judge all of it. Returns plain JSON values.

    The majority's members are judged each for itself too, without a second training. With `baseline_s` the baseline is
    only that much of the beginning, and the rest up to the fault is quiet time. Incidents are matched with faults by
    time. A fault is found by an incident that begins between its start and `LAG_S` after its end (a poll before its
    start counts as its start). An incident is false if it meets no fault and no `GRACE_S` after one. Quiet time is the
    time after the baseline that is neither fault nor grace.
    """
    series, faults = read_series(series_path), read_faults(labels_path)
    until = faults[0].start if baseline_s is None else min(faults[0].start, series.times[0] + baseline_s)
    before = series.slice(None, until)
    begun = time.perf_counter()
    learned = dataset(before, settings)
    require(learned.main.inputs, settings.namenode_sequence_length)
    on_step(MAIN)
    scorer = fit(learned, MAIN, _seeded(settings, seed))
    scorer = replace(scorer, card=replace(scorer.card, version=1))  # like the first version in a home
    scorers = {MAIN: scorer, **dict(_members(scorer, learned.main.inputs, settings))}
    trained_s = time.perf_counter() - begun
    usual = Usual.of(scorers)
    frame = usable(series, role=main_role(before))
    judged = judge(frame, scorers | {RULES: load_scorer(settings, NameNode(), RULES)})
    users = users_at(series, frame)
    rule = persistence(settings)
    labels = np.zeros(len(frame))
    for fault in faults:
        labels[(frame.times >= fault.start) & (frame.times <= fault.end)] = 1
    after = frame.times >= until
    quiet_h = _quiet_hours(frame, faults, until)
    detectors, opening = {}, openers(answer.name for answer in judged)
    for name in (COMBINED, *(answer.name for answer in judged)):
        asked = opening if name == COMBINED else (name,)
        incidents = explained_incidents(frame, judged, usual, rule, users=users, opening=asked)
        figures = _matched(incidents, faults, quiet_h, frame, until)
        own = next((answer for answer in judged if answer.name == name), None)
        scores = np.nan_to_num(own.scores if own else _highest(judged, opening))
        figures |= {
            "ap": average_precision(labels[after], scores[after]),
            "vus_pr": vus_pr(labels[after], scores[after], _BUFFER),
            "threshold": own.threshold if own else None,
            "threshold_rule": own.rule if own else "any of " + ", ".join(opening),
        }
        if name == COMBINED:
            figures["incidents"] = [incident_json(incident) for incident in incidents]
        detectors[name] = figures
    return {
        "kind": "series",
        "path": str(series_path),
        "steps": len(frame),
        "step_s": step_seconds(frame.times),
        "metrics": len(frame.columns),
        "seed": settings.seed if seed is None else seed,
        "baseline": {
            "steps": len(before),
            "seconds": float(before.times[-1] - before.times[0]) if len(before) else 0.0,
            "findings": learned.facts["findings"],
        },
        "faults": len(faults),
        "quiet_hours": quiet_h,
        "train_s": trained_s,
        "detectors": detectors,
    }


def _seeded(settings: Settings, seed: int | None) -> Settings:
    return settings if seed is None else settings.model_copy(update={"seed": seed})


def _members(scorer: Scorer, frame: Frame, settings: Settings) -> Iterator[tuple[str, Scorer]]:
    """Each member of a trained majority as it would serve alone, its threshold fixed on the baseline `frame`."""
    assert isinstance(scorer.detector, Majority)
    weights = np.ones(len(frame))
    for name, member in scorer.detector.members.items():
        scores = member.training_scores(frame, None, weights)
        threshold, words = threshold_of(settings, name).fit(scores, None, weights, frame.times)
        card = replace(scorer.card, detector=name, threshold=threshold, rule=words, params=dict(member.params))
        yield name, replace(scorer, detector=member, card=card)


def _highest(judged: Sequence[Judged], names: Sequence[str]) -> np.ndarray:
    return np.max([answer.ratio for answer in judged if answer.name in names], axis=0)


def _quiet_hours(frame: Frame, faults: Sequence[Fault], since: float) -> float:
    """Hours after the baseline that are neither fault nor grace."""
    quiet = frame.times[-1] - since
    for fault, following in zip(faults, [*faults[1:], None], strict=True):
        until = min(fault.end + GRACE_S, following.start if following else frame.times[-1])
        quiet -= max(0.0, until - fault.start)
    return max(0.0, float(quiet)) / 3600


def _matched(
    incidents: Sequence[Incident], faults: Sequence[Fault], quiet_h: float, frame: Frame, since: float
) -> dict[str, Any]:
    step = step_seconds(frame.times)
    rows, used = [], set()
    for fault in faults:
        earliest, latest = fault.start - step, fault.end + LAG_S
        matching = [index for index, incident in enumerate(incidents) if earliest <= incident.start <= latest]
        row: dict[str, Any] = {"fault": fault.name, "start": iso(fault.start), "found": bool(matching)}
        if matching:
            used |= set(matching)
            first = incidents[matching[0]]
            row |= {
                "delay_s": max(0.0, first.opened - fault.start),
                "cause": first.kind,
                "severity": first.severity,
                "detectors": sorted(first.detectors),
                "top": [metric["metric"] for metric in first.details["metrics"][:_TOP]],
                "ranks": _ranks(first, fault.expected),
            }
            row["best_rank"] = min((rank for rank in row["ranks"].values() if rank), default=None)
        rows.append(row)
    near = {
        index
        for index, incident in enumerate(incidents)
        if any(incident.start <= fault.end + GRACE_S and incident.end >= fault.start - step for fault in faults)
    }
    false = [incident for index, incident in enumerate(incidents) if index not in near and index not in used]
    later = [incident for incident in false if incident.start >= since]
    delays = [row["delay_s"] for row in rows if row["found"]]
    return {
        "found": sum(row["found"] for row in rows),
        "of": len(faults),
        "delay_s": float(np.median(delays)) if delays else None,
        "false_incidents": len(later),
        "false_per_hour": len(later) / quiet_h if quiet_h >= LEAST_QUIET_H else None,
        "false_in_baseline": len(false) - len(later),
        "faults": rows,
    }


def _ranks(incident: Incident, expected: Sequence[str]) -> dict[str, int | None]:
    """Rank of each expected metric, from 1.

    An operation's calls per second stand for its mean time as well: under a flood of small calls the mean falls.
    """
    order = [metric["metric"] for metric in incident.details["metrics"]]
    ranks: dict[str, int | None] = {}
    for name in expected:
        names = {name, name.removesuffix("AvgTime") + "Rate"}
        ranks[name] = next((rank for rank, metric in enumerate(order, 1) if metric in names), None)
    return ranks


def evaluate_machine(
    path: Path | str,
    settings: Settings,
    *,
    explained: Path | str | None = None,
    seed: int | None = None,
    on_step: OnStep = lambda _: None,
) -> dict[str, Any]:
    """Train on a machine's `train`, and score its `test` against `label` point by point. Returns plain JSON values.

    `path` is an .npz with train (n, m), test (k, m), label (k,). `explained` names a file with the metrics behind each
    anomaly, lines of `start-end:metric,metric`, metrics from 1; by default `<name>.interpretation_label.txt` beside it.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as data:
            baseline, test, labels = (np.asarray(data[name]) for name in ("train", "test", "label"))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: no .npz with train, test and label ({error})") from None
    if baseline.ndim != 2 or test.ndim != 2 or baseline.shape[1] != test.shape[1] or labels.shape != test.shape[:1]:
        raise DataError(
            f"{path}: shapes {baseline.shape}, {test.shape}, {labels.shape} of train, test, label do not fit"
        )
    explained = path.with_suffix(".interpretation_label.txt") if explained is None else Path(explained)
    reasons = read_reasons(explained) if explained.exists() else []
    learned, judged = frame_of_matrix(baseline), frame_of_matrix(test)
    seed = settings.seed if seed is None else seed
    members: dict[str, ScaledDetector] = {}
    seconds = {}
    for name in MEMBERS:
        on_step(name)
        begun = time.perf_counter()
        member = make_detector(name, _seeded(settings, seed), **params_of(settings, name))
        assert isinstance(member, ScaledDetector)
        members[name] = member.fit(learned, None, np.ones(len(learned)))
        seconds[name] = time.perf_counter() - begun
    seconds[MAIN] = sum(seconds.values())
    detectors = {}
    for name, detector in {MAIN: Majority.of(members, learned), **members}.items():
        begun = time.perf_counter()
        residuals = detector.residuals(judged)
        scored_s = time.perf_counter() - begun
        scores = moving_average(detector.scores_of(residuals), SMOOTHING, judged.segment)
        detectors[name] = {
            "ap": average_precision(labels, scores),
            "vus_pr": vus_pr(labels, scores),
            "root_cause": hit_rates(residuals.errors, reasons),
            "train_s": seconds[name],
            "score_s": scored_s,
            **detector.facts(),
        }
    return {
        "kind": "machine",
        "path": str(path),
        "steps": len(test),
        "metrics": test.shape[1],
        "anomalous": float(np.mean(labels > 0)),
        "smoothing": SMOOTHING,
        "seed": seed,
        "explained": len(reasons),
        "detectors": detectors,
    }


def read_reasons(path: Path | str) -> list[tuple[int, int, tuple[int, ...]]]:
    """First step, last step and metrics (from 0) of each explained anomaly. Raises: DataError."""
    reasons = []
    try:
        for line in Path(path).read_text().split():
            span, _, names = line.partition(":")
            start, _, end = span.partition("-")
            reasons.append((int(start), int(end), tuple(int(name) - 1 for name in names.split(","))))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no lines such as 12-20:1,5,6 ({error})") from None
    return reasons


def hit_rates(errors: np.ndarray, reasons: Sequence[tuple[int, int, tuple[int, ...]]]) -> dict[str, float] | None:
    """How many of an anomaly's true metrics are among those with the largest mean error over it (Su et al., KDD 2019).

    Of k true metrics those among the first k (HitRate@100 %) and 1.5 k (HitRate@150 %), averaged over the anomalies;
    None if no anomaly is explained.
    """
    rates: Mapping[str, list[float]] = {"hit_100": [], "hit_150": []}
    for start, end, true in reasons:
        means = np.nan_to_num(errors[start : end + 1].astype(np.float64)).mean(axis=0) if start < len(errors) else None
        if means is None or not true:
            continue
        order = np.argsort(-means, kind="stable")
        for name, share in (("hit_100", 1.0), ("hit_150", 1.5)):
            rates[name].append(len(set(order[: int(share * len(true))].tolist()) & set(true)) / len(true))
    return {name: float(np.mean(values)) for name, values in rates.items()} if rates["hit_100"] else None
