"""What the commands share: the consoles, progress, JSON, and the options that several of them take."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hdfs_pipeline.errors import PipelineError

T = TypeVar("T")

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


def for_each(
    names: Sequence[str],
    doing: str,
    work: Callable[[str, Callable[[str], None]], T],
    passed_over: type[PipelineError],
    otherwise: str,
) -> list[T]:
    """What `work` gives for each of `names`, under a bar; it is handed a name, and what to tell its steps to.

    Of several, one that raises `passed_over` is told of ("NAME `otherwise`: why") and left out; alone it raises.
    """
    found = []
    with steps() as progress:
        bar = progress.add_task(doing, total=len(names))
        for name in names:
            try:
                found.append(work(name, lambda step: progress.update(bar, description=step)))
            except passed_over as error:
                if len(names) == 1:
                    raise
                err.print(f"[yellow]{name} {otherwise}:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            progress.advance(bar)
    return found


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=1, default=str))
