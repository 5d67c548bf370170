"""Columns of Arrow tables as numpy arrays: the values, whatever the pieces."""

import numpy as np
import pyarrow as pa
import pytest

from hdfs_pipeline.store.columns import listed, numbers


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint64"])
def test_the_values_are_those_of_the_column_in_any_pieces(dtype: str) -> None:
    whole = pa.array(range(20), getattr(pa, dtype)())
    for column in (whole, whole[3:9], pa.chunked_array([whole[2:5], whole[:0], whole[7:]]), whole[:0]):
        found = numbers(column)
        assert found.dtype == dtype
        assert found.tolist() == column.to_pylist()
        assert np.array_equal(found, column.to_numpy())


def test_a_column_without_pieces_is_empty() -> None:
    assert numbers(pa.chunked_array([], pa.int64())).tolist() == []


def test_lists_give_their_values_one_after_the_other_and_their_lengths() -> None:
    whole = pa.array([[1, 2], [], [3], [4, 5, 6]], pa.list_(pa.int32()))
    for column in (whole, whole[1:3], pa.chunked_array([whole[2:], whole[:0], whole[:1]]), whole[1:2], whole[:0]):
        values, lengths = listed(column)
        assert values.dtype == "int32"
        assert values.tolist() == [value for row in column.to_pylist() for value in row]
        assert lengths.tolist() == [len(row) for row in column.to_pylist()]
