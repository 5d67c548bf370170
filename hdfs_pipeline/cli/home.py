"""The home itself and what it runs on: back it up, export it, show its settings, compile."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.settings import PREFIX, Settings, load_settings, settings_file

app = typer.Typer()


@app.command()
def backup(target: Annotated[Path, typer.Argument(help="New file for a consistent copy of the store.")]) -> None:
    """Copy the store while others may use it."""
    from hdfs_pipeline.store.store import Store

    Store.open(existing_home()).backup(target)
    terminal.out.print(f"copied to {target}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for one file per table.")],
    format: Annotated[str, typer.Option(help="parquet or csv.")] = "parquet",
    table: Annotated[list[str] | None, typer.Option(help="Only this table; may be repeated.")] = None,
) -> None:
    """Write the store's tables to files that other tools read."""
    from hdfs_pipeline.store.store import Store

    for name, path in Store.open(existing_home()).export(folder, format=format, tables=table).items():
        terminal.out.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def compile() -> None:  # noqa: A001 - the command's name
    """Compile the loops that read logs, once after an installation; the first record waits a minute for that else."""
    from hdfs_pipeline.running.compiling import compile_loops

    with terminal.steps() as progress:
        bar = progress.add_task("compiling the loops that read logs", total=None)
        for name, seconds in compile_loops():
            progress.update(bar, description=f"compiling: {name} took {seconds:.0f} s")


@app.command()
def settings(as_json: Json = False) -> None:
    """Show every setting with its value and meaning. Passwords and other secrets are hidden."""
    from hdfs_pipeline.cli.tables.style import Column, Listing, name
    from hdfs_pipeline.verdicts.configuration import shown_settings

    current = load_settings()
    if not current.home.is_dir():
        terminal.err.print(f"there is no home at {current.home} yet", markup=False, highlight=False, soft_wrap=True)
    shown = shown_settings(current)
    if as_json:
        terminal.print_json(shown.model_dump(mode="json"))
        return
    caption = (
        f"From the environment, where {PREFIX} stands before the name in capitals ({PREFIX}SEED for seed), "
        f"or from {settings_file(current.home)}."
    )
    table = Listing("", (name("setting"), Column("value"), Column("meaning")), escape(caption))
    for setting, field in Settings.model_fields.items():
        table.add_row(setting, escape(str(getattr(shown, setting))), escape(field.description or ""))
    terminal.out.print(table)
