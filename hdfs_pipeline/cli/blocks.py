"""Block logs: read, train, evaluate, score, explain."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Detector, Json, Labels, Logs, Paths
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import PREFIX, PROJECT, Settings, load_settings

app = typer.Typer()
SAMPLES = ("hdfs_v1", "hdfs_3.4")


@app.command()
def demo(
    sample: Annotated[str, typer.Option(help=f"Which shipped data: {' or '.join(SAMPLES)}.")] = SAMPLES[0],
) -> None:
    """Run the main job on real, labelled logs that ship with the project, and show what it finds.

    hdfs_3.4 goes into a home of its own, data/homes/hdfs_3.4, unless --home names one.
    """
    from hdfs_pipeline.cli.demo import run_demo

    if sample not in SAMPLES:
        raise DataError(f"no sample {sample!r}; there are {' and '.join(SAMPLES)}")
    if sample != SAMPLES[0] and os.environ[f"{PREFIX}HOME"] == str(Path("data")):
        os.environ[f"{PREFIX}HOME"] = str(Path("data") / "homes" / sample)
    settings = load_settings()
    with terminal.steps() as progress:
        bar = progress.add_task("starting", total=None)
        result = run_demo(
            settings,
            PROJECT / "data" / "sample" / sample,
            lambda step, done, total: progress.update(bar, description=step, completed=done, total=total),
        )
    result.show(terminal.out)


@app.command()
def ingest(paths: Paths, labels: Labels = None, as_json: Json = False) -> None:
    """Read logs into the home: records, events and the event matrix. What was read before is read once."""
    from hdfs_pipeline.cli.tables.detectors import ingest_notes
    from hdfs_pipeline.store.store import Store

    settings = load_settings()
    facts = _ingest(settings, Store.open(settings), paths, labels)
    if as_json:
        terminal.print_json(facts)
        return
    terminal.out.print(ingest_notes(facts, settings.home), markup=False, highlight=False, soft_wrap=True)


def _ingest(settings: Settings, store: Any, paths: list[str], labels: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    from hdfs_pipeline.domains.blocks.features import build_matrix
    from hdfs_pipeline.domains.blocks.ingest import ingest as read
    from hdfs_pipeline.domains.blocks.labels import load_labels
    from hdfs_pipeline.domains.blocks.parse import learn_templates, parse

    with terminal.steps() as progress:
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


@app.command()
def train(detector: Detector = "standard", logs: Logs = None, labels: Labels = None, as_json: Json = False) -> None:
    """Train detectors on the home's blocks (read --logs and --labels first, where given) and register them."""
    from hdfs_pipeline.cli.tables.detectors import detectors_table
    from hdfs_pipeline.detectors import families, named_detectors
    from hdfs_pipeline.domains.blocks.features import load_dataset
    from hdfs_pipeline.learning.tracking import publish_evaluations, train_and_track
    from hdfs_pipeline.scoring.feedback import feedback_sentence
    from hdfs_pipeline.store.store import Store

    names = named_detectors([detector])
    settings = load_settings()
    store = Store.open(settings)
    if logs or labels:
        _ingest(settings, store, logs or [], labels)
    data = load_dataset(store, settings, families(names))

    def work(name: str, on_step: Callable[[str], None]) -> dict[str, Any]:
        card, _ = train_and_track(store, data, name, settings, on_step)
        publish_evaluations(store, card)
        return card.to_json()

    cards = terminal.for_each(names, "training", work, DataError, "is left out")
    if not cards:
        raise DataError("no detector could be trained")
    if as_json:
        terminal.print_json(cards)
        return
    rows = [(card["detector"], split, found) for card in cards for split, found in card["metrics"].items()]
    title = f"Judged on blocks not trained on ({len(data):,} blocks in {settings.home})"
    terminal.out.print(detectors_table(escape(title), rows))
    terminal.out.print(
        "Models, trained on all blocks: " + ", ".join(f"{c['detector']} version {c['version']}" for c in cards)
    )
    for told in [f"feedback: {c['detector']}: {feedback_sentence(c['feedback'])}" for c in cards if c["feedback"]]:
        terminal.out.print(told, markup=False, highlight=False, soft_wrap=True)


