"""Kafka: the embedded broker, the topics, and commands that send records."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf, nan
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json, Paths
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import load_settings

if TYPE_CHECKING:
    from hdfs_pipeline.domains.simulation import Simulator
    from hdfs_pipeline.streaming.send.sender import Report

app = typer.Typer()


@app.command()
def broker(
    with_parent: Annotated[bool, typer.Option("--with-parent", help="End when the starting process has gone.")] = False,
) -> None:
    """Run the home's embedded Kafka broker, in memory, on the loopback; Ctrl-C ends it."""
    from hdfs_pipeline.streaming.broker import run_broker

    def say(address: str) -> None:
        typer.echo(address)
        terminal.err.print("Kafka in memory: it ends, and forgets all, with this process", highlight=False)

    raise typer.Exit(run_broker(load_settings(), with_parent=with_parent, say=say))


@app.command()
def topics(as_json: Json = False) -> None:
    """Make the Kafka topics that are missing, check the others, and count their messages."""
    from dataclasses import asdict

    from hdfs_pipeline.cli.tables.style import Listing, name, number
    from hdfs_pipeline.sources.kafka import bootstrap_servers
    from hdfs_pipeline.streaming.topics import describe_topics, ensure_topics

    settings = load_settings()
    made = ensure_topics(settings)
    described = describe_topics(settings)
    if as_json:
        terminal.print_json([{**asdict(topic), "made": topic.name in made} for topic in described])
        return
    columns = (name("topic"), number("partitions"), number("messages"), name(""))
    table = Listing(escape(bootstrap_servers(settings)), columns)
    for topic in described:
        table.add_row(escape(topic.name), str(topic.partitions), f"{topic.messages:,}", "made" * (topic.name in made))
    terminal.out.print(table)


@app.command()
def route(as_json: Json = False) -> None:
    """Turn the lines that shippers send to `shipped_logs` into records of `raw_logs`; Ctrl-C ends it."""
    from dataclasses import asdict

    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.processes.signals import stop_on_signals
    from hdfs_pipeline.streaming.router import run_route

    settings = load_settings()
    with stop_on_signals() as stopped, _counting() as progress:
        bar = progress.add_task("waiting for lines", total=None)
        done = run_route(
            settings,
            domain_named("blocks"),
            stopped=stopped,
            on_progress=lambda now: progress.update(bar, description=f"{now.messages:,} messages"),
        )
    if as_json:
        terminal.print_json(asdict(done))
        return
    terminal.out.print(
        f"{done.messages:,} messages, {done.records:,} records sent on as {done.copies:,} (one for each block), "
        f"{done.dead_letters:,} dead letters",
        highlight=False,
        soft_wrap=True,
    )


produce = typer.Typer(no_args_is_help=True, help="Send logs, feature rows and labels to Kafka.")
app.add_typer(produce, name="produce")
Rate = Annotated[float | None, typer.Option(callback=terminal.finite, min=0.001, help="Records a second.")]
Speed = Annotated[
    float | None,
    typer.Option(callback=terminal.finite, min=0.001, help="Pace by the records' times; 2 is twice as fast."),
]


