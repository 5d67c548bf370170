"""`raw_logs` into `daemon_minutes`: what each source wrote in each minute, counted anew only where something is new.

The domain that reads the records notes the minutes in which some came or went, in `changed_minutes`.
"""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

from hdfs_pipeline.domains.daemons.catalogue import BLOCKS, ONLY_OF_BLOCKS, Described, described
from hdfs_pipeline.domains.daemons.item import DOMAIN
from hdfs_pipeline.domains.daemons.lives import publish_lives
from hdfs_pipeline.domains.daemons.minutes import told_sql
from hdfs_pipeline.domains.daemons.naming import name_daemons
from hdfs_pipeline.scoring.judged import forget
from hdfs_pipeline.store.counters import counter, next_number
from hdfs_pipeline.store.store import Connection, Store, publish_into

_ANEW: Final = """(FROM sources WHERE domain = 'blocks')
    ANTI JOIN (FROM daemon_sources WHERE catalogue = $catalogue) USING (source_id)"""
_GONE: Final = "source_id NOT IN (SELECT source_id FROM sources)"
_STALE: Final = f"""CREATE OR REPLACE TEMP TABLE stale_minutes AS
    WITH anew AS (SELECT source_id FROM {_ANEW})
    SELECT source_id, minute FROM changed_minutes
    UNION SELECT source_id, minute FROM daemon_minutes SEMI JOIN anew USING (source_id)
    UNION SELECT source_id, minute FROM daemon_minutes WHERE {_GONE}
    UNION SELECT source_id, time_bucket(INTERVAL 1 MINUTE, time) FROM raw_logs
        WHERE source_id IN (SELECT source_id FROM anew)"""
# Zones of the table are left out by their times, which the minutes of a join do not tell DuckDB.
_RECORDS: Final = """(SELECT r.* FROM raw_logs r SEMI JOIN stale_minutes m
    ON r.source_id = m.source_id AND time_bucket(INTERVAL 1 MINUTE, r.time) = m.minute
    WHERE r.time >= (SELECT min(minute) FROM stale_minutes)
    AND r.time < (SELECT max(minute) FROM stale_minutes) + INTERVAL 1 MINUTE)"""
_IP: Final = r"(?:\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:.]+(?:%[\w.]+)?\]|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}):\d+"
# Of frequent messages the part that the expressions below can match, so that they see few texts, each once.
_SAYING: Final = """CASE
    WHEN starts_with(message, 'Receiving ') AND contains(message, 'dest: ')
        THEN substring(message, strpos(message, 'dest: '))
    WHEN starts_with(message, 'DatanodeRegistration(') THEN split_part(message, ',', 1)
    WHEN starts_with(message, 'Opened streaming server at ') OR starts_with(message, 'Starting Web-server for ')
        THEN message END"""
_ADDRESS: Final = rf"""CASE
    WHEN starts_with(saying, 'dest: ') THEN regexp_extract(saying, 'dest: [\w.-]*/?({_IP})', 1)
    WHEN starts_with(saying, 'DatanodeRegistration(')
        THEN regexp_extract(saying, '^DatanodeRegistration\(({_IP})', 1)
    WHEN starts_with(saying, 'Opened ') THEN regexp_extract(saying, '/((?:{_IP})|[\w.-]+:\d+)$', 1)
    ELSE regexp_extract(saying, 'https?://((?:{_IP})|[\w.-]+:\d+)', 1) END"""
"""The address of the daemon that wrote a record, where it says so."""
# A table: from a subquery DuckDB would move conditions on the address to the records, and look for it in each of them.
_SAYINGS: Final = f"""CREATE OR REPLACE TEMP TABLE sayings AS
    SELECT source_id, time_bucket(INTERVAL 1 MINUTE, time) AS minute, {_SAYING} AS saying, count(*) AS records
    FROM {_RECORDS} WHERE saying IS NOT NULL GROUP BY ALL"""
_ADDRESSES: Final = f"""SELECT source_id, minute, address, sum(records)::INTEGER AS records
    FROM (SELECT source_id, minute, {_ADDRESS} AS address, records FROM sayings)
    WHERE address <> '' AND NOT starts_with(address, '0.0.0.0') GROUP BY ALL"""
_OF_BLOCKS: Final = f"""SELECT source_id, time_bucket(INTERVAL 1 MINUTE, time) AS minute, '{BLOCKS}' AS event_id,
        '' AS node, count(*) AS records, min(time) AS first_time, max(time) AS last_time
    FROM {_RECORDS} WHERE {ONLY_OF_BLOCKS} GROUP BY ALL"""
_KEY: Final = ["source_id", "minute", "event_id", "node"]
_TIME: Final = pa.timestamp("us", "UTC")
_COUNTED: Final = pa.schema(
    [
        *(pa.field(name, kind) for name, kind in zip(_KEY, (pa.int32(), _TIME, pa.string(), pa.string()), strict=True)),
        pa.field("records", pa.int32()),
        pa.field("first_time", _TIME),
        pa.field("last_time", _TIME),
    ]
)
_REVISION: Final = "daemons_revision"
"""Key of `meta`: number of the last change."""
_MINUTES: Final = "(source_id, minute) IN (SELECT (source_id, minute) FROM publish_stale)"
_ITEMS: Final = "minute IN (SELECT minute FROM items_before)"


