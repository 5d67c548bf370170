"""The events of each block in their order: what the detectors on sequences learn from and score."""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks.naming import naming
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.features import FeatureMatrix, distinct_rows
from hdfs_pipeline.store.columns import numbers
from hdfs_pipeline.store.quoting import quoted_list
from hdfs_pipeline.store.store import Connection

STEPS: Final = 64
"""Events of one block that a matrix holds. In the recordings that ship with the project 3 of 26,704 blocks have more;
of these the first half and the last half are kept, so that a row still shows how the block begins and ends."""
_HALF: Final = STEPS // 2
_EVENTS: Final = 500_000  # in one piece of the sorted events


def block_sequences(con: Connection, catalogue: Catalogue, blocks: np.ndarray, *, only: bool) -> FeatureMatrix:
    """The `blocks` (n,) int64, in their order, with their events by time, source and position: n rows of STEPS steps.

    They are all blocks of the home, or `only` some: then only their events are read. Of blocks that repeat each other
    one row is kept, and DuckDB sorts within its limit of memory, so that a large home costs four bytes a block.

    An event is 1 + the index of its column in the catalogue, 0 stands after the last one. `columns` are `step_1`…;
    `source` and `fingerprint` are the catalogue's, which gives the numbers their meaning.
    """
    events, these, parameters = "parsed_events", "", {}
    if only:
        events = f"(FROM parsed_events WHERE {naming(con, blocks.tolist())})"
        these, parameters = "WHERE block_id IN (SELECT unnest($blocks::BIGINT[]))", {"blocks": blocks.tolist()}
    ordered = con.sql(
        f"""SELECT block_id, event FROM (
            SELECT unnest(block_ids) AS block_id, time, source_id, position,
                (enum_code(event_id::ENUM({quoted_list(catalogue.columns)})) + 1)::USMALLINT AS event FROM {events}
        ) {these} ORDER BY block_id, time, source_id, position""",
        params=parameters,
    ).to_arrow_reader(_EVENTS)
    known = {np.zeros(STEPS, np.uint16).tobytes(): 0}  # a block without events, as while a parse is under way
    at = np.zeros(len(blocks), np.int32)
    for keys, values in _rows(_whole(ordered)):
        found = distinct_rows(values)
        number = [known.setdefault(row.tobytes(), len(known)) for row in values[found.first]]
        places = np.minimum(np.searchsorted(blocks, keys), max(len(blocks) - 1, 0))
        there = blocks[places] == keys if len(blocks) else np.zeros(len(keys), bool)
        at[places[there]] = np.array(number, np.int32)[found.inverse[there]]
    rows = np.frombuffer(b"".join(known), np.uint16).reshape(-1, STEPS).astype(np.float32)
    columns = tuple(f"step_{step}" for step in range(1, STEPS + 1))
    return FeatureMatrix(rows, blocks, columns, catalogue.label, catalogue.fingerprint, at=at)


def _whole(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Block ids and events (k,) of pieces in which no block begins or ends outside."""
    keys, events = np.zeros(0, np.int64), np.zeros(0, np.uint16)
    for batch in batches:
        own, codes = (numbers(column) for column in batch.columns)
        keys, events = np.concatenate([keys, own]), np.concatenate([events, codes])
        cut = int(np.searchsorted(keys, keys[-1])) if len(keys) else 0
        yield keys[:cut], events[:cut]
        keys, events = keys[cut:], events[cut:]
    yield keys, events


def _rows(pieces: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Block ids (m,) and their rows (m, STEPS) uint16, filled up with 0, of events that stand by block."""
    for keys, events in pieces:
        if not len(keys):
            continue
        begins = np.flatnonzero(np.diff(keys, prepend=~keys[0]))
        lengths = np.diff(begins, append=len(keys))
        rows = np.repeat(np.arange(len(begins)), lengths)
        step, length = np.arange(len(keys)) - begins[rows], lengths[rows]
        kept = (length <= STEPS) | (step < _HALF) | (step >= length - _HALF)
        step = np.where((length <= STEPS) | (step < _HALF), step, step - (length - STEPS))
        values = np.zeros((len(begins), STEPS), np.uint16)
        values[rows[kept], step[kept]] = events[kept]
        yield keys[begins], values
