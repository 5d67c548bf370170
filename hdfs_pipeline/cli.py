"""The `hdfs-pipeline` command. Imports of the work stand inside the commands: `--help` answers at once."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hdfs_pipeline.errors import DataError, PipelineError
from hdfs_pipeline.settings import PREFIX, PROJECT, Settings, load_settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Watches Hadoop HDFS: logs become scored and explained anomalies.",
    epilog="Exit codes: 0 done, 2 wrong use, 3 machine or store not ready, 4 data that cannot be used, 5 not trained.",
)
bench = typer.Typer(no_args_is_help=True, help="Benchmarks: figures as ratios within one run.")
app.add_typer(bench, name="bench")
# Without a terminal there is no width to ask for: tables go out wide enough for their columns.
out, err = (Console(width=None if stream.isatty() else 110, file=stream) for stream in (sys.stdout, sys.stderr))

Paths = Annotated[list[str], typer.Argument(help="Files (.gz, .zst too), folders, globs; - for standard input.")]
Logs = Annotated[list[str] | None, typer.Option("--logs", help="Logs: file, folder or glob; may be repeated.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="CSV of BlockId,Label or block_id,label[,kind].")]
Detector = Annotated[str, typer.Option("--detector", help="Name of a detector, or all.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
SAMPLES = ("hdfs_v1", "hdfs_3.4")


@app.callback()
def home(
    home: Annotated[
        Path, typer.Option("--home", envvar=f"{PREFIX}HOME", help="Folder of one cluster; before or after the command.")
    ] = Path("data"),
) -> None:
    """Every command works in one home."""
    os.environ[f"{PREFIX}HOME"] = str(home)


def _steps() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, default=str))


@app.command()
def demo(
    sample: Annotated[str, typer.Option(help=f"Which shipped data: {' or '.join(SAMPLES)}.")] = SAMPLES[0],
) -> None:
    """Run the main job on real, labelled logs that ship with the project, and show what it finds.

    hdfs_3.4 goes into a home of its own, data/homes/hdfs_3.4, unless --home names one.
    """
    from hdfs_pipeline.demo import run_demo

    if sample not in SAMPLES:
        raise DataError(f"no sample {sample!r}; there are {' and '.join(SAMPLES)}")
    if sample != SAMPLES[0] and os.environ[f"{PREFIX}HOME"] == str(Path("data")):
        os.environ[f"{PREFIX}HOME"] = str(Path("data") / "homes" / sample)
    settings = load_settings()
    with _steps() as progress:
        bar = progress.add_task("starting", total=None)
        result = run_demo(
            settings,
            PROJECT / "data" / "sample" / sample,
            lambda step, done, total: progress.update(bar, description=step, completed=done, total=total),
        )
    result.show(out)


@app.command()
def ingest(paths: Paths, labels: Labels = None, as_json: Json = False) -> None:
    """Read logs into the home: records, events and the event matrix. What was read before is read once."""
    from hdfs_pipeline.serving.console import ingest_notes
    from hdfs_pipeline.store import Store

    settings = load_settings()
    facts = _ingest(settings, Store.open(settings), paths, labels)
    if as_json:
        _print_json(facts)
        return
    out.print(ingest_notes(facts, settings.home), markup=False, highlight=False, soft_wrap=True)


def _ingest(settings: Settings, store: Any, paths: list[str], labels: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    from hdfs_pipeline.domains.blocks.ingest import ingest as read
    from hdfs_pipeline.domains.blocks.labels import load_labels
    from hdfs_pipeline.domains.blocks.matrix import build_matrix
    from hdfs_pipeline.domains.blocks.parse import learn_templates, parse

    with _steps() as progress:
        bar = progress.add_task("reading", total=None)
        done = read(
            store,
            settings,
            paths,
            lambda number, of, path: progress.update(bar, description=path.name, completed=number - 1, total=of),
        )
        progress.update(bar, description="parsing", total=None)
        parsed = parse(store, settings)
        labelled = load_labels(store, labels) if labels else None
        blocks = build_matrix(store, settings).num_rows
        current, proposed = learn_templates(store, settings)
    notes = [*done.notes, *(f"{path}: read before, skipped" for path in done.skipped)]
    if proposed is not current:
        count = len(proposed.templates) - len(current.templates)
        notes.append(
            f"{count} new templates proposed as {proposed.label}: read {settings.catalogues / proposed.label}.csv, "
            f"then set {PREFIX}CATALOGUE={proposed.label} and train again"
        )
    facts = asdict(done) | {"blocks": blocks, "catalogue": parsed.catalogue.label, "coverage": parsed.coverage}
    return facts | {"labels": labelled, "notes": notes}


def _names(detector: str, trained: list[str] | None = None) -> list[str]:
    from hdfs_pipeline.detectors import DETECTORS, detector_row

    if detector == "all":
        return list(DETECTORS) if trained is None else [name for name in DETECTORS if name in trained]
    detector_row(detector)
    return [detector]


@app.command()
def train(detector: Detector = "all", logs: Logs = None, labels: Labels = None, as_json: Json = False) -> None:
    """Train detectors on the home's blocks (read --logs and --labels first, where given) and register them."""
    from hdfs_pipeline.domains.blocks.matrix import load_dataset
    from hdfs_pipeline.experiments.tracking import publish_evaluations, train_and_track
    from hdfs_pipeline.serving.console import detectors_table
    from hdfs_pipeline.store import Store

    names = _names(detector)
    settings = load_settings()
    store = Store.open(settings)
    if logs or labels:
        _ingest(settings, store, logs or [], labels)
    data = load_dataset(store, settings)
    cards = []
    with _steps() as progress:
        bar = progress.add_task("training", total=len(names))
        for name in names:
            try:
                card, _ = train_and_track(
                    store, data, name, settings, lambda step: progress.update(bar, description=step)
                )
                publish_evaluations(store, card)
                cards.append(card.to_json())
            except DataError as error:
                if detector != "all":
                    raise
                err.print(f"[yellow]{name} is left out:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            progress.advance(bar)
    if not cards:
        raise DataError("no detector could be trained")
    if as_json:
        _print_json(cards)
        return
    rows = [(card["detector"], split, found) for card in cards for split, found in card["metrics"].items()]
    title = f"Judged on blocks not trained on ({len(data):,} blocks in {settings.home})"
    out.print(detectors_table(escape(title), rows))
    out.print("Models, trained on all blocks: " + ", ".join(f"{c['detector']} version {c['version']}" for c in cards))


@app.command()
def evaluate(
    logs: Annotated[list[str], typer.Option("--logs", help="Logs that the models have never seen.")],
    labels: Annotated[Path, typer.Option("--labels", help="Their labels, as CSV.")],
    detector: Detector = "all",
    as_json: Json = False,
) -> None:
    """Judge the home's models on logs that they have never seen, in a store of its own."""
    from hdfs_pipeline.experiments.holdout import evaluate_files
    from hdfs_pipeline.scoring.models import trained_detectors
    from hdfs_pipeline.serving.console import detectors_table, holdout_notes, kinds_table, unseen_notes

    settings = load_settings()
    names = _names(detector, trained_detectors(settings)) or _names("random_forest")
    with _steps() as progress:
        bar = progress.add_task("reading", total=None)
        found = evaluate_files(
            settings, logs, labels, names, lambda step: progress.update(bar, description=step, total=None)
        )
    evaluations = {name: tested.evaluation.to_json() for name, tested in found.tests.items()}
    if as_json:
        read = {"lines": found.read.lines, "records": found.read.records, "dead_letters": found.read.dead_letters}
        counts = {"blocks": found.blocks, "ambiguous": found.ambiguous, "unlabelled": found.unlabelled}
        catalogue = {"catalogue": found.parsed.catalogue.label, "coverage": found.parsed.coverage}
        _print_json(read | counts | catalogue | {"absent": found.absent, "detectors": evaluations})
        return
    out.print(holdout_notes(found), markup=False, highlight=False, soft_wrap=True)
    out.print(detectors_table("Unseen data", [(name, "these logs", e) for name, e in evaluations.items()]))
    out.print(unseen_notes(evaluations), markup=False, highlight=False, soft_wrap=True)
    if table := kinds_table(evaluations):
        out.print(table)


@app.command()
def score(
    paths: Paths,
    detector: Annotated[str | None, typer.Option(help="Detector; the setting `champion` by default.")] = None,
    as_json: Json = False,
) -> None:
    """Score the blocks of logs with a trained model, without keeping anything."""
    from hdfs_pipeline.experiments.holdout import score_files
    from hdfs_pipeline.serving.console import blocks_table
    from hdfs_pipeline.serving.verdicts import serving_detector

    settings = load_settings()
    with err.status("scoring"):
        rows = score_files(settings, paths, detector or serving_detector(settings))
    if as_json:
        _print_json(rows)
        return
    found = [row for row in rows if row["is_anomaly"]]
    out.print(blocks_table(found[:20], f"{len(found):,} anomalies in {len(rows):,} blocks"))
    if len(found) > 20:
        out.print(f"{len(found) - 20:,} more with --json")


@app.command()
def explain(
    block: Annotated[str, typer.Argument(help="Block id, such as blk_1073741825 (for a negative one: -- BLOCK).")],
    detector: Annotated[str | None, typer.Option(help="Detector; the setting `champion` by default.")] = None,
    as_json: Json = False,
) -> None:
    """Say why a block of the home is anomalous, or is not: what differs, what weighs, and its raw lines."""
    from dataclasses import asdict

    from hdfs_pipeline.serving.console import explanation_table
    from hdfs_pipeline.serving.verdicts import explain_block, serving_detector
    from hdfs_pipeline.store import Store

    settings = load_settings()
    report = explain_block(Store.open(settings), settings, block, detector or serving_detector(settings))
    if as_json:
        _print_json(asdict(report))
        return
    verdict = "[red]anomalous[/]" if report.is_anomaly else "[green]normal[/]"
    out.print(
        f"[bold]{report.block_id}[/] is {verdict}: {report.detector} {report.score:.4g}, "
        f"threshold {report.threshold:.4g}" + (f"; labelled {report.label}" if report.label else ""),
        highlight=False,
    )
    out.print(f"{report.explanation.reason}\n", markup=False, highlight=False, soft_wrap=True)
    out.print(explanation_table(report))
    for line in report.lines:
        place = escape("@".join(part for part in (line["daemon"], line["host"]) if part))
        out.print(f"[dim]{line['event_id']:>7} {place}[/] ", end="")
        out.print(line["line"], markup=False, highlight=False, soft_wrap=True)
    if report.records > len(report.lines):
        out.print(f"[dim]{report.records - len(report.lines):,} more records in `raw_logs`[/]", highlight=False)


@app.command()
def backup(target: Annotated[Path, typer.Argument(help="New file for a consistent copy of the store.")]) -> None:
    """Copy the store while others may use it."""
    from hdfs_pipeline.store import Store

    Store.open(load_settings()).backup(target)
    out.print(f"copied to {target}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for one file per table.")],
    format: Annotated[str, typer.Option(help="parquet or csv.")] = "parquet",
    table: Annotated[list[str] | None, typer.Option(help="Only this table; may be repeated.")] = None,
) -> None:
    """Write the store's tables to files that other tools read."""
    from hdfs_pipeline.store import Store

    for name, path in Store.open(load_settings()).export(folder, format=format, tables=table).items():
        out.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def settings(as_json: Json = False) -> None:
    """Show every setting: value, environment variable and meaning."""
    from rich.table import Table

    found = load_settings()
    if as_json:
        _print_json(found.model_dump(mode="json"))
        return
    table = Table("setting", "value", "environment", "meaning")
    for name, field in Settings.model_fields.items():
        value = escape(str(getattr(found, name)))
        table.add_row(name, value, f"{PREFIX}{name.upper()}", escape(field.description or ""))
    out.print(table)


