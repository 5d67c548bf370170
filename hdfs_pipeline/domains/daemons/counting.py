"""`raw_logs` into `daemon_minutes`: what each source wrote in each minute, counted anew only where something is new.

The domain that reads the records notes the minutes in which some came or went, in `changed_minutes`.
"""

from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.daemons.catalogue import Described, described
from hdfs_pipeline.domains.daemons.item import DOMAIN
from hdfs_pipeline.domains.daemons.minutes import daemon_names_sql, told_sql
from hdfs_pipeline.store.counters import next_number
from hdfs_pipeline.store.store import Connection, Store, publish_into

_ANEW: Final = "sources ANTI JOIN (FROM daemon_sources WHERE catalogue = $catalogue) USING (source_id)"
_STALE: Final = f"""CREATE OR REPLACE TEMP TABLE stale_minutes AS
    WITH anew AS (SELECT source_id FROM {_ANEW})
    SELECT source_id, minute FROM changed_minutes
    UNION SELECT source_id, minute FROM daemon_minutes SEMI JOIN anew USING (source_id)
    UNION SELECT source_id, time_bucket(INTERVAL 1 MINUTE, time) FROM raw_logs
        WHERE source_id IN (SELECT source_id FROM anew)"""
# Zones of the table are left out by their times, which the minutes of a join do not tell DuckDB.
_RECORDS: Final = """(SELECT r.* FROM raw_logs r SEMI JOIN stale_minutes m
    ON r.source_id = m.source_id AND time_bucket(INTERVAL 1 MINUTE, r.time) = m.minute
    WHERE r.time >= (SELECT min(minute) FROM stale_minutes)
    AND r.time < (SELECT max(minute) FROM stale_minutes) + INTERVAL 1 MINUTE)"""
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
_REVISION: Final = "daemons_revision"
"""Key of `meta`: number of the last change."""
_GONE: Final = "source_id NOT IN (SELECT source_id FROM sources)"
_MINUTES: Final = "(source_id, minute) IN (SELECT (source_id, minute) FROM publish_stale)"


def bring_up_to_date(store: Store) -> int:
    """Count the minutes anew in which records of `raw_logs` came or went; returns the number of minutes.

    All minutes of a source are counted that was never counted, or by another catalogue. Counting twice changes nothing.
    """
    known = described()
    about = {"catalogue": known.label}
    with store.read() as con:
        if not _news(con, known):
            return 0
        ((latest,),) = con.execute("SELECT coalesce(max(revision), 0) FROM changed_minutes").fetchall()
        con.execute(_STALE, about)
        stale, *counted = (con.sql(sql).to_arrow_table() for sql in ("FROM stale_minutes", *_counts(known)))
        sources = con.sql(f"SELECT source_id, $catalogue AS catalogue FROM {_ANEW}", params=about).to_arrow_table()
    with store.write() as con:
        revision = next_number(con, _REVISION)
        counted = [counted[0].append_column("revision", pa.repeat(revision, len(counted[0]))), *counted[1:]]
        _publish(con, stale, zip(("daemon_minutes", "daemon_addresses"), counted, strict=True))
        publish_into(con, "daemon_sources", sources, replace="source_id IN (SELECT source_id FROM publish_source)")
        con.execute("DELETE FROM changed_minutes WHERE revision <= ?", [latest])
        for table in ("daemon_minutes", "daemon_addresses", "daemon_sources"):
            con.execute(f"DELETE FROM {table} WHERE {_GONE}")
        _notice_names(con)
    return stale.num_rows


def changed_since(con: Connection, revision: int) -> tuple[int, list[str]]:
    """The last change, and the items that may differ since `revision`: those from the first changed minute on.

    With them goes the last item of each daemon before that minute: what comes after it says whether it was silent.
    """
    last, first = con.execute(
        "SELECT coalesce(max(revision), 0), min(minute) FILTER (revision > ?) FROM daemon_minutes", [revision]
    ).fetchall()[0]
    if first is None:
        return int(last), []
    rows = con.execute(
        f"""WITH told AS ({told_sql()}),
            before AS (SELECT kind, entity, max(minute) AS minute FROM told WHERE minute < $first GROUP BY ALL)
        SELECT DISTINCT key FROM told WHERE minute >= $first
        UNION SELECT key FROM told SEMI JOIN before USING (kind, entity, minute) ORDER BY key""",
        {"first": first},
    ).fetchall()
    return int(last), [key for (key,) in rows]


def _notice_names(con: Connection) -> None:
    """Have all minutes judged anew where a source's daemon is known by another name now: their ids have changed."""
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE daemons_now AS SELECT source_id, kind, entity FROM ({daemon_names_sql()})"
    )
    renamed = """EXISTS (FROM daemon_sources d JOIN daemons_now n USING (source_id)
        WHERE d.daemon IS NOT NULL AND d.daemon <> n.kind || ' ' || n.entity)"""
    con.execute(f"DELETE FROM judged WHERE domain = ? AND {renamed}", [DOMAIN])
    con.execute(
        """UPDATE daemon_sources SET daemon = n.kind || ' ' || n.entity FROM daemons_now n
        WHERE n.source_id = daemon_sources.source_id AND daemon IS DISTINCT FROM n.kind || ' ' || n.entity"""
    )
    con.execute("DROP TABLE daemons_now")


def records_wait(store: Store) -> bool:
    """Whether records came or went, or a source did, since they were counted."""
    with store.read() as con:
        return _news(con, described())


def _news(con: Connection, known: Described) -> bool:
    sql = f"""SELECT EXISTS (FROM changed_minutes) OR EXISTS (FROM {_ANEW})
        OR EXISTS (FROM daemon_sources WHERE {_GONE})"""
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
