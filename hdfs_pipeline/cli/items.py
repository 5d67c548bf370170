"""Items of any domain: read files, train detectors, evaluate, score and explain."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Detector, Domain, Json, Labels, Logs, Paths
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from hdfs_pipeline.domains import contract

app = typer.Typer()


@app.command()
def ingest(paths: Paths, labels: Labels = None, domain: Domain = None, as_json: Json = False) -> None:
    """Read files into the home: records, events and features of each item. No content is read twice."""
    from dataclasses import asdict

    from hdfs_pipeline.cli.tables.detectors import read_notes
    from hdfs_pipeline.domains import domain_named

    settings, kind = load_settings(), domain_named(domain)
    read = _read(settings, kind, paths, labels)
    if as_json:
        facts = asdict(read)
        terminal.print_json(facts | {"catalogue": facts.pop("source")}, kind.item)
        return
    terminal.out.print(read_notes(read, kind.item, settings.home), markup=False, highlight=False, soft_wrap=True)


def _read(settings: Settings, kind: "contract.Domain", paths: list[str], labels: Path | None) -> "contract.Read":
    from hdfs_pipeline.store.store import Store

    with terminal.steps() as progress:
        bar = progress.add_task("reading", total=None)

        def on_step(step: str, done: int | None, of: int | None) -> None:
            progress.update(bar, description=step, completed=done, total=of)

        return kind.read(Store.open(settings), settings, paths, labels, on_step)


@app.command()
def train(
    detector: Detector = "standard",
    logs: Logs = None,
    labels: Labels = None,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Train detectors on the home's items and register them. If --logs or --labels are given, they are read first."""
    from hdfs_pipeline.cli.tables.detectors import detectors_table
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.champions import families, named_detectors
    from hdfs_pipeline.learning.tracking import publish_evaluations, train_and_track
    from hdfs_pipeline.scoring.feedback import feedback_sentence
    from hdfs_pipeline.store.store import Store

    kind = domain_named(domain)
    names = named_detectors(kind, [detector])
    settings = load_settings()
    store = Store.open(settings)
    if logs or labels:
        _read(settings, kind, logs or [], labels)
    data = kind.features(store, settings, families(kind, names))

    def work(name: str, on_step: Callable[[str], None]) -> dict[str, Any]:
        card, _ = train_and_track(store, data, kind, name, settings, on_step)
        publish_evaluations(store, card)
        return card.to_json()

    cards = terminal.for_each(names, "training", work, DataError, "is left out")
    if not cards:
        raise DataError("no detector could be trained")
    if as_json:
        terminal.print_json(cards, kind.item)
        return
    rows = [(card["detector"], split, metrics) for card in cards for split, metrics in card["metrics"].items()]
    plural = kind.item.plural
    title = f"Judged on {plural} not trained on ({len(data):,} {plural} in {settings.home})"
    terminal.out.print(detectors_table(escape(title), rows))
    models = ", ".join(f"{card['detector']} version {card['version']}" for card in cards)
    terminal.out.print(f"Models, trained on all {plural}: {models}")
    for card in cards:
        if card["feedback"]:
            sentence = f"feedback: {card['detector']}: {feedback_sentence(card['feedback'])}"
            terminal.out.print(sentence, markup=False, highlight=False, soft_wrap=True)


