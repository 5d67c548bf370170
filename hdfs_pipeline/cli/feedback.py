"""People's feedback: give a word on an item or on a stretch of time, withdraw it, list all words beside the model."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.terminal import Domain, Json

app = typer.Typer()
_WAYS = {  # which of these may be given together: item, --group, --from, --to, --verdict, --withdraw
    (False, False, False, False, False, False),
    (True, False, False, False, True, False),
    (True, False, False, False, False, True),
    (False, True, False, False, True, False),
    (False, True, False, False, False, True),
    (False, False, True, True, True, False),
}
_TIMES = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]


@app.command()
def feedback(  # noqa: PLR0917 - options, which are given by name
    item: Annotated[
        str | None,
        typer.Argument(
            metavar="ITEM", help="Id (one that begins with -: -- ITEM, at the end); without it, all feedback is listed."
        ),
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Option(help="real (an anomaly), false (a false alarm), expected or maintenance (learn nothing from it)."),
    ] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Kind of a group, as `groups` lists it: the word is on all its items.")
    ] = None,
    begin: Annotated[
        datetime | None,
        typer.Option("--from", formats=_TIMES, help="Beginning of a stretch of time instead of an item; UTC."),
    ] = None,
    end: Annotated[
        datetime | None, typer.Option("--to", formats=_TIMES, help="End of the stretch of time; UTC.")
    ] = None,
    note: Annotated[str, typer.Option(help="Why, in your words.")] = "",
    by: Annotated[str | None, typer.Option(help="Who says so; your login name by default.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the feedback on the item or group back.")] = False,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Say what an item really was: the next training learns it, and judges items with the same events alike.

    With --group the word is on all items of a group. With --from and --to it is on a stretch of time: maintenance, for
    instance, from which nothing is learned.
    """
    from hdfs_pipeline.cli.tables.feedback import feedback_table, given_sentence, group_sentence
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.feedback import (
        all_feedback,
        feedback_json,
        give_feedback,
        give_feedback_on_group,
        give_feedback_on_stretch,
        take_back,
        take_back_group,
    )

    settings, kind = existing_home(), domain_named(domain)
    given = (item is not None, group is not None, begin is not None, end is not None, verdict is not None, withdraw)
    if given not in _WAYS:
        raise typer.BadParameter(
            f"name a {kind.item.noun.upper()}, or a --group, with either --verdict real|false|expected or --withdraw, "
            "or a stretch of time (--from, --to) with --verdict real|false|expected|maintenance, or nothing"
        )
    store = Store.open(settings)
    login = by if by is not None else terminal.login()
    if begin is not None and end is not None:
        begin, end = (time if time.tzinfo else time.replace(tzinfo=UTC) for time in (begin, end))
        row = give_feedback_on_stretch(store, kind, begin, end, verdict or "", note=note, by=login)
        sentence = f"{kind.item.plural} that began from {begin} to {end}: {verdict}; the next training knows it"
        sentence += f"; {row['incidents']:,} incidents have it as their status" if row["incidents"] else ""
    elif group is not None:
        about = {"kind": group} | ({"withdrawn": True} if withdraw else {"verdict": verdict})
        if withdraw:
            row = about | {"items": take_back_group(store, settings, kind, group)}
        else:
            row = about | {
                "items": give_feedback_on_group(store, settings, kind, group, verdict or "", note=note, by=login)
            }
        sentence = group_sentence(row, kind.item)
    elif item is None:
        rows = all_feedback(store, settings, kind)
        if as_json:
            terminal.print_json([feedback_json(row) for row in rows], kind.item)
        else:
            terminal.out.print(feedback_table(rows, kind.item))
        return
    elif withdraw:
        row = {"item": take_back(store, settings, kind, item), "withdrawn": True}
        sentence = f"{row['item']}: withdrawn; the next training forgets it"
    else:
        row = give_feedback(store, settings, kind, item, verdict or "", note=note, by=login)
        sentence = given_sentence(row, kind.item)
    if as_json:
        terminal.print_json(row if withdraw or group is not None else feedback_json(row), kind.item)
        return
    terminal.out.print(sentence, markup=False, highlight=False, soft_wrap=True)
