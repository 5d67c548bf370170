"""What the commands share: the consoles, progress, JSON, and the options that several of them take."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

# Without a terminal there is no width to ask for: tables go out wide enough for their columns.
out, err = (Console(width=None if stream.isatty() else 110, file=stream) for stream in (sys.stdout, sys.stderr))

Paths = Annotated[list[str], typer.Argument(help="Files (.gz, .zst too), folders, globs; - for standard input.")]
Logs = Annotated[list[str] | None, typer.Option("--logs", help="Logs: file, folder or glob; may be repeated.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="CSV of BlockId,Label or block_id,label[,kind].")]
Detector = Annotated[str, typer.Option("--detector", help="Name of a detector, standard, or all.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def steps() -> Progress:
    """A progress bar on standard error that goes when the work is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=1, default=str))
