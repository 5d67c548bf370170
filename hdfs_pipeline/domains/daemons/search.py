"""What raw records that are searched are to the daemons: which minute they belong to, and which template they match."""

from typing import Final

import pyarrow as pa

from hdfs_pipeline.domains.contract import Told
from hdfs_pipeline.domains.daemons.catalogue import BLOCKS, described
from hdfs_pipeline.domains.daemons.item import FORM
from hdfs_pipeline.domains.daemons.naming import daemon_names_sql
from hdfs_pipeline.errors import UsageError, unknown
from hdfs_pipeline.scoring.catalogue import UNKNOWN
from hdfs_pipeline.scoring.patterns import STEP, Pattern, Span, patterns_of, window
from hdfs_pipeline.store.quoting import quoted
from hdfs_pipeline.store.store import Store, dicts

_COLUMNS: Final = ["source_id", "position", "time", "level", "message", "more", "block_ids", "alarm"]
_COUNTED: Final = f"""SELECT event_id, {STEP} AS step, sum(records)::BIGINT AS records, min(first_time) AS first_time,
        max(last_time) AS last_time
    FROM (SELECT *, first_time AS time FROM daemon_minutes WHERE event_id <> {quoted(BLOCKS)})
    WHERE time < $end GROUP BY ALL"""


def told(store: Store, records: pa.Table) -> list[Told]:
    """See `Domain.told`. Records that tell of a block and of nothing else are nothing to the daemons."""
    import pyarrow.compute as pc

    empty = pc.equal(pc.list_value_length(records["block_ids"]), 0)
    own = records.select(_COLUMNS).filter(pc.or_(empty, records["alarm"]))
    found: dict[tuple[int, int], Told] = {}
    describe = described().catalogue.describe
    if len(own):
        with store.read() as con:
            con.register("told_records", own)
            try:
                with described().named(con, "told_records"):
                    rows = con.execute(_told_sql()).fetchall()
            finally:
                con.unregister("told_records")
        for source, position, event, key in rows:
            name = "" if event == UNKNOWN else describe(event)
            found[source, position] = Told(event if name else "", name, (key,))
    places = zip(records["source_id"].to_pylist(), records["position"].to_pylist(), strict=True)
    return [found.get(place, Told()) for place in places]


def _told_sql() -> str:
    known = described()
    return f"""SELECT source_id, position, event_id, rtrim(concat_ws(' ',
            if(e.node = '', d.kind, {known.kind_sql()}), if(e.node = '', d.entity, e.node),
            strftime(minute, '{FORM}'), {known.topic_sql()}))
        FROM named_records e JOIN ({daemon_names_sql()}) d USING (source_id)
        WHERE event_id <> {quoted(BLOCKS)}"""


def matching(store: Store, template: str, span: Span) -> pa.Table:
    """See `Domain.matching`: looked for in the minutes of which the template was counted."""
    known = described()
    if template not in known.catalogue.columns:
        raise UsageError(unknown("template", template, known.catalogue.columns))
    # Fewer records to match: a record that matches one holds its longest literal.
    fits = [t for t in known.catalogue.templates if template in (t.event_id, known.info.get(t.event_id))]
    holds = " OR ".join(f"contains(r.message || r.more, {quoted(max(t.literals, key=len))})" for t in fits) or "true"
    counted = f"""(SELECT r.* FROM raw_logs r SEMI JOIN (SELECT source_id, minute FROM daemon_minutes
        WHERE event_id = $template) m ON r.source_id = m.source_id AND time_bucket(INTERVAL 1 MINUTE, r.time) = m.minute
        WHERE r.time >= $begin AND r.time < $end AND ({holds}))"""
    asked = {"template": template, "begin": span[0], "end": span[1]}
    with store.read() as con, known.named(con, counted, asked):
        mine = "SELECT source_id, position FROM named_records WHERE event_id = ?"
        return con.sql(mine, params=[template]).to_arrow_table()


def patterns(store: Store, span: Span, steps: int) -> list[Pattern]:
    """See `Domain.patterns`."""
    with store.read() as con:
        rows = dicts(con, _COUNTED, window(span, steps))
    return patterns_of(rows, described().catalogue, steps)
