"""Incidents on their way out: to Alertmanager, a webhook and Kafka."""

from typing import TYPE_CHECKING, Annotated

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from hdfs_pipeline.store.store import Store

app = typer.Typer()
_TURN_S = 30.0  # that a single pass waits for another process to end its own
_PATIENCE_S = 10.0  # that it has with a target that is away


@app.command()
def notify(
    keep_on: Annotated[bool, typer.Option("--follow", help="Look every few seconds, until Ctrl-C or SIGTERM.")] = False,
    refused: Annotated[
        bool, typer.Option("--refused", help="Send what was refused once more; what refused it should be mended.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell Alertmanager, the webhook and Kafka's topic `incidents` what has become of incidents since the last time.

    Each message is sent once, and again only where nobody knows whether it has arrived; then with the same key. Exit
    code 3 where a target is away or has refused something.
    """
    from hdfs_pipeline.alerting.ledger import try_refused_again
    from hdfs_pipeline.store.store import Store

    settings = load_settings()
    store = Store.open(settings)
    if refused:
        number = try_refused_again(store)
        terminal.err.print(f"{number:,} messages that were refused wait to be sent again", highlight=False)
    if keep_on:
        _follow(store, settings)
    else:
        _once(store, settings, as_json, marked=refused)


def _follow(store: "Store", settings: Settings) -> None:
    from hdfs_pipeline.alerting.notify import follow
    from hdfs_pipeline.processes.signals import stop_on_signals

    with stop_on_signals() as stopped:
        follow(store, settings, stopped, terminal.say)


def _once(store: "Store", settings: Settings, as_json: bool, marked: bool) -> None:
    from filelock import Timeout

    from hdfs_pipeline.alerting.notify import elsewhere, notify_once

    with store.read():
        pass  # a home without a store is an error; a target of such a home need not be asked
    try:
        done = notify_once(store, settings, turn_s=_TURN_S, patience_s=_PATIENCE_S)
    except Timeout:
        if marked:  # the other process sends them
            return
        raise elsewhere(settings) from None
    if as_json:
        facts = [
            {"target": told.target, "told": told.events, "refused": told.refusals, "trouble": told.trouble}
            for told in done
        ]
        terminal.print_json(facts)
    for told in () if as_json else done:
        terminal.say(told.line())
    if not all(told.well for told in done):
        raise typer.Exit(SetupError.exit_code)
