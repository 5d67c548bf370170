"""What people said of blocks: kept in the table `feedback`, and laid over the labels of a Dataset.

The choices behind it: docs/decisions/12-feedback.md.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import AMBIGUOUS, NORMAL, UNLABELLED, Dataset
from hdfs_pipeline.scoring.feedback import VERDICTS, Feedback, objections
from hdfs_pipeline.store.store import Connection, Store, count, publish_into

KIND: Final = "feedback"
"""Kind of a block whose label is a person's."""
_SAME: Final = "block_id IN (SELECT block_id FROM publish_source)"


def keep_verdict(store: Store, row: dict[str, Any]) -> None:
    """Put one row into `feedback`, over what was said of its block before."""
    with store.write() as con:
        publish_into(con, "feedback", pa.Table.from_pylist([row]), replace=_SAME)


def withdraw_verdict(store: Store, block_id: int) -> None:
    """Take back what was said of a block. Raises: DataError where nothing was."""
    with store.write() as con:
        gone = count(con.execute("DELETE FROM feedback WHERE block_id = ?", [block_id]))
    if not gone:
        raise DataError(f"nobody has said anything of blk_{block_id}: `hdfs-pipeline feedback` lists the verdicts")


def verdicts(con: Connection, block_id: int | None = None) -> list[dict[str, Any]]:
    """All verdicts, the oldest first, or the one on a block."""
    one = "" if block_id is None else "WHERE block_id = ?"
    cursor = con.execute(
        f"SELECT * FROM feedback {one} ORDER BY given_at, block_id", [] if block_id is None else [block_id]
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def overlay(data: Dataset, given: Sequence[tuple[int, str]]) -> Dataset:
    """`data` with verdicts (block id and verdict, the oldest first) over its labels; those on other blocks wait.

    Where blocks have labels, a verdict acts as one. Where none has, three verdicts must not become all that is known:
    real and expected blocks are left out of what is learned as normal, false ones stay among the others.
    """
    keys = data.matrix("events").keys
    known = [(block_id, VERDICTS[verdict]) for block_id, verdict in given]
    blocks, said = np.array(known, np.int64).reshape(-1, 2).T
    here = np.isin(blocks, keys)
    rows, said = np.searchsorted(keys, blocks[here]), said[here].astype(np.int8)
    if not len(rows):
        return data
    labelled = (data.labels >= 0).any()
    labels, kinds = data.labels.copy(), data.kinds.copy()
    labels[rows] = said if labelled else np.where(said == NORMAL, UNLABELLED, AMBIGUOUS)
    kinds[labels != data.labels] = KIND
    matrices = {family: matrix.take(rows) for family, matrix in data.matrices.items()}
    return replace(data, labels=labels, kinds=kinds, feedback=Feedback(matrices, said, objections(data, rows, said)))