def bring_up_to_date(store: Store) -> int:
    """Count the minutes anew in which records of `raw_logs` came or went; returns the number of minutes.

    All minutes of a source are counted that was never counted, or by another catalogue. Counting twice changes nothing.
    The verdicts on items of which no record is left go with them.
    """
    known = described()
    about = {"catalogue": known.label}
    with store.read() as con:
        if not _news(con, known):
            return 0
        ((latest,),) = con.execute("SELECT coalesce(max(revision), 0) FROM changed_minutes").fetchall()
        con.execute(_STALE, about)
        con.execute(_SAYINGS)
        stale, addresses = (con.sql(sql).to_arrow_table() for sql in ("FROM stale_minutes", _ADDRESSES))
        minutes = _minutes(con, known)
        sources = con.sql(f"SELECT source_id, $catalogue AS catalogue FROM {_ANEW}", params=about).to_arrow_table()
    with store.write() as con:
        revision = next_number(con, _REVISION)
        minutes = minutes.append_column("revision", pa.repeat(revision, len(minutes)))
        _note_items(con, stale)
        _publish(con, stale, {"daemon_minutes": minutes, "daemon_addresses": addresses})
        publish_into(con, "daemon_sources", sources, replace="source_id IN (SELECT source_id FROM publish_source)")
        con.execute("DELETE FROM changed_minutes WHERE revision <= ?", [latest])
        for table in ("daemon_minutes", "daemon_addresses", "daemon_sources"):
            con.execute(f"DELETE FROM {table} WHERE {_GONE}")
        name_daemons(con)
        publish_lives(con, revision)
        _forget_items(con)
    return stale.num_rows


def last_change(con: Connection) -> int:
    """The number of the last change; 0 before the first."""
    return counter(con, _REVISION)


def changed_since(con: Connection, revision: int) -> list[str]:
    """The items that were counted anew since `revision`, and those around which a silence or a start looks otherwise.

    Some of them may be no items any more.
    """
    rows = con.execute(
        f"""SELECT DISTINCT key FROM ({told_sql("revision > $revision")})
        UNION SELECT item FROM daemon_lives WHERE revision > $revision ORDER BY 1""",
        {"revision": revision},
    ).fetchall()
    return [key for (key,) in rows]


def records_wait(store: Store) -> bool:
    """Whether records came or went, or a source did, since they were counted."""
    with store.read() as con:
        return _news(con, described())


def _news(con: Connection, known: Described) -> bool:
    sql = f"""SELECT EXISTS (FROM changed_minutes) OR EXISTS (FROM {_ANEW})
        OR EXISTS (FROM daemon_sources WHERE {_GONE} OR daemon IS NULL)"""
    return bool(con.execute(sql, {"catalogue": known.label}).fetchall()[0][0])


def _minutes(con: Connection, known: Described) -> pa.Table:
    """The rows of `daemon_minutes` of the stale minutes, but for their revision."""
    counted = [con.sql(_OF_BLOCKS).to_arrow_table().cast(_COUNTED)]
    for piece in known.pieces(con, f"(FROM {_RECORDS} WHERE NOT {ONLY_OF_BLOCKS})"):
        key = [piece[name] for name in _KEY]
        rows = pa.table([*key, pa.repeat(1, len(piece)), piece["time"], piece["time"]], names=_COUNTED.names)
        counted.append(_summed(rows.cast(_COUNTED)))
    return _summed(pa.concat_tables(counted))


def _summed(counts: pa.Table) -> pa.Table:
    """Counts (schema `_COUNTED`) of which those with the same key are added up."""
    sums = counts.group_by(_KEY).aggregate([("records", "sum"), ("first_time", "min"), ("last_time", "max")])
    return sums.rename_columns(_COUNTED.names).cast(_COUNTED)


def _publish(con: Connection, stale: pa.Table, tables: Mapping[str, pa.Table]) -> None:
    """Put the counts of the `stale` minutes in the place of those that there are."""
    con.register("publish_stale", stale)
    try:
        for name, rows in tables.items():
            con.execute(f"DELETE FROM {name} WHERE {_MINUTES}")
            publish_into(con, name, rows)
    finally:
        con.unregister("publish_stale")


def _note_items(con: Connection, stale: pa.Table) -> None:
    """Keep which items there are in the `stale` minutes, for `_forget_items`."""
    con.register("publish_stale", stale)
    told = told_sql("minute IN (SELECT minute FROM publish_stale)")
    con.execute(f"CREATE OR REPLACE TEMP TABLE items_before AS SELECT DISTINCT key, minute FROM ({told})")
    con.unregister("publish_stale")


def _forget_items(con: Connection) -> None:
    """Forget the verdicts on the items that were there before, and are no more."""
    gone = con.execute(f"SELECT key FROM items_before ANTI JOIN ({told_sql(_ITEMS)}) USING (key)").fetchall()
    items = [key for (key,) in gone]
    forget(con, DOMAIN, items)
    con.execute("DELETE FROM daemon_lives WHERE item IN (SELECT unnest(?::VARCHAR[]))", [items])
    con.execute("DROP TABLE items_before")
