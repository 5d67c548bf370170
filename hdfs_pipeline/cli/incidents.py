"""Incidents: the state of a home, the list, one in full, and what people say of them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.terminal import Json

if TYPE_CHECKING:
    from hdfs_pipeline.verdicts.live import Change
    from hdfs_pipeline.verdicts.status import Status

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="What went wrong: list incidents, show one, say what is done about it.")

Incident = Annotated[str, typer.Argument(metavar="ID", help="Id of an incident, or the first digits of one.")]
Note = Annotated[str, typer.Option(help="Why, in your words.")]
By = Annotated[str | None, typer.Option(help="Who says so; your login name by default.")]
Since = Annotated[str | None, typer.Option(help="A time in ISO 8601 (UTC), or a span before now: 90m, 24h, 7d.")]
_MOST_AT_ONCE = 12  # changes that are told one by one
_MOST = 40  # incidents that `status` lists where it is no screen that it must fit
_BESIDE = 18  # lines of the screen for all else


@app.command()
def status(
    context: typer.Context,
    since: Since = None,
    check: Annotated[
        bool, typer.Option("--check", help="End with 1 where an open incident is critical or major.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell what is wrong now, what changed since yesterday, what the watcher itself lacks, and what to type next."""
    from hdfs_pipeline.cli.tables.status import status_parts
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.status import DAY, home_status, parse_since

    settings, now = existing_home(), datetime.now(UTC)
    start, most = parse_since(since or DAY, now), None if as_json else _most()
    found = _typed(home_status(Store.open(settings), settings, start, now=now, most=most), context)
    if as_json:
        terminal.print_json(found.to_json())
    else:
        for part in status_parts(found):
            terminal.out.print(part, highlight=False, soft_wrap=isinstance(part, str))
    if check and found.alarming:
        raise typer.Exit(1)


def _most() -> int:
    """How many incidents fit on the screen, beside what else stands there; of what is no screen, `_MOST`."""
    return max(terminal.out.height - _BESIDE, _BESIDE) if terminal.out.is_terminal else _MOST


def _typed(found: "Status", context: typer.Context) -> "Status":
    """The same with commands that work as they stand: with the --home that was given."""
    import shlex
    from dataclasses import replace

    above = context.parent
    source = None if above is None else above.get_parameter_source("home")
    if above is None or source is None or source.name != "COMMANDLINE":
        return found
    own = f"hdfs-pipeline --home {shlex.quote(str(Path(above.params['home'])))} "
    return replace(found, commands=[command.replace("hdfs-pipeline ", own, 1) for command in found.commands])


@group.command("list")
def list_command(
    status: Annotated[
        list[str] | None,
        typer.Option(help="open, acknowledged, resolved, expired or suppressed; may be repeated."),
    ] = None,
    domain: Annotated[str, typer.Option(help="Only of this kind of data.")] = "",
    entity: Annotated[str, typer.Option(help="Only of this server, by its address or another name of it.")] = "",
    kind: Annotated[str, typer.Option(help="Only those with anomalies of a kind that has these words.")] = "",
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many of the latest.")] = 40,
    as_json: Json = False,
) -> None:
    """List incidents, the latest first; with --since those that ended then or later."""
    from hdfs_pipeline.cli.tables.incidents import incidents_table
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.listing import Wanted, list_incidents
    from hdfs_pipeline.verdicts.status import parse_since

    settings = existing_home()
    start = parse_since(since, datetime.now(UTC)).time if since else None
    wanted = Wanted(status=status or (), domain=domain, entity=entity, kind=kind, since=start)
    number, listed = list_incidents(Store.open(settings), wanted, limit)
    if as_json:
        terminal.print_json(listed)
    elif not listed:
        _say("no such incident; `hdfs-pipeline status` tells what there is")
    else:
        terminal.out.print(incidents_table(listed))
        more = f" ({number - len(listed):,} more: --limit)" if number > len(listed) else ""
        _say(f"{number:,} incident{'s' * (number != 1)}{more}; all of one: hdfs-pipeline incidents show ID")


@group.command()
def show(identity: Incident, as_json: Json = False) -> None:
    """Show all that is known of an incident: what, where, since when, why, and what to look at next."""
    from hdfs_pipeline.cli.tables.incidents import incident_lines
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.listing import whole_incident

    found = whole_incident(Store.open(existing_home()), identity)
    if as_json:
        terminal.print_json(found)
        return
    for line in incident_lines(found):
        terminal.out.print(line, highlight=False, soft_wrap=True)


