"""Checks that every table can have. They block: assets downstream do not run on a table that fails one."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from hdfs_pipeline.defs.common.resources import Home
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline.store.store import Store


def schema_check(asset: dg.AssetsDefinition | dg.AssetKey | str, *tables: str) -> dg.AssetChecksDefinition:
    """The tables that an asset writes have the columns that the schema declares, by name, type and order."""

    @dg.asset_check(name="schema", asset=asset, blocking=True, description=f"Columns as declared: {', '.join(tables)}.")
    def schema(home: Home) -> dg.AssetCheckResult:
        columns = _columns(home.store)
        wrong = [table for table in tables if columns.get(table) != _declared(table)]
        return dg.AssetCheckResult(
            passed=not wrong,
            description=f"other columns than declared: {', '.join(wrong)}" if wrong else None,
            metadata={table: len(columns.get(table, [])) for table in tables},
        )

    return schema


def unique_keys_check(
    asset: dg.AssetsDefinition | dg.AssetKey | str, table: str, where: str = "true"
) -> dg.AssetChecksDefinition:
    """No two rows of a table (of those `where`) have the same key."""
    key = TABLES[table].key

    @dg.asset_check(
        name="unique_keys", asset=asset, blocking=True, description=f"One row of {table} per {', '.join(key)}."
    )
    def unique_keys(home: Home) -> dg.AssetCheckResult:
        figures = numbers(
            home.store,
            f"SELECT count(*) AS rows, count(DISTINCT ({', '.join(key)})) AS keys FROM {table} WHERE {where}",
        )
        return dg.AssetCheckResult(
            passed=figures["rows"] == figures["keys"],
            description=f"{figures['rows']:,} rows, {figures['keys']:,} keys",
            metadata=figures,
        )

    return unique_keys


def conservation_check(
    asset: dg.AssetsDefinition | dg.AssetKey | str, table: str, domain: str, topic: bool = False
) -> dg.AssetChecksDefinition:
    """What was read of a domain's files, or of its topic, is in the table or among the dead letters, each once."""
    which = f"domain = '{domain}' AND source_id {'<' if topic else '>'} 0"

    @dg.asset_check(
        name="conservation", asset=asset, blocking=True, description=f"Records read = rows of {table} + dead letters."
    )
    def conservation(home: Home) -> dg.AssetCheckResult:
        figures = numbers(
            home.store,
            f"""WITH own AS (SELECT source_id, records FROM sources WHERE {which})
            SELECT (SELECT coalesce(sum(records), 0)::BIGINT FROM own) AS "read",
                (SELECT count(*) FROM {table} SEMI JOIN own USING (source_id)) AS stored,
                (SELECT count(*) FROM dead_letters SEMI JOIN own USING (source_id)) AS "dead letters" """,
        )
        return dg.AssetCheckResult(
            passed=figures["read"] == figures["stored"] + figures["dead letters"],
            description=f"{figures['read']:,} read, {figures['stored']:,} stored + {figures['dead letters']:,} dead",
            metadata=figures,
        )

    return conservation


def numbers(store: Store, sql: str, parameters: Mapping[str, Any] | None = None) -> dict[str, int]:
    """The one row of a query, by column."""
    with store.read() as con:
        cursor = con.execute(sql, parameters)
        return dict(zip([column[0] for column in cursor.description], cursor.fetchall()[0], strict=True))


def _columns(store: Store) -> dict[str, list[tuple[str, str]]]:
    with store.read() as con:
        rows = con.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE database_name = 'store'"
        ).fetchall()
    columns: dict[str, list[tuple[str, str]]] = {}
    for table, name, kind in rows:
        columns.setdefault(table, []).append((name, _plain(kind)))
    return columns


def _declared(table: str) -> list[tuple[str, str]]:
    return [(name, _plain(column.type)) for name, column in TABLES[table].columns.items()]


def _plain(kind: str) -> str:
    return kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
