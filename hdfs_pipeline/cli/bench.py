"""Benchmarks: figures as ratios within one run."""

from pathlib import Path
from typing import Annotated

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Benchmarks: figures as ratios within one run.")


@app.command("parse")
def bench_parse_command(
    path: Annotated[Path, typer.Argument(help="Sample to repeat with fresh block ids: a log, or a folder of logs.")],
    lines: Annotated[int, typer.Option(help="Lines to measure on, at least.")] = 2_000_000,
    peers: Annotated[bool, typer.Option(help="LogLead and Drain3 too (`make bench-peers` installs them).")] = True,
    as_json: Json = False,
) -> None:
    """Raw file → event matrix of every block, beside DuckDB's line count, LogLead and Drain3."""
    from hdfs_pipeline.experiments.bench_parse import bench_parse, render_parse

    with terminal.err.status("measuring"):
        result = bench_parse(path, lines=lines, peers=peers, settings=load_settings())
    terminal.print_json(result) if as_json else terminal.out.print(render_parse(result))


@app.command("score")
def bench_score_command(as_json: Json = False) -> None:
    """One row and batches through the random forest, and its distance from scikit-learn's probabilities."""
    from hdfs_pipeline.domains.blocks.matrix import load_dataset
    from hdfs_pipeline.experiments.bench_score import bench_score, render_score
    from hdfs_pipeline.store import Store

    settings = load_settings()
    data = load_dataset(Store.open(settings), settings).labelled()
    with terminal.err.status("measuring"):
        result = bench_score(data.matrix("events"), data.labels, settings=settings)
    terminal.print_json(result) if as_json else terminal.out.print(render_score(result))
