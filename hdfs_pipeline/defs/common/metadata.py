"""Metadata of assets: table schema, lineage of columns, row counts, previews, pictures."""

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

import dagster as dg

from hdfs_pipeline.settings import Settings
from hdfs_pipeline.shown import plain
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline.store.store import Store, count

OWNERS: Final = ["team:platform"]

Pictures = Callable[[Settings, Store], Mapping[str, Any]]
"""Makes the metadata of an asset that a domain shows in addition to the figures of every domain, from a home."""

Lineage = Mapping[str, Sequence[tuple[str, str]]]
"""For each column of a table the columns that it is made of, each as (asset, column)."""


def table_metadata(table: str) -> dict[str, Any]:
    """Definition metadata of an asset that lives in a table: its name and its columns with their comments."""
    columns = [dg.TableColumn(name, column.type, column.comment) for name, column in TABLES[table].columns.items()]
    return {"dagster/table_name": table, "dagster/column_schema": dg.TableSchema(columns)}


def column_lineage(lineage: Lineage) -> dict[str, dg.TableColumnLineage]:
    """Materialization metadata that says which columns of other assets a column comes from."""
    by_column = {
        column: [dg.TableColumnDep(dg.AssetKey(asset), source) for asset, source in sources]
        for column, sources in lineage.items()
    }
    return {"dagster/column_lineage": dg.TableColumnLineage(by_column)}


def rows_of(store: Store, table: str, domain: str, detector: str | None = None) -> int:
    """The number of rows of a table that belong to a domain, or to one detector of it."""
    parameters = [domain] if detector is None else [domain, detector]
    of_detector = "" if detector is None else "AND detector = ?"
    with store.read() as con:
        return count(con.execute(f"SELECT count(*) FROM {table} WHERE domain = ? {of_detector}", parameters))


def row_count(store: Store, table: str) -> dict[str, int]:
    """The number of rows of a table, under the name that Dagster shows and plots."""
    with store.read() as con:
        return {"dagster/row_count": count(con.execute(f"SELECT count(*) FROM {TABLES[table].name}"))}


def preview(store: Store, sql: str, parameters: Mapping[str, Any] | None = None) -> dg.MarkdownMetadataValue:
    """Rows of a query as a Markdown table."""
    with store.read() as con:
        cursor = con.execute(sql, parameters)
        return markdown([column[0] for column in cursor.description], cursor.fetchall())


def markdown(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> dg.MarkdownMetadataValue:
    """A Markdown table; numbers to the right."""
    cells = [list(row) for row in rows]
    numeric = [all(isinstance(row[column], int | float) for row in cells) for column in range(len(names))]
    lines = [
        names,
        ["--:" if right else ":--" for right in numeric],
        *([_cell(value) for value in row] for row in cells),
    ]
    return dg.MetadataValue.md("\n".join("| " + " | ".join(line) + " |" for line in lines))


def picture(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A PNG inside Markdown."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}"
    return as_text(str(value))


def as_text(text: str) -> str:
    """Markdown that shows `text` as it stands, on one line: no markup, HTML, link or picture comes of it."""
    one_line = plain(" ".join(text.split("\n")))
    return re.sub(r"([\\`*\[\]|~])", r"\\\1", escape(one_line, quote=False))
