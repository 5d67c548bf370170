"""Exact match: distances by definition, equal rows by value."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hdfs_pipeline.detectors.exact_match import ExactMatch
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring import normals as normal_vectors
from hdfs_pipeline.scoring.normals import nearest_rows

counts = st.integers(0, 3).map(float)


def rows(least: int) -> st.SearchStrategy[np.ndarray]:
    """Matrices (n, 3) of small counts."""
    shapes = st.integers(least, 12).map(lambda length: (length, 3))
    return shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=counts))


@given(normals=rows(1), values=rows(0))
def test_score_is_the_distance_to_the_nearest_normal(normals: np.ndarray, values: np.ndarray) -> None:
    """D / (1 + d) for every row; 0 exactly where the row was seen, at least .5 elsewhere."""
    detector = ExactMatch().fit(normals, None, np.ones(len(normals)))
    distance = np.abs(values[:, None] - normals[None]).sum(axis=2).min(axis=1, initial=np.inf)
    scores = detector.score(values)
    np.testing.assert_allclose(scores, distance / (1 + distance))
    seen = (values[:, None] == normals[None]).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(scores < 0.5, seen)


@given(normals=rows(1), values=rows(1))
def test_the_nearest_row_is_nearest(normals: np.ndarray, values: np.ndarray) -> None:
    """Index and distance belong together, also where the work is cut into parts."""
    index, distance = nearest_rows(values, normals)
    np.testing.assert_allclose(np.abs(values - normals[index]).sum(axis=1), distance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normal_vectors, "DISTANCES", 5)
        again = nearest_rows(values, normals)
    np.testing.assert_array_equal(again[0], index)
    np.testing.assert_array_equal(again[1], distance)


def test_only_normals_are_remembered(tmp_path: Path) -> None:
    """Distinct ones, also after load; anomalous vectors stay unseen."""
    values = np.array([[1, 0], [1, 0], [5, 5]], np.float32)
    ExactMatch().fit(values, np.array([0, 0, 1]), np.ones(3)).save(tmp_path)
    loaded = ExactMatch.load(tmp_path)
    assert loaded.normals is not None
    assert loaded.normals.tolist() == [[1, 0]]
    assert loaded.score(values).tolist() == [0, 0, 9 / 10]


def test_negative_zero_is_zero() -> None:
    """Equal numbers are equal, whatever their bytes."""
    detector = ExactMatch().fit(np.zeros((1, 2), np.float32), None, np.ones(1))
    assert detector.score(np.full((1, 2), -0.0, np.float32)).tolist() == [0]


def test_explains_by_differences() -> None:
    """Shares of the distance; none for a vector that was seen."""
    values, nearest = np.array([[4, 1, 0], [1, 1, 1]], np.float32), np.ones((2, 3), np.float32)
    shares = ExactMatch().explain(values, nearest)
    assert shares.tolist() == [[0.75, 0, 0.25], [0, 0, 0]]


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    """No rows, no normal rows, nothing learned: each is said."""
    with pytest.raises(DataError, match="no normal items"):
        ExactMatch().fit(np.zeros((0, 2), np.float32), None, np.zeros(0))
    with pytest.raises(DataError, match="no normal items"):
        ExactMatch().fit(np.ones((1, 2), np.float32), np.ones(1), np.ones(1))
    with pytest.raises(NotTrainedError, match="train --detector exact_match"):
        ExactMatch().score(np.ones((1, 2), np.float32))
    with pytest.raises(NotTrainedError):
        ExactMatch().save(tmp_path)


def test_going_on_adds_vectors_and_forgets_what_turned_out_anomalous() -> None:
    old = np.array([[1, 0], [2, 0], [3, 0]], np.float32)
    before = ExactMatch().fit(old, None, np.ones(3))
    values, labels = np.array([[4, 0], [2, 0], [3, 0], [3, 0]], np.float32), np.array([0, 1, 1, 0])
    resumed = ExactMatch().resume(before, values, labels, np.ones(4))
    assert resumed.normals.tolist() == [[1, 0], [3, 0], [4, 0]]
    assert ExactMatch().resume(before, values[:1], None, np.ones(1)).normals.tolist() == [
        [1, 0],
        [2, 0],
        [3, 0],
        [4, 0],
    ]
    wider = np.ones((1, 3), np.float32)
    assert ExactMatch().resume(before, wider, None, np.ones(1)).normals.tolist() == [[1, 1, 1]]
