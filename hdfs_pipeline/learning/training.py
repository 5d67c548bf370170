"""Training: a model for serving, learned from all there is, and how well its like does on blocks it has not seen."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from hdfs_pipeline.detectors import detector_row, make_detector
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.dataset import (
    AMBIGUOUS,
    ANOMALY,
    NORMAL,
    UNLABELLED,
    Dataset,
    split_chronological,
    split_random,
)
from hdfs_pipeline.scoring.evaluation import Evaluation, evaluate
from hdfs_pipeline.scoring.features import distinct_rows, repeats
from hdfs_pipeline.scoring.feedback import feedback_figures
from hdfs_pipeline.scoring.models import load_model, save_model
from hdfs_pipeline.scoring.scorer import Card, Scorer
from hdfs_pipeline.settings import Settings

_GIVE = "give them with --labels CSV, or call {} blocks real (`hdfs-pipeline feedback BLOCK --verdict real`)"
_LIBRARIES = ("numpy", "scikit-learn", "torch", "onnxruntime", "duckdb")


@dataclass(frozen=True)
class Tested:
    """A detector judged on one split: its figures, and the scores and labels (n,) behind its curves."""

    evaluation: Evaluation
    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Trained:
    """A saved model and its evaluations by split ("random", "chronological"; none without labels)."""

    scorer: Scorer
    tests: dict[str, Tested]


def fit(data: Dataset, name: str, settings: Settings, before: Scorer | None = None) -> Scorer:
    """Train a detector on `data` and fix its threshold there. Ambiguous blocks are left out.

    A detector that can go on learning goes on from the model `before`, if there is one.

    Raises: DataError where the detector cannot learn from what is given.
    """
    row = detector_row(name)
    detector = make_detector(name, settings)
    told, told_labels = _ruled(data, detector)
    data = taught(data, name, settings)
    feedback = data.feedback
    data = data.take(learnable(data.labels, detector.learns_from))
    labelled = bool((data.labels >= 0).any())
    if not labelled and detector.learns_from == "labels":
        raise DataError(f"{name} learns from labels, and no block has one: {_GIVE.format(settings.feedback_labels)}")
    matrix = data.matrix(detector.features)
    pairs = distinct_rows(np.column_stack([matrix.values, data.labels.astype(np.float32)]))
    values, weights = matrix.values[pairs.first], pairs.weights
    labels = data.labels[pairs.first].astype(np.int64) if labelled else None
    if before is not None and not _still_holds(before, told, told_labels):
        before = None
    if before is None:
        detector.fit(values, labels, weights)
    else:
        detector.resume(before.detector, values, labels, weights)
    rule = row.threshold(settings)
    card = Card(
        detector=name,
        family=detector.features,
        columns=matrix.columns,
        source=matrix.source,
        source_fingerprint=matrix.fingerprint,
        after=before.card.version if before is not None and detector.resumes else None,
        threshold=rule.fit(detector.score(values), labels, weights),
        rule=str(rule),
        seed=settings.seed,
        params=dict(detector.params),
        blocks=len(data),
        anomalies=int((data.labels == ANOMALY).sum()) if labelled else None,
        fingerprint=fingerprint(data, detector.features),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        libraries={library: version(library) for library in _LIBRARIES},
    )
    normals = np.ones(len(values), bool) if labels is None else labels == NORMAL
    normals &= _apart_from(values, told[told_labels == ANOMALY])
    order = np.argsort(-weights[normals], kind="stable")
    known = None if feedback is None else np.column_stack([feedback.keys, feedback.said]).astype(np.int64)
    marks = data.marks(detector.features)
    return Scorer(detector, card, values[normals][order], values, marks, told, told_labels, known)


def _ruled(data: Dataset, detector: Detector) -> tuple[np.ndarray, np.ndarray]:
    """The vectors (m, d) that verdicts rule, and their labels (m,) int8; none for a detector that learns nothing."""
    if data.feedback is None or detector.learns_from == "nothing":
        return np.zeros((0, len(data.matrix(detector.features).columns)), np.float32), np.zeros(0, np.int8)
    return data.feedback.ruled(detector.features)


def _apart_from(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which rows of `values` (n, d) do not occur among `others` (m, d): (n,) bool; all of them, where none is left."""
    apart = ~repeats(values, others) if len(others) else np.ones(len(values), bool)
    return apart if apart.any() else ~apart


def _still_holds(before: Scorer, told: np.ndarray, told_labels: np.ndarray) -> bool:
    """Whether a model can go on: no verdict it knew was withdrawn or changed, nothing it learned is expected now."""
    then: dict[bytes, int] = {}
    if before.told is not None and before.told_labels is not None:
        then = _by_row(before.told, before.told_labels)
    now = _by_row(told, told_labels)
    kept = all(now.get(row) == label for row, label in then.items())
    return kept and all(label != AMBIGUOUS or row in then for row, label in now.items())


