"""Distinct rows and the refusal of other columns than a model's."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.features import FeatureMatrix, distinct_rows, held

counts = st.integers(0, 2).map(float) | st.floats(0, 1e9, width=32)
matrices = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=30), elements=counts)


@given(matrices)
def test_distinct_rows_give_back_the_matrix(values: np.ndarray) -> None:
    """Each distinct row once, with the rows that it stands for."""
    distinct = distinct_rows(values)
    np.testing.assert_array_equal(values[distinct.first][distinct.inverse], values)
    assert distinct.weights.sum() == len(values)
    expected = Counter(tuple(row) for row in values.tolist())
    found = [tuple(row) for row in values[distinct.first].tolist()]
    assert dict(zip(found, distinct.weights.tolist(), strict=True)) == expected


def test_rows_that_share_a_hash_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exact way is taken where the hash fails."""

    class Constant:
        """A generator whose factors are all alike, so that permuted rows collide."""

        def integers(self, *args: object) -> np.ndarray:
            """Ones for both columns."""
            return np.ones(2, np.uint64)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Constant())
    values = np.array([[1, 2], [2, 1], [1, 2]], np.float32)
    distinct = distinct_rows(values)
    np.testing.assert_array_equal(values[distinct.first][distinct.inverse], values)
    assert sorted(distinct.weights.tolist()) == [1, 2]


def test_no_rows() -> None:
    """An empty matrix has no distinct rows."""
    distinct = distinct_rows(np.zeros((0, 3), np.float32))
    assert [len(part) for part in (distinct.first, distinct.inverse, distinct.weights)] == [0, 0, 0]


def matrix(columns: tuple[str, ...] = ("a", "b"), source: str = "v1") -> FeatureMatrix:
    """Two rows."""
    return FeatureMatrix(np.arange(2 * len(columns), dtype=np.float32).reshape(2, -1), np.arange(2), columns, source)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (matrix(("a", "c")), "missing b|missing \\['b'\\]"),
        (matrix(("b", "a")), "another order"),
        (matrix(source="v2"), "v2"),
    ],
    ids=["columns", "order", "source"],
)
def test_another_matrix_is_refused(other: FeatureMatrix, message: str) -> None:
    """The message names the difference."""
    matrix().require(("a", "b"), "v1")
    with pytest.raises(DataError, match=message):
        other.require(("a", "b"), "v1")


def test_a_source_that_was_edited_is_refused() -> None:
    """Where both sides have a fingerprint; older models have none."""
    edited = FeatureMatrix(np.zeros((2, 2), np.float32), np.arange(2), ("a", "b"), "v1", "now")
    for known in ("now", ""):
        edited.require(("a", "b"), "v1", known)
    matrix().require(("a", "b"), "v1", "then")
    with pytest.raises(DataError, match="'v1' was edited"):
        edited.take(np.arange(1)).require(("a", "b"), "v1", "then")


def test_shapes_must_fit() -> None:
    """Values, keys and columns belong together."""
    with pytest.raises(DataError, match="2 keys"):
        FeatureMatrix(np.zeros((3, 2), np.float32), np.arange(2), ("a", "b"))


def test_take() -> None:
    """Rows with their keys."""
    taken = matrix().take(np.array([False, True]))
    assert taken.keys.tolist() == [1]
    assert taken.values.tolist() == [[2, 3]]
    assert len(taken) == 1


@given(
    arrays(
        st.sampled_from([np.uint8, np.int16, np.int32, np.int64, np.uint64]),
        st.tuples(st.integers(0, 30), st.integers(0, 19)),
        elements=st.integers(0, 3),
    )
)
def test_distinct_rows_of_whole_numbers_give_back_the_matrix(values: np.ndarray) -> None:
    distinct = distinct_rows(values)
    assert np.array_equal(values[distinct.first][distinct.inverse], values)
    assert len(distinct.first) == len({row.tobytes() for row in values}) and distinct.weights.sum() == len(values)


def test_large_whole_numbers_are_told_apart() -> None:
    values = np.array([[2**53], [2**53 + 1], [2**53]], np.int64)
    assert distinct_rows(values).inverse.tolist() in ([0, 1, 0], [1, 0, 1])


@pytest.mark.parametrize("kind", [int, str])
@given(data=st.data())
def test_keys_are_found_among_those_in_order(kind: type, data: st.DataObject) -> None:
    some = st.lists(st.integers(-9, 9).map(kind), max_size=12)
    keys, others = data.draw(some), sorted(set(data.draw(some)))
    assert held(np.array(keys, kind), np.array(others, kind)).tolist() == [key in others for key in keys]