@group.command()
def judge(
    faults: Annotated[
        Path, typer.Argument(help="JSON lines of known faults: kind, start and end (Unix seconds), datanode or entity.")
    ],
    as_json: Json = False,
) -> None:
    """Hold the incidents against faults that are known, such as those of a recording."""
    from hdfs_pipeline.cli.tables.incidents import judgement_line, judgement_table
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.faults import judge as hold_against
    from hdfs_pipeline.verdicts.faults import read_faults

    settings = existing_home()
    store = Store.open(settings)
    found = hold_against(store, settings, read_faults(store, faults)).to_json()
    if as_json:
        terminal.print_json(found)
        return
    terminal.out.print(judgement_table(found))
    _say(judgement_line(found))


@group.command()
def follow(as_json: Json = False) -> None:
    """Bring incidents up to date and tell of each that opens, doubles or ends, until Ctrl-C or SIGTERM; times in UTC.

    With --json one object a line: `what` (opened, grew or ended) and `incident`, as `show --json` gives it.
    """
    from hdfs_pipeline.processes.signals import stop_on_signals
    from hdfs_pipeline.settings import load_settings
    from hdfs_pipeline.verdicts.following import follow as run

    with stop_on_signals() as stopped:

        def tell(changes: "Sequence[Change]") -> None:
            if not _told(changes, as_json):
                stopped.set()  # nobody reads any more

        run(load_settings(), stopped, tell, lambda line: terminal.err.print(line, markup=False, highlight=False))


def _told(changes: "Sequence[Change]", as_json: bool) -> bool:
    """Print changes at once, for people the gravest ones of many. Returns whether somebody still reads."""
    import json

    from hdfs_pipeline.cli.tables.incidents import change_line
    from hdfs_pipeline.scoring.severity import SEVERITIES

    try:
        if as_json:
            for change in changes:
                terminal.say(json.dumps({"what": change.what, "incident": change.incident}))
            return True
        gravest = sorted(changes, key=lambda change: -SEVERITIES.index(change.incident["severity"]))[:_MOST_AT_ONCE]
        today = datetime.now(UTC).date().isoformat()
        for change in changes:
            if change in gravest:
                line = change_line(change.what, change.incident, today)
                terminal.out.print(line, highlight=False, soft_wrap=True)
        if more := len(changes) - len(gravest):
            _say(f"and {more:,} more: `hdfs-pipeline incidents list` shows them")
        terminal.out.file.flush()
    except BrokenPipeError:
        return False
    return True


@group.command()
def ack(identity: Incident, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Say that somebody looks after an incident: it stays open, as acknowledged."""
    _do(identity, "ack", note, by, as_json)


@group.command()
def resolve(identity: Incident, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Say that an incident is over; further anomalies of it open it again."""
    _do(identity, "resolve", note, by, as_json)


@group.command()
def suppress(identity: Incident, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Say that an incident is no news: it is not told any more, whatever comes."""
    _do(identity, "suppress", note, by, as_json)


@group.command()
def reopen(identity: Incident, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Take back that an incident is resolved or suppressed, or say that it goes on."""
    _do(identity, "reopen", note, by, as_json)


@group.command("false-alarm")
def false_alarm(identity: Incident, note: Note = "", by: By = None, as_json: Json = False) -> None:
    """Say that an incident was a false alarm: it is suppressed, and detectors learn from its anomalies."""
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.false_alarms import call_false

    _tell(call_false(Store.open(existing_home()), identity, note=note, by=_name(by)), as_json)


@group.command()
def export(
    identity: Incident,
    format: Annotated[str, typer.Option(help="markdown (for a ticket), csv (a row an anomaly) or json.")] = "markdown",
) -> None:
    """Print an incident as a file: a summary for a ticket, its anomalies, or all that is known of it."""
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.tickets import export as export_as

    terminal.say(export_as(Store.open(existing_home()), identity, format)[1].rstrip())


def _do(identity: str, action: str, note: str, by: str | None, as_json: bool) -> None:
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.words import say

    _tell(
        say(Store.open(existing_home()), identity, action, note=note, by=_name(by)),
        as_json,
        acknowledging=action == "ack",
    )


def _name(by: str | None) -> str:
    return terminal.login() if by is None else by


def _tell(said: dict[str, Any], as_json: bool, *, acknowledging: bool = False) -> None:
    """What became of an incident."""
    from hdfs_pipeline.cli.tables.incidents import short

    if as_json:
        terminal.print_json(said)
        return
    place = f" on {said['entity']}" if said["entity"] else ""
    change = f"{said['before']} → {said['status']}"
    if said["before"] == said["status"]:
        change = f"stays {said['status']}" + "; only an open incident is acknowledged" * acknowledging
    _say(f"{short(said['id'])} {said['kind']}{place}: {change}")


def _say(line: str) -> None:
    terminal.out.print(line, markup=False, highlight=False, soft_wrap=True)
