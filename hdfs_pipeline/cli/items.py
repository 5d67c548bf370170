"""Items of any domain: read files, train detectors, evaluate, score and explain."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.terminal import Detector, Domain, Json, Labels, Logs, Paths
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from hdfs_pipeline.domains import contract
    from hdfs_pipeline.scoring.plausibility import Doubt

app = typer.Typer()


@app.command()
def ingest(
    paths: Paths,
    labels: Labels = None,
    verdicts: Annotated[
        bool, typer.Option("--verdicts/--no-verdicts", help="Bring verdicts and incidents up to date as well.")
    ] = True,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Read files into the home, and say what went wrong. No content is read twice; `status` tells the outcome."""
    from dataclasses import asdict

    from hdfs_pipeline.cli.tables.detectors import doubt_notes, read_notes
    from hdfs_pipeline.domains import domain_named

    settings, kind = load_settings(), domain_named(domain)
    read = _read(settings, kind, paths, labels)
    outcome = _judge(settings, kind) if verdicts and read.items else None
    if as_json:
        facts = asdict(read)
        left = [{"path": path, "why": why} for path, why in facts.pop("left_out")]
        facts |= {"catalogue": facts.pop("source"), "left_out": left, "verdicts": outcome and outcome[0]}
        terminal.print_json(facts, kind.item)
    else:
        terminal.out.print(read_notes(read, kind.item, settings.home), markup=False, highlight=False, soft_wrap=True)
        if outcome:
            told, doubts = outcome
            for note in doubt_notes(doubts):
                terminal.out.print(note, style="bold yellow", markup=False, highlight=False, soft_wrap=True)
            sentence = (
                f"{told['anomalies']:,} {'anomaly' if told['anomalies'] == 1 else 'anomalies'} by {told['detector']}, "
                f"{told['incidents']:,} incident{'s' * (told['incidents'] != 1)}: "
                "`hdfs-pipeline status` tells them"
            )
            terminal.out.print(sentence, markup=False, highlight=False, soft_wrap=True)
    _complain(read)


def _judge(settings: Settings, kind: "contract.Domain") -> "tuple[dict[str, Any], list[Doubt]] | None":
    """Bring the home's verdicts up to date; their numbers, and the reasons to doubt them. None where no model can."""
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.files import publish_for_all

    store = Store.open(settings)
    try:
        with terminal.err.status("scoring"):
            done = publish_for_all(store, settings, kind)
    except (NotTrainedError, DataError) as error:  # what was read is stored, and stays
        terminal.err.print(f"no verdicts: {error}", style="yellow", markup=False, highlight=False, soft_wrap=True)
        return None
    with store.read() as con:
        own = [kind.name, done.detector]
        flagged = con.execute("SELECT count(*) FROM scores WHERE domain = ? AND detector = ? AND is_anomaly", own)
        told = {"detector": done.detector, "version": done.version, "anomalies": flagged.fetchall()[0][0]}
        incidents = con.execute("SELECT count(*) FROM incidents").fetchall()[0][0]
    return told | {"incidents": incidents, "doubts": [doubt.to_json() for doubt in done.doubts]}, done.doubts


def _complain(read: "contract.Read") -> None:
    """Raises: DataError naming what could not be read, after all else was stored."""
    if read.unread:
        listed = "".join(f"\n  {sentence}" for sentence in read.unread)
        raise DataError(f"not everything could be read; all else is stored:{listed}")


def _read(settings: Settings, kind: "contract.Domain", paths: list[str], labels: Path | None) -> "contract.Read":
    from hdfs_pipeline.domains.following import read_for_all
    from hdfs_pipeline.store.store import Store

    with terminal.steps() as progress:
        bar = progress.add_task("reading", total=None)

        def on_step(step: str, done: int | None, of: int | None) -> None:
            progress.update(bar, description=step, completed=done, total=of)

        return read_for_all(Store.open(settings), settings, kind, paths, labels, on_step)


