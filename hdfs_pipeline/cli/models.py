"""Models: retrain them on what is new, see their versions, go back to an earlier one."""

from typing import Annotated

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Detector, Json
from hdfs_pipeline.errors import DataError, PipelineError
from hdfs_pipeline.settings import load_settings

app = typer.Typer()


@app.command()
def retrain(
    detector: Detector = "all",
    force: Annotated[bool, typer.Option("--force", help="Also where fewer blocks are new than a batch.")] = False,
    as_json: Json = False,
) -> None:
    """Train a challenger on what is new; it serves only if it is not worse than the champion on the latest blocks."""
    from hdfs_pipeline.cli.tables.detectors import retrainings_table
    from hdfs_pipeline.detectors import named_detectors
    from hdfs_pipeline.errors import NotTrainedError
    from hdfs_pipeline.learning.choice import choose_detector
    from hdfs_pipeline.learning.retraining import retrain as run
    from hdfs_pipeline.scoring.feedback import feedback_sentence
    from hdfs_pipeline.scoring.models import trained_detectors
    from hdfs_pipeline.store.store import Store

    settings = load_settings()
    store = Store.open(settings)
    names = named_detectors([detector], trained_detectors(settings))
    if not names:
        raise NotTrainedError(f"no model in {settings.home}: run `hdfs-pipeline train`")
    least = 0 if force else None
    found = terminal.for_each(
        names,
        "retraining",
        lambda name, on_step: run(store, settings, name, at_least=least, on_step=on_step),
        PipelineError,
        "is left as it is",
    )
    if not found:
        raise DataError("no detector could be retrained")
    choice = choose_detector(store, settings)
    if as_json:
        terminal.print_json([each.to_json() for each in found])
    else:
        terminal.out.print(retrainings_table(found))
    told = [f"{each.detector}: {each.verdict}" for each in found if not as_json]
    told += [f"feedback: {each.detector}: {feedback_sentence(each.feedback)}" for each in found if each.feedback]
    told += [f"champion: {choice.verdict}"] if choice else []
    for line in told:
        stream = terminal.err if as_json else terminal.out
        stream.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def rollback(
    detector: Annotated[str, typer.Option("--detector", help="Name of a detector.")],
    to: Annotated[int | None, typer.Option("--to", help="Version; the one that served before by default.")] = None,
    as_json: Json = False,
) -> None:
    """Let an earlier version of a model serve again, or any other with --to, at once and in MLflow too."""
    from dataclasses import asdict

    from hdfs_pipeline.learning.retraining import roll_back

    done = roll_back(load_settings(), detector, to)
    if as_json:
        terminal.print_json(asdict(done))
        return
    told = f"{detector}: version {done.now} serves, in place of version {done.before}"
    if not done.alias_moved:
        told += "; MLflow does not know that version, so its alias stays where it was"
    terminal.out.print(told, markup=False, highlight=False, soft_wrap=True)


@app.command()
def models(detector: Detector = "all", as_json: Json = False) -> None:
    """Show every version of each model: which serves, when it was made, of how many blocks, its figures."""
    from hdfs_pipeline.cli.tables.detectors import models_table
    from hdfs_pipeline.detectors import named_detectors
    from hdfs_pipeline.learning.judgement import policy_sentence
    from hdfs_pipeline.scoring.feedback import feedback_sentence
    from hdfs_pipeline.scoring.models import BEST, cards, champion_version, read_choice, trained_detectors
    from hdfs_pipeline.verdicts.score import serving_detector

    settings = load_settings()
    names = named_detectors([detector], trained_detectors(settings))
    rows = [
        (card, card.version == champion_version(settings, name)) for name in names for card in cards(settings, name)
    ]
    if as_json:
        terminal.print_json([card.to_json() | {"serves": serves} for card, serves in rows])
        return
    terminal.out.print(models_table(rows))
    choice = read_choice(settings) if settings.champion == BEST else None
    told = [f"Policy: {policy_sentence(settings)}. Verdicts come from {serving_detector(settings)}."]
    told += [f"Chosen on {choice['decided_at'][:10]}: {choice['verdict']}"] if choice else []
    told += [
        f"feedback: {card.detector} version {card.version}: {feedback_sentence(card.feedback)}"
        for card, serves in rows
        if serves and card.feedback
    ]
    for line in told:
        terminal.out.print(line, markup=False, highlight=False, soft_wrap=True)
