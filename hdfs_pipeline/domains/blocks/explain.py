"""What is shown of a block beside its score: the names of its events, its times and label, its raw records."""

from collections.abc import Sequence
from typing import Any

from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.item import BLOCK
from hdfs_pipeline.domains.blocks.records import LAYOUTS
from hdfs_pipeline.domains.contract import Facts
from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_FAR = 3  # edits: an id that differs by more is no typing error


def vocabulary(settings: Settings, source: str) -> Vocabulary:
    """Names of the events of the catalogue `source`, or of the count of alarms where `source` is no catalogue."""
    catalogue = catalogues(settings.catalogues).get(source)
    if catalogue is None:
        return Vocabulary(_describe_alarms, BLOCK.noun, BLOCK.alike)
    return Vocabulary(catalogue.describe, BLOCK.noun, BLOCK.alike, catalogue.columns)


def _describe_alarms(column: str) -> str:
    return "record with WARN, ERROR, exception or corrupt" if column == "alarms" else column


def facts(store: Store, block_ids: Sequence[int] | None = None) -> dict[int, Facts]:
    """Times, number of records and label of blocks, of all by default."""
    only, parameters = "", []
    if block_ids is not None:
        only, parameters = "WHERE block_id IN (SELECT unnest(?::BIGINT[]))", [list(block_ids)]
    with store.read() as con:
        rows = con.execute(
            f"""SELECT block_id, first_time, last_time, lines, label
            FROM event_matrix LEFT JOIN labels USING (block_id) {only}""",
            parameters,
        ).fetchall()
    return {block_id: Facts(*known) for block_id, *known in rows}


def nearest(store: Store, block_id: int) -> int | None:
    """The block of the home whose id takes the fewest edits, three at most."""
    with store.read() as con:
        near = con.execute(
            """SELECT block_id FROM event_matrix WHERE levenshtein(block_id::VARCHAR, $block) <= $far
            ORDER BY levenshtein(block_id::VARCHAR, $block), block_id LIMIT 1""",
            {"block": str(block_id), "far": _FAR},
        ).fetchall()
    return near[0][0] if near else None


def evidence(store: Store, timezone: str, block_id: int, limit: int) -> list[dict[str, Any]]:
    """The records of a block as they were written (in the daemons' `timezone`), merged over their files by time.

    Each record has time, host, daemon, event_id and line.
    """
    local = "timezone($timezone, r.time)"
    stamp = " ".join(f"WHEN '{layout.name}' THEN strftime({local}, '{layout.format}')" for layout in LAYOUTS.values())
    with store.read() as con:
        cursor = con.execute(
            f"""SELECT r.time, s.host, s.daemon, e.event_id,
                (CASE s.layout {stamp} END) || r.origin || ': ' || r.message
                || CASE WHEN r.more = '' THEN '' ELSE chr(10) || r.more END AS line
            FROM raw_logs r JOIN parsed_events e USING (source_id, position) JOIN sources s USING (source_id)
            WHERE list_contains(r.block_ids, $block) ORDER BY r.time, r.source_id, r.position LIMIT {limit}""",
            {"block": block_id, "timezone": timezone},
        )
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
