"""What the commands share: consoles, progress, JSON, and common options."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hdfs_pipeline.errors import PipelineError

if TYPE_CHECKING:
    from hdfs_pipeline.domains.contract import Item

T = TypeVar("T")

# Without a terminal the width is unknown: tables are printed wide enough for their columns.
out, err = (Console(width=None if stream.isatty() else 110, file=stream) for stream in (sys.stdout, sys.stderr))

Paths = Annotated[list[str], typer.Argument(help="Files (.gz, .zst too), folders, globs; - for standard input.")]
Logs = Annotated[list[str] | None, typer.Option("--logs", help="Logs: file, folder or glob; may be repeated.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="CSV of BlockId,Label or block_id,label[,kind].")]
Detector = Annotated[str, typer.Option("--detector", help="Name of a detector, standard, or all.")]
Domain = Annotated[str | None, typer.Option("--domain", help="Kind of data; the life of HDFS blocks by default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def steps() -> Progress:
    """A progress bar on standard error that disappears when the work is done."""
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
    """The results of `work` for each of `names`, under a bar; `work` takes a name and a function for its steps.

    If the work of one among several names raises `passed_over`, that name is left out with a message ("NAME
    `otherwise`: why"). The error of a single name is raised.
    """
    results = []
    with steps() as progress:
        bar = progress.add_task(doing, total=len(names))
        for name in names:
            try:
                results.append(work(name, lambda step: progress.update(bar, description=step)))
            except passed_over as error:
                if len(names) == 1:
                    raise
                err.print(f"[yellow]{name} {otherwise}:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            progress.advance(bar)
    return results


def print_json(value: Any, item: "Item | None" = None) -> None:
    """One JSON document on standard output; with `item`, the keys `items` and `item` get the item's own names."""
    named = value if item is None else _named(value, {"items": item.plural, "item": item.column})
    print(json.dumps(named, indent=1, default=str))


def _named(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        # A key with a mapping under it is a name that people gave, such as a label's kind, and stays as it is.
        return {
            key if isinstance(inner, Mapping) else names.get(key, key): _named(inner, names)
            for key, inner in value.items()
        }
    return [_named(inner, names) for inner in value] if isinstance(value, list | tuple) else value
