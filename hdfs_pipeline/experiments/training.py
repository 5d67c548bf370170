"""Training: a model for serving, learned from all there is, and how well its like does on blocks it has not seen."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np

from hdfs_pipeline.detectors import detector_row, make_detector
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import AMBIGUOUS, ANOMALY, NORMAL, Dataset, split_chronological, split_random
from hdfs_pipeline.scoring.evaluation import Evaluation, evaluate
from hdfs_pipeline.scoring.features import distinct_rows
from hdfs_pipeline.scoring.models import save_model
from hdfs_pipeline.scoring.scorer import Card, Scorer
from hdfs_pipeline.settings import Settings

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
    data = data.take(learnable(data.labels))
    labelled = bool((data.labels >= 0).any())
    if not labelled and detector.learns_from == "labels":
        raise DataError(f"{name} learns from labels, and no block has one: give them with --labels CSV")
    matrix = data.matrix(detector.features)
    pairs = distinct_rows(np.column_stack([matrix.values, data.labels.astype(np.float32)]))
    values, weights = matrix.values[pairs.first], pairs.weights
    labels = data.labels[pairs.first].astype(np.int64) if labelled else None
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
        fingerprint=_fingerprint(data, detector.features),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        libraries={library: version(library) for library in _LIBRARIES},
    )
    normals = np.ones(len(values), bool) if labels is None else labels == NORMAL
    order = np.argsort(-weights[normals], kind="stable")
    return Scorer(detector, card, values[normals][order], values, data.marks(detector.features))


def learnable(labels: np.ndarray) -> np.ndarray:
    """Which blocks detectors learn from, by their labels (n,): normal and anomaly; without any, all but ambiguous."""
    return labels >= 0 if (labels >= 0).any() else labels != AMBIGUOUS


def judge(scorer: Scorer, data: Dataset, settings: Settings) -> Tested:
    """Figures of a trained model on the labelled blocks of `data`. Raises: DataError without both kinds of labels."""
    data = data.labelled()
    matrix = data.matrix(scorer.card.family)
    scores = scorer.score(matrix)
    evaluation = evaluate(
        scores,
        data.labels,
        scorer.card.threshold,
        kinds=data.kinds,
        seen=scorer.knows(matrix.values) if scorer.card.family == "events" else None,
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
    scorer = save_model(replace(scorer, card=replace(scorer.card, metrics=metrics)), settings)
    return Trained(scorer, tests)


def _fingerprint(data: Dataset, family: str) -> str:
    matrix = data.matrix(family)
    order = np.argsort(matrix.keys, kind="stable")
    digest = hashlib.sha256()
    for part in (matrix.keys[order], matrix.values[order], data.labels[order]):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]
