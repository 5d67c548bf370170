"""Searching the raw records: by what stands in them, by who wrote them, and by the template that they match."""

from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.blocks.explain import written_sql
from hdfs_pipeline.domains.blocks.item import parse_block_id, show_block_id
from hdfs_pipeline.domains.contract import MARKS, RecordId, Sought, Told
from hdfs_pipeline.errors import UsageError, unknown
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue
from hdfs_pipeline.scoring.patterns import STEP, Pattern, Span, patterns_of, window
from hdfs_pipeline.store.store import Store, dicts

_TEXT: Final = "r.origin || r.message || CASE WHEN r.more = '' THEN '' ELSE chr(10) || r.more END"
_SOURCES: Final = """SELECT source_id FROM sources WHERE lower($host) IN (lower(host), lower(daemon), lower(node),
    lower(split_part(node, ':', 1))) OR node IN (SELECT entity FROM entities WHERE alias = $host)"""
_FOUND: Final = ("source_id", "position", "time", "level", "logger", "message", "more", "block_ids", "alarm")


def recorded(store: Store) -> Span | None:
    """The times of the first and the last record; None where there is none."""
    with store.read() as con:
        first, last = con.execute("SELECT min(time), max(time) FROM raw_logs").fetchall()[0]
    return None if first is None else (first, last)


def search(
    store: Store, timezone: str, sought: Sought, span: Span, limit: int, before: RecordId | None, among: pa.Table | None
) -> pa.Table:
    """See `Domain.search`; the stamps of lines are written in the daemons' `timezone`."""
    values: dict[str, Any] = {"begin": span[0], "end": span[1]}
    where = ["r.time >= $begin", "r.time < $end"]
    if before is not None:
        where.append("(r.time, r.source_id, r.position) < ($time, $source, $position)")
        where.append("r.time <= $time")  # the same, for a scan that skips what is later
        values |= {"time": before.time, "source": before.source_id, "position": before.position}
    if among is not None:
        where.append("(r.source_id, r.position) IN (SELECT (source_id, position) FROM among)")
    if sought.host:
        where.append(f"r.source_id IN ({_SOURCES})")
        values["host"] = sought.host
    if sought.levels:
        where.append("list_contains($levels::VARCHAR[], r.level)")
        values["levels"] = [*sought.levels]
    if sought.logger:
        where.append("contains(lower(r.logger), lower($logger))")
        values["logger"] = sought.logger
    if sought.item:
        where.append("list_contains(r.block_ids, $item::BIGINT)")
        values["item"] = parse_block_id(sought.item)
    text = f"translate({_TEXT}, '{MARKS}', '')"
    for number, expression in enumerate(sought.expressions):
        where.append(f"regexp_matches({_TEXT}, $expression{number})")
        values[f"expression{number}"] = expression
    if sought.expressions:
        text = f"regexp_replace({text}, $any, '{MARKS[0]}\\0{MARKS[1]}', 'g')"
        values["any"] = "|".join(f"(?:{expression})" for expression in sought.expressions)
    chosen = f"""SELECT * FROM raw_logs r WHERE {" AND ".join(where)}
        ORDER BY r.time DESC, r.source_id DESC, r.position DESC LIMIT {int(limit)}"""
    columns = ", ".join(_FOUND)
    with store.read() as con:
        if among is not None:
            con.register("among", among)
        try:
            asked = f"SELECT {columns}, layout, {text} AS text FROM ({chosen}) r"
            found = con.sql(asked, params=values).to_arrow_table()
        finally:
            con.unregister("among")
        con.register("found", found)
        try:
            return con.sql(_written(columns, found), params={"timezone": timezone}).to_arrow_table()
        finally:
            con.unregister("found")


def _written(columns: str, found: pa.Table) -> str:
    """SELECT of what was found as it was written, and by whom; that costs too much for all that is searched."""
    stamp = written_sql("timezone($timezone, r.time)", set(found["layout"].to_pylist()))
    return f"""SELECT {columns}, coalesce(nullif(s.host, ''), s.node, '') AS host, coalesce(s.daemon, '') AS daemon,
            {stamp} || r.text AS line
        FROM found r LEFT JOIN sources s USING (source_id) ORDER BY time DESC, source_id DESC, position DESC"""


def told(store: Store, catalogue: Catalogue | None, records: pa.Table) -> list[Told]:
    """See `Domain.told`: the templates that the parse found, and the blocks."""
    with store.read() as con:
        con.register("told_records", records.select(["source_id", "position", "time"]))
        try:
            rows = con.execute(
                """SELECT source_id, position, event_id FROM parsed_events JOIN told_records USING (source_id, position)
                WHERE parsed_events.time BETWEEN $first AND $last""",
                {"first": records["time"][-1].as_py(), "last": records["time"][0].as_py()},
            ).fetchall()
        finally:
            con.unregister("told_records")
    events = {(source, position): event for source, position, event in rows if event != UNKNOWN}
    places = zip(records["source_id"].to_pylist(), records["position"].to_pylist(), strict=True)
    blocks = records["block_ids"].to_pylist()
    return [
        Told(
            event := events.get(place, ""),
            catalogue.describe(event) if catalogue and event else "",
            tuple(map(show_block_id, ids)),
        )
        for place, ids in zip(places, blocks, strict=True)
    ]


def matching(store: Store, catalogue: Catalogue, template: str, span: Span) -> pa.Table:
    """See `Domain.matching`."""
    if template not in catalogue.columns:
        raise UsageError(unknown("template", template, catalogue.columns))
    with store.read() as con:
        return con.sql(
            """SELECT source_id, position FROM parsed_events
            WHERE event_id = $template AND time >= $begin AND time < $end""",
            params={"template": template, "begin": span[0], "end": span[1]},
        ).to_arrow_table()


def patterns(store: Store, catalogue: Catalogue, span: Span, steps: int) -> list[Pattern]:
    """See `Domain.patterns`: of the records that name a block."""
    with store.read() as con:
        rows = dicts(
            con,
            f"""SELECT event_id, {STEP} AS step, count(*) AS records, min(time) AS first_time, max(time) AS last_time
            FROM parsed_events WHERE time < $end AND len(block_ids) > 0 GROUP BY ALL""",
            window(span, steps),
        )
    return patterns_of(rows, catalogue, steps)
