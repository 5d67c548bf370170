"""The events of each block in their order: what the detectors on sequences learn from and score."""

from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks.naming import naming
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.store.quoting import quoted_list
from hdfs_pipeline.store.store import Connection

STEPS: Final = 64
"""Events of one block that a matrix holds. In the recordings that ship with the project 3 of 26,704 blocks have more;
of these the first half and the last half are kept, so that a row still shows how the block begins and ends."""


def block_sequences(con: Connection, catalogue: Catalogue, blocks: np.ndarray | None = None) -> FeatureMatrix:
    """The blocks of `event_matrix` by id with their events by time, source and position: (n, STEPS) float32.

    With ids `blocks` (n,) int64 it is only these blocks, and only their events are read.

    An event is 1 + the index of its column in the catalogue, 0 stands after the last one. `columns` are `step_1`…;
    `source` and `fingerprint` are the catalogue's, which gives the numbers their meaning.
    """
    names = quoted_list(catalogue.columns)
    half = STEPS // 2
    events, only, parameters = "parsed_events", "", {}
    if blocks is not None:
        only, parameters = "WHERE block_id IN (SELECT unnest($blocks::BIGINT[]))", {"blocks": blocks.tolist()}
        events = f"(FROM parsed_events WHERE {naming(con, blocks.tolist())})"
    table = con.sql(
        f"""SELECT block_id, CASE WHEN len(events) > {STEPS} THEN events[:{half}] || events[-{half}:] ELSE events END
            AS events FROM event_matrix LEFT JOIN (
                SELECT block_id, list(event ORDER BY time, source_id, position) AS events FROM (
                    SELECT unnest(block_ids) AS block_id, time, source_id, position,
                        enum_code(event_id::ENUM({names}))::INTEGER + 1 AS event FROM {events}
                ) {only} GROUP BY block_id
            ) USING (block_id) {only} ORDER BY block_id""",
        params=parameters,
    ).to_arrow_table()
    columns = tuple(f"step_{step}" for step in range(1, STEPS + 1))
    values = _padded(table["events"].combine_chunks())
    return FeatureMatrix(values, table["block_id"].to_numpy(), columns, catalogue.label, catalogue.fingerprint)


def _padded(lists: pa.ListArray) -> np.ndarray:
    """Lists of at most STEPS numbers (or null) as rows (n, STEPS) float32, filled up with 0."""
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    rows = np.repeat(np.arange(len(lists)), lengths)
    steps = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    values = np.zeros((len(lists), STEPS), np.float32)
    values[rows, steps] = lists.flatten().to_numpy(zero_copy_only=False)
    return values
