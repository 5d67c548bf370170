"""Which records can name some blocks: SQL that lets DuckDB read those of the blocks' lives only."""

from collections.abc import Sequence
from typing import Final

from hdfs_pipeline.store.quoting import quoted
from hdfs_pipeline.store.store import Connection

# A stream brings anomalies before anybody has counted the records that they tell of.
_SPAN: Final = """SELECT min(first_time), max(last_time) FROM (
        SELECT first_time, last_time FROM event_matrix WHERE block_id {own}
        UNION ALL SELECT first_time, last_time FROM anomalies WHERE domain = 'blocks' AND item {items}
    )"""


def naming(con: Connection, blocks: Sequence[int]) -> str:
    """SQL of a condition on `block_ids` and `time` that each record which names one of the `blocks` meets.

    DuckDB keeps the range of each column per row group and skips those that cannot meet it, so that the records of one
    block cost the same in a home of any size. Of one block no other record meets it, since looking for one id takes far
    less than splitting every list; of several blocks others do, within the time of their lives.
    """
    if len(blocks) == 1:
        only, own, items = f"list_contains(block_ids, {blocks[0]}::BIGINT)", "= $1[1]", "= 'blk_' || $1[1]"
    else:
        only, own, items = "len(block_ids) > 0", "IN (SELECT unnest($1))", "IN (SELECT 'blk_' || unnest($1))"
    span = _SPAN.format(own=own, items=items).replace("$1", "($1::BIGINT[])")
    first, last = con.execute(span, [list(blocks)]).fetchall()[0]
    if first is None:
        return only
    begin, end = (f"TIMESTAMPTZ {quoted(time.isoformat())}" for time in (first, last))
    return f"{only} AND time BETWEEN {begin} AND {end}"