@app.command()
def evaluate(
    logs: Annotated[list[str], typer.Option("--logs", help="Logs that the models have never seen.")],
    labels: Annotated[Path, typer.Option("--labels", help="Their labels, as CSV.")],
    detector: Detector = "all",
    as_json: Json = False,
) -> None:
    """Judge the home's models on logs that they have never seen, in a store of its own."""
    from hdfs_pipeline.cli.tables.detectors import detectors_table, holdout_notes, kinds_table, unseen_notes
    from hdfs_pipeline.detectors import named_detectors
    from hdfs_pipeline.learning.holdout import evaluate_files
    from hdfs_pipeline.scoring.models import trained_detectors

    settings = load_settings()
    names = named_detectors([detector], trained_detectors(settings)) or ["random_forest"]
    with terminal.steps() as progress:
        bar = progress.add_task("reading", total=None)
        found = evaluate_files(
            settings, logs, labels, names, lambda step: progress.update(bar, description=step, total=None)
        )
    evaluations = {name: tested.evaluation.to_json() for name, tested in found.tests.items()}
    if as_json:
        read = {"lines": found.read.lines, "records": found.read.records, "dead_letters": found.read.dead_letters}
        counts = {"blocks": found.blocks, "ambiguous": found.ambiguous, "unlabelled": found.unlabelled}
        catalogue = {"catalogue": found.parsed.catalogue.label, "coverage": found.parsed.coverage}
        terminal.print_json(read | counts | catalogue | {"absent": found.absent, "detectors": evaluations})
        return
    terminal.out.print(holdout_notes(found), markup=False, highlight=False, soft_wrap=True)
    ranked = sorted(evaluations.items(), key=lambda pair: -pair[1]["f1"])
    terminal.out.print(detectors_table("Unseen data", [(name, "logs", found) for name, found in ranked]))
    terminal.out.print(unseen_notes(dict(ranked)), markup=False, highlight=False, soft_wrap=True)
    if table := kinds_table(evaluations):
        terminal.out.print(table)


@app.command()
def score(
    paths: Paths,
    detector: Annotated[str | None, typer.Option(help="Detector; the setting `champion` by default.")] = None,
    as_json: Json = False,
) -> None:
    """Score the blocks of logs with a trained model, without keeping anything."""
    from hdfs_pipeline.cli.tables.detectors import blocks_table
    from hdfs_pipeline.learning.holdout import score_files
    from hdfs_pipeline.verdicts.score import serving_detector

    settings = load_settings()
    with terminal.err.status("scoring"):
        rows = score_files(settings, paths, detector or serving_detector(settings))
    if as_json:
        terminal.print_json(rows)
        return
    found = [row for row in rows if row["is_anomaly"]]
    terminal.out.print(blocks_table(found[:20], f"{len(found):,} anomalies in {len(rows):,} blocks"))
    if len(found) > 20:
        terminal.out.print(f"{len(found) - 20:,} more with --json")


@app.command()
def explain(
    block: Annotated[str, typer.Argument(help="Block id, such as blk_1073741825 (for a negative one: -- BLOCK).")],
    detector: Annotated[str | None, typer.Option(help="Detector; the setting `champion` by default.")] = None,
    as_json: Json = False,
) -> None:
    """Say why a block of the home is anomalous, or is not: what differs, what weighs, and its raw lines."""
    from dataclasses import asdict

    from hdfs_pipeline.cli.tables.detectors import explanation_table
    from hdfs_pipeline.cli.tables.feedback import said_sentence
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.score import explain_block, serving_detector

    settings = load_settings()
    report = explain_block(Store.open(settings), settings, block, detector or serving_detector(settings))
    if as_json:
        terminal.print_json(asdict(report))
        return
    verdict = "[red]anomalous[/]" if report.is_anomaly else "[green]normal[/]"
    terminal.out.print(
        f"[bold]{report.block_id}[/] is {verdict}: {report.detector} {report.score:.4g}, "
        f"threshold {report.threshold:.4g}" + (f"; labelled {report.label}" if report.label else ""),
        highlight=False,
    )
    if report.feedback:
        terminal.out.print(said_sentence(report.feedback), markup=False, highlight=False, soft_wrap=True)
    terminal.out.print(f"{report.explanation.reason}\n", markup=False, highlight=False, soft_wrap=True)
    terminal.out.print(explanation_table(report))
    for line in report.lines:
        place = escape("@".join(part for part in (line["daemon"], line["host"]) if part))
        terminal.out.print(f"[dim]{line['event_id']:>7} {place}[/] ", end="")
        terminal.out.print(line["line"], markup=False, highlight=False, soft_wrap=True)
    if report.records > len(report.lines):
        terminal.out.print(
            f"[dim]{report.records - len(report.lines):,} more records in `raw_logs`[/]", highlight=False
        )