@app.command()
def train(
    detector: Detector = "standard",
    logs: Logs = None,
    labels: Labels = None,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Train detectors on the home's items and register them. If --logs or --labels are given, they are read first."""
    from hdfs_pipeline.cli.tables.detectors import detectors_table, unlabelled_notes
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.champions import families, named_detectors
    from hdfs_pipeline.learning.challenge import train_and_track
    from hdfs_pipeline.learning.tracking import publish_evaluations
    from hdfs_pipeline.scoring.feedback import feedback_sentence
    from hdfs_pipeline.store.store import Store

    kind = domain_named(domain)
    names = named_detectors(kind, [detector])
    settings = load_settings() if logs else existing_home()
    store = Store.open(settings)
    if logs or labels:
        _complain(_read(settings, kind, logs or [], labels))
    kind.prepare(store, settings)
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
    if rows:
        terminal.out.print(detectors_table(escape(title), rows))
    else:
        terminal.out.print(unlabelled_notes(cards, len(data), kind), markup=False, highlight=False, soft_wrap=True)
    for card in cards:
        verdict = card["judgement"].get("verdict", f"serves, and learned from all {plural}")
        terminal.out.print(
            f"{card['detector']} version {card['version']}: {verdict}", markup=False, highlight=False, soft_wrap=True
        )
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
    """Judge the home's models, and detectors that need none, on files that they have never seen, in a store apart."""
    from hdfs_pipeline.cli.tables.detectors import (
        detectors_table,
        doubt_notes,
        fits_table,
        holdout_notes,
        kinds_table,
        unseen_notes,
    )
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.champions import named_detectors, ready_detectors
    from hdfs_pipeline.learning.holdout import evaluate_files

    settings, kind = load_settings(), domain_named(domain)
    names = named_detectors(kind, [detector], ready_detectors(settings, kind)) or [kind.default_detector]
    with terminal.steps() as progress:
        bar = progress.add_task("reading", total=None)
        held_out = evaluate_files(
            settings, kind, logs, labels, names, lambda step: progress.update(bar, description=step, total=None)
        )
    evaluations = {name: tested.evaluation.to_json() for name, tested in held_out.tests.items()}
    if as_json:
        read = {name: getattr(held_out.read, name) for name in ("lines", "records", "dead_letters")}
        counts = {name: getattr(held_out, name) for name in ("items", "ambiguous", "unlabelled", "unfinished")}
        source = {"catalogue": held_out.read.source, "coverage": held_out.read.coverage}
        told = {name: [doubt.to_json() for doubt in found] for name, found in held_out.doubts.items()}
        facts = read | counts | source | {"absent": held_out.absent, "doubts": told, "detectors": evaluations}
        facts["reach"] = held_out.reach.to_json() if held_out.reach else None
        facts["kinds"] = {name: fit.to_json() for name, fit in held_out.kinds.items()}
        terminal.print_json(facts, kind.item)
        return
    for name, found in held_out.doubts.items():
        for note in doubt_notes(found, name):
            terminal.out.print(note, style="bold yellow", markup=False, highlight=False, soft_wrap=True)
    terminal.out.print(holdout_notes(held_out, kind.item), markup=False, highlight=False, soft_wrap=True)
    ranked = sorted(evaluations.items(), key=lambda pair: -pair[1]["f1"])
    terminal.out.print(detectors_table("Unseen data", [(name, "logs", figures) for name, figures in ranked]))
    for note in [*unseen_notes(dict(ranked), kind.item), *([str(held_out.reach)] if held_out.reach else [])]:
        terminal.out.print(note, markup=False, highlight=False, soft_wrap=True)
    if table := kinds_table(evaluations, kind.item.plural):
        terminal.out.print(table)
    if table := fits_table({name: held_out.kinds[name] for name, _ in ranked if name in held_out.kinds}):
        terminal.out.print(table)


@app.command()
def score(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files (.gz, .zst too), folders, globs; - for standard input.")
    ] = None,
    detector: Annotated[str | None, typer.Option(help="Detector; the setting `champion` by default.")] = None,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Say which of the home's items went wrong, and how; or those of files, which the home does not take in."""
    from hdfs_pipeline.cli.tables.detectors import doubt_notes
    from hdfs_pipeline.cli.tables.scored import scored_notes, scored_tables
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.files import score_files, score_home

    settings, kind = load_settings() if paths else existing_home(), domain_named(domain)
    with terminal.err.status("scoring"):
        if paths:
            found = score_files(settings, kind, paths, detector)
        else:
            found = score_home(Store.open(settings), settings, kind, detector)
    if as_json:
        terminal.print_json(found.to_json(), kind.item)
        return
    for note in doubt_notes(found.doubts):
        terminal.out.print(note, style="bold yellow", markup=False, highlight=False, soft_wrap=True)
    for table in scored_tables(found, kind):
        terminal.out.print(table)
    terminal.out.print(scored_notes(found, kind), markup=False, highlight=False, soft_wrap=True)


@app.command()
def rebuild(as_json: Json = False) -> None:
    """Count all records anew and judge all items anew, of every domain. What is kept up to date gives the same."""
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.rebuild import rebuild as make_anew

    settings = existing_home()
    with terminal.err.status("counting") as status:
        items = make_anew(Store.open(settings), settings, status.update)
    if as_json:
        terminal.print_json({"items": items})
        return
    counted = ", ".join(f"{count:,} {plural}" for plural, count in items.items() if count)
    terminal.out.print(
        f"made anew: {counted or 'nothing, since nothing was read yet'}", highlight=False, soft_wrap=True
    )


@app.command()
def explain(
    item: Annotated[
        str, typer.Argument(metavar="ITEM", help="Id, such as blk_1073741825 (one that begins with -: -- ITEM).")
    ],
    detector: Annotated[str | None, typer.Option(help="Detector; the setting `champion` by default.")] = None,
    scored: Annotated[
        bool, typer.Option("--scored", help="The item as it is in the files that `score` was given last.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="All raw records, not only those that tell why.")] = False,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Say why an item is anomalous or normal: the rules that it breaks, what differs, the records that tell of it."""
    from hdfs_pipeline.cli.tables.explanations import (
        differs_by_rules,
        explanation_table,
        record_lines,
        summary,
    )
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.champions import serving_detector
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.explain import explain_item

    settings, kind = existing_home(), domain_named(domain)
    name = detector or serving_detector(settings, kind)
    report = explain_item(Store.open(settings), settings, kind, item, name, scored=scored)
    if as_json:
        terminal.print_json(report.to_json(everything=everything), kind.item)
        return
    for line in summary(report):
        terminal.out.print(line, highlight=False, soft_wrap=True)
    if not differs_by_rules(report):
        terminal.out.print(explanation_table(report, kind.item.noun))
    for line in record_lines(report, everything=everything):
        terminal.out.print(line, highlight=False, soft_wrap=True)
