"""Benchmarks: figures as ratios within one run."""

from pathlib import Path
from typing import Annotated

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.settings import PROJECT, load_settings

app = typer.Typer(no_args_is_help=True, help="Benchmarks: figures as ratios within one run.")


@app.command("all")
def bench_all_command(
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this part, such as parse, ingest, stream or up; may be repeated."),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(help="Folder of the recorded runs; the page lies beside it, as FOLDER.md. The home's by default."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Every benchmark, each small: minutes. Records the run and makes a page of it and of those before."""
    from hdfs_pipeline.bench.everything import bench_all
    from hdfs_pipeline.bench.page import record
    from hdfs_pipeline.cli.tables.bench import all_tables

    settings = load_settings()
    with terminal.err.status("measuring") as status:
        run = bench_all(settings, only or (), status.update)
    page = record(run, into or settings.home / "benchmarks")
    if as_json:
        terminal.print_json(run)
        return
    for table in all_tables(run):
        terminal.out.print(table)
    terminal.out.print(f"recorded: {page}", markup=False, highlight=False, soft_wrap=True)


@app.command("parse")
def bench_parse_command(
    path: Annotated[Path, typer.Argument(help="Sample to repeat with fresh block ids: a log, or a folder of logs.")],
    lines: Annotated[int, typer.Option(min=1, max=10**9, help="Lines to measure on, at least.")] = 2_000_000,
    peers: Annotated[bool, typer.Option(help="LogLead, Drain3 (`make bench-peers`) and a naive script too.")] = True,
    as_json: Json = False,
) -> None:
    """Raw file → event matrix of every block, beside DuckDB's line count, LogLead, Drain3 and a naive script."""
    from hdfs_pipeline.bench.parse import bench_parse
    from hdfs_pipeline.cli.tables.bench import parse_table

    with terminal.err.status("measuring"):
        result = bench_parse(path, lines=lines, peers=peers, settings=load_settings())
    terminal.print_json(result) if as_json else terminal.out.print(parse_table(result))


@app.command("web")
def bench_web_command(
    path: Annotated[
        Path | None, typer.Argument(help="Access log to repeat; without one a made-up log in Combined.")
    ] = None,
    lines: Annotated[int, typer.Option(min=1, max=10**9, help="Lines to measure on, at least.")] = 1_000_000,
    as_json: Json = False,
) -> None:
    """Access log → requests with their endpoint groups, beside DuckDB's line count and regular expression."""
    from hdfs_pipeline.bench.web import bench_web
    from hdfs_pipeline.cli.tables.bench import web_table

    with terminal.err.status("measuring"):
        result = bench_web(path, lines=lines, seed=load_settings().seed)
    terminal.print_json(result) if as_json else terminal.out.print(web_table(result))


def _whole_numbers(text: str) -> list[int]:
    """Whole numbers with commas between. Raises: UsageError for anything else."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"{text!r} is no list of whole numbers, such as 21,22,23") from None


@app.command("detection")
def bench_detection_command(
    domain: Annotated[
        list[str] | None, typer.Option(help="weblogs, traffic or applogs; may be repeated. By default all of them.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the simulated days, with commas between.")] = "21,22,23",
    as_json: Json = False,
) -> None:
    """Simulated days with faults: how many each voice finds, and what else it flags, with 95 % intervals. Minutes."""
    from hdfs_pipeline.bench.detection import bench_detection
    from hdfs_pipeline.cli.tables.bench import detection_table

    with terminal.err.status("measuring") as status:
        result = bench_detection(load_settings(), domain or (), _whole_numbers(seeds), status.update)
    terminal.print_json(result) if as_json else terminal.out.print(detection_table(result))


@app.command("ingest")
def bench_ingest_command(
    path: Annotated[Path, typer.Argument(help="Sample to repeat with fresh block ids: a log, or a folder of logs.")] = (
        PROJECT / "data" / "sample" / "hdfs_v1" / "HDFS.log.gz"
    ),
    blocks: Annotated[
        list[int] | None,
        typer.Option(min=1, max=10**8, help="Blocks of a home; may be repeated. By default 20,000 and 200,000."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Files into a small and a large home; there 10,000 new lines up to their incidents, `explain` and `status`."""
    from hdfs_pipeline.bench.ingest import BLOCKS, bench_ingest
    from hdfs_pipeline.cli.tables.bench import ingest_table

    with terminal.err.status("measuring") as status:
        result = bench_ingest(load_settings(), path, blocks=blocks or BLOCKS, say=status.update)
    terminal.print_json(result) if as_json else terminal.out.print(ingest_table(result))


@app.command("up")
def bench_up_command(
    path: Annotated[Path, typer.Argument(help="Sample to send: a log, or a folder of logs.")] = (
        PROJECT / "data" / "sample" / "hdfs_v1" / "HDFS.log.gz"
    ),
    rate: Annotated[
        list[int] | None,
        typer.Option(min=0, max=10**6, help="Lines a second; may be repeated. By default 0 (idle), 500 and 2,000."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(callback=terminal.finite, min=1, max=86_400, help="Seconds of each measurement.")
    ] = 120.0,
    as_json: Json = False,
) -> None:
    """Start `up` in a fresh home: the share of a core of each process, and Dagster's runs, idle and under load."""
    from hdfs_pipeline.bench.up import RATES, bench_up
    from hdfs_pipeline.cli.tables.bench import up_table

    with terminal.err.status("measuring") as status:
        result = bench_up(path, rates=rate or RATES, seconds=seconds, say=status.update)
    terminal.print_json(result) if as_json else terminal.out.print(up_table(result))


@app.command("score")
def bench_score_command(as_json: Json = False) -> None:
    """One row and batches through the random forest, its distance from scikit-learn; batches through lifecycle."""
    from hdfs_pipeline.bench.score import bench_score
    from hdfs_pipeline.cli.tables.bench import score_table
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.store.store import Store

    settings = existing_home()
    data = domain_named().features(Store.open(settings), settings).labelled()
    with terminal.err.status("measuring"):
        result = bench_score(data.main, data.labels, settings=settings)
    terminal.print_json(result) if as_json else terminal.out.print(score_table(result))


@app.command("stream")
def bench_stream_command(
    path: Annotated[Path, typer.Argument(help="Sample to replay: a log, or a folder of logs.")] = (
        PROJECT / "data" / "sample" / "hdfs_v1" / "HDFS.log.gz"
    ),
    rate: Annotated[int, typer.Option(min=1, max=10**8, help="Lines a second to ask of the worker.")] = 160_000,
    seconds: Annotated[
        float, typer.Option(callback=terminal.finite, min=0.1, max=86_400, help="Seconds of each measurement.")
    ] = 30.0,
    latency_rate: Annotated[
        int, typer.Option(min=1, max=10**8, help="Lines a second at which the milliseconds to an anomaly are measured.")
    ] = 10_000,
    simulated: Annotated[
        str, typer.Option(help="web or app: records of that generator, in place of the sample; its topic is read.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Lines a second through a stream worker, and where the milliseconds to an anomaly go.

    It takes the broker that KAFKA_BOOTSTRAP_SERVERS names, whose topic must be empty, or an embedded one of its own.
    """
    from hdfs_pipeline.bench.stream import bench_stream
    from hdfs_pipeline.cli.tables.bench import stream_table

    with terminal.err.status("measuring") as status:
        result = bench_stream(
            load_settings(),
            path,
            rate=rate,
            seconds=seconds,
            latency_rate=latency_rate,
            simulated=simulated,
            say=status.update,
        )
    terminal.print_json(result) if as_json else terminal.out.print(stream_table(result))


@app.command("namenode")
def bench_namenode_command(as_json: Json = False) -> None:
    """A day of NameNode samples (17,280 steps of every metric): seconds to train every detector, and to score."""
    from hdfs_pipeline.bench.namenode import bench_namenode
    from hdfs_pipeline.cli.tables.bench import namenode_table

    with terminal.err.status("measuring"):
        result = bench_namenode(load_settings())
    terminal.print_json(result) if as_json else terminal.out.print(namenode_table(result))


@app.command("incidents")
def bench_incidents_command(as_json: Json = False) -> None:
    """Seconds to group 100,000 anomalies into incidents, and of `status` in a home with a million blocks."""
    from hdfs_pipeline.bench.incidents import bench_incidents
    from hdfs_pipeline.cli.tables.bench import incidents_table

    with terminal.err.status("measuring"):
        result = bench_incidents(load_settings())
    terminal.print_json(result) if as_json else terminal.out.print(incidents_table(result))


@app.command("serve")
def bench_serve_command(
    seconds: Annotated[
        float, typer.Option(callback=terminal.finite, min=0.1, max=86_400, help="Seconds for which clients ask.")
    ] = 60.0,
    blocks: Annotated[int, typer.Option(min=1, max=10**7, help="Blocks to judge in one request.")] = 300_000,
    as_json: Json = False,
) -> None:
    """The server on a copy of a home: one block, many, what 50 clients poll while a process writes, the live feed."""
    from hdfs_pipeline.bench.serve import bench_serve
    from hdfs_pipeline.cli.tables.bench import serve_table

    settings = existing_home()
    with terminal.err.status("measuring"):
        result = bench_serve(settings, seconds=seconds, blocks=blocks)
    terminal.print_json(result) if as_json else terminal.out.print(serve_table(result))
