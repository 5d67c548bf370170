"""Experiments on load: run them, run suites of them, and read what they tell."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.streaming import seconds_of
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.experiments.load.shapes import SAMPLE
from hdfs_pipeline.settings import Settings

if TYPE_CHECKING:
    from hdfs_pipeline.experiments.load.records import Record
    from hdfs_pipeline.experiments.load.shapes import Load

group = typer.Typer(
    no_args_is_help=True, help="Experiments: how throughput, latency and lag change with producers and consumers."
)
Sample = Annotated[Path, typer.Option(help="Log file that blocks are sent from, over and over.")]
Names = Annotated[list[str] | None, typer.Argument(help="Names or ids of experiments; all by default.")]
Status = Annotated[str, typer.Option(help="Only those that are running, completed or failed.")]


@group.command("run")
def run_command(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    *,
    producers: Annotated[int, typer.Option(min=1, help="Producer processes.")] = 1,
    consumers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each topic.")] = 3,
    duration: Annotated[str, typer.Option(help="How long to measure, such as 30s or 10m.")] = "30s",
    rate: Annotated[str, typer.Option(help="Records a second of each producer, or max.")] = "max",
    payload: Annotated[str, typer.Option(help="blocks, web or app.")] = "blocks",
    detector: Annotated[str, typer.Option(help="This detector alone; by default those that serve.")] = "",
    sample: Sample = SAMPLE,
    as_json: Json = False,
) -> None:
    """Run producers and workers on topics of their own, and measure: warm up, measure, drain."""
    from hdfs_pipeline.experiments.load.shapes import Load

    settings = existing_home()
    load = Load(name, producers, consumers, partitions, seconds_of(duration), _rate(rate), payload, detector)
    record = _run(settings, [load], sample)[0]
    _report(settings, [record], as_json)


@group.command("suite")
def suite_command(
    suite: Annotated[str, typer.Argument(help="standard, extended, or a YAML file.")],
    *,
    duration: Annotated[str | None, typer.Option(help="How long to measure each, such as 30s or 10m.")] = None,
    cooldown: Annotated[str, typer.Option(help="How long to rest between two.")] = "5s",
    trials: Annotated[int, typer.Option(min=1, help="How often to run each.")] = 1,
    sample: Sample = SAMPLE,
    as_json: Json = False,
) -> None:
    """Run a suite of experiments; what it has completed in the last day is not run again."""
    from hdfs_pipeline.experiments.load.shapes import about_s, suite_named

    settings = existing_home()
    loads = suite_named(suite, None if duration is None else seconds_of(duration))
    rest_s = seconds_of(cooldown)
    wanted = [load for _ in range(trials) for load in loads]
    done = _completed(settings)
    left = []
    for load in wanted:
        if load in done:
            done.remove(load)
        else:
            left.append(load)
    terminal.err.print(
        f"{len(wanted)} experiments, {len(wanted) - len(left)} of them completed before: about "
        f"{about_s(left, 1, rest_s) / 60 if left else 0:.0f} minutes",
        highlight=False,
    )
    _run(settings, left, sample, rest_s)
    mine = {load.name for load in loads}
    _report(settings, [each for each in _known(settings) if each.name in mine and each.load in loads], as_json)


@group.command("list")
def list_command(names: Names = None, *, status: Status = "", as_json: Json = False) -> None:
    """List experiments, the latest last."""
    from hdfs_pipeline.cli.tables.loads import experiments_table

    records = _known(existing_home(), names or (), status)
    if as_json:
        terminal.print_json([record.to_json() for record in records])
        return
    terminal.out.print(experiments_table(records))


@group.command("report")
def report_command(
    names: Names = None,
    *,
    status: Status = "",
    html: Annotated[Path | None, typer.Option(help="Write the report with its pictures to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Compare experiments: throughput, latency, lag, what limited each, and what to do."""
    settings = existing_home()
    records = _known(settings, names or (), status)
    _report(settings, records, as_json)
    if html is not None:
        from hdfs_pipeline.experiments.load.page import write_report
        from hdfs_pipeline.store.store import Store

        written = write_report(Store.open(settings), records, html)
        if not as_json:
            terminal.say(f"report: {written}")


def _run(settings: Settings, loads: "list[Load]", sample: Path, rest_s: float = 0.0) -> "list[Record]":
    """Run experiments one after the other under a progress bar; those that are completed.

    A signal ends the one that runs, and all. Of several, one that fails does not keep the others from running.
    """
    from hdfs_pipeline.experiments.load.crew import Interrupted
    from hdfs_pipeline.experiments.load.run import run_load
    from hdfs_pipeline.processes.signals import stop_on_signals
    from hdfs_pipeline.store.store import Store

    store, done = Store.open(settings), list["Record"]()
    with stop_on_signals() as stopped, terminal.steps() as progress:
        for number, load in enumerate(loads):
            bar = progress.add_task(load.name, total=1.0)

            def say(what: str, share: float, bar: Any = bar, load: "Load" = load) -> None:
                progress.update(bar, completed=share, description=f"{load.name} ({load.told}): {what}")

            try:
                done.append(run_load(store, settings, load, sample, stopped, say))
                told = "completed"
            except Interrupted:
                terminal.err.print(f"{load.name} was interrupted; it is marked as failed", highlight=False)
                raise typer.Exit(130) from None
            except SetupError as error:
                if len(loads) == 1:
                    raise
                told = "failed"
                terminal.err.print(f"{load.name} failed: {error}", markup=False, highlight=False)
            progress.update(bar, completed=1.0, description=f"{load.name} ({load.told}): {told}")
            if number + 1 < len(loads):
                stopped.wait(rest_s)
    return done


def _known(settings: Settings, names: Any = (), status: str = "") -> "list[Record]":
    from hdfs_pipeline.experiments.load.records import experiments
    from hdfs_pipeline.store.store import Store

    return experiments(Store.open(settings), names, status)


def _completed(settings: Settings) -> "list[Load]":
    """What was completed in the last day on this machine and broker."""
    from hdfs_pipeline.experiments.load.run import host_of

    host, since = host_of(settings), datetime.now(UTC) - timedelta(days=1)
    return [each.load for each in _known(settings, (), "completed") if each.started_at >= since and each.host == host]


def _report(settings: Settings, records: "list[Record]", as_json: bool) -> None:
    from hdfs_pipeline.cli.tables.loads import sides_table
    from hdfs_pipeline.experiments.load.page import compared
    from hdfs_pipeline.store.store import Store

    found = compared(Store.open(settings), records)
    if as_json:
        terminal.print_json(found.to_json())
        return
    terminal.out.print(sides_table(found.sides))
    for sentence in found.recommendation:
        terminal.say(sentence)


def _rate(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 < rate < 1e9:
        raise typer.BadParameter(f"a rate of {text!r}: give records a second, or max")
    return rate
