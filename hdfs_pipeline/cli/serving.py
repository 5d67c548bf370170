"""The server of pages and API, and the tokens of those who may ask it."""

from datetime import datetime
from typing import Annotated

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Tokens: who may ask the API for what. Needed beyond this machine.")

Name = Annotated[str, typer.Argument(help="Name of the token, such as that of its holder.")]


@app.command()
def serve() -> None:
    """Serve the pages and the REST API of a home until Ctrl-C or SIGTERM (docs/api.md)."""
    from hdfs_pipeline.processes.signals import stop_on_signals
    from hdfs_pipeline.serving.run import serve as run
    from hdfs_pipeline.settings import load_settings

    with stop_on_signals() as stopped:
        run(load_settings(), stopped, terminal.say)


@group.command()
def make(
    name: Name,
    scope: Annotated[
        str, typer.Option(help="read, feedback, operate or admin; each includes those before it.")
    ] = "read",
    days: Annotated[float | None, typer.Option(min=0, help="Days until it ends; without it, it never does.")] = None,
    as_json: Json = False,
) -> None:
    """Make a token and print it, the only time that it is to be had: the home keeps a digest of it."""
    from hdfs_pipeline.serving.tokens import Tokens
    from hdfs_pipeline.settings import load_settings

    text = Tokens(load_settings()).make(name, scope, days)
    if as_json:
        terminal.print_json({"name": name, "scope": scope, "token": text})
    else:
        terminal.say(text)


@group.command("list")
def list_command(as_json: Json = False) -> None:
    """List the tokens of the home: names, scopes, until when."""
    from hdfs_pipeline.cli.tables.style import Listing
    from hdfs_pipeline.cli.tables.style import name as column
    from hdfs_pipeline.serving.tokens import Tokens
    from hdfs_pipeline.settings import load_settings

    tokens = Tokens(load_settings()).all()
    if as_json:
        terminal.print_json([token.to_json() for token in tokens])
        return
    table = Listing(f"{len(tokens):,} tokens", tuple(map(column, ("name", "scope", "made", "until"))))
    for token in tokens:
        table.add_row(token.name, token.scope, _day(token.made_at), _day(token.until))
    terminal.out.print(table)


@group.command()
def revoke(name: Name) -> None:
    """Revoke a token at once: it opens nothing any more."""
    from hdfs_pipeline.serving.tokens import Tokens
    from hdfs_pipeline.settings import load_settings

    Tokens(load_settings()).revoke(name)
    terminal.say(f"{name} is revoked")


def _day(time: datetime | None) -> str:
    return "–" if time is None else f"{time:%Y-%m-%d %H:%M}"
