"""Figures: scikit-learn is the oracle; intervals, counts and sets of one kind only."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.scoring.evaluation import Evaluation, evaluate

metrics = pytest.importorskip("sklearn.metrics")
# A few values, so that ties and duplicates are the rule, and some that stand alone.
some_scores = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(-10, 10)
scored = st.lists(st.tuples(some_scores, st.integers(0, 1)), min_size=1, max_size=60)


def columns(rows: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


@given(scored, st.data())
def test_figures_are_those_of_scikit_learn(rows: list[tuple[float, int]], data: st.DataObject) -> None:
    scores, labels = columns(rows)
    threshold = data.draw(st.sampled_from(scores.tolist()) | some_scores)
    found = evaluate(scores, labels, threshold)
    flagged = scores >= threshold
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, flagged, average="binary", zero_division=0
    )
    assert (found.precision, found.recall, found.f1) == pytest.approx((precision, recall, f1))
    confusion = metrics.confusion_matrix(labels, flagged, labels=[0, 1]).ravel().tolist()
    names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    assert [found.confusion[name] for name in names] == confusion
    if 0 < labels.sum() < len(labels):
        assert found.pr_auc == pytest.approx(metrics.average_precision_score(labels, scores))
        assert found.roc_auc == pytest.approx(metrics.roc_auc_score(labels, scores))
    else:
        assert found.pr_auc is None
        assert found.roc_auc is None


@given(scored, st.randoms())
def test_the_order_of_the_blocks_does_not_matter(rows: list[tuple[float, int]], random: object) -> None:
    scores, labels = columns(rows)
    random.shuffle(rows)
    again = columns(rows)
    one, other = evaluate(scores, labels, 0.5, samples=20), evaluate(*again, 0.5, samples=20)
    assert one == other


def blocks(seed: int, count: int, anomalies: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = np.arange(count) < anomalies
    return draw.integers(0, 30, count) / 30 + labels * 0.4, labels.astype(np.int64)


@pytest.mark.parametrize("seed", range(20))
def test_intervals_hold_the_figure(seed: int) -> None:
    scores, labels = blocks(seed, 40 * (seed + 1), 4 * (seed + 1))
    found = evaluate(scores, labels, 0.9, samples=200, seed=seed)
    assert set(found.intervals) == {"precision", "recall", "f1", "pr_auc"}
    for name, (low, high) in found.intervals.items():
        assert 0 <= low <= getattr(found, name) <= high <= 1, name
        assert low < high, name


def test_intervals_follow_from_the_seed() -> None:
    scores, labels = blocks(0, 300, 30)
    one, same, other = (evaluate(scores, labels, 0.9, samples=100, seed=seed).intervals for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_intervals_narrow_with_more_blocks() -> None:
    scores, labels = blocks(0, 100, 20)
    few = evaluate(scores, labels, 0.9, samples=300)
    many = evaluate(np.tile(scores, 25), np.tile(labels, 25), 0.9, samples=300)
    for name, (low, high) in many.intervals.items():
        assert high - low < few.intervals[name][1] - few.intervals[name][0]
        assert getattr(many, name) == pytest.approx(getattr(few, name))


def test_no_resamples_no_intervals() -> None:
    scores, labels = blocks(0, 100, 10)
    assert evaluate(scores, labels, 0.9).intervals == {}


@pytest.mark.parametrize(("labels", "recall"), [([0, 0, 0], 0.0), ([1, 1, 1], 2 / 3)], ids=["normals", "anomalies"])
def test_one_kind_of_blocks_has_no_areas_and_no_intervals(labels: list[int], recall: float) -> None:
    found = evaluate(np.array([0.1, 0.5, 0.9]), np.array(labels), 0.5, samples=50)
    assert (found.pr_auc, found.roc_auc, found.intervals) == (None, None, {})
    assert found.recall == pytest.approx(recall)


def test_no_blocks_at_all() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate(np.zeros(0), np.zeros(0, np.int64), 0.5, samples=50, seen=np.zeros(0, bool))
    assert (found.items, found.anomalies, found.f1, found.false_alarms_per_10k) == (0, 0, 0, 0)
    assert (found.pr_auc, found.roc_auc) == (None, None)


def test_a_score_at_the_threshold_is_anomalous() -> None:
    assert evaluate(np.array([0.5, 0.4999]), np.array([1, 1]), 0.5).confusion["true_positives"] == 1


@given(st.lists(st.tuples(some_scores, st.integers(0, 1), st.sampled_from("abc"), st.booleans()), max_size=60))
def test_counts_by_kind_and_of_unseen_vectors_add_up(rows: list[tuple[float, int, str, bool]]) -> None:
    scores, labels = columns([row[:2] for row in rows])
    labels = labels.astype(np.int64)
    kinds, seen = np.array([row[2] for row in rows], object), np.array([row[3] for row in rows], bool)
    found = evaluate(scores, labels, 0.5, kinds=kinds, seen=seen)
    flagged = scores >= 0.5
    for by_kind, rows_of, total in (
        (found.recall_by_kind, labels == 1, found.confusion["true_positives"]),
        (found.false_alarm_rate_by_kind, labels == 0, found.confusion["false_positives"]),
    ):
        assert sum(facts["items"] for facts in by_kind.values()) == rows_of.sum()
        assert sum(facts["items"] * facts["flagged"] for facts in by_kind.values()) == pytest.approx(total)
        assert set(by_kind) == set(kinds[rows_of].tolist())
        for kind, facts in by_kind.items():
            assert facts["flagged"] == pytest.approx(flagged[rows_of & (kinds == kind)].mean())
    fresh = evaluate(scores[~seen], labels[~seen], 0.5)
    known = evaluate(scores[seen], labels[seen], 0.5)
    assert found.unseen == {
        "items": int((~seen).sum()),
        **fresh.confusion,
        **{name: getattr(fresh, name) for name in ("precision", "recall", "f1")},
    }
    for name, value in found.confusion.items():
        assert value == fresh.confusion[name] + known.confusion[name]


def test_false_alarms_are_counted_among_all_blocks() -> None:
    """Three normal blocks of 200 flagged are 150 in 10,000; flagged anomalies are no false alarms."""
    scores = np.zeros(200)
    scores[:8] = 1
    labels = np.zeros(200, np.int64)
    labels[:5] = 1
    assert evaluate(scores, labels, 0.5).false_alarms_per_10k == pytest.approx(150)


def test_it_becomes_json_and_comes_back() -> None:
    scores, labels = blocks(3, 100, 10)
    kinds = np.where(labels == 1, "lost replica", "normal").astype(object)
    found = evaluate(scores, labels, 0.9, kinds=kinds, seen=scores < 0.3, samples=20)
    back = Evaluation(**json.loads(json.dumps(found.to_json(), allow_nan=False)))
    assert back.to_json() | {"intervals": {}} == found.to_json() | {"intervals": {}}
    assert {name: tuple(ends) for name, ends in back.intervals.items()} == found.intervals
