"""`raw_logs` into `daemon_minutes`: what each source wrote in each minute, counted anew only where something is new."""

from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.daemons.catalogue import Described, described
from hdfs_pipeline.store.store import Connection, Store, publish_into

_CHANGED: Final = """SELECT s.source_id, s.bytes, s.records, d.tail AS before,
        d.source_id IS NULL OR d.catalogue <> $catalogue AS anew
    FROM sources s LEFT JOIN daemon_sources d USING (source_id)
    WHERE anew OR (s.bytes, s.records) IS DISTINCT FROM (d.bytes, d.records)"""
_STALE: Final = """CREATE OR REPLACE TEMP TABLE stale_minutes AS
    WITH written AS (SELECT source_id, time_bucket(INTERVAL 1 MINUTE, time) AS minute, count(*) AS records
        FROM raw_logs WHERE source_id IN (SELECT source_id FROM changed_sources) GROUP BY ALL),
    counted AS (SELECT source_id, minute, sum(records) AS records
        FROM daemon_minutes WHERE source_id IN (SELECT source_id FROM changed_sources) GROUP BY ALL)
    SELECT source_id, minute FROM written FULL JOIN counted USING (source_id, minute)
    JOIN changed_sources USING (source_id)
    WHERE anew OR minute = before OR written.records IS DISTINCT FROM counted.records"""
_RECORDS: Final = """(SELECT r.* FROM raw_logs r SEMI JOIN stale_minutes m
    ON r.source_id = m.source_id AND time_bucket(INTERVAL 1 MINUTE, r.time) = m.minute)"""
_IP: Final = r"(?:\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:.]+(?:%[\w.]+)?\]|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}):\d+"
_ADDRESS: Final = rf"""CASE
    WHEN starts_with(message, 'Receiving ') THEN regexp_extract(message, 'dest: [\w.-]*/?({_IP})', 1)
    WHEN starts_with(message, 'DatanodeRegistration(')
        THEN regexp_extract(message, '^DatanodeRegistration\(({_IP})', 1)
    WHEN starts_with(message, 'Opened streaming server at ')
        THEN regexp_extract(message, '/((?:{_IP})|[\w.-]+:\d+)$', 1)
    WHEN starts_with(message, 'Starting Web-server for ')
        THEN regexp_extract(message, 'https?://((?:{_IP})|[\w.-]+:\d+)', 1)
    ELSE '' END"""
"""The address of the daemon that wrote a record, where it says so."""
_SOURCES: Final = """SELECT source_id, bytes, records, tail, $catalogue AS catalogue
    FROM changed_sources LEFT JOIN (
        SELECT source_id, arg_max(time_bucket(INTERVAL 1 MINUTE, time), position) AS tail FROM raw_logs
        WHERE source_id IN (SELECT source_id FROM changed_sources) GROUP BY source_id) USING (source_id)"""
_GONE: Final = "source_id NOT IN (SELECT source_id FROM sources)"
_MINUTES: Final = "(source_id, minute) IN (SELECT (source_id, minute) FROM publish_stale)"


def bring_up_to_date(store: Store) -> int:
    """Count what is new in `raw_logs`; returns the number of minutes that were counted.

    A source whose size is as it was is left alone. Of another one the minutes are counted anew whose number of records
    has changed, and the one that its last record was in, which may have been cut off. Counting twice changes nothing.
    """
    known = described()
    with store.read() as con:
        if not _news(con, known):
            return 0
        con.execute(f"CREATE OR REPLACE TEMP TABLE changed_sources AS {_CHANGED}", {"catalogue": known.label})
        con.execute(_STALE)
        stale, *counted = (con.sql(sql).to_arrow_table() for sql in ("FROM stale_minutes", *_counts(known)))
        sources = con.sql(_SOURCES, params={"catalogue": known.label}).to_arrow_table()
    with store.write() as con:
        _publish(con, stale, zip(("daemon_minutes", "daemon_addresses"), counted, strict=True))
        publish_into(con, "daemon_sources", sources, replace="source_id IN (SELECT source_id FROM publish_source)")
        for table in ("daemon_minutes", "daemon_addresses", "daemon_sources"):
            con.execute(f"DELETE FROM {table} WHERE {_GONE}")
    return stale.num_rows


def records_wait(store: Store) -> bool:
    """Whether a source has grown, or gone, since it was counted."""
    with store.read() as con:
        return _news(con, described())


def _news(con: Connection, known: Described) -> bool:
    sql = f"SELECT (SELECT count(*) FROM ({_CHANGED})) + (SELECT count(*) FROM daemon_sources WHERE {_GONE})"
    return bool(con.execute(sql, {"catalogue": known.label}).fetchall()[0][0])


def _counts(known: Described) -> tuple[str, str]:
    """SELECT of the rows of `daemon_minutes` and of `daemon_addresses` of the stale minutes."""
    return (
        f"""SELECT source_id, minute, event_id, node, count(*)::INTEGER AS records, min(time) AS first_time,
        max(time) AS last_time FROM ({known.records_sql(_RECORDS)}) GROUP BY ALL""",
        f"""SELECT source_id, time_bucket(INTERVAL 1 MINUTE, time) AS minute, {_ADDRESS} AS address,
        count(*)::INTEGER AS records FROM {_RECORDS} GROUP BY ALL
        HAVING address <> '' AND NOT starts_with(address, '0.0.0.0')""",
    )


def _publish(con: Connection, stale: pa.Table, tables: Iterable[tuple[str, Any]]) -> None:
    """Put the counts of the `stale` minutes in the place of those that there are."""
    con.register("publish_stale", stale)
    try:
        for name, rows in tables:
            con.execute(f"DELETE FROM {name} WHERE {_MINUTES}")
            publish_into(con, name, rows)
    finally:
        con.unregister("publish_stale")
