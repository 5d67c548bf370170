"""NameNodes: poll them into the store, or serve a recording in place of one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from hdfs_pipeline.cli.tables.style import Listing
    from hdfs_pipeline.domains.namenode.collect import Polled

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="The NameNode's own metrics: recordings, models, incidents.")
app.add_typer(group, name="namenode")


@contextmanager
def _until_stopped() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@app.command()
def collect(
    urls: Annotated[
        list[str] | None, typer.Argument(metavar="[URL]...", help="http(s)://host:port; else setting namenode_urls.")
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="One poll of each NameNode, and the exit code 3 if none answered.")
    ] = False,
    incidents: Annotated[
        bool, typer.Option("--incidents/--no-incidents", help="Bring incidents up to date as well.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Poll the `/jmx` of NameNodes into the store, every `namenode_poll_s` seconds until Ctrl-C or SIGTERM."""
    from hdfs_pipeline.domains.namenode.collect import Collector, keep_polling

    settings = load_settings()
    collector = Collector(settings, urls or ())
    if once:
        _once(collector, as_json, settings if incidents else None)
        return
    with _until_stopped() as stop, _following(settings, stop) if incidents else nullcontext():
        try:
            if as_json:
                keep_polling(collector, settings.namenode_poll_s, stop, _tell_json)
            elif terminal.out.is_terminal:
                from rich.live import Live

                with Live(console=terminal.out, auto_refresh=False) as live:
                    keep_polling(
                        collector,
                        settings.namenode_poll_s,
                        stop,
                        lambda polled, trouble: live.update(_health(polled, trouble), refresh=True),
                    )
            else:
                keep_polling(collector, settings.namenode_poll_s, stop, _Changes())
        finally:
            collector.close()
    terminal.err.print("stopped; all polls are stored")


@contextmanager
def _following(settings: Settings, stop: threading.Event) -> Iterator[None]:
    """Incidents are brought up to date beside the polls; they are told by `incidents follow` and `status`."""
    from hdfs_pipeline.verdicts.following import follow

    beside = threading.Thread(target=follow, args=(settings, stop, lambda _: None, lambda _: None), name="incidents")
    beside.start()
    try:
        yield
    finally:
        stop.set()
        beside.join()


def _once(collector: Any, as_json: bool, settings: Settings | None) -> None:
    """One poll; with `settings` incidents are brought up to date after it."""
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.following import bring_up_to_date

    try:
        polled = collector.poll()
        store_ms = collector.flush()
    finally:
        collector.close()
    if settings is not None:
        try:
            bring_up_to_date(Store.open(settings), settings)
        except PipelineError as error:  # the poll is stored, and the next one catches up
            terminal.err.print(f"incidents: {error}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        terminal.print_json([_as_json(answer, store_ms) for answer in polled])
    else:
        terminal.out.print(_health(polled, f"stored in {store_ms:g} ms"))
    if all(answer.sample is None for answer in polled):
        raise typer.Exit(3)


def _as_json(polled: "Polled", store_ms: float | None = None) -> dict[str, Any]:
    sample = polled.sample
    facts: dict[str, Any] = {**vars(polled.health), "process_ms": polled.process_ms}
    if store_ms is not None:
        facts["store_ms"] = store_ms
    if sample is not None:
        facts |= {name: getattr(sample, name) for name in ("restarted", "gap", "moved", "ports", "top_users")}
        facts["metrics"] = sample.values
    return facts


def _tell_json(polled: list["Polled"], trouble: str) -> None:
    import json

    for answer in polled:
        print(json.dumps(_as_json(answer) | {"store": trouble}, default=str), flush=True)


class _Changes:
    """Output without a terminal: a line whenever something changes, and one a minute."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Any, ...]] = {}

    def __call__(self, polled: list["Polled"], trouble: str) -> None:
        for answer in polled:
            health = answer.health
            now = (health.role, health.port, health.error, health.note, trouble, health.polled_at.minute)
            if self._last.get(health.namenode) != now:
                self._last[health.namenode] = now
                note = health.error or health.note
                when = f"{health.polled_at:%Y-%m-%d %H:%M:%S}Z"
                line = f"{when} {health.namenode} {health.role} {_milliseconds(health.fetch_ms)} {note} {trouble}"
                terminal.say(line.rstrip())


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms"


def _health(polled: list["Polled"], trouble: str) -> "Listing":
    """The state of each NameNode, one line each."""
    from hdfs_pipeline.cli.tables.style import Column, Listing, name, number

    figures = (number("RPC"), name("polled"), number("fetch"), number("requests/s"), number("queue"), Column(""))
    table = Listing("", (name("NameNode"), name("role"), *figures), escape(trouble))
    for answer in polled:
        health = answer.health
        values = answer.sample.values if answer.sample is not None else {}
        note = f"[red]{escape(health.error)}[/]" if health.error else f"[yellow]{escape(health.note)}[/]"
        if health.failures > 1:
            note += f" [red]({health.failures} polls in a row)[/]"
        numbers = (
            f"{values[metric]:,.0f}" if metric in values else "" for metric in ("RpcProcessingRate", "CallQueueLength")
        )
        port = "" if health.port is None else str(health.port)
        when = f"{health.polled_at:%H:%M:%S}Z"
        table.add_row(
            escape(health.namenode), escape(health.role), port, when, _milliseconds(health.fetch_ms), *numbers, note
        )
    return table


@group.command()
def replay(
    series: Annotated[
        Path | None, typer.Argument(help="Recording of polls (.jsonl, .jsonl.gz); default: the one that ships.")
    ] = None,
    speed: Annotated[
        float, typer.Option(callback=terminal.finite, min=0.001, help="Times as fast as it was recorded.")
    ] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on the loopback; 0 takes a free one.")] = 9870,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    loop: Annotated[
        bool, typer.Option("--loop", help="Begin again at the end, like a NameNode that was restarted.")
    ] = False,
) -> None:
    """Serve a recorded series as a NameNode's `/jmx` until Ctrl-C: for the demo, and for tests without a NameNode."""
    from hdfs_pipeline.domains.namenode.replay import SAMPLE, Replay, ReplayServer

    recording = Replay(series or SAMPLE, speed=speed, loop=loop)
    with ReplayServer(recording, host, port) as server, _until_stopped() as stop:
        typer.echo(server.address)
        then = "again and again" if loop else "then the last one stands"
        terminal.err.print(
            f"{len(recording)} polls in {recording.seconds / speed / 60:.1f} minutes, {then}; "
            f"poll it with: hdfs-pipeline collect {server.address}",
            highlight=False,
            soft_wrap=True,
        )
        stop.wait()
