"""`namenode state`: the state of HDFS as the NameNode told it last."""

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.namenode_models import NameNode
from hdfs_pipeline.cli.terminal import Json

app = typer.Typer()


@app.command()
def state(namenode: NameNode = None, as_json: Json = False) -> None:
    """What is wrong with HDFS now: blocks, DataNodes, capacity, as the active NameNode said at the last poll."""
    from hdfs_pipeline.cli.tables.hdfs_state import show_state
    from hdfs_pipeline.domains.namenode.state_reports import state_report
    from hdfs_pipeline.store.store import Store

    report = state_report(Store.open(existing_home()), namenode)
    if as_json:
        terminal.print_json(report)
    else:
        show_state(terminal.out, report)
