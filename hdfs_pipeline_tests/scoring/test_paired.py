"""The paired randomisation test: exact where it can be counted, and right about equals."""

from math import comb

import numpy as np
import pytest

from hdfs_pipeline.scoring.evaluation import evaluate
from hdfs_pipeline.scoring.paired import lead


def flags(labels: np.ndarray, missed: int = 0, false: int = 0) -> np.ndarray:
    """What a model flags that misses the first anomalies and flags the first normal items."""
    found = labels.astype(bool)
    found[np.flatnonzero(labels == 1)[:missed]] = False
    found[np.flatnonzero(labels == 0)[:false]] = True
    return found


def labelled(anomalies: int, normal: int) -> np.ndarray:
    return np.repeat([1, 0], [anomalies, normal])


@pytest.mark.parametrize("more", [1, 3, 4, 5, 8])
def test_one_sided_disagreements_have_the_chance_of_as_many_coins(more: int) -> None:
    """The same as McNemar's exact test, one-sided: all of n disagreements on one side have the chance 1 / 2^n."""
    labels = labelled(20, 200)
    found = lead(labels, flags(labels), flags(labels, missed=more), "recall", 7)
    assert found.value == pytest.approx(more / 20)
    assert found.p == pytest.approx(0.5**more, abs=0.03)


def test_disagreements_on_both_sides_are_binomial() -> None:
    labels = labelled(30, 200)
    mine, theirs = flags(labels), flags(labels)
    rows = np.flatnonzero(labels == 1)
    mine[rows[:2]], theirs[rows[2:11]] = False, False
    exact = sum(comb(11, wins) for wins in range(9, 12)) / 2**11
    assert lead(labels, mine, theirs, "recall", 7).p == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("metric", ["f1", "precision", "recall", "pr_auc"])
def test_the_lead_is_that_of_the_evaluation(metric: str) -> None:
    random = np.random.default_rng(3)
    labels = (random.random(400) < 0.1).astype(np.int8)
    scores = [np.round(labels * 0.5 + random.random(400) * spread, 2) for spread in (0.9, 1.5)]
    figures = [getattr(evaluate(each, labels, 0.8), metric) for each in scores]
    answers = scores if metric == "pr_auc" else [each >= 0.8 for each in scores]
    found = lead(labels, *answers, metric, 7)
    assert found.value == pytest.approx(figures[0] - figures[1])
    back = lead(labels, *answers[::-1], metric, 7)
    assert back.value == pytest.approx(-found.value) and found.p < 0.5 < back.p


@pytest.mark.parametrize("metric", ["f1", "pr_auc"])
def test_equals_lead_beyond_chance_as_seldom_as_the_confidence_says(metric: str) -> None:
    random, hits = np.random.default_rng(11), 0
    for _ in range(60):
        labels = (random.random(150) < 0.2).astype(np.int8)
        scores = [labels * 0.4 + random.random(150) for _ in range(2)]
        answers = scores if metric == "pr_auc" else [each >= 0.9 for each in scores]
        hits += lead(labels, *answers, metric, 7).p <= 0.05
    assert hits <= 9, "three are expected"


def test_no_disagreement_is_no_lead() -> None:
    labels = labelled(10, 90)
    found = lead(labels, flags(labels), flags(labels), "f1", 7)
    assert (found.value, found.p) == (0.0, 1.0)


def test_many_items_take_little_time_and_memory() -> None:
    random = np.random.default_rng(5)
    labels = (random.random(5_000) < 0.03).astype(np.int8)
    mine, theirs = labels + random.random(5_000), labels * 0.5 + random.random(5_000)
    assert lead(labels, mine, theirs, "pr_auc", 7).p < 0.01
