"""Columns of Arrow tables as numpy arrays."""

from typing import Final

import numpy as np
import pyarrow as pa

ROW_GROUP: Final = 122_880
"""Rows that DuckDB keeps together in a table: the best size of a batch that is read from one."""
ARROW_TYPES: Final = {
    "BIGINT": pa.int64(),
    "INTEGER": pa.int32(),
    "SMALLINT": pa.int16(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "VARCHAR[]": pa.list_(pa.string()),
    "JSON": pa.string(),
    "TIMESTAMPTZ": pa.timestamp("us", "UTC"),
    "MAP(VARCHAR, INTEGER)": pa.map_(pa.string(), pa.int32()),
    "MAP(VARCHAR, VARCHAR)": pa.map_(pa.string(), pa.string()),
}
"""The Arrow type of each DuckDB type that staged rows may have."""


def numbers(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """The values (n,) of a column of integers without nulls, read-only.

    pyarrow's `to_numpy` imports pandas, which takes a command that reads one item longer than all that it reads.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    dtype = np.dtype(str(array.type))
    if not len(array):
        return np.zeros(0, dtype)
    return np.frombuffer(array.buffers()[1], dtype, len(array), array.offset * dtype.itemsize)


def listed(column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The integers (m,) of all lists of a column without nulls, one after the other, and the lists' lengths (n,).

    Read-only. pyarrow's `flatten` imports its functions first, which takes a twentieth of a second.
    """
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not len(lists):
        return np.zeros(0, np.dtype(str(lists.type.value_type))), np.zeros(0, np.int32)
    ends = numbers(lists.offsets)
    return numbers(lists.values)[ends[0] : ends[-1]], np.diff(ends)
