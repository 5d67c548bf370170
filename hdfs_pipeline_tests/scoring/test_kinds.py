"""Whether named kinds fit the labels', and what labels allow at most."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hdfs_pipeline.scoring.explain import FAILURE
from hdfs_pipeline.scoring.features import FeatureMatrix, Partly, Unfinished
from hdfs_pipeline.scoring.kinds import kind_fit, kinds_of, reach
from hdfs_pipeline.scoring.knowledge import Knowledge, Rule, compile_rules
from hdfs_pipeline.scoring.reasons import NEW_HERE

COLUMNS = ("ordered", "sent", "broken")


def rule(name: str, kind: str, when: str, *faults: str) -> Rule:
    return Rule(name, kind, FAILURE, "a sentence", "a hint", "a reason", (when,), faults)


def rules(*given: Rule) -> Knowledge:
    return compile_rules(given, COLUMNS, {}, np.zeros(len(COLUMNS), bool))


KNOWN = rules(
    rule("broken", "arrived broken", "broken >= 1", "dropped"),
    rule("lost", "never sent", "sent = 0", "lost"),
    rule("late", "arrived broken", "sent >= 2", "shaken"),
)


def matrix(rows: list[list[int]], codes: list[int] | None = None) -> FeatureMatrix:
    unfinished = None
    if codes is not None:
        unfinished = Unfinished(np.array(codes, np.int8), (Partly("end missing", np.ones(3, bool)),))
    return FeatureMatrix(np.array(rows, np.float32), np.arange(len(rows)), COLUMNS, unfinished=unfinished)


def test_a_kind_fits_if_any_rule_of_that_kind_names_the_label_s() -> None:
    given = matrix([[1, 1, 1], [1, 0, 0], [1, 2, 0], [1, 1, 1], [1, 1, 0], [1, 0, 0]])
    labelled = np.array(["dropped", "lost", "dropped", "lost", "lost", "normal"], object)
    found = np.array([True, True, True, True, True, False])
    assert kinds_of(KNOWN, given)[:5].tolist() == [
        *("arrived broken", "never sent", "arrived broken", "arrived broken"),
        NEW_HERE,
    ]
    fit = kind_fit(KNOWN, given, found, labelled)
    assert fit is not None
    assert (fit.found, fit.fits) == (5, 3), "a kind that fits by another rule of it fits; one that is new here does not"
    assert fit.table == {"arrived broken": {"dropped": 2, "lost": 1}, "never sent": {"lost": 1}, NEW_HERE: {"lost": 1}}
    assert fit.fitting == {"arrived broken": ["dropped", "shaken"], "never sent": ["lost"], NEW_HERE: []}
    assert str(fit) == "kind fits: 3 of 5 found anomalies (60.0%)"


def test_labels_with_kinds_of_another_sort_are_not_judged() -> None:
    given = matrix([[1, 1, 1]])
    for kind in ("", "anomaly", "another"):
        assert kind_fit(KNOWN, given, np.array([True]), np.array([kind], object)) is None
    told = kind_fit(KNOWN, given, np.array([False]), np.array(["lost"], object))
    assert told is not None
    assert str(told) == "kind fits: 0 of 0 found anomalies"


def best_by_trying(vectors: list[int], labels: np.ndarray) -> float:
    """The highest F1 of all sets of vectors."""
    best = 0.0
    for count in range(1, len(set(vectors)) + 1):
        for chosen in itertools.combinations(sorted(set(vectors)), count):
            flagged = np.isin(vectors, chosen)
            hits = int((flagged & (labels == 1)).sum())
            best = max(best, 2 * hits / (flagged.sum() + labels.sum()))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_the_most_is_what_the_best_set_of_vectors_reaches(seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.integers(0, 6, 40).tolist()
    labels = (random.random(40) < 0.1 + 0.15 * np.array(vectors)).astype(np.int8)
    given = matrix([[vector, 0, 0] for vector in vectors])
    found = reach(given, labels, np.full(40, "", object))
    assert found.f1 == pytest.approx(best_by_trying(vectors, labels))
    hidden = sum(
        int((labels[np.array(vectors) == vector] == 1).sum())
        for vector in set(vectors)
        if 2 * labels[np.array(vectors) == vector].sum() < vectors.count(vector)
    )
    assert (found.anomalies, found.hidden) == (labels.sum(), hidden)


def test_what_leaves_no_trace_is_counted_by_kind() -> None:
    given = matrix([[1, 1, 0]] * 4 + [[1, 0, 0]] * 2)
    labels = np.array([0, 0, 0, 1, 1, 1], np.int8)
    kinds = np.array(["normal"] * 3 + ["hidden", "lost", "lost"], object)
    found = reach(given, labels, kinds, "parcels")
    assert (found.hidden, found.hidden_by_kind, found.f1) == (1, {"hidden": 1}, pytest.approx(0.8))
    assert str(found) == (
        "most that can be reached on these labels: F1 0.800 (1 of 3 anomalies have exactly the events of normal "
        "parcels: 1 hidden)"
    )
    assert str(replace(found, hidden_by_kind={"anomaly": 1})).endswith("the events of normal parcels)")


def test_an_unfinished_item_is_not_alike_to_a_whole_one() -> None:
    given = matrix([[1, 1, 0], [1, 1, 0], [1, 1, 0]], [0, 0, 1])
    assert reach(given, np.array([0, 0, 1], np.int8), np.full(3, "", object)).f1 == 1