@app.command()
def up() -> None:
    """Start Dagster's web page and daemon for this home; Ctrl-C ends both."""
    from hdfs_pipeline.orchestration import serve

    raise typer.Exit(serve(load_settings()))


@bench.command("parse")
def bench_parse_command(
    path: Annotated[Path, typer.Argument(help="Sample to repeat with fresh block ids: a log, or a folder of logs.")],
    lines: Annotated[int, typer.Option(help="Lines to measure on, at least.")] = 2_000_000,
    peers: Annotated[bool, typer.Option(help="LogLead and Drain3 too (`make bench-peers` installs them).")] = True,
    as_json: Json = False,
) -> None:
    """Raw file → event matrix of every block, beside DuckDB's line count, LogLead and Drain3."""
    from hdfs_pipeline.experiments.bench_parse import bench_parse, render_parse

    with err.status("measuring"):
        result = bench_parse(path, lines=lines, peers=peers, settings=load_settings())
    _print_json(result) if as_json else out.print(render_parse(result))


@bench.command("score")
def bench_score_command(as_json: Json = False) -> None:
    """One row and batches through the random forest, and its distance from scikit-learn's probabilities."""
    from hdfs_pipeline.domains.blocks.matrix import load_dataset
    from hdfs_pipeline.experiments.bench_score import bench_score, render_score
    from hdfs_pipeline.store import Store

    settings = load_settings()
    data = load_dataset(Store.open(settings), settings).labelled()
    with err.status("measuring"):
        result = bench_score(data.matrix("events"), data.labels, settings=settings)
    _print_json(result) if as_json else out.print(render_score(result))


