"""The whole pipeline at once, and the anomalies as they arrive."""

import json
from threading import Lock
from typing import Annotated

import typer
from rich.text import Text

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline.shown import without_secrets

app = typer.Typer()
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta")
_WIDTH = 9  # of the longest usual name


class Lines:
    """Lines of several processes on standard error, each with the name of its process before it."""

    def __init__(self) -> None:
        self._mutex = Lock()
        self._colours: dict[str, str] = {}

    def __call__(self, name: str, text: str) -> None:
        """Print the lines of `text` as those of the process `name`."""
        with self._mutex:
            colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            for line in text.split("\n"):
                shown = Text.assemble((f"{name:<{_WIDTH}} | ", colour), without_secrets(line))
                if name == "incidents":
                    shown.stylize("bold", _WIDTH + 3)
                terminal.err.print(shown, soft_wrap=True)


@app.command()
def up(
    replay: Annotated[
        bool | None,
        typer.Option(
            "--replay/--no-replay",
            help="Send the shipped sample to raw_logs, over and over. By default only if the home has no logs of its "
            "own and the broker is on this machine.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1_000, help="Stream workers; metrics on consecutive ports.")] = 1,
    speed: Annotated[
        float,
        typer.Option(callback=terminal.finite, min=0.001, help="How many times as fast as it was the sample goes on."),
    ] = 600.0,
    sink: Annotated[
        bool,
        typer.Option(
            "--sink/--no-sink",
            help="Store what comes over Kafka by a process, within seconds; else by runs of Dagster, within minutes.",
        ),
    ] = True,
    others: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="DOMAIN",
            help="Run the workers of this domain as well (weblogs, applogs), on made-up records unless --no-replay is "
            "given; may be repeated.",
        ),
    ] = None,
) -> None:
    """Start everything: Kafka if none is configured, Dagster, a stream worker, a replay; Ctrl-C ends it.

    In a home without a model and without logs of its own, one is trained on the sample; until then the worker judges
    by what is known of a block's life.
    """
    from hdfs_pipeline.running.up import up as run

    settings, named = load_settings(), others or ()
    raise typer.Exit(run(settings, replay=replay, workers=workers, speed=speed, sink=sink, others=named, say=Lines()))


@app.command()
def watch(
    everything: Annotated[bool, typer.Option("--all", help="Begin with those that are on the topic already.")] = False,
    every: Annotated[
        float,
        typer.Option(callback=terminal.finite, min=0, help="Least seconds between two lines; others are counted."),
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Show the anomalies that the stream workers find, as they arrive on Kafka; with --json one object a line."""
    from hdfs_pipeline.processes.signals import stop_on_signals
    from hdfs_pipeline.sources.wire import encode_verdict
    from hdfs_pipeline.streaming.tail import Modestly, verdicts

    modestly = Modestly(every)

    def waiting() -> None:
        terminal.err.print("waiting for anomalies", highlight=False)

    with stop_on_signals() as stopped:
        for verdict in verdicts(load_settings(), stopped, everything=everything, ready=waiting):
            line = json.dumps(json.loads(encode_verdict(verdict))) if as_json else modestly.line(verdict)
            if line is not None and not _printed(line):
                return


def _printed(line: str) -> bool:
    """Print a line at once. Returns whether somebody still reads; a reader such as `head` stops at some point."""
    try:
        terminal.say(line)
    except BrokenPipeError:
        return False
    return True
