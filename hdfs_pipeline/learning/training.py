"""Training: a model for serving that learns from all items, and figures of the same detector on unseen items."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from hdfs_pipeline.domains.champions import load_scorer, with_knowledge
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.learning.weak import WEAK, dismissed, with_weak_labels, within_budget
from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.dataset import Dataset, split_chronological, split_random
from hdfs_pipeline.scoring.evaluation import Evaluation, evaluate
from hdfs_pipeline.scoring.features import repeats
from hdfs_pipeline.scoring.feedback import feedback_figures
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, FALSE_ALARM, NORMAL, UNLABELLED
from hdfs_pipeline.scoring.models import save_model
from hdfs_pipeline.scoring.scorer import Card, Scorer
from hdfs_pipeline.scoring.thresholds import above_false_alarms
from hdfs_pipeline.settings import Settings

_GIVE = "give them with --labels CSV, or call {} {} real (`hdfs-pipeline feedback {} --verdict real`)"
_PIECE = 100_000  # items
_LIBRARIES = ("numpy", "scikit-learn", "torch", "onnxruntime", "duckdb")


@dataclass(frozen=True)
class Tested:
    """A detector judged on one split: its figures, and the scores and labels (n,) behind its curves."""

    evaluation: Evaluation
    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Trained:
    """A saved model and its evaluations by split ("random", "chronological"); without labels there are none."""

    scorer: Scorer
    tests: dict[str, Tested]


def fit(data: Dataset, domain: Domain, name: str, settings: Settings, before: Scorer | None = None) -> Scorer:
    """Train a detector on `data` and fix its threshold there.

    Ambiguous items are left out, and so are those whose beginning or end lies outside the records.

    A detector that can resume goes on from the model `before`, if there is one.

    Raises: DataError if the detector cannot learn from the data.
    """
    begun = time.perf_counter()
    detector = domain.make(settings, name)
    whole = data = domain.taught(data, settings)
    ruled, ruled_labels = _ruled(data, detector)
    data = taught = with_labels_for(data, domain, name, settings)
    feedback, weak = data.feedback, data.facts.get(WEAK, {})
    if detector.any_columns and not weak:
        weak = {"dismissed": dismissed(data, domain, settings)}
    data = data.take(whole_ones(learnable(data.labels, detector.learns_from), data.cut))
    labelled = bool((data.labels >= 0).any())
    if not labelled and detector.learns_from == "labels":
        advice = _GIVE.format(settings.feedback_labels, domain.item.plural, domain.item.noun.upper())
        raise DataError(f"{name} learns from labels, and no {domain.item.noun} has one: {advice}")
    if weak and detector.learns_from == "nothing" and name not in domain.untrained:
        raise DataError(f"{name} is there to be compared with; where nothing has a label, {domain.day_one} says more")
    matrix = data.matrix(detector.features)
    values, labels, weights = _learned(data, detector, labelled)
    if before is not None and not _still_holds(before, ruled, ruled_labels):
        before = None
    if before is None:
        detector.fit(values, labels, weights)
    else:
        detector.resume(before.detector, values, labels, weights)
    scores = detector.training_scores(values, labels, weights)
    times = values.times if detector.ordered else None
    threshold, words = domain.threshold(settings, name).fit(scores, labels, weights, times)
    if detector.ordered and (false := whole.kinds == FALSE_ALARM).any():
        marked = detector.score(whole.matrix(detector.features).inputs)[false]
        threshold, words = above_false_alarms(threshold, words, marked)
    card = Card(
        domain=domain.name,
        detector=name,
        family=detector.features,
        columns=() if detector.any_columns else matrix.columns,
        source="" if detector.any_columns else matrix.source,
        source_fingerprint="" if detector.any_columns else matrix.fingerprint,
        after=before.card.version if before is not None and detector.resumes else None,
        threshold=threshold,
        rule=words,
        seed=settings.seed,
        params=dict(detector.params),
        items=len(data),
        anomalies=int((data.labels == ANOMALY).sum()) if labelled else None,
        fingerprint=fingerprint(data, detector.features),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        libraries={library: version(library) for library in _LIBRARIES},
        facts=domain.remembered(data, detector, time.perf_counter() - begun),
        weak=weak,
    )
    known = None if feedback is None else dict(zip(feedback.keys.tolist(), feedback.labels.tolist(), strict=True))
    normals, seen = _vectors(detector, values, labels, weights, ruled[ruled_labels == ANOMALY])
    rare = weak and taught.labels == UNLABELLED  # looked at for the budget, so they are no news to the next training
    if weak:
        marks = taught.marks(detector.features)[(taught.labels >= 0) & ~taught.cut | rare]
    else:
        marks = data.marks(detector.features)
    del data  # of a large home some hundred megabytes, which are needed below
    scorer = Scorer(detector, card, normals, seen, marks, ruled, ruled_labels, known)
    scorer = with_knowledge(scorer, domain, settings)
    return within_budget(scorer, taught, settings) if scorer.knowledge is not None else scorer


def _learned(data: Dataset, detector: Detector, labelled: bool) -> tuple[Any, np.ndarray | None, np.ndarray]:
    """What a detector learns from: distinct rows, their labels and the items behind each; of a series all steps."""
    matrix = data.matrix(detector.features)
    if detector.ordered:
        return matrix.inputs, data.labels.astype(np.int64) if labelled else None, np.ones(len(data))
    pairs = matrix.distinct_with(data.labels)
    labels = data.labels[pairs.first].astype(np.int64) if labelled else None
    return matrix.take(pairs.first).values, labels, pairs.weights


def _vectors(
    detector: Detector, values: Any, labels: np.ndarray | None, weights: np.ndarray, anomalous: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The normal rows that explanations compare with, the most frequent first, and all rows; for a series no rows."""
    if detector.ordered or detector.any_columns:
        none = np.zeros((0, 0 if detector.any_columns else anomalous.shape[1]), np.float32)
        return none, none
    normals = np.ones(len(values), bool) if labels is None else labels == NORMAL
    normals &= _apart_from(values, anomalous)
    order = np.argsort(-weights[normals], kind="stable")
    return values[normals][order], values


