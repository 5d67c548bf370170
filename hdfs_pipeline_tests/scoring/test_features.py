"""Distinct rows and the refusal of other columns than a model's."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.features import (
    FeatureMatrix,
    Partly,
    Unfinished,
    distinct_rows,
    held,
    joined_matrices,
    taken,
)

KINDS = (Partly("end", np.zeros(1, bool)), Partly("beginning", np.zeros(1, bool)))

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


@given(
    arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 3)), elements=st.integers(0, 2)),
    st.lists(st.tuples(st.integers(0, 4), st.integers(-2, 1), st.integers(0, 2)), max_size=30),
)
def test_items_that_share_rows_are_as_items_with_rows_of_their_own(
    rows: np.ndarray, items: list[tuple[int, int, int]]
) -> None:
    """Distinct rows and pairs, in the same order and with the same first items; what is taken; what is joined."""
    at, code, unfinished = np.array(items, np.int32).reshape(-1, 3).T
    at, known = at % len(rows), Unfinished(unfinished.astype(np.int8), KINDS)
    columns = tuple("abc")[: rows.shape[1]]
    shared = FeatureMatrix(rows, np.arange(len(at)), columns, unfinished=known, at=at)
    plain = FeatureMatrix(rows[at], np.arange(len(at)), columns, unfinished=known)
    odd = np.arange(len(at)) % 2 == 1
    for one, other in (
        (shared, plain),
        (shared.take(odd), plain.take(odd)),
        (taken({"a": shared, "b": shared}, odd)["b"], plain.take(odd)),
        (joined_matrices(shared, plain), joined_matrices(plain, plain)),
    ):
        assert np.array_equal(one.values, other.values) and np.array_equal(one.keys, other.keys)
        codes = code.astype(np.int8)[: len(one)]
        for mine, theirs in (
            (one.distinct, other.distinct),
            (one.cases, other.cases),
            (one.distinct_with(codes), other.distinct_with(codes))
            if len(codes) == len(one)
            else (one.cases, other.cases),
        ):
            for name in ("first", "inverse", "weights"):
                assert np.array_equal(getattr(mine, name), getattr(theirs, name)), name
        sums = one.by_case(lambda once: once.values.sum(axis=1) + once.unfinished.code)
        assert np.array_equal(sums, other.values.sum(axis=1) + other.unfinished.code)


def test_what_matrices_share_is_taken_once() -> None:
    """A home's families have the same keys and rows of the same items: each such array stays one."""
    keys, at = np.arange(3), np.zeros(3, np.int32)
    matrices = {name: FeatureMatrix(np.zeros((1, 1), np.float32), keys, (name,), at=at) for name in "ab"}
    matrices["own"] = FeatureMatrix(np.zeros((3, 1), np.float32), keys, ("own",))
    parts = taken(matrices, np.array([2, 0]))
    assert parts["a"].keys is parts["b"].keys and parts["a"].at is parts["b"].at
    assert all(part.keys.tolist() == [2, 0] and len(part) == 2 for part in parts.values())


def test_keys_are_found_among_many() -> None:
    """Above a number of them the others are put into their order first."""
    many = np.arange(0, 400_000, 2)
    assert held(np.array([7, 399_998, 0, 400_000]), many).tolist() == [False, True, True, False]
