"""The online split: predicted first, told later, and only of what was flagged."""

import numpy as np
import pytest

from hdfs_pipeline.experiments.online import walk
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.dataset import Dataset, joined
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.homes import BLOCKS

SECOND = 1_000_000
QUICK = load_settings().model_copy(update={"online_delay_s": 60.0})


def blocks(rows: list[list[int]], labels: list[int], begin: int, every_s: int = 40) -> Dataset:
    """Blocks that begin `every_s` seconds apart."""
    keys = np.arange(begin, begin + len(rows))
    matrix = FeatureMatrix(np.array(rows, np.float32), keys, ("E1", "E2", "E3"), "hdfs_v1.v1")
    time = (begin + np.arange(len(rows)) * every_s) * SECOND
    return Dataset("blocks", {"events": matrix}, time, np.array(labels, np.int8), np.array([""] * len(rows), object))


@pytest.fixture
def known() -> Dataset:
    return blocks([[1, 3, 0], [1, 2, 0], [1, 0, 0]] * 4, [0, 0, 1] * 4, 0)


HABIT = [1, 3, 1]  # normal, and never seen before
BAD = [0, 1, 0]


@pytest.fixture
def later() -> Dataset:
    return blocks([HABIT, HABIT, BAD, HABIT, HABIT, BAD, HABIT], [0, 0, 1, 0, 0, 1, 0], 10_000)


def test_what_was_said_of_an_alarm_holds_for_its_likes_after_the_delay(known: Dataset, later: Dataset) -> None:
    scores = walk(fit(known, BLOCKS, "exact_match", QUICK), BLOCKS, known, later, QUICK)
    assert (scores >= 1).tolist() == [True, True, True, False, False, True, False]


def test_without_a_verdict_in_time_it_is_the_chronological_split(known: Dataset, later: Dataset) -> None:
    late = QUICK.model_copy(update={"online_delay_s": 1e6})
    first = fit(known, BLOCKS, "exact_match", QUICK)
    expected = first.score(later.matrix("events")) / first.card.threshold
    np.testing.assert_array_equal(walk(first, BLOCKS, known, later, late), expected)


def test_nothing_that_lies_ahead_changes_a_score(known: Dataset, later: Dataset) -> None:
    whole = walk(fit(known, BLOCKS, "exact_match", QUICK), BLOCKS, known, later, QUICK)
    for at in range(1, len(later)):
        part = later.take(np.arange(at))
        np.testing.assert_array_equal(
            walk(fit(known, BLOCKS, "exact_match", QUICK), BLOCKS, known, part, QUICK), whole[:at]
        )


def test_the_order_of_rows_does_not_matter(known: Dataset, later: Dataset) -> None:
    order = np.random.default_rng(5).permutation(len(later))
    scores = walk(fit(known, BLOCKS, "exact_match", QUICK), BLOCKS, known, later.take(order), QUICK)
    np.testing.assert_array_equal(
        scores, walk(fit(known, BLOCKS, "exact_match", QUICK), BLOCKS, known, later, QUICK)[order]
    )


def test_what_was_not_flagged_is_not_told(known: Dataset) -> None:
    hidden = blocks([[1, 3, 0]] * 3 + [HABIT] * 3, [1, 1, 1, 0, 0, 0], 10_000)  # anomalies that look normal
    scores = walk(fit(known, BLOCKS, "exact_match", QUICK), BLOCKS, known, hidden, QUICK)
    assert (scores[:3] == 0).all()


def test_joined_holds_the_rows_of_both(known: Dataset, later: Dataset) -> None:
    both = joined(known, later)
    assert len(both) == len(known) + len(later)
    np.testing.assert_array_equal(both.matrix("events").keys[len(known) :], later.matrix("events").keys)
    np.testing.assert_array_equal(both.labels[: len(known)], known.labels)