@app.command()
def evaluate(
    logs: Annotated[list[str], typer.Option("--logs", help="Logs that the models have never seen.")],
    labels: Annotated[Path, typer.Option("--labels", help="Labels of the items in the logs, as CSV.")],
    detector: Detector = "all",
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Judge the home's models on files that they have never seen, in a store of its own."""
    from hdfs_pipeline.cli.tables.detectors import detectors_table, holdout_notes, kinds_table, unseen_notes
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.champions import named_detectors
    from hdfs_pipeline.learning.holdout import evaluate_files
    from hdfs_pipeline.scoring.models import trained_detectors

    settings, kind = load_settings(), domain_named(domain)
    names = named_detectors(kind, [detector], trained_detectors(settings, kind.name)) or [kind.default_detector]
    with terminal.steps() as progress:
        bar = progress.add_task("reading", total=None)
        held_out = evaluate_files(
            settings, kind, logs, labels, names, lambda step: progress.update(bar, description=step, total=None)
        )
    evaluations = {name: tested.evaluation.to_json() for name, tested in held_out.tests.items()}
    if as_json:
        read = {name: getattr(held_out.read, name) for name in ("lines", "records", "dead_letters")}
        counts = {name: getattr(held_out, name) for name in ("items", "ambiguous", "unlabelled")}
        source = {"catalogue": held_out.read.source, "coverage": held_out.read.coverage}
        facts = read | counts | source | {"absent": held_out.absent, "detectors": evaluations}
        terminal.print_json(facts, kind.item)
        return
    terminal.out.print(holdout_notes(held_out, kind.item), markup=False, highlight=False, soft_wrap=True)
    ranked = sorted(evaluations.items(), key=lambda pair: -pair[1]["f1"])
    terminal.out.print(detectors_table("Unseen data", [(name, "logs", figures) for name, figures in ranked]))
    terminal.out.print(unseen_notes(dict(ranked), kind.item), markup=False, highlight=False, soft_wrap=True)
    if table := kinds_table(evaluations, kind.item.plural):
        terminal.out.print(table)


@app.command()
def score(
    paths: Paths,
    detector: Annotated[str | None, typer.Option(help="Detector; the setting `champion` by default.")] = None,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Score the items of files with a trained model; nothing is kept."""
    from hdfs_pipeline.cli.tables.detectors import items_table
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.champions import serving_detector
    from hdfs_pipeline.learning.holdout import score_files

    settings, kind = load_settings(), domain_named(domain)
    with terminal.err.status("scoring"):
        rows = score_files(settings, kind, paths, detector or serving_detector(settings, kind))
    if as_json:
        terminal.print_json(rows)
        return
    anomalies = [row for row in rows if row["is_anomaly"]]
    title = f"{len(anomalies):,} anomalies in {len(rows):,} {kind.item.plural}"
    terminal.out.print(items_table(anomalies[:20], title, kind.item))
    if len(anomalies) > 20:
        terminal.out.print(f"{len(anomalies) - 20:,} more with --json")


@app.command()
def explain(
    item: Annotated[
        str, typer.Argument(metavar="ITEM", help="Id, such as blk_1073741825 (one that begins with -: -- ITEM).")
    ],
    detector: Annotated[str | None, typer.Option(help="Detector; the setting `champion` by default.")] = None,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Say why an item of the home is anomalous or normal: the differences, their weights, and its raw records."""
    from dataclasses import asdict

    from hdfs_pipeline.cli.tables.detectors import explanation_table
    from hdfs_pipeline.cli.tables.feedback import feedback_json, feedback_sentence
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.champions import serving_detector
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.explain import explain_item

    settings, kind = load_settings(), domain_named(domain)
    name = detector or serving_detector(settings, kind)
    report = explain_item(Store.open(settings), settings, kind, item, name)
    if as_json:
        given = {"feedback": feedback_json(report.feedback)} if report.feedback else {}
        terminal.print_json(asdict(report) | given, kind.item)
        return
    verdict = "[red]anomalous[/]" if report.is_anomaly else "[green]normal[/]"
    terminal.out.print(
        f"[bold]{report.item}[/] is {verdict}: {report.detector} {report.score:.4g}, "
        f"threshold {report.threshold:.4g}" + (f"; labelled {report.label}" if report.label else ""),
        highlight=False,
    )
    if report.feedback:
        terminal.out.print(feedback_sentence(report.feedback), markup=False, highlight=False, soft_wrap=True)
    terminal.out.print(f"{report.explanation.reason}\n", markup=False, highlight=False, soft_wrap=True)
    terminal.out.print(explanation_table(report, kind.item.noun))
    for line in report.lines:
        place = escape("@".join(part for part in (line.get("daemon"), line.get("host")) if part))
        terminal.out.print(f"[dim]{line.get('event_id', ''):>7} {place}[/] ", end="")
        terminal.out.print(line["line"], markup=False, highlight=False, soft_wrap=True)
    if report.records > len(report.lines):
        more = report.records - len(report.lines)
        terminal.out.print(f"[dim]{more:,} more records in the store[/]", highlight=False)
