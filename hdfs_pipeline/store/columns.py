"""Columns of Arrow tables as numpy arrays."""

import numpy as np
import pyarrow as pa


def numbers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """The values (n,) of a column of integers without nulls, read-only.

    pyarrow's `to_numpy` imports pandas, which takes a command that reads one item longer than all that it reads.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    dtype = np.dtype(str(array.type))
    if not len(array):
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)
