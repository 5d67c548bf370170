"""Columns of Arrow tables as numpy arrays: the values, whatever the pieces."""

import numpy as np
import pyarrow as pa
import pytest

from hdfs_pipeline.store.columns import numbers


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
