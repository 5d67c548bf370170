"""Groups of like anomalies, and of what is worth asking about."""

from typing import Annotated

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.terminal import Domain, Json

app = typer.Typer()


@app.command()
def groups(
    limit: Annotated[int, typer.Option(min=1, help="How many groups to show.")] = 10,
    everything: Annotated[bool, typer.Option("--all", help="All groups.")] = False,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """List like anomalies together, the most worth knowing first: what happened, where, and what to look at next.

    After them come groups that are not flagged, but worth asking about. `feedback --group KIND` says what a group is.
    """
    from hdfs_pipeline.cli.tables.groups import group_lines
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.groups import report_groups

    settings, kind = existing_home(), domain_named(domain)
    count, shown = report_groups(Store.open(settings), settings, kind, None if everything else limit)
    if as_json:
        terminal.print_json([group.to_json() for group in shown], kind.item)
        return
    for line in group_lines(shown, count, kind.item):
        terminal.out.print(line, highlight=False, soft_wrap=True)
