"""Models: retrain them on new items, see their versions, go back to an earlier one."""

from typing import Annotated

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.terminal import Detector, Domain, Json
from hdfs_pipeline.errors import DataError, PipelineError

app = typer.Typer()


@app.command()
def retrain(
    detector: Detector = "all",
    force: Annotated[bool, typer.Option("--force", help="Retrain even if fewer items are new than a batch.")] = False,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Train a challenger on new items; it serves only if it leads the champion beyond chance on the latest items."""
    from hdfs_pipeline.cli.tables.detectors import retrainings_table
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.champions import named_detectors, ready_detectors
    from hdfs_pipeline.errors import NotTrainedError
    from hdfs_pipeline.learning.choice import choose_detector
    from hdfs_pipeline.learning.retraining import retrain as run
    from hdfs_pipeline.scoring.feedback import feedback_sentence
    from hdfs_pipeline.scoring.models import trained_detectors
    from hdfs_pipeline.store.store import Store

    settings, kind = existing_home(), domain_named(domain)
    store = Store.open(settings)
    names = named_detectors(kind, [detector], ready_detectors(settings, kind))
    nothing = NotTrainedError(f"no model in {settings.home}: run `hdfs-pipeline train`")
    trained = trained_detectors(settings, kind.name)
    if not names or (kind.untrained.issuperset(names) and not store.path.exists()):
        raise nothing
    least = 0 if force else None
    retrainings = terminal.for_each(
        names,
        "retraining",
        lambda name, on_step: run(store, settings, kind, name, at_least=least, on_step=on_step),
        PipelineError,
        "is left as it is",
    )
    retrainings = [retraining for retraining in retrainings if retraining.champion or retraining.challenger]
    if not retrainings:
        raise DataError("no detector could be retrained") if trained else nothing
    choice = choose_detector(store, settings, kind)
    if as_json:
        terminal.print_json([retraining.to_json() for retraining in retrainings], kind.item)
    else:
        terminal.out.print(retrainings_table(retrainings, kind.item.plural))
    lines = [f"{retraining.detector}: {retraining.verdict}" for retraining in retrainings if not as_json]
    lines += [
        f"feedback: {retraining.detector}: {feedback_sentence(retraining.feedback)}"
        for retraining in retrainings
        if retraining.feedback
    ]
    lines += [f"champion: {choice.verdict}"] if choice else []
    for line in lines:
        stream = terminal.err if as_json else terminal.out
        stream.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def rollback(
    detector: Annotated[str, typer.Option("--detector", help="Name of a detector.")],
    to: Annotated[
        int | None, typer.Option("--to", min=1, help="Version; the one that served before by default.")
    ] = None,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Let an earlier version of a model serve again, or any version with --to, at once and also in MLflow."""
    from dataclasses import asdict

    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.learning.retraining import roll_back

    done = roll_back(existing_home(), domain_named(domain), detector, to)
    if as_json:
        terminal.print_json(asdict(done))
        return
    sentence = f"{detector}: version {done.now} serves, in place of version {done.before}"
    if not done.alias_moved:
        sentence += "; MLflow does not know that version, so its alias stays where it was"
    terminal.out.print(sentence, markup=False, highlight=False, soft_wrap=True)


@app.command()
def models(detector: Detector = "all", domain: Domain = None, as_json: Json = False) -> None:
    """Show every version of each model: whether it serves, when it was made, how many items it learned, its figures.

    Detectors that need no training are shown as version 0.
    """
    from hdfs_pipeline.cli.tables.detectors import models_table
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.champions import named_detectors, ready_detectors
    from hdfs_pipeline.scoring.feedback import feedback_sentence
    from hdfs_pipeline.verdicts.models import choice_of, versions_of

    settings, kind = existing_home(), domain_named(domain)
    rows = versions_of(settings, kind, named_detectors(kind, [detector], ready_detectors(settings, kind)))
    if as_json:
        terminal.print_json([row.to_json() for row in rows], kind.item)
        return
    if rows:
        terminal.out.print(models_table(rows, kind.item.plural))
    if not any(card.version for card, _ in rows):
        terminal.out.print(f"no model yet: `hdfs-pipeline train` makes one from the {kind.item.plural} of this home")
    chosen = choice_of(settings, kind)
    choice = chosen["choice"]
    lines = [f"Policy: {chosen['policy']}. Verdicts come from {chosen['serving']}."]
    lines += [f"Chosen on {choice['decided_at'][:10]}: {choice['verdict']}"] if choice else []
    lines += [
        f"feedback: {card.detector} version {card.version}: {feedback_sentence(card.feedback)}"
        for card, serves in rows
        if serves and card.feedback
    ]
    for line in lines:
        terminal.out.print(line, markup=False, highlight=False, soft_wrap=True)
