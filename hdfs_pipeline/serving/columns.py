"""Counts and verdicts as Arrow tables: the bulk form of the API, in which a row costs next to nothing."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from hdfs_pipeline.domains.contract import Judgement
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.explain import Explanation

MEDIA_TYPE: Final = "application/vnd.apache.arrow.stream"
_ID: Final = "id"


def read_counts(body: bytes) -> tuple[pa.Array | pa.ChunkedArray, list[str], np.ndarray]:
    """The ids (n,) of an Arrow IPC stream, the names of its k other columns, and a matrix (n, k) of these, integers.

    Without a column `id` rows are numbered. Raises: DataError for what is no such table of whole numbers.
    """
    try:
        with pa.ipc.open_stream(body) as stream:
            table = stream.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"no Arrow IPC stream that can be read ({error})") from None
    if len(set(table.column_names)) < table.num_columns:
        raise DataError("a column is named twice")
    ids = table[_ID] if _ID in table.column_names else pa.array(np.arange(len(table)))
    names = [name for name in table.column_names if name != _ID]
    for name in names:
        if not pa.types.is_integer(table.schema.field(name).type) or table[name].null_count:
            raise DataError(f"the column {name} holds something other than whole numbers")
    try:
        narrow = table.select(names).cast(pa.schema([(name, _kind(table[name])) for name in names]))
    except pa.ArrowInvalid:
        raise DataError("counts are whole numbers from 0 to 2,147,483,647") from None
    columns = [column.to_numpy() for column in narrow.columns]
    return ids, names, np.stack(columns, axis=1) if columns else np.zeros((len(table), 0), np.int64)


def _kind(column: pa.ChunkedArray) -> pa.DataType:
    """The type of a column; of unsigned ones of 64 bits, which go together with no other, the signed one."""
    return pa.int64() if column.type == pa.uint64() else column.type


def write_verdicts(domain: str, ids: pa.Array | pa.ChunkedArray, found: Judgement) -> bytes:
    """Verdicts as an Arrow IPC stream."""
    columns: dict[str, Any] = {_ID: ids}
    voices = []
    for said in found.opinions:
        columns[f"{said.detector}.score"] = said.scores
        columns[f"{said.detector}.kind"] = _told(len(ids), said.told, "kind")
        columns[f"{said.detector}.reason"] = _told(len(ids), said.told, "reason")
        voices.append({"detector": said.detector, "version": said.version, "threshold": said.threshold})
    about = orjson.dumps({"domain": domain, "source": found.source, "voices": voices})
    table = pa.table(columns).replace_schema_metadata({"verdicts": about})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


def _told(count: int, told: Mapping[int, Explanation], part: str) -> pa.DictionaryArray:
    """A part of the explanations of some of `count` rows; null for the others."""
    texts: dict[str, int] = {}
    codes = np.full(count, -1, np.int32)
    for row, explanation in told.items():
        codes[row] = texts.setdefault(getattr(explanation, part), len(texts))
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array([*texts], pa.string()))
