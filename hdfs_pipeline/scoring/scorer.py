"""Scorer: a trained detector with its threshold and its card; the one way to score, in batch, stream and API."""

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.explain import Explanation, Vocabulary, explain_rows, explain_steps
from hdfs_pipeline.scoring.explain_sequences import explain_sequences
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.knowledge import RULES, Knowledge, failed, heeded
from hdfs_pipeline.scoring.labels import ANOMALY, NORMAL, UNLABELLED
from hdfs_pipeline.scoring.normals import event_counts
from hdfs_pipeline.scoring.unfinished import completed, completed_sequences

_RULED: Final = {
    ANOMALY: "people called a {noun} with {alike} a real anomaly; ",
    NORMAL: "people called a {noun} with {alike} a false alarm; ",
}


def _below(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Scores (k,) of at least the threshold, in their order, put below it."""
    below: np.ndarray = threshold - abs(threshold) / 2 / (1 + (scores - threshold) / max(abs(threshold), 1e-9))
    return np.minimum(below, np.nextafter(threshold, -np.inf))


@dataclass(frozen=True)
class Card:
    """The facts about a model, kept as JSON beside it.

    `source` is what its columns come from (a catalogue, for instance), `source_fingerprint` a hash of the source's
    content. `items` and `anomalies` count what it learned from, `fingerprint` is a hash of that. `files` holds the
    SHA-256 of each file of the model, `metrics` its evaluations by split. `after` is the version whose training it
    resumed, None for one fitted anew. `judgement` compares it with the champion of its time, {} if it was not compared.
    `feedback` counts the people's words that it knew and those it agrees with (`feedback.feedback_figures`), {} without
    words. `facts` holds what the domain and the detector want to remember. `weak` says how the labels came about where
    rules made them (`learning.weak`), {} otherwise.
    """

    domain: str
    detector: str
    family: str
    columns: tuple[str, ...]
    source: str
    threshold: float
    rule: str
    seed: int
    params: dict[str, Any]
    items: int
    anomalies: int | None
    fingerprint: str
    created_at: str
    libraries: dict[str, str]
    version: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    source_fingerprint: str = ""
    after: int | None = None
    judgement: dict[str, Any] = field(default_factory=dict)
    feedback: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    weak: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Scorer:
    """A detector that is ready to serve.

    `normals` (k, d) are the distinct normal vectors of training, the most frequent first; `seen` (m, d) are all
    distinct vectors of training. `learned` (n,) uint64 are the marks of the items it learned from (`Dataset.marks`);
    None for a loaded model. `ruled` (m, d) are the vectors that people's words rule, `ruled_labels` (m,) int8 their
    labels: see `ruling`. `feedback` holds the words at training, label by key; None for a loaded model. `knowledge` are
    the rules whose verdict stands above the detector's, where rules made the labels of training; None otherwise.
    """

    detector: Detector
    card: Card
    normals: np.ndarray
    seen: np.ndarray
    learned: np.ndarray | None = None
    ruled: np.ndarray | None = None
    ruled_labels: np.ndarray | None = None
    feedback: dict[Any, int] | None = None
    knowledge: Knowledge | None = None

    def score(self, matrix: FeatureMatrix) -> np.ndarray:
        """Scores (n,) float64. Raises: DataError for columns other than the model's.

        They are the detector's scores, except that a vector which people called normal stays below the threshold, and
        one which they called an anomaly reaches it. With `knowledge` so does one that breaks a rule, and another only
        if it is `new_here`. Unfinished items are scored as `completed` gives them.
        """
        if self.card.columns:  # a detector that was not trained has none, and takes any columns
            matrix.require(self.card.columns, self.card.source, self.card.source_fingerprint)
        if self.detector.ordered:
            steps, at = matrix.context
            return self.detector.score(steps)[at]
        return matrix.by_case(self._judged)

    def _judged(self, matrix: FeatureMatrix) -> np.ndarray:
        """Scores (k,) of a matrix in which no case occurs twice."""
        values = self.completed(matrix)
        if self.card.family == RULES and self.card.weak:
            values = heeded(values, matrix.columns, self.card.weak["dismissed"])
        scores = self.detector.score(values)
        if self.knowledge is not None:
            scores = self._with_knowledge(scores, matrix, self.knowledge)
        if self._rulings:
            ruling = self.ruling(matrix.values)
            below = np.nextafter(self.card.threshold, -np.inf)
            scores = np.where(ruling == NORMAL, np.minimum(scores, below), scores)
            scores = np.where(ruling == ANOMALY, np.maximum(scores, self.card.threshold), scores)
        return scores

    def _with_knowledge(self, scores: np.ndarray, matrix: FeatureMatrix, knowledge: Knowledge) -> np.ndarray:
        """The scores (n,): of rows that break a rule at least the threshold, of others below it if they are not new.

        New are rows whose events, however often each happened, never came together in a normal row. Only a training
        that was long enough to know how often that happens may call anything new. What people called real beyond the
        rules need not be new to be found by a detector that learned it.
        """
        counts = self._counts(matrix.values, knowledge)
        grades = knowledge.grades(counts, matrix.unfinished)
        broken = failed(heeded(grades, knowledge.ids, self.card.weak["dismissed"]))
        rows = np.flatnonzero(~broken & (scores >= self.card.threshold))
        if self.card.weak.get("allowed", 0) < 0:
            old = np.ones(len(rows), bool)
        else:
            known = {row.tobytes() for row in self._counts(self.normals, knowledge) > 0}
            old = np.array([row.tobytes() in known for row in counts[rows] > 0], bool)
        if self.card.weak["beyond"] and self.detector.learns_from == "labels":
            old[:] = False
        scores = np.where(broken, np.maximum(scores, self.card.threshold), scores)
        scores[rows[old]] = _below(scores[rows[old]], self.card.threshold)
        return scores

    def _counts(self, values: np.ndarray, knowledge: Knowledge) -> np.ndarray:
        return event_counts(values, len(knowledge.columns)) if self.detector.sequential else values

    def completed(self, matrix: FeatureMatrix) -> np.ndarray:
        """The rows (n, d) of a matrix of the model's family as they are judged.

        A row of an unfinished item that is a part of a normal life of training is that life, for what is missing may
        lie outside the records. All other rows stay as they are.
        """
        complete = completed_sequences if self.detector.sequential else completed
        return complete(matrix.values, matrix.unfinished, self.normals)

    @cached_property
    def _rulings(self) -> dict[bytes, int]:
        if self.ruled is None or self.ruled_labels is None:
            return {}
        rows = np.ascontiguousarray(self.ruled, np.float32)
        return {row.tobytes(): label for row, label in zip(rows, self.ruled_labels.tolist(), strict=True) if label >= 0}

    def ruling(self, values: np.ndarray) -> np.ndarray:
        """The labels (n,) int8 that people's words give the vectors `values` (n, d): normal, anomaly or unlabelled.

        Each vector is looked up, so that a word holds whatever the detector's score is.
        """
        if not self._rulings:
            return np.full(len(values), UNLABELLED, np.int8)
        rows = np.ascontiguousarray(values, np.float32)
        return np.array([self._rulings.get(row.tobytes(), UNLABELLED) for row in rows], np.int8)

    def explain(
        self, matrix: FeatureMatrix | np.ndarray, vocabulary: Vocabulary, rows: np.ndarray | None = None
    ) -> list[Explanation]:
        """Explanations of `rows` (k,) of a matrix of the model's family, or of its values (n, d); by default of all.

        Each distinct row is explained once. Rows of codes, which stand for events in their order, are explained by the
        events that differ, or else by the step that stands out. Steps of a series, which come as a matrix, are
        explained by what was expected of them, and all other rows by the columns that differ from the nearest normal
        row. Raises: SetupError for a model of sequences whose codes the vocabulary does not know.
        """
        if self.detector.ordered:
            return self._explain_steps(matrix, vocabulary, rows)
        if isinstance(matrix, FeatureMatrix):
            matrix = matrix if rows is None else matrix.take(rows)
            given, values = matrix.values, self.completed(matrix)
        else:
            given = values = matrix if rows is None else matrix[rows]
        if not len(values):
            return []
        distinct, inverse = np.unique(values, axis=0, return_inverse=True)
        if self.detector.sequential:
            if not vocabulary.codes:
                raise SetupError(
                    f"the model's source {self.card.source} is not in this home: put it back, or train again"
                )
            shares = self.detector.explain(distinct, distinct)
            explanations = explain_sequences(distinct, self.normals, shares, vocabulary)
        elif self.detector.expects:
            columns = matrix.columns if isinstance(matrix, FeatureMatrix) else self.card.columns
            explanations = explain_steps(distinct, *self.detector.explain_steps(distinct), columns, vocabulary)
        else:
            nearest = self.detector.nearest(distinct, self.normals)
            shares = self.detector.explain(distinct, nearest)
            columns = matrix.columns if isinstance(matrix, FeatureMatrix) else self.card.columns
            explanations = explain_rows(distinct, nearest, shares, columns, vocabulary)
        explanations = [explanations[row] for row in inverse.reshape(-1)]
        if not self._rulings:
            return explanations
        return [
            replace(explanation, reason=f"{word}{explanation.reason}", word=word)
            for explanation, label in zip(explanations, self.ruling(given).tolist(), strict=True)
            for word in (_RULED.get(label, "").format(**vars(vocabulary)),)
        ]

    def _explain_steps(
        self, matrix: FeatureMatrix | np.ndarray, vocabulary: Vocabulary, rows: np.ndarray | None
    ) -> list[Explanation]:
        assert isinstance(matrix, FeatureMatrix)
        rows = np.arange(len(matrix)) if rows is None else rows
        if not len(rows):
            return []
        steps, at = matrix.context
        expected, shares = (part[at[rows]] for part in self.detector.explain_steps(steps))
        return explain_steps(matrix.values[rows], expected, shares, matrix.columns, vocabulary)

    def knows(self, values: np.ndarray) -> np.ndarray:
        """Which rows of `values` (n, d) repeat a vector of training: (n,) bool."""
        if not len(values):
            return np.zeros(0, bool)
        rows = np.ascontiguousarray(self.detector.known_by(values), np.float32)
        return np.array([row.tobytes() in self._known for row in rows], bool)

    @cached_property
    def _known(self) -> set[bytes]:
        """The rows of training, as `Detector.known_by` has them."""
        seen = self.detector.known_by(self.seen) if len(self.seen) else self.seen
        return {row.tobytes() for row in np.ascontiguousarray(seen, np.float32)}

    def has_seen(self, matrix: FeatureMatrix) -> np.ndarray:
        """Which items of a matrix of the model's family are judged by a vector of training: (n,) bool."""
        return matrix.by_case(lambda once: self.knows(self.completed(once)))
