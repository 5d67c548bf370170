"""What is shown of a block beside its score: the names of its events, its times and label, its raw records."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.heads import STAMPS, formats
from hdfs_pipeline.domains.blocks.item import BLOCK
from hdfs_pipeline.domains.blocks.naming import naming
from hdfs_pipeline.domains.contract import Facts, Place
from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.quoting import quoted
from hdfs_pipeline.store.store import Store, dicts

ALARMS: Final = "alarms"
"""The column of the search for alarms."""
_TELLING: Final = f"(list_contains($telling, event_id) OR (list_contains($telling, '{ALARMS}') AND alarm))"
_NODE_ADDRESS: Final = r"\d+\.\d+\.\d+\.\d+:\d+"
_TO: Final = quoted(rf"dest: [\w.-]*/?({_NODE_ADDRESS})")
_NODE: Final = quoted(rf"({_NODE_ADDRESS})")
# Looked for are the rows that name a block, by one column; the others are read of these only, and messages of few.
_PLACES: Final = f"""WITH wanted AS (
        SELECT unnest($blocks::BIGINT[]) AS block_id, unnest($marked::VARCHAR[][]) AS telling
    ),
    near AS MATERIALIZED (
        SELECT block_id, telling, row
        FROM (SELECT unnest(block_ids) AS block_id, rowid AS row FROM raw_logs WHERE {{only}}) JOIN wanted
        USING (block_id)
    ),
    told AS (
        SELECT block_id, first[5] AS row FROM (
            SELECT block_id, min(ROW(NOT {_TELLING}, r.time, r.source_id, r.position, r.rowid)) AS first
            FROM near JOIN raw_logs r ON r.rowid = near.row WHERE event_id IS NOT NULL GROUP BY block_id
        )
    )
    SELECT block_id, coalesce(nullif(s.host, ''), nullif(regexp_extract(r.message, {_TO}, 1), ''),
        regexp_extract(r.message, {_NODE}, 1)), s.path, r.time
    FROM told JOIN raw_logs r ON r.rowid = told.row JOIN sources s USING (source_id)""".replace("$telling", "telling")
_ADDRESS: Final = re.compile(r"(?<![\w.])[\w-]+(?:\.[\w-]+)*:\d{2,5}(?![\w.])")
_ALLOCATED: Final = re.compile(r"allocateBlock: (?P<before>/.*?)\. (?:BP-|blk_)|allocate blk_.*? for (?P<after>/.*)")
_COPIED: Final = re.compile(r"BLOCK\* ask .* to replicate|Starting thread to transfer")
_RECEIVING: Final = re.compile(r"Receiving .*dest: /?([\w.-]+:\d+)")
_FAR = 3  # edits: an id that differs by more is no typing error


def vocabulary(settings: Settings, source: str) -> Vocabulary:
    """Names of the events of the catalogue `source`, or of the count of alarms where `source` is no catalogue."""
    catalogue = catalogues(settings.catalogues).get(source)
    if catalogue is None:
        return Vocabulary(_describe_alarms, BLOCK.noun, BLOCK.alike)
    return Vocabulary(
        catalogue.describe, BLOCK.noun, BLOCK.alike, catalogue.columns, catalogue.severity, catalogue.cause
    )


def _describe_alarms(column: str) -> str:
    return "record with WARN, ERROR, exception or corrupt" if column == ALARMS else column


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


def written_sql(local: str, used: Collection[str]) -> str:
    """SQL of a record's time stamp as its layout, one of those `used`, writes it, from the local time.

    DuckDB takes longer to read the SQL for all layouts than to find a block's records.
    """
    names: dict[str, list[str]] = {}
    for name in sorted(formats().keys() & used):
        names.setdefault(formats()[name], []).append(quoted(name))
    cases = (
        f"WHEN r.layout IN ({', '.join(own)}) THEN replace(strftime({local}, {quoted(form)}), '{{level}}', r.level)"
        for form, own in names.items()
    )
    plain = f"strftime({local}, {quoted(STAMPS[0].format)})"
    return f"CASE {' '.join(cases)} ELSE {plain} END" if names else plain


def evidence(
    store: Store, timezone: str, block_id: int, limit: int, telling: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The records of a block as they were written (in the daemons' `timezone`), merged over their files by time.

    Each record has time, host, daemon, event_id, line, and whether it is `telling`. If there are more than `limit`,
    telling ones come first.
    """
    with store.read() as con:
        own = naming(con, [block_id])
        used = {name for (name,) in con.execute(f"SELECT DISTINCT layout FROM raw_logs WHERE {own}").fetchall()}
        return dicts(
            con,
            f"""SELECT * EXCLUDE (source_id, position) FROM (
                SELECT r.time, s.host, s.daemon, event_id,
                    {written_sql("timezone($timezone, r.time)", used)} || r.origin || r.message
                    || CASE WHEN r.more = '' THEN '' ELSE chr(10) || r.more END AS line,
                    {_TELLING} AS telling, r.source_id, r.position
                FROM (FROM raw_logs WHERE {own} AND event_id IS NOT NULL) r JOIN sources s USING (source_id)
                ORDER BY telling DESC, r.time, r.source_id, r.position LIMIT {limit}
            ) ORDER BY time, source_id, position""",
            {"timezone": timezone, "telling": list(telling)},
        )


def places(store: Store, telling: Mapping[int, Sequence[str]]) -> dict[int, Place]:
    """Host and log file of each block's first telling record, or of its first record where none is telling.

    Where the file's name tells no host, the address of the DataNode that the record names stands for it, with its port:
    several DataNodes may share a machine.
    """
    if not telling:
        return {}
    blocks = list(telling)
    marked = [list(columns) for columns in telling.values()]
    with store.read() as con:
        found = con.execute(_PLACES.format(only=naming(con, blocks)), {"blocks": blocks, "marked": marked})
        rows = found.fetchall()
    return {block_id: Place(*place) for block_id, *place in rows}


def about(store: Store, block_id: int) -> dict[str, Any]:
    """The HDFS file that a block was allocated for, and its pipeline: the DataNodes that were to receive it, in order.

    What no record says is left out.
    """
    with store.read() as con:
        messages = con.execute(
            f"SELECT message FROM raw_logs WHERE {naming(con, [block_id])} ORDER BY time, source_id, position"
        ).fetchall()
    known: dict[str, Any] = {}
    targets: dict[str, None] = {}
    for (message,) in messages:
        if allocated := _ALLOCATED.search(message):
            known["file"] = allocated["before"] or allocated["after"]
            replicas = message.partition("replicas=")[2]
            known["pipeline"] = list(dict.fromkeys(_ADDRESS.findall(replicas.partition(" for /")[0])))
        elif _COPIED.search(message):
            break  # who receives the block from here on is no part of the pipeline
        elif received := _RECEIVING.search(message):
            targets[received[1]] = None
    if targets and not known.get("pipeline"):
        known["pipeline"] = list(targets)
    return {name: value for name, value in known.items() if value}