def _arrange(arguments: list[str]) -> list[str]:
    """What people write, as typer wants it: `--home DIR` before the command, `--logs` before each of its paths."""
    before: list[str] = []
    after: list[str] = []
    rest = iter(arguments)
    option = ""
    for argument in rest:
        if argument == "--":
            after += [argument, *rest]
        elif argument == "--home":
            before += [argument, *(value for value in [next(rest, None)] if value is not None)]
        elif argument.startswith("--home="):
            before.append(argument)
        elif argument.startswith("-") and argument != "-":  # "-" is standard input
            option = argument
            after.append(argument)
        elif option == "--logs" and after[-1] != "--logs":
            after += ["--logs", argument]
        else:
            after.append(argument)
    return before + after


def main() -> None:
    """Entry point: errors for people on standard error, and an exit code that tells their kind."""
    code = _run()
    with suppress(OSError):  # a reader of the output that has gone, as in `… | head`
        sys.stdout.flush()
        sys.stderr.flush()
    # All work is done and closed. An orderly shutdown would let DuckDB's bindings print pages about objects that
    # Dagster's caches still hold.
    os._exit(code)


def _run() -> int:
    try:
        app(_arrange(sys.argv[1:]))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except PipelineError as error:
        err.print(f"[bold red]hdfs-pipeline:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        err.print("interrupted")
        return 130
    except Exception:  # noqa: BLE001 - a fault of ours: the traceback is what a report needs
        err.print_exception()
        return 1
    return 0