def _ruled(data: Dataset, detector: Detector) -> tuple[np.ndarray, np.ndarray]:
    """The vectors (m, d) that feedback rules, and their labels (m,) int8; no vectors if the detector learns nothing."""
    if data.feedback is None or detector.learns_from == "nothing" or detector.ordered:
        return np.zeros((0, len(data.matrix(detector.features).columns)), np.float32), np.zeros(0, np.int8)
    return data.feedback.ruled(detector.features)


def _apart_from(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which rows of `values` (n, d) do not occur among `others` (m, d): (n,) bool; all rows if none would be left."""
    apart = ~repeats(values, others) if len(others) else np.ones(len(values), bool)
    return apart if apart.any() else ~apart


def _still_holds(before: Scorer, ruled: np.ndarray, ruled_labels: np.ndarray) -> bool:
    """Whether a model can be resumed: no word it knew was withdrawn or changed, and no new word is "expected"."""
    then: dict[bytes, int] = {}
    if before.ruled is not None and before.ruled_labels is not None:
        then = _by_row(before.ruled, before.ruled_labels)
    now = _by_row(ruled, ruled_labels)
    kept = all(now.get(row) == label for row, label in then.items())
    return kept and all(label != AMBIGUOUS or row in then for row, label in now.items())


def _by_row(values: np.ndarray, labels: np.ndarray) -> dict[bytes, int]:
    rows = np.ascontiguousarray(values, np.float32)
    return {row.tobytes(): label for row, label in zip(rows, labels.tolist(), strict=True)}


def with_labels_for(data: Dataset, domain: Domain, name: str, settings: Settings) -> Dataset:
    """Data of a home without labels, with labels that its rules make, or else people's words; any other as it is.

    Words alone serve a detector that needs labels in a domain without rules. That takes `feedback_labels` items that
    people called real: these are anomalies then, and all others count as normal unless somebody called them expected.
    Models learn from such labels but are never judged on them.
    """
    if (weak := with_weak_labels(data, domain, settings)) is not data:
        return weak
    wanted = domain.row(name).cls.learns_from == "labels" and not (data.labels >= 0).any()
    if not wanted or data.feedback is None:
        return data
    real = np.isin(data.keys, data.feedback.keys[data.feedback.labels == ANOMALY])
    if real.sum() < settings.feedback_labels:
        return data
    labels = np.where(data.labels == UNLABELLED, NORMAL, data.labels)
    return replace(data, labels=np.where(real, ANOMALY, labels).astype(np.int8))


def learnable(labels: np.ndarray, learns_from: str = "labels") -> np.ndarray:
    """Which items a detector learns from, by their labels (n,): labelled ones, or without labels all but ambiguous.

    A detector that uses no labels (`learns_from` "all") always takes all but ambiguous ones.
    """
    return labels >= 0 if learns_from != "all" and (labels >= 0).any() else labels != AMBIGUOUS


def whole_ones(rows: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Of the items `rows` (n,) bool those that are not `cut` (n,) bool; all of them where no other is left."""
    whole = rows & ~cut
    return whole if whole.any() else rows


def judge(scorer: Scorer, data: Dataset, settings: Settings, seen: np.ndarray | None = None) -> Tested:
    """Figures of a trained model on the labelled items of `data`. Raises: DataError without both kinds of labels.

    `seen` (n,) bool marks items of `data` that repeat one of training; by default the model's own vectors decide.
    """
    known = seen[data.labels >= 0] if seen is not None else None
    data = data.labelled()
    matrix = data.matrix(scorer.card.family)
    if known is None and scorer.card.family == data.family and not scorer.detector.ordered:
        known = scorer.has_seen(matrix)
    return figures(scorer.score(matrix), scorer.card.threshold, data, settings, known)


def figures(
    scores: np.ndarray, threshold: float, data: Dataset, settings: Settings, seen: np.ndarray | None = None
) -> Tested:
    """Figures of `scores` (n,) at `threshold` on the items of `data`, all normal or anomalous; `seen` as in `judge`."""
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


def train(
    data: Dataset, domain: Domain, name: str, settings: Settings, on_step: Callable[[str], None] = lambda _: None
) -> Trained:
    """Judge a detector on a random and on a chronological split of `data`, then fit it on all and save it.

    It serves at once: `challenge` is for a version that has another one's place to take. A detector of series is judged
    on the chronological split only. Raises: DataError if the detector cannot learn from `data`, for instance if it
    learns from labels and there are none.
    """
    tests = judge_splits(data, domain, name, settings, on_step)
    on_step(f"{name}: all {domain.item.plural}")
    scorer = fit(data, domain, name, settings)
    metrics = {split: tested.evaluation.to_json() for split, tested in tests.items()}
    before = _serving(domain, name, settings) if data.feedback else None
    figures = feedback_figures(data.feedback, scorer, before, domain.item.show)
    scorer = save_model(replace(scorer, card=replace(scorer.card, metrics=metrics, feedback=figures)), settings)
    return Trained(scorer, tests)


def judge_splits(
    data: Dataset, domain: Domain, name: str, settings: Settings, on_step: Callable[[str], None]
) -> dict[str, Tested]:
    """Evaluations of a detector by split, "random" and "chronological": fitted on one part, judged on the other."""
    tests: dict[str, Tested] = {}
    if not data.has_both:
        return tests
    known = data.labelled()
    splits = {"chronological": split_chronological(known, settings.test_share)}
    if not domain.row(name).cls.ordered:
        splits = {"random": split_random(known, settings.test_share, settings.seed)} | splits
    for split, (learn, test) in splits.items():
        on_step(f"{name}: {split} split")
        sides = known.take(learn), known.take(test)
        if all(side.has_both for side in sides):
            tests[split] = judge(fit(sides[0], domain, name, settings), sides[1], settings)
    return tests


def _serving(domain: Domain, name: str, settings: Settings) -> Scorer | None:
    try:
        return load_scorer(settings, domain, name)
    except NotTrainedError:
        return None


def fingerprint(data: Dataset, family: str) -> str:
    """A hash of the items that a detector learned from: their keys, their rows of a family's matrix, their labels."""
    matrix = data.matrix(family)
    order = np.argsort(matrix.keys, kind="stable")
    pieces = [order[start : start + _PIECE] for start in range(0, len(order), _PIECE)]
    digest, keys = hashlib.sha256(), matrix.hashed_keys
    for part in (lambda rows: keys[rows], lambda rows: matrix.take(rows).values, lambda rows: data.labels[rows]):
        for rows in pieces:
            digest.update(part(rows).tobytes())
    return digest.hexdigest()[:16]
