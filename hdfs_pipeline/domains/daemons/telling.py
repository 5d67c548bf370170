"""The record by which a daemon's minute went wrong, as people read it."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

import pyarrow as pa

from hdfs_pipeline.domains.daemons.catalogue import CRASHED, RESTARTED, START, described
from hdfs_pipeline.domains.daemons.item import take_apart
from hdfs_pipeline.domains.daemons.naming import daemon_names_sql
from hdfs_pipeline.store.quoting import quoted, quoted_list
from hdfs_pipeline.store.store import Store

_MINUTE_S: Final = 60
_SPANS: Final = 200  # of time that one question names
_LINE: Final = 240  # characters of a record that are shown
_SECOND: Final = r"^[^/\n][^\n]*"  # a second line that is no frame, as that of STARTUP_MSG is
_DOMAIN: Final = "domain = 'daemons' AND status <> 'withdrawn'"
# What breaks a rule tells better than what differs from a baseline.
_TOLD: Final = f"""SELECT item AS key, min(first_time) AS told_from, max(last_time) AS told_to,
        coalesce(any_value((explanation -> '$.telling')::VARCHAR[]), []) AS telling
    FROM (FROM anomalies WHERE {_DOMAIN}
        QUALIFY rank() OVER (PARTITION BY item ORDER BY explanation ->> '$.broken[0].rule' IS NULL) = 1)
    JOIN wanted_minutes ON key = item GROUP BY item"""


def telling_records(store: Store, keys: Collection[str]) -> pa.Table:
    """Of anomalous minutes the times of the anomaly and the first record that tells of it; see `Domain.suspects`.

    They blame nobody: a minute belongs to the daemon at fault. Silence has no record.
    """
    parts = [take_apart(key) for key in keys]
    columns = {"key": pa.array(keys, pa.string())} | {
        name: pa.array([part[place] for part in parts], kind)
        for place, (name, kind) in enumerate(
            {"kind": pa.string(), "entity": pa.string(), "minute": pa.timestamp("us", "UTC")}.items()
        )
    }
    with store.read() as con:
        of_minutes = f"(FROM raw_logs WHERE {_spans(part.minute for part in parts)})"
        con.register("wanted_minutes", pa.table(columns))
        try:
            with described().named(con, of_minutes):
                return con.sql(_records_sql(of_minutes)).to_arrow_table()
        finally:
            con.unregister("wanted_minutes")


def _spans(minutes: Iterable[datetime]) -> str:
    """SQL that holds for times of these minutes, and maybe between them: DuckDB leaves zones of a table out by it."""
    wanted = sorted({int(minute.timestamp()) for minute in minutes}) or [0]
    gaps = sorted(range(1, len(wanted)), key=lambda at: wanted[at - 1] - wanted[at])[:_SPANS]
    begins = [0, *sorted(at for at in gaps if wanted[at] - wanted[at - 1] > _MINUTE_S)]
    ends = [at - 1 for at in [*begins[1:], len(wanted)]]
    spans = (
        f"time >= to_timestamp({wanted[begin]}) AND time < to_timestamp({wanted[end] + _MINUTE_S})"
        for begin, end in zip(begins, ends, strict=True)
    )
    return f"({' OR '.join(spans)})"


def _records_sql(of_minutes: str) -> str:
    known = described()
    starts = quoted_list([template.event_id for template in known.catalogue.templates if template.stage == START])
    started = f"list_has_any(telling, [{quoted_list([CRASHED, RESTARTED])}]) AND e.event_id IN ({starts})"
    return f"""WITH told AS ({_TOLD}),
        records AS (SELECT w.key, r.time, concat_ws(' ', strftime(timezone('UTC', r.time), '%Y-%m-%d %H:%M:%S'),
                coalesce(nullif(s.node, ''), nullif(s.host, ''), nullif(s.daemon, '')), nullif(r.level, ''),
                nullif(split_part(r.logger, '.', -1), '') || ':',
                left(concat_ws(' ', r.message, nullif(regexp_extract(r.more, {quoted(_SECOND)}), '')), {_LINE})) AS line
            FROM named_records e JOIN {of_minutes} r USING (source_id, position)
            JOIN sources s USING (source_id) JOIN ({daemon_names_sql()}) d USING (source_id)
            JOIN wanted_minutes w ON w.minute = e.minute
                AND w.kind = if(e.node = '', d.kind, {known.kind_sql("e.event_id")})
                AND w.entity = if(e.node = '', d.entity, e.node)
            JOIN told t ON t.key = w.key AND (list_contains(telling, e.event_id) OR {started}))
        SELECT t.key, t.told_from, t.told_to, NULL::VARCHAR[] AS blamed, NULL::MAP(VARCHAR, VARCHAR) AS traits,
            arg_min(line, (time, line)) AS line
        FROM told t LEFT JOIN records USING (key) GROUP BY ALL"""
