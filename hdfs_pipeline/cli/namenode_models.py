"""NameNode models: train, score, report, mark, roll back, evaluate."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.settings import load_settings

app = typer.Typer()
DOMAIN = "namenode"
_KINDS = ("maintenance", "false")

NameNode = Annotated[str | None, typer.Option("--namenode", help="host:port; needed if several are polled.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Beginning, ISO 8601; UTC without a zone.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="End, ISO 8601; UTC without a zone.")]


def _time(text: str | None) -> datetime | None:
    return None if text is None else _known_time(text)


def _known_time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time: write 2026-11-21T18:00:00, with +01:00 for another zone") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


@app.command()
def train(
    start: From = None,
    end: To = None,
    namenode: NameNode = None,
    with_incidents: Annotated[
        bool, typer.Option("--with-incidents", help="Learn from incidents too, for instance after a lasting change.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train every NameNode detector on a window, by default the last `namenode_baseline_hours`; serves if as quiet."""
    from hdfs_pipeline.cli.tables.namenode import findings_text, status_table
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.namenode.detectors import LEARNING
    from hdfs_pipeline.domains.namenode.features import load_baseline
    from hdfs_pipeline.domains.namenode.reports import model_status
    from hdfs_pipeline.learning.challenge import train_and_track
    from hdfs_pipeline.store.store import Store

    settings, kind = existing_home(), domain_named(DOMAIN)
    store = Store.open(settings)
    with terminal.steps() as progress:
        bar = progress.add_task("reading", total=None)
        data = load_baseline(
            store, settings, namenode=namenode, start=_time(start), end=_time(end), with_incidents=with_incidents
        )
        cards = [
            train_and_track(store, data, kind, name, settings, lambda step: progress.update(bar, description=step))[0]
            for name in LEARNING
        ]
    models = model_status(settings)
    if as_json:
        terminal.print_json(models)
        return
    terminal.out.print(status_table(models))
    for card in cards:
        if card.judgement:
            _say(f"{card.detector} version {card.version}: {card.judgement['verdict']}")
    _say(findings_text(models["findings"]))


@app.command()
def status(as_json: Json = False) -> None:
    """Show the NameNode model that serves, what it learned from, its thresholds, and all versions."""
    from hdfs_pipeline.cli.tables.namenode import findings_text, status_table
    from hdfs_pipeline.domains.namenode.reports import model_status

    models = model_status(existing_home())
    if as_json:
        terminal.print_json(models)
    elif not models["trained"]:
        _say("no NameNode model yet: `hdfs-pipeline namenode train` trains one on the samples that are there")
    else:
        terminal.out.print(status_table(models))
        _say(findings_text(models["findings"]))


@app.command()
def score(namenode: NameNode = None, as_json: Json = False) -> None:
    """Score the samples that came in since the last time, and bring the incidents up to date."""
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.namenode.series import iso, the_namenode
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.update import score_new

    settings = existing_home()
    store = Store.open(settings)
    with terminal.err.status("scoring"):
        done = score_new(store, settings, domain_named(DOMAIN), the_namenode(store, namenode))
    result = {
        "namenode": done.entity,
        "from": iso(done.since, "seconds"),
        "to": iso(done.until, "seconds"),
        "steps": done.items,
        "incidents": len(done.incidents),
        "open": sum(incident.status == "open" for incident in done.incidents),
        "version": done.version,
        "age_s": max(0.0, datetime.now(UTC).timestamp() - done.until),
    }
    if as_json:
        terminal.print_json(result)
        return
    _say(
        f"{result['steps']:,} steps of {result['namenode']} scored by version {result['version']}, from "
        f"{result['from']} to {result['to']}; {result['incidents']} incidents, {result['open']} of them open"
    )


