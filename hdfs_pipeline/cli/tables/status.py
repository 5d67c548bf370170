"""The state of a home on one screen: what is wrong, what changed, what the watcher lacks, and what to type next."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.markup import escape
from rich.text import Text

from hdfs_pipeline.cli.tables.incidents import incidents_table
from hdfs_pipeline.cli.tables.style import facts
from hdfs_pipeline.verdicts.status import CHANGES, Status, minute


def status_parts(status: Status) -> Iterator[RenderableType]:
    """The parts of the screen from top to bottom. Strings are markup that must stay on its line, as commands."""
    yield Text.from_markup(_headline(status))
    if status.until is None and not status.open and not status.ended:
        yield "There are no records yet. Begin with one of these:"
        yield from _commands(status)
        return
    yield Text(status.times)
    yield ""
    if status.open:
        yield incidents_table(status.open, "Open, the gravest first", with_status=False)
    if status.ended:
        yield incidents_table(status.ended, "Ended since then", with_status=False)
    hidden = status.number_open + status.number_ended - len(status.open) - len(status.ended)
    if hidden > 0:
        yield Text(f"{hidden:,} more, less grave: hdfs-pipeline incidents list --limit 1000")
    said = [f"{status.changed[name]:,} {word}" for name, word in CHANGES.items() if status.changed.get(name)]
    lacking = [escape(lack.text) for lack in status.lacks] or ["nothing"]
    yield facts({"Since then": [", ".join(said) or "nothing changed"], "Lacking": lacking})
    yield from _commands(status)


def _headline(status: Status) -> str:
    at = f"{escape(status.home)}, {minute(status.now)} UTC: "
    if not status.gravity:
        return f"[bold]{at}[green]no open incident[/][/]"
    what = "open incident" if status.number_open == 1 else "open incidents"
    colour = "red" if status.alarming else "yellow"
    return f"[bold]{at}[{colour}]{status.number_open:,} {what} ({status.gravity})[/][/]"


def _commands(status: Status) -> Iterator[str]:
    for at, command in enumerate(status.commands):
        yield f"[bold]{'' if at else 'Next':<10}[/]   {escape(command)}"
