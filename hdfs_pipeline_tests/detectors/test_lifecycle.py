"""The grades of broken rules: failures count, and notable rules never reach the threshold."""

import numpy as np

from hdfs_pipeline.detectors.lifecycle import Lifecycle


def test_half_means_at_least_one_failure() -> None:
    """No rule, one and two notable ones, one failure (with and without a notable one), two failures."""
    grades = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 0, 0], [2, 1, 0], [2, 0, 2]], np.float32)
    assert Lifecycle().score(grades).tolist() == [0, 0.25, 0.375, 0.5, 0.5, 0.75]


def test_however_many_notable_rules_are_no_failure() -> None:
    assert Lifecycle().score(np.ones((1, 60), np.float32))[0] < 0.5


def test_failures_have_the_whole_score() -> None:
    grades = np.array([[2, 1, 2], [0, 1, 1], [0, 0, 0]], np.float32)
    shares = Lifecycle().explain(grades, np.zeros_like(grades))
    assert shares.tolist() == [[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 0]]


def test_columns_are_any() -> None:
    assert Lifecycle().score(np.zeros((2, 0), np.float32)).tolist() == [0, 0]
