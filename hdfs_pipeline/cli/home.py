"""The home itself: back it up, export it, show its settings."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.settings import PREFIX, Settings, load_settings

app = typer.Typer()


@app.command()
def backup(target: Annotated[Path, typer.Argument(help="New file for a consistent copy of the store.")]) -> None:
    """Copy the store while others may use it."""
    from hdfs_pipeline.store.store import Store

    Store.open(load_settings()).backup(target)
    terminal.out.print(f"copied to {target}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for one file per table.")],
    format: Annotated[str, typer.Option(help="parquet or csv.")] = "parquet",
    table: Annotated[list[str] | None, typer.Option(help="Only this table; may be repeated.")] = None,
) -> None:
    """Write the store's tables to files that other tools read."""
    from hdfs_pipeline.store.store import Store

    for name, path in Store.open(load_settings()).export(folder, format=format, tables=table).items():
        terminal.out.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def settings(as_json: Json = False) -> None:
    """Show every setting: value, environment variable and meaning. Passwords and other secrets are hidden."""
    from rich.table import Column, Table

    from hdfs_pipeline.domains.namenode.jmx import without_password
    from hdfs_pipeline.sources.kafka import masked

    current = load_settings()
    addresses = tuple(without_password(address) for address in current.namenode_urls)
    shown = current.model_copy(update={"kafka": masked(current.kafka), "namenode_urls": addresses})
    if as_json:
        terminal.print_json(shown.model_dump(mode="json"))
        return
    table = Table(Column("setting", no_wrap=True), "value", "environment", "meaning")
    for name, field in Settings.model_fields.items():
        value = escape(str(getattr(shown, name)))
        table.add_row(name, value, f"{PREFIX}{name.upper()}", escape(field.description or ""))
    terminal.out.print(table)
