"""What people say of blocks: give a verdict, take it back, see all of them beside the model."""

import getpass
from typing import Annotated

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.settings import load_settings

app = typer.Typer()


@app.command()
def feedback(
    block: Annotated[
        str | None, typer.Argument(help="Block id (for a negative one: -- BLOCK, at the end); none lists all verdicts.")
    ] = None,
    verdict: Annotated[
        str | None, typer.Option(help="real (an anomaly), false (a false alarm) or expected (learn nothing from it).")
    ] = None,
    note: Annotated[str, typer.Option(help="Why, in your words.")] = "",
    by: Annotated[str | None, typer.Option(help="Who says so; your login name by default.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take back what was said of the block.")] = False,
    as_json: Json = False,
) -> None:
    """Say what a block really was: the next training learns from it, and blocks with the same events follow."""
    from hdfs_pipeline.cli.tables.feedback import given_sentence, verdicts_table
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.feedback import all_verdicts, give_verdict, take_back

    if (block is None) != (verdict is None and not withdraw) or (verdict is not None and withdraw):
        raise typer.BadParameter("name a BLOCK with either --verdict real|false|expected or --withdraw, or neither")
    settings = load_settings()
    store = Store.open(settings)
    if block is None:
        rows = all_verdicts(store, settings)
        if as_json:
            terminal.print_json(rows)
            return
        terminal.out.print(verdicts_table(rows))
        return
    if withdraw:
        block_id = take_back(store, block)
        if as_json:
            terminal.print_json({"block_id": f"blk_{block_id}", "withdrawn": True})
            return
        terminal.out.print(f"blk_{block_id}: withdrawn; the next training forgets it", highlight=False)
        return
    row = give_verdict(store, settings, block, verdict or "", note=note, by=by if by is not None else _login())
    if as_json:
        terminal.print_json(row | {"block_id": f"blk_{row['block_id']}"})
        return
    terminal.out.print(given_sentence(row), markup=False, highlight=False, soft_wrap=True)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""
