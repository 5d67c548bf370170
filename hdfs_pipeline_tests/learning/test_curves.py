"""Curves: the points of scikit-learn, and a picture of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.learning import training
from hdfs_pipeline.learning.curves import curve, curves_png
from hdfs_pipeline.scoring.evaluation import evaluate

metrics = pytest.importorskip("sklearn.metrics")
rows = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1), st.integers(0, 1)), min_size=2)


def both_kinds(found: list[tuple[float, int]]) -> bool:
    return len({label for _, label in found}) == 2


@given(rows.filter(both_kinds))
def test_the_points_are_those_of_scikit_learn(found: list[tuple[float, int]]) -> None:
    scores, labels = (np.array(column) for column in zip(*found, strict=True))
    precision, recall, false = curve(scores, labels)
    false_rate, hit_rate, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(false, false_rate)
    np.testing.assert_allclose(recall, hit_rate)
    expected, covered, _ = metrics.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(precision[: len(expected)], expected[::-1])
    np.testing.assert_allclose(recall[: len(expected)], covered[::-1])


def judged(scores: list[float], labels: list[int]) -> training.Tested:
    values, truth = np.array(scores), np.array(labels)
    return training.Tested(evaluate(values, truth, 0.5), values, truth)


def size(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_the_picture_is_a_png_that_shows_what_it_is_given() -> None:
    one = judged([0.1, 0.4, 0.6, 0.9], [0, 1, 0, 1])
    png = curves_png({"random": one}, "exact_match")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
    assert size(png) == (1100, 484)
    assert png == curves_png({"random": one}, "exact_match")
    assert png != curves_png({"random": one}, "another title")
    assert png != curves_png({"random": one, "chronological": judged([0.9, 0.1], [0, 1])}, "exact_match")


def test_blocks_of_one_kind_have_a_picture_too() -> None:
    for labels in ([0, 0], [1, 1]):
        assert curves_png({"random": judged([0.2, 0.8], labels)}, "keywords").startswith(b"\x89PNG")