@produce.command("raw")
def produce_raw_command(
    paths: Paths,
    rate: Rate = None,
    speed: Speed = None,
    loop: Annotated[
        bool, typer.Option("--loop", help="Send them again and again, with fresh block ids and later times.")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Use new block ids in the first round already.")] = False,
    now: Annotated[
        bool, typer.Option("--now", help="With --speed: as if they were written now, at that pace.")
    ] = False,
    throttle_group: Annotated[
        str | None, typer.Option(help="Stay behind this consumer group; the workers' on the embedded broker.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Send log files into `raw_logs` as fast as possible; files of several daemons are merged by time."""
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.streaming.send.logs import produce_logs

    if rate and speed:
        raise typer.BadParameter("either --rate or --speed")
    if now and not speed:
        raise typer.BadParameter("--now needs a --speed")
    settings = load_settings()

    def work(stopped: Event, on_progress: "Callable[[Report], None]") -> "Report":
        return produce_logs(
            settings,
            domain_named("blocks"),
            paths,
            stopped=stopped,
            rate=rate,
            speed=speed,
            loop=loop,
            fresh=fresh,
            now=now,
            group=throttle_group,
            on_progress=on_progress,
            say=_say,
        )

    _send(work, as_json, endless=loop)


@produce.command("features")
def produce_features_command(
    path: Annotated[Path, typer.Argument(help="CSV (.gz too) of BlockId, Label, E1, E2, …: counts per block.")],
    catalogue: Annotated[str, typer.Option(help="Template catalogue that names the columns.")] = "hdfs_v1.v1",
    batch: Annotated[int, typer.Option(min=1, help="Rows to send at once.")] = 1,
    delay: Annotated[float, typer.Option(callback=terminal.finite, min=0, help="Seconds between the batches.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Send ready-made feature rows into `hdfs_logs`, in mini-batches."""
    from hdfs_pipeline.domains.blocks.feature_rows import feature_messages
    from hdfs_pipeline.domains.blocks.topics import HDFS_LOGS, worker_group
    from hdfs_pipeline.streaming.send.rows import produce_rows

    settings = load_settings()

    def work(stopped: Event, on_progress: "Callable[[Report], None]") -> "Report":
        return produce_rows(
            settings,
            HDFS_LOGS,
            feature_messages(path, catalogue, settings),
            stopped=stopped,
            batch=batch,
            delay_s=delay,
            group=worker_group(settings, HDFS_LOGS),
            on_progress=on_progress,
            say=_say,
        )

    _send(work, as_json)


@produce.command("labels")
def produce_labels_command(
    path: Annotated[Path, typer.Argument(help="CSV of BlockId,Label or block_id,label[,kind].")], as_json: Json = False
) -> None:
    """Send labels of blocks into `labels`."""
    from hdfs_pipeline.domains.blocks.feature_rows import label_messages
    from hdfs_pipeline.domains.blocks.topics import LABELS
    from hdfs_pipeline.streaming.send.rows import produce_rows

    settings = load_settings()

    def work(stopped: Event, on_progress: "Callable[[Report], None]") -> "Report":
        return produce_rows(settings, LABELS, label_messages(path), stopped=stopped, on_progress=on_progress)

    _send(work, as_json)


def seconds_of(text: str) -> float:
    """A length of time such as 90, 90s, 15m, 2h or 7d, in seconds."""
    try:
        length = float(text[:-1]) * _UNITS[text[-1]] if text[-1:] in _UNITS else float(text)
    except ValueError:
        length = nan
    if not 0 < length < inf:
        raise typer.BadParameter("a length of time such as 90s, 15m, 2h or 7d")
    return length


_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
Mean = Annotated[
    float, typer.Option(callback=terminal.finite, min=0.01, help="Lines a second, on average over a week.")
]
Duration = Annotated[
    str | None, typer.Option(help="How long, such as 90s, 15m, 2h, 7d; endless by default, a day for --output.")
]
Training = Annotated[
    int, typer.Option(min=0, help="First send about so many lines of the time before, as fast as it goes.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same lines.")]
Begin = Annotated[
    datetime | None, typer.Option(help="With --output: the time (UTC) of the first line; by default it ends now.")
]
Output = Annotated[str | None, typer.Option(help="Write a file (- is standard output) instead of sending.")]
Known = Annotated[
    Path | None, typer.Option(help="Write the faults into this CSV file, and the labels of lines into NAME.lines.csv.")
]


@produce.command("web")
def produce_web_command(
    *,
    rate: Mean = 20.0,
    duration: Duration = None,
    anomalies: Annotated[
        str, typer.Option(help="Some of error-burst,latency,scan,flash-crowd,drop; or all, or none.")
    ] = "none",
    training: Training = 0,
    seed: Seed = 0,
    begin: Begin = None,
    output: Output = None,
    labels: Known = None,
    as_json: Json = False,
) -> None:
    """Send simulated access logs into `web_logs` as if requests came now; Ctrl-C ends it."""
    from hdfs_pipeline.domains.weblogs.simulate import SIMULATOR

    _simulate(
        SIMULATOR,
        rate=rate,
        duration=duration,
        anomalies=anomalies,
        training=training,
        seed=seed,
        begin=begin,
        output=output,
        labels=labels,
        as_json=as_json,
    )


@produce.command("app")
def produce_app_command(
    *,
    rate: Mean = 5.0,
    duration: Duration = None,
    anomalies: Annotated[
        str, typer.Option(help="Some of error-burst,unknown-service,odd-message,odd-time,keyword; or all, or none.")
    ] = "none",
    training: Training = 0,
    seed: Seed = 0,
    begin: Begin = None,
    output: Output = None,
    labels: Known = None,
    as_json: Json = False,
) -> None:
    """Send simulated logs of services into `app_logs` as if they were written now; Ctrl-C ends it."""
    from hdfs_pipeline.domains.applogs.simulate import SIMULATOR

    _simulate(
        SIMULATOR,
        rate=rate,
        duration=duration,
        anomalies=anomalies,
        training=training,
        seed=seed,
        begin=begin,
        output=output,
        labels=labels,
        as_json=as_json,
    )


def _simulate(
    simulator: "Simulator",
    *,
    rate: float,
    duration: str | None,
    anomalies: str,
    training: int,
    seed: int,
    begin: datetime | None,
    output: str | None,
    labels: Path | None,
    as_json: bool,
) -> None:
    """Write simulated lines into a file, or send them."""
    from hdfs_pipeline.streaming.send.simulated import produce_simulated, write_simulated

    if output is None and begin is not None:
        raise typer.BadParameter("--begin needs an --output: what is sent happens now")
    if output is not None and training:
        raise typer.BadParameter("--training goes before what is sent; a longer --duration gives a file a history")
    if output == "-" and as_json:
        raise typer.BadParameter("either --output - or --json")
    length = None if duration is None else seconds_of(duration)
    kinds = [kind.strip() for kind in anomalies.split(",")]

    def write(stopped: Event, on_progress: "Callable[[Report], None]") -> "Report":
        whole = length or _UNITS["d"]
        return write_simulated(
            simulator,
            None if output == "-" else Path(str(output)),
            begin=begin.replace(tzinfo=UTC) if begin else datetime.now(UTC) - timedelta(seconds=whole),
            duration_s=whole,
            rate=rate,
            stopped=stopped,
            anomalies=kinds,
            seed=seed,
            labels=labels,
            on_progress=on_progress,
        )

    def send(stopped: Event, on_progress: "Callable[[Report], None]") -> "Report":
        settings = load_settings()
        return produce_simulated(
            settings,
            simulator,
            rate=rate,
            stopped=stopped,
            duration_s=length,
            anomalies=kinds,
            training=training,
            seed=seed,
            labels=labels,
            group=f"{settings.stream_group}.{simulator.topic}",
            on_progress=on_progress,
            say=_say,
        )

    if output is None:
        _send(send, as_json, endless=length is None)
    else:
        _send(write, as_json, quiet=output == "-")


def _counting() -> Progress:
    """Progress of work without a known end, on standard error."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    return Progress(*columns, console=terminal.err, transient=True, disable=not terminal.err.is_terminal)


def _say(text: str) -> None:
    terminal.err.print(text, markup=False, highlight=False, soft_wrap=True)


def _send(
    work: "Callable[[Event, Callable[[Report], None]], Report]",
    as_json: bool,
    *,
    endless: bool = False,
    quiet: bool = False,
) -> None:
    """Do the work under a progress bar until a signal, and print what was sent; failures end with exit code 3.

    `quiet` leaves standard output to what the work itself writes.
    """
    from dataclasses import asdict

    from hdfs_pipeline.processes.signals import stop_on_signals

    with stop_on_signals() as stopped, _counting() as progress:
        bar = progress.add_task("reading", total=None)
        report = work(
            stopped,
            lambda now: progress.update(bar, description=f"{now.records:,} records, {now.rate:,.0f} a second"),
        )
    for problem in report.problems:
        _say(problem)
    if as_json:
        terminal.print_json(asdict(report) | {"rate": report.rate})
    elif not quiet:
        terminal.out.print(
            f"{report.topic}: {report.records:,} records as {report.messages:,} messages, {report.bytes / 1e6:,.1f} MB "
            f"in {report.seconds:,.1f} s: {report.rate:,.0f} records a second",
            highlight=False,
            soft_wrap=True,
        )
    if report.too_long:
        _say(f"{report.too_long:,} left out: longer than the setting max_record_bytes")
    if report.failures:
        _say(f"{report.failures:,} messages were not delivered: {report.failure}")
        raise typer.Exit(SetupError.exit_code)
    if report.interrupted and not endless:
        raise typer.Exit(130)
