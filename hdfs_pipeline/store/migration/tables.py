"""The tables of an older store become those of this release, inside one transaction.

Until schema 3 blocks and NameNodes had tables of their own for scores, anomalies, incidents and feedback. Columns that
a table of an older release lacks are added, NULL in its rows.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from hdfs_pipeline.store.keys import incident_id
from hdfs_pipeline.store.migration.cards import NAMENODE, domain_of, in_new_words, new_card
from hdfs_pipeline.store.schema import SCHEMA_VERSION, TABLES

_CHANGED: Final = ("feedback", "models", "evaluations", "scores", "anomalies", "backtests")
"""Tables that have kept their names, and have got the column `domain` and other keys."""
_ITEM: Final = "'blocks' AS domain, 'blk_' || block_id AS item"
_STRIPED: Final = "id < -9223371968135299072"  # -2^63 + 2^36: ids of erasure-coded groups (see the scan)
_GROUPS: Final = f"""CASE WHEN len(list_filter(block_ids, lambda id: {_STRIPED} AND id & 15 <> 0)) = 0 THEN block_ids
    ELSE list_distinct(list_transform(block_ids, lambda id: CASE WHEN {_STRIPED} THEN id - (id & 15) ELSE id END)) END
    AS block_ids"""
"""Internal blocks of erasure-coded groups become their group."""
_EVENTS: Final = """LEFT JOIN (SELECT source_id, position, event_id FROM parsed_events_before)
    USING (source_id, position)"""
"""Until schema 7 parsed records were rows of a table of their own."""
_ROWS: Final = {
    # Until schema 4 `origin` was the text between the blank after the time stamp and the ": " before the message.
    "raw_logs without layout": f"""INSERT INTO raw_logs BY NAME
        SELECT r.* REPLACE (' ' || origin || ': ' AS origin, {_GROUPS}), layout,
        coalesce(nullif(split_part(origin, ' ', -2), ''), split_part(origin, ' ', -3)) AS level,
        split_part(origin, ' ', -1) AS logger, '' AS thread, [] AS internal_ids, event_id
        FROM raw_logs_before r LEFT JOIN sources USING (source_id) {_EVENTS}""",
    "raw_logs": f"INSERT INTO raw_logs BY NAME SELECT r.*, event_id FROM raw_logs_before r {_EVENTS}",
    "parsed_events": "SELECT 1",  # they are in `raw_logs` by now
    "scores": f"""INSERT INTO scores BY NAME SELECT {_ITEM}, '' AS entity, first_time AS time, detector, version, score,
        threshold, is_anomaly, scored_at FROM scores_before LEFT JOIN event_matrix USING (block_id)""",
    "namenode_scores": """INSERT INTO scores BY NAME SELECT 'namenode' AS domain, namenode AS entity,
        namenode || ' ' || strftime(step_at, '%Y-%m-%dT%H:%M:%S.%gZ') AS item, step_at AS time,
        * EXCLUDE (namenode, step_at) FROM namenode_scores""",
    "anomalies": f"""INSERT INTO anomalies BY NAME SELECT {_ITEM}, '' AS entity, lines AS records, 'batch' AS origin,
        'final' AS status, -1 AS part,
        -1 AS first_offset, -1 AS last_offset, '' AS kind, s.scored_at, a.* EXCLUDE (block_id, lines)
        FROM anomalies_before a LEFT JOIN scores_before s USING (block_id, detector, version)""",
    "stream_anomalies": f"""INSERT INTO anomalies BY NAME SELECT {_ITEM}, '' AS entity, '' AS kind,
        lines AS records, * EXCLUDE (block_id, lines) FROM stream_anomalies""",
    "feedback": f"""INSERT INTO feedback BY NAME SELECT {_ITEM}, '' AS entity, * EXCLUDE (block_id)
        FROM feedback_before""",
    "namenode_marks": """INSERT INTO feedback BY NAME SELECT 'namenode' AS domain, '' AS item, namenode AS entity,
        from_at, to_at, kind AS verdict, note, '' AS given_by, made_at AS given_at FROM namenode_marks""",
    "backtests": """INSERT INTO backtests BY NAME SELECT 'blocks' AS domain, blocks AS items, * EXCLUDE (blocks)
        FROM backtests_before""",
    "backtest_blocks": f"INSERT INTO backtest_items BY NAME SELECT {_ITEM}, * EXCLUDE (block_id) FROM backtest_blocks",
    "offsets": "INSERT INTO offsets BY NAME FROM offsets_before",
}
"""For each table of an older store, the statement that moves its rows to where they belong now."""
_INCIDENTS: Final = """SELECT namenode_incidents.*, (SELECT count(DISTINCT step_at) FROM namenode_scores s
    WHERE s.namenode = namenode_incidents.namenode AND is_anomaly AND step_at BETWEEN started_at AND ended_at) AS items
    FROM namenode_incidents QUALIFY row_number() OVER (PARTITION BY namenode, started_at ORDER BY ended_at DESC) = 1"""


_STATUSES: Final = """UPDATE incidents SET status = CASE status WHEN 'ongoing' THEN 'open' WHEN 'real' THEN 'resolved'
    WHEN 'resolved' THEN 'resolved' ELSE 'suppressed' END"""
"""Until schema 6 an incident that met a word on its time had that word as its status."""


def upgrade(con: duckdb.DuckDBPyConnection, version: int) -> None:
    """Bring the connection's default database, a store of schema `version`, up to date, inside its transaction.

    Tables that the store lacks are made, also those of a domain that is new. Tables that only an older release had are
    dropped once their rows have moved.
    """
    columns = con.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'store'"
    ).fetchall()
    tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    there = {table for table, _ in columns}
    replaced = {table for table in _CHANGED if table in there and (table, "domain") not in columns}
    if version == 1:  # its key has changed: there was one offset per topic and partition, whatever the cluster
        replaced |= {"offsets"} & there
    replaced |= {"raw_logs", "parsed_events"} & (tables if "parsed_events" in tables else set())
    without_layout = ("raw_logs", "layout") not in columns
    gone = _MOVES.keys() & (there - TABLES.keys())
    for name in sorted(replaced):
        con.execute(f"ALTER TABLE {name} RENAME TO {name}_before")
    for table in TABLES.values():
        new = table.name not in there - replaced
        for name in () if new else table.columns:
            if (table.name, name) not in columns:
                con.execute(f'ALTER TABLE {table.name} ADD COLUMN "{name}" {table.columns[name].ddl}')
        for statement in table.ddl("store") if new else table.comments("store"):
            con.execute(statement)
    for name in sorted(replaced | gone, key=lambda name: (name != "raw_logs", name)):  # others refer to its rows
        _MOVES[f"{name} without layout" if name == "raw_logs" and without_layout else name](con)
    for name in sorted(gone | {f"{name}_before" for name in replaced}):
        con.execute(f"DROP TABLE {name}")
    if version < 7:
        con.execute(_STATUSES)
    if version < 8:
        _count_anew(con)
    if version < 9:
        con.execute("UPDATE sources SET domain = 'blocks'")  # the only one that read files, or records of a stream
    if "daemon_lives" not in there:
        con.execute("UPDATE daemon_sources SET daemon = NULL")  # so that they are looked at once
    facts = [str(SCHEMA_VERSION), " ".join(TABLES)]
    con.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?), ('tables', ?)", facts)


def _count_anew(con: duckdb.DuckDBPyConnection) -> None:
    """What a store of this release keeps in step with its records, from all of them."""
    con.execute("UPDATE event_matrix SET revision = 0; UPDATE daemon_minutes SET revision = 0")
    for name in ("bytes", "records", "tail"):
        con.execute(f"ALTER TABLE daemon_sources DROP COLUMN IF EXISTS {name}")
    con.execute(
        """UPDATE event_templates SET seen = coalesce((SELECT count(*) FROM raw_logs
            WHERE event_id = event_templates.event_id AND len(block_ids) > 0), 0) WHERE status = 'in use'"""
    )
    con.execute(
        """UPDATE sources SET began = r.began, ended = r.ended, told = r.told, started = r.started FROM (
            SELECT source_id, min(time) AS began, max(time) AS ended, bool_or(len(block_ids) > 0) AS told,
                bool_or(position <= 5 AND contains(message, 'STARTUP_MSG')) AS started FROM raw_logs GROUP BY source_id
        ) r WHERE r.source_id = sources.source_id"""
    )


def _insert(con: duckdb.DuckDBPyConnection, table: str, rows: Iterable[dict[str, Any]]) -> None:
    if listed := list(rows):
        con.register("migrated", pa.Table.from_pylist(listed))
        con.execute(f"INSERT INTO {table} BY NAME FROM migrated")
        con.unregister("migrated")


def _models(con: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
    for row in con.sql("FROM models_before").to_arrow_table().to_pylist():
        domain, detector = domain_of(row["detector"])
        folder = Path(row["path"])
        if folder.parent.name == row["detector"]:
            folder = folder.parent.parent / domain / detector / folder.name
        card, source = new_card(row["detector"], row["card"]), row["catalogue"] or ""
        kept = {key: row[key] for key in ("version", "threshold", "created_at")}
        yield kept | {"domain": domain, "detector": detector, "source": source, "path": str(folder), "card": card}


def _evaluations(con: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
    for row in con.sql("FROM evaluations_before").to_arrow_table().to_pylist():
        domain, detector = domain_of(row["detector"])
        metrics = json.dumps(in_new_words(json.loads(row["metrics"])))
        yield row | {"domain": domain, "detector": detector, "metrics": metrics}


def _incidents(con: duckdb.DuckDBPyConnection) -> Iterator[dict[str, Any]]:
    for row in con.sql(_INCIDENTS).to_arrow_table().to_pylist():
        entity, kind = row.pop("namenode"), row.pop("cause")
        details = json.dumps({name: json.loads(row.pop(name) or "[]") for name in ("metrics", "users")})
        identity = incident_id(NAMENODE, entity, "", row["started_at"].timestamp())
        yield row | {"id": identity, "domain": NAMENODE, "entity": entity, "kind": kind, "details": details}


def _move(statement: str, con: duckdb.DuckDBPyConnection) -> None:
    con.execute(statement)


_MOVES: Final[dict[str, Callable[[duckdb.DuckDBPyConnection], None]]] = {
    **{name: partial(_move, statement) for name, statement in _ROWS.items()},
    "models": lambda con: _insert(con, "models", _models(con)),
    "evaluations": lambda con: _insert(con, "evaluations", _evaluations(con)),
    "namenode_incidents": lambda con: _insert(con, "incidents", _incidents(con)),
}