def _by_row(values: np.ndarray, labels: np.ndarray) -> dict[bytes, int]:
    rows = np.ascontiguousarray(values, np.float32)
    return {row.tobytes(): label for row, label in zip(rows, labels.tolist(), strict=True)}


def taught(data: Dataset, name: str, settings: Settings) -> Dataset:
    """In a home without labels: labels for a detector that needs some, once people found `feedback_labels` anomalies.

    Blocks that they called real are anomalies then, and all others count as normal, as far as nobody called them
    expected. Such labels are learned from and never judged on.
    """
    wanted = detector_row(name).cls.learns_from == "labels" and not (data.labels >= 0).any()
    if not wanted or data.feedback is None:
        return data
    real = np.isin(data.matrix("events").keys, data.feedback.keys[data.feedback.said == ANOMALY])
    if real.sum() < settings.feedback_labels:
        return data
    labels = np.where(data.labels == UNLABELLED, NORMAL, data.labels)
    return replace(data, labels=np.where(real, ANOMALY, labels).astype(np.int8))


def learnable(labels: np.ndarray, learns_from: str = "labels") -> np.ndarray:
    """Which blocks a detector learns from, by their labels (n,): normal and anomaly; without any, all but ambiguous.

    One that looks at no label (`learns_from` "all") takes all but ambiguous ones in any case.
    """
    return labels >= 0 if learns_from != "all" and (labels >= 0).any() else labels != AMBIGUOUS


def judge(scorer: Scorer, data: Dataset, settings: Settings, seen: np.ndarray | None = None) -> Tested:
    """Figures of a trained model on the labelled blocks of `data`. Raises: DataError without both kinds of labels.

    `seen` (n,) bool says which blocks of `data` repeat one of training; by default the model's own vectors tell.
    """
    known = seen[data.labels >= 0] if seen is not None else None
    data = data.labelled()
    matrix = data.matrix(scorer.card.family)
    if known is None and scorer.card.family == "events":
        known = scorer.knows(matrix.values)
    return figures(scorer.score(matrix), scorer.card.threshold, data, settings, known)


def figures(
    scores: np.ndarray, threshold: float, data: Dataset, settings: Settings, seen: np.ndarray | None = None
) -> Tested:
    """Figures of `scores` (n,) at `threshold` on the blocks of `data`, all normal or anomalous; `seen` (n,) bool."""
    evaluation = evaluate(
        scores,
        data.labels,
        threshold,
        kinds=data.kinds,
        seen=seen,
        samples=settings.bootstrap_samples,
        seed=settings.seed,
    )
    return Tested(evaluation, scores, data.labels)


def train(data: Dataset, name: str, settings: Settings, on_step: Callable[[str], None] = lambda _: None) -> Trained:
    """Judge a detector on a random and on a chronological split of `data`, then fit it on all and save it.

    Raises: DataError where it cannot learn from `data`, for instance random_forest without labels.
    """
    tests: dict[str, Tested] = {}
    if {NORMAL, ANOMALY} <= set(data.labels.tolist()):
        known = data.labelled()
        splits = {
            "random": split_random(known, settings.test_share, settings.seed),
            "chronological": split_chronological(known, settings.test_share),
        }
        for split, (learn, test) in splits.items():
            on_step(f"{name}: {split} split")
            if all(len(set(known.labels[rows].tolist())) == 2 for rows in (learn, test)):
                tests[split] = judge(fit(known.take(learn), name, settings), known.take(test), settings)
    on_step(f"{name}: all blocks")
    scorer = fit(data, name, settings)
    metrics = {split: tested.evaluation.to_json() for split, tested in tests.items()}
    figures = feedback_figures(data.feedback, scorer, _serving(name, settings) if data.feedback else None)
    scorer = save_model(replace(scorer, card=replace(scorer.card, metrics=metrics, feedback=figures)), settings)
    return Trained(scorer, tests)


def _serving(name: str, settings: Settings) -> Scorer | None:
    try:
        return load_model(detector_row(name).cls, settings)
    except NotTrainedError:
        return None


def fingerprint(data: Dataset, family: str) -> str:
    """A hash of the blocks that a detector learned from: their ids, their rows of a family's matrix, their labels."""
    matrix = data.matrix(family)
    order = np.argsort(matrix.keys, kind="stable")
    digest = hashlib.sha256()
    for part in (matrix.keys[order], matrix.values[order], data.labels[order]):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]