@app.command()
def report(
    start: From = None,
    end: To = None,
    namenode: NameNode = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            callback=terminal.finite, help="Threshold of the detector that serves; the others move in proportion."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge a window, by default the last hour; nothing is kept."""
    from hdfs_pipeline.cli.tables.namenode import show_incident, window_table
    from hdfs_pipeline.domains.namenode.reports import window_report
    from hdfs_pipeline.store.store import Store

    settings = existing_home()
    with terminal.err.status("scoring"):
        window = window_report(
            Store.open(settings),
            settings,
            namenode=namenode,
            start=_time(start),
            end=_time(end),
            threshold=threshold,
            with_scores=as_json,
        )
    if as_json:
        terminal.print_json(window)
        return
    terminal.out.print(window_table(window))
    if window["note"]:
        _say(window["note"])
    for incident in window["incidents"]:
        show_incident(terminal.out, incident)


@app.command()
def mark(
    start: Annotated[str, typer.Argument(metavar="START", help="Beginning, ISO 8601.")],
    end: Annotated[str, typer.Argument(metavar="END", help="End, ISO 8601.")],
    kind: Annotated[str, typer.Option("--as", help="maintenance, or false (a false alarm).")],
    note: Annotated[str, typer.Option(help="Why.")] = "",
    namenode: NameNode = None,
    as_json: Json = False,
) -> None:
    """Say that a stretch of time was maintenance or a false alarm: no incident, and nothing to learn from."""
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.namenode.series import the_namenode
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.feedback import give_feedback_on_stretch

    begin, until = _known_time(start), _known_time(end)
    if kind not in _KINDS:
        raise UsageError(f"a stretch can be marked as {' or '.join(_KINDS)}, not as {kind!r}")
    store = Store.open(existing_home())
    entity = the_namenode(store, namenode)
    row = give_feedback_on_stretch(store, domain_named(DOMAIN), begin, until, kind, entity=entity, note=note)
    concerned = row["incidents"]
    if as_json:
        terminal.print_json({"from": begin.isoformat(), "to": until.isoformat(), "as": kind, "incidents": concerned})
        return
    _say(f"marked as {kind}; {concerned} incidents changed. The next training leaves the stretch out.")


@app.command()
def rollback(as_json: Json = False) -> None:
    """Let the NameNode models that served before serve again."""
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.learning.retraining import roll_back_all

    done = roll_back_all(existing_home(), domain_named(DOMAIN))
    first = done[0]
    if as_json:
        terminal.print_json({"before": first.before, "serving": first.now})
        return
    _say(f"version {first.now} serves again, in place of version {first.before}")
    others = [other for other in done if (other.before, other.now) != (first.before, first.now)]
    for other in others:
        _say(f"{other.detector}: version {other.now} in place of version {other.before}")


@app.command()
def evaluate(
    series: Annotated[Path, typer.Argument(help="Recording of polls (.jsonl.gz), or train, test and label (.npz).")],
    labels: Annotated[
        Path | None, typer.Option(help="Faults of the recording, JSON lines; or which metrics each anomaly is about.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Seed; the setting by default.")] = None,
    baseline: Annotated[
        float | None,
        typer.Option(
            callback=terminal.finite,
            min=1,
            help="Seconds of the recording to train on; the rest up to the fault is quiet.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train on the time before the first fault, score it all, and compare every detector with the labels."""
    from hdfs_pipeline.cli.tables.namenode import faults_table, machine_table, series_table
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.namenode.evaluate import evaluate_machine, evaluate_series
    from hdfs_pipeline.learning.training import fit

    settings, kind = load_settings(), domain_named(DOMAIN)
    if not series.is_file():
        raise DataError(f"{series}: no such file")
    with terminal.steps() as progress:
        bar = progress.add_task("reading", total=None)

        def say(step: str) -> None:
            progress.update(bar, description=step)

        result: dict[str, Any]
        if series.suffix == ".npz":
            result = evaluate_machine(series, settings, explained=labels, seed=seed, on_step=say)
        else:
            default = series.parent / "labels.jsonl"
            if labels is None and not default.is_file():
                raise UsageError("a recording needs --labels: JSON lines with fault, start, end, expected_metrics")
            result = evaluate_series(
                series,
                labels or default,
                settings,
                lambda data, name, seeded: fit(data, kind, name, seeded),
                seed=seed,
                baseline_s=baseline,
                on_step=say,
            )
    if as_json:
        terminal.print_json(result)
    elif result["kind"] == "machine":
        terminal.out.print(machine_table(result))
    else:
        terminal.out.print(series_table(result))
        terminal.out.print(faults_table(result))


def _say(text: str) -> None:
    if text:
        terminal.out.print(escape(text), highlight=False, soft_wrap=True)
