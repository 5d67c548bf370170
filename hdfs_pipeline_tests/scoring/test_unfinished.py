"""Items whose life the records show only in part: what may lie outside is taken as in a normal life."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hdfs_pipeline.scoring.features import FeatureMatrix, Partly, Unfinished, joined_matrices
from hdfs_pipeline.scoring.unfinished import completed, completed_sequences

ALL = np.array([True, True, True, False])  # allocated, stored, deleted; a failure never counts as missing
LATER = np.array([False, False, True, False])
KINDS = (Partly("beginning", ALL, begins_before=True), Partly("at rest", LATER, cut=False))
NORMALS = np.array([[1, 3, 3, 0], [1, 2, 2, 0], [1, 3, 0, 0]], np.float32)


def unfinished(*codes: int) -> Unfinished:
    return Unfinished(np.array(codes, np.int8), KINDS)


def test_a_part_of_a_normal_life_becomes_the_nearest_one() -> None:
    values = np.array([[0, 2, 2, 0], [0, 3, 0, 0], [1, 3, 0, 0], [1, 1, 0, 0]], np.float32)
    found = completed(values, unfinished(1, 1, 2, 1), NORMALS)
    assert found.tolist() == [[1, 2, 2, 0], [1, 3, 0, 0], [1, 3, 0, 0], [1, 3, 0, 0]]


def test_what_cannot_lie_outside_counts() -> None:
    """A failure, too many of an event, and a replica that is missing although the item is at rest."""
    values = np.array([[0, 3, 0, 1], [0, 4, 0, 0], [1, 1, 0, 0]], np.float32)
    assert completed(values, unfinished(1, 1, 2), NORMALS) is not values
    assert completed(values, unfinished(1, 1, 2), NORMALS).tolist() == values.tolist()


def test_whole_items_stay_as_they_are() -> None:
    values = np.array([[0, 3, 0, 0]], np.float32)
    assert completed(values, unfinished(0), NORMALS) is values
    assert completed(values, None, NORMALS) is values
    assert completed(values, unfinished(1), NORMALS[:0]) is values


@given(
    arrays(np.float32, (7, 4), elements=st.integers(0, 3).map(float)),
    st.lists(st.integers(0, 2), min_size=7, max_size=7),
)
def test_only_what_may_lie_outside_is_added(values: np.ndarray, codes: list[int]) -> None:
    found = completed(values, unfinished(*codes), NORMALS)
    added = found - values
    assert (added >= 0).all()
    for row, code in zip(added, codes, strict=True):
        assert not row[~KINDS[code - 1].outside].any() if code else not row.any()
    normal = {tuple(row) for row in NORMALS.tolist()}
    assert all(tuple(row) in normal for row, more in zip(found.tolist(), added, strict=True) if more.any())


def test_sequences_are_completed_on_the_side_that_is_missing() -> None:
    normals = np.array([[1, 2, 2, 3, 3, 0]], np.float32)
    kinds = (Partly("beginning", ALL, begins_before=True), Partly("end", ALL))
    values = np.array([[2, 3, 3, 0, 0, 0], [1, 2, 2, 0, 0, 0], [1, 4, 0, 0, 0, 0]], np.float32)
    found = completed_sequences(values, Unfinished(np.array([1, 2, 2], np.int8), kinds), normals)
    assert found.tolist() == [[1, 2, 2, 3, 3, 0], [1, 2, 2, 3, 3, 0], [1, 4, 0, 0, 0, 0]]


def test_rows_are_taken_and_joined_with_what_is_unfinished_of_them() -> None:
    def matrix(known: Unfinished | None, rows: int) -> FeatureMatrix:
        return FeatureMatrix(np.zeros((rows, 1), np.float32), np.arange(rows), ("a",), unfinished=known)

    first, second = matrix(unfinished(0, 1), 2), matrix(None, 1)
    assert first.take(np.array([1])).unfinished.words.tolist() == ["beginning"]
    both = joined_matrices(first, second).unfinished
    assert both.words.tolist() == ["", "beginning", ""] and both.cut.tolist() == [False, True, False]
    assert joined_matrices(second, first).unfinished.code.tolist() == [0, 0, 1]
    assert joined_matrices(second, second).unfinished is None
