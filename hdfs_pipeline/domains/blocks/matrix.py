"""`event_matrix`: what the records that are parsed say of each block, kept in step with them.

Counts are added, and taken away, in the transaction in which records are parsed, or go: at any time the table counts
exactly the rows of `parsed_events`. What a block's life lacks depends on how far all logs reach, and is looked at
afterwards, of the blocks that it may have changed for. A row gets a greater `revision` with each change.
"""

import json
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks import templates
from hdfs_pipeline.domains.blocks.item import BLOCK
from hdfs_pipeline.domains.blocks.kernel import EVENT_MATRIX, counts_sql, event_matrix
from hdfs_pipeline.domains.blocks.lives import recorded, unfinished_words
from hdfs_pipeline.domains.blocks.minutes import note_minutes
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.judged import forget
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.columns import listed
from hdfs_pipeline.store.counters import counter, next_number
from hdfs_pipeline.store.quoting import quoted_list
from hdfs_pipeline.store.store import Connection, Store, publish_into

DOMAIN: Final = "blocks"
_REVISION: Final = "matrix_revision"
_LIVES: Final = "matrix_lives"
_WITHDRAWN: Final = "withdrawals"
"""Keys of `meta`: the last revision, what the lives were looked at with, how often records went."""
_KNOWN: Final = ", ".join(EVENT_MATRIX.names)
# Looked for are the places of rows, by one small column; only the rows that are asked for are read.
_ASKED: Final = f"""SELECT {_KNOWN} FROM event_matrix WHERE rowid IN (
    SELECT m.rowid FROM event_matrix m SEMI JOIN asked_blocks USING (block_id))"""
_SEEN: Final = "SELECT event_id FROM event_templates WHERE status = 'in use' AND seen > 0 ORDER BY event_id"
_DOUBTED: Final = """unfinished IS NULL OR $all OR first_time < make_timestamptz($first::BIGINT)
    OR last_time >= make_timestamptz($last::BIGINT)"""
"""Blocks whose life may look otherwise when the logs begin or end elsewhere."""
_NEVER_US: Final = 253_000_000_000_000_000  # later than every record, and a time that DuckDB knows


def _counts_of(relation: str, catalogue: Catalogue) -> str:
    """SELECT of counts (see `counts_sql`) of a relation with event_id, block_ids, alarm and time."""
    names = quoted_list(catalogue.columns)
    return counts_sql(f"(SELECT block_ids, alarm, time, enum_code(event_id::ENUM({names})) AS event FROM {relation})")


def add(con: Connection, fresh: pa.Table) -> None:
    """Add counts (schema `EVENT_MATRIX`) to those of their blocks, in the transaction in which records are parsed."""
    _publish(con, _summed(pa.concat_tables([_known(con, fresh["block_id"]), fresh])))


def withdrawals(con: Connection) -> int:
    """How often records of the home have gone, or their events: what was read of them before must not be counted."""
    return counter(con, _WITHDRAWN)


def take(con: Connection, catalogue: Catalogue | None, which: str) -> None:
    """Take away what the records of `raw_logs` count that meet the SQL condition `which`, before they are deleted.

    Blocks that no other record names are forgotten, with their verdicts. Without a `catalogue`, where the counts are
    those of an edited one, all are counted anew at the next parse.
    """
    next_number(con, _WITHDRAWN)
    note_minutes(con, f"(SELECT * FROM raw_logs WHERE {which})")
    gone = f"(SELECT * FROM raw_logs WHERE event_id IS NOT NULL AND {which})"
    if catalogue is None:
        return
    counts = con.sql(_counts_of(gone, catalogue)).to_arrow_table()
    templates.count(con, gone, -1)
    if not len(counts):
        return
    fresh = event_matrix(counts, catalogue)
    before = _known(con, fresh["block_id"])
    left = _summed(pa.concat_tables([before, _negative(fresh)]))
    con.register("rest_of_blocks", left.filter(pa.compute.greater(left["lines"], 0)))
    # Times cannot be subtracted. A block's records lie between its first and its last: only these are read.
    spans = con.sql(
        f"""SELECT block_id, min(time) AS first_time, max(time) AS last_time FROM (
            SELECT unnest(block_ids) AS block_id, time FROM raw_logs
            WHERE event_id IS NOT NULL AND NOT ({which})
            AND time >= (SELECT min(first_time) FROM rest_of_blocks)
            AND time <= (SELECT max(last_time) FROM rest_of_blocks)
        ) SEMI JOIN rest_of_blocks USING (block_id) GROUP BY block_id"""
    ).to_arrow_table()
    con.register("spans_of_blocks", spans)
    rest = con.sql(
        """SELECT r.* REPLACE (s.first_time AS first_time, s.last_time AS last_time,
            (epoch_us(s.last_time) - epoch_us(s.first_time)) / 1e6 AS duration_s)
        FROM rest_of_blocks r JOIN spans_of_blocks s USING (block_id)"""
    ).to_arrow_table()
    con.unregister("spans_of_blocks")
    con.unregister("rest_of_blocks")
    ended = sorted({*before["block_id"].to_pylist()} - {*rest["block_id"].to_pylist()})
    con.execute("DELETE FROM event_matrix WHERE block_id IN (SELECT unnest(?::BIGINT[]))", [ended])
    forget(con, DOMAIN, [BLOCK.show(block) for block in ended])
    _publish(con, rest.cast(EVENT_MATRIX))


