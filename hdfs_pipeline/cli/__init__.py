"""The `hdfs-pipeline` command. Each command imports what it needs itself, so that `--help` answers at once."""

import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from hdfs_pipeline.cli import (
    bench,
    demo,
    experiments,
    failures,
    feedback,
    groups,
    hdfs_state,
    home,
    incidents,
    items,
    loads,
    models,
    namenode,
    namenode_models,
    notify,
    serving,
    sink,
    streaming,
    terminal,
    up,
    watching,
    worker,
)
from hdfs_pipeline.settings import PREFIX

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Watches Hadoop HDFS: logs become scored and explained anomalies.",
    epilog="Exit codes: 0 done, 2 wrong use, 3 machine or store not ready, 4 data that cannot be used, 5 not trained.",
)
for part in (
    demo,
    items,
    incidents,
    experiments,
    groups,
    feedback,
    home,
    models,
    namenode,
    notify,
    serving,
    sink,
    streaming,
    up,
    watching,
):
    app.add_typer(part.app)
app.add_typer(worker.app)
app.add_typer(incidents.group, name="incidents")
app.add_typer(serving.group, name="tokens")
app.add_typer(bench.app, name="bench")
app.add_typer(loads.group, name="experiment")
namenode.group.add_typer(namenode_models.app)
namenode.group.add_typer(hdfs_state.app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        terminal.say(f"hdfs-pipeline {version('hdfs_pipeline')}")
        raise typer.Exit


@app.callback()
def one_home(
    version: Annotated[  # noqa: ARG001 - its callback has done all
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and end.")
    ] = False,
    home: Annotated[
        Path, typer.Option("--home", envvar=f"{PREFIX}HOME", help="Folder of one cluster; before or after the command.")
    ] = Path("data"),
) -> None:
    """Every command works in one home."""
    os.environ[f"{PREFIX}HOME"] = str(home)


def _arrange(arguments: list[str]) -> list[str]:
    """The arguments in the order typer needs: `--home DIR` before the command, `--logs` before each of its paths."""
    before: list[str] = []
    after: list[str] = []
    rest = iter(arguments)
    option = ""
    for argument in rest:
        if argument == "--":
            after += [argument, *rest]
        elif argument == "--home":
            before += [argument, *(value for value in [next(rest, None)] if value is not None)]
        elif argument.startswith("--home="):
            before.append(argument)
        elif argument.startswith("-") and argument != "-":  # "-" is standard input
            option = argument
            after.append(argument)
        elif option in ("--logs", "--test-logs") and after[-1] != option:
            after += [option, argument]
        else:
            after.append(argument)
    return before + after


def main() -> None:
    """Entry point: errors for people go to standard error, and the exit code tells their kind."""
    gc.set_threshold(200_000, 50, 50)  # what is imported stays: looking for garbage in it took a tenth of `status`
    code = _run() or failures.flush()
    with suppress(OSError):
        sys.stderr.flush()
    # All work is done and closed. An orderly shutdown would let DuckDB's bindings print pages about objects that
    # Dagster's caches still hold.
    os._exit(code)


def _run() -> int:
    try:
        app(_arrange(sys.argv[1:]))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        terminal.err.print("interrupted")
        return 130
    except Exception as error:  # noqa: BLE001 - the one place where errors become words
        return failures.tell(error)
    return 0
