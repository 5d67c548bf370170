"""What raw records that are searched are to the daemons: which minute they belong to, and which template they match."""

from dataclasses import replace
from typing import Final

import pyarrow as pa

from hdfs_pipeline.domains.contract import Told
from hdfs_pipeline.domains.daemons.catalogue import BLOCKS, Described, described
from hdfs_pipeline.domains.daemons.item import FORM
from hdfs_pipeline.domains.daemons.minutes import daemon_names_sql
from hdfs_pipeline.errors import UsageError, unknown
from hdfs_pipeline.scoring.catalogue import FAILURE, UNKNOWN
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
                for source, position, event, key in con.execute(_told_sql(_near(own))).fetchall():
                    name = "" if event == UNKNOWN else describe(event)
                    found[source, position] = Told(event if name else "", name, (key,))
            finally:
                con.unregister("told_records")
    places = zip(records["source_id"].to_pylist(), records["position"].to_pylist(), strict=True)
    return [found.get(place, Told()) for place in places]


def _near(records: pa.Table) -> Described:
    """The catalogue without templates that none of some records can match: to plan all takes longer than to try them.

    One failure stays in any case, since without one there is nothing to try second lines on.
    """
    known = described()
    lines = (more.partition("\n")[0] for more in records["more"].to_pylist())
    text = "\n".join((*records["message"].to_pylist(), *lines))
    grave = next(t for t in known.catalogue.templates if t.gravity == FAILURE)
    near = tuple(t for t in known.catalogue.templates if t is grave or all(part in text for part in t.literals))
    return replace(known, catalogue=replace(known.catalogue, templates=near))


def _named(known: Described, relation: str) -> str:
    # Materialized: a condition that moves into it would try all templates several times for each record.
    return f"WITH named AS MATERIALIZED ({known.records_sql(relation)})"


def _told_sql(known: Described) -> str:
    kinds = " ".join(f"WHEN {quoted(event)} THEN {quoted(name)}" for event, (name, _) in known.nodes.items())
    topics = " ".join(f"WHEN {quoted(event)} THEN {quoted(topic)}" for event, topic in described().apart.items())
    return f"""{_named(known, "told_records")} SELECT source_id, position, event_id, rtrim(concat_ws(' ',
            if(e.node = '', d.kind, CASE event_id {kinds} END), if(e.node = '', d.entity, e.node),
            strftime(minute, '{FORM}'), CASE event_id {topics} ELSE '' END))
        FROM named e JOIN ({daemon_names_sql()}) d USING (source_id)
        WHERE event_id <> {quoted(BLOCKS)}"""


def matching(store: Store, template: str, span: Span) -> pa.Table:
    """See `Domain.matching`: looked for in the minutes of which the template was counted."""
    known = described()
    if template not in known.catalogue.columns:
        raise UsageError(unknown("template", template, known.catalogue.columns))
    # Fewer records to try all templates on: a record that matches one holds its longest literal.
    fits = [t for t in known.catalogue.templates if template in (t.event_id, known.info.get(t.event_id))]
    holds = " OR ".join(f"contains(r.message || r.more, {quoted(max(t.literals, key=len))})" for t in fits) or "true"
    counted = f"""(SELECT r.* FROM raw_logs r SEMI JOIN (SELECT source_id, minute FROM daemon_minutes
        WHERE event_id = $template) m ON r.source_id = m.source_id AND time_bucket(INTERVAL 1 MINUTE, r.time) = m.minute
        WHERE r.time >= $begin AND r.time < $end AND ({holds}))"""
    sql = f"{_named(known, counted)} SELECT source_id, position FROM named WHERE event_id = $template"
    with store.read() as con:  # `con.sql` would plan all templates twice
        found = con.execute(sql, {"template": template, "begin": span[0], "end": span[1]}).fetchnumpy()
    return pa.table(found)


def patterns(store: Store, span: Span, steps: int) -> list[Pattern]:
    """See `Domain.patterns`."""
    with store.read() as con:
        rows = dicts(con, _COUNTED, window(span, steps))
    return patterns_of(rows, described().catalogue, steps)