def take_all(con: Connection) -> None:
    """Take away all counts: no record counts as parsed."""
    next_number(con, _WITHDRAWN)
    con.execute("UPDATE raw_logs SET event_id = NULL WHERE event_id IS NOT NULL; DELETE FROM event_matrix")


def settle(store: Store, settings: Settings, catalogue: Catalogue) -> int:
    """Look at what the lives of blocks lack, of those for which it may have changed; returns how many blocks there are.

    Those are the blocks with new counts, and the ones near the ends of the logs, where these have moved.
    """
    with store.read() as con:
        seen = [event for (event,) in con.execute(_SEEN).fetchall()]
        window = recorded(con)
        now = {"window": list(window), "seen": seen, "near_s": settings.unfinished_s, "catalogue": catalogue.label}
        table = con.sql(
            f"SELECT {_KNOWN}, unfinished, revision FROM event_matrix WHERE {_DOUBTED}",
            params=_moved(_before(con), now),
        ).to_arrow_table()
        words = pa.array(unfinished_words(table, catalogue, window, settings, seen), pa.string())
        other = pa.compute.not_equal(table["unfinished"], words).fill_null(True)
    changed = pa.table([table["block_id"], table["revision"], words], names=["block_id", "revision", "word"])
    with store.write() as con:
        con.register("looked_at", changed.filter(other))
        # A row whose counts have changed meanwhile is looked at the next time.
        con.execute(
            """UPDATE event_matrix SET unfinished = word, revision = ? FROM looked_at l
            WHERE l.block_id = event_matrix.block_id AND l.revision IS NOT DISTINCT FROM event_matrix.revision""",
            [next_number(con, _REVISION)],
        )
        con.unregister("looked_at")
        con.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [_LIVES, json.dumps(now)])
        return int(con.execute("SELECT count(*) FROM event_matrix").fetchall()[0][0])


def last_change(con: Connection) -> int:
    """The number of the last change; 0 before the first."""
    return counter(con, _REVISION)


def changed_since(con: Connection, revision: int) -> list[int]:
    """The blocks that changed after `revision`, by id."""
    rows = con.execute("SELECT block_id FROM event_matrix WHERE revision > ? ORDER BY block_id", [revision]).fetchall()
    return [block for (block,) in rows]


def _before(con: Connection) -> dict[str, Any]:
    rows = con.execute("SELECT value FROM meta WHERE key = ?", [_LIVES]).fetchall()
    return json.loads(rows[0][0]) if rows else {}


def _moved(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Which blocks the present ends of the logs may concern, as parameters of `_DOUBTED`."""
    if any(before.get(name) != now[name] for name in ("seen", "near_s", "catalogue")):
        return {"all": True, "first": 0, "last": 0}
    (begin, end), (began, ended), near = now["window"], before["window"], int(now["near_s"] * 1e6)
    first = max(begin, began) + near if begin != began else 0
    last = max(min(end, ended) - near, 0) if end != ended else _NEVER_US
    return {"all": False, "first": first, "last": last}


def _known(con: Connection, block_ids: pa.ChunkedArray) -> pa.Table:
    con.register("asked_blocks", pa.table({"block_id": block_ids}))
    known = con.sql(_ASKED).to_arrow_table()
    con.unregister("asked_blocks")
    return known.cast(EVENT_MATRIX)


def _publish(con: Connection, table: pa.Table) -> None:
    if len(table):
        revision = np.full(len(table), next_number(con, _REVISION), np.int64)
        rows = table.append_column("revision", pa.array(revision))
        publish_into(con, "event_matrix", rows, replace="block_id IN (SELECT block_id FROM publish_source)")


def _negative(table: pa.Table) -> pa.Table:
    """The table with counts below zero, to be added."""
    counts = table["counts"].combine_chunks()
    minus = pa.ListArray.from_arrays(counts.offsets, pa.compute.negate(counts.values))
    parts = {name: pa.compute.negate(table[name]) for name in ("lines", "alarms")} | {"counts": minus}
    return pa.table({name: parts.get(name, table[name]) for name in EVENT_MATRIX.names}, EVENT_MATRIX)


def _summed(table: pa.Table) -> pa.Table:
    """The rows of schema `EVENT_MATRIX`, those of one block added up, by block id."""
    blocks = table["block_id"].to_numpy()
    order = np.argsort(blocks, kind="stable")
    blocks = blocks[order]
    begins = np.flatnonzero(np.append(True, blocks[1:] != blocks[:-1])[: len(blocks)])
    if not len(begins):
        return table
    columns = {name: table[name].to_numpy()[order] for name in ("lines", "alarms")}
    first, last = (table[name].cast(pa.int64()).to_numpy()[order] for name in ("first_time", "last_time"))
    counts = listed(table["counts"])[0].reshape(len(blocks), -1)[order]
    earliest, latest = np.minimum.reduceat(first, begins), np.maximum.reduceat(last, begins)
    values = np.add.reduceat(counts, begins, axis=0)
    offsets = np.arange(0, values.size + 1, max(values.shape[1], 1), dtype=np.int32)
    kind = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "block_id": blocks[begins],
            "first_time": pa.array(earliest, kind),
            "last_time": pa.array(latest, kind),
            "duration_s": (latest - earliest) / 1e6,
            "counts": pa.ListArray.from_arrays(offsets, pa.array(values.ravel())),
            **{name: np.add.reduceat(values, begins) for name, values in columns.items()},
        },
        schema=EVENT_MATRIX,
    )
