"""What the commands share: consoles, progress, JSON, and common options."""

import getpass
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.shown import plain, without_secrets

if TYPE_CHECKING:
    from hdfs_pipeline.domains.contract import Item

T = TypeVar("T")


class SafeConsole(Console):
    """A console that shows a sign for whatever a terminal would obey: names, notes and log lines come from outside."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text of markup or a cell, made plain before its width is measured."""
        return super().render_str(plain(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """All that is printed passes here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain(segment.text), segment.style)


class PlainFormatter(logging.Formatter):
    """Lines of a log without passwords, and with a sign for whatever a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, and its traceback."""
        return without_secrets(plain(super().format(record)))


def _standard(number: int, stream: TextIO | None) -> TextIO:
    """A standard stream that takes every character; in place of one that the caller closed, a file that keeps none."""
    if stream is None:
        with suppress(OSError):  # other files must not get its number: what libraries print would land in them
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        stream = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    with suppress(AttributeError, ValueError):  # a stream that a test put there
        stream.reconfigure(errors="replace")  # type: ignore[attr-defined]
    return stream


sys.stdout, sys.stderr = _standard(1, sys.stdout), _standard(2, sys.stderr)


def _width(stream: TextIO) -> int | None:
    """Characters a line: COLUMNS, or what the terminal says (None), or, where there is none, enough for most tables."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    return None if stream.isatty() else 110


out, err = (SafeConsole(width=_width(stream), file=stream) for stream in (sys.stdout, sys.stderr))

Paths = Annotated[list[str], typer.Argument(help="Files (plain or packed), folders, globs; - for standard input.")]
Logs = Annotated[list[str] | None, typer.Option("--logs", help="Logs: file, folder or glob; may be repeated.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="CSV of BlockId,Label or block_id,label[,kind].")]
Detector = Annotated[str, typer.Option("--detector", help="Name of a detector, standard, or all.")]
Domain = Annotated[str | None, typer.Option("--domain", help="Kind of data; the life of HDFS blocks by default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


def finite(value: float | None) -> float | None:
    """The callback of options that take numbers: `nan` and `inf` are words that Python reads as such."""
    if value is not None and not isfinite(value):
        raise typer.BadParameter("a number is needed")
    return value


def login() -> str:
    """The login name; '' where there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""


def steps() -> Progress:
    """A progress bar on standard error that disappears when the work is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,  # it would leave an empty line in a log
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


def say(line: str) -> None:
    """One line of text on standard output, at once."""
    print(plain(line), flush=True)


def print_json(value: Any, item: "Item | None" = None) -> None:
    """One JSON document on standard output; with `item`, the keys `items` and `item` get the item's own names."""
    named = value if item is None else _named(value, {"items": item.plural, "item": item.column})
    print(json.dumps(named, indent=1, default=_plain))


def _plain(value: Any) -> str:
    """Times in the one form of ISO 8601, all else as text."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _named(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        # A key with a mapping under it is a name that people gave, such as a label's kind, and stays as it is.
        return {
            key if isinstance(inner, Mapping) else names.get(key, key): _named(inner, names)
            for key, inner in value.items()
        }
    return [_named(inner, names) for inner in value] if isinstance(value, list | tuple) else value
