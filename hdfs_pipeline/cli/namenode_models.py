"""NameNode models: train, score, report, mark, roll back, evaluate."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import load_settings

app = typer.Typer()

NameNode = Annotated[str | None, typer.Option("--namenode", help="host:port; needed where several are watched.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Beginning, ISO 8601; UTC without a zone.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="End, ISO 8601; UTC without a zone.")]


def _time(text: str | None) -> datetime | None:
    return None if text is None else _known_time(text)


def _known_time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{text!r} is no time: write 2026-11-21T18:00:00, with +01:00 for another zone") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@app.command()
def train(
    start: From = None,
    end: To = None,
    namenode: NameNode = None,
    with_incidents: Annotated[
        bool, typer.Option("--with-incidents", help="Learn from incidents too, as after a change that stays.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train every NameNode detector on a window, by default the last `namenode_baseline_hours`; it serves at once."""
    from hdfs_pipeline.cli.tables.namenode import findings_text, status_table
    from hdfs_pipeline.domains.namenode.reports import train_report
    from hdfs_pipeline.store.store import Store

    settings = load_settings()
    with terminal.steps() as progress:
        bar = progress.add_task("training", total=None)
        found = train_report(
            Store.open(settings),
            settings,
            namenode=namenode,
            start=_time(start),
            end=_time(end),
            with_incidents=with_incidents,
            on_step=lambda step: progress.update(bar, description=step),
        )
    if as_json:
        terminal.print_json(found)
        return
    terminal.out.print(status_table(found))
    _say(findings_text(found["findings"]))


@app.command()
def status(as_json: Json = False) -> None:
    """The NameNode model that serves, what it learned from, its thresholds, and the versions there are."""
    from hdfs_pipeline.cli.tables.namenode import findings_text, status_table
    from hdfs_pipeline.domains.namenode.reports import model_status

    found = model_status(load_settings())
    if as_json:
        terminal.print_json(found)
    elif not found["trained"]:
        _say("no NameNode model yet: `hdfs-pipeline namenode train` trains one on the samples that are there")
    else:
        terminal.out.print(status_table(found))
        _say(findings_text(found["findings"]))


@app.command()
def score(namenode: NameNode = None, as_json: Json = False) -> None:
    """Score what came in since the last time, and bring the incidents up to date."""
    from hdfs_pipeline.domains.namenode.watch import update
    from hdfs_pipeline.store.store import Store

    settings = load_settings()
    with terminal.err.status("scoring"):
        found = update(Store.open(settings), settings, namenode)
    if as_json:
        terminal.print_json(found)
        return
    _say(
        f"{found['steps']:,} steps of {found['namenode']} scored by version {found['version']}, from {found['from']} "
        f"to {found['to']}; {found['incidents']} incidents, {found['ongoing']} of them ongoing"
    )


@app.command()
def report(
    start: From = None,
    end: To = None,
    namenode: NameNode = None,
    threshold: Annotated[
        float | None, typer.Option(help="Of the LSTM autoencoder in place of its own; the others move along.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What the models say of a window, by default the last hour; nothing is kept."""
    from hdfs_pipeline.cli.tables.namenode import show_incident, window_table
    from hdfs_pipeline.domains.namenode.reports import window_report
    from hdfs_pipeline.store.store import Store

    settings = load_settings()
    with terminal.err.status("scoring"):
        found = window_report(
            Store.open(settings),
            settings,
            namenode=namenode,
            start=_time(start),
            end=_time(end),
            threshold=threshold,
            with_scores=as_json,
        )
    if as_json:
        terminal.print_json(found)
        return
    terminal.out.print(window_table(found))
    if found["note"]:
        _say(found["note"])
    for incident in found["incidents"]:
        show_incident(terminal.out, incident)


@app.command()
def incidents(
    start: From = None,
    end: To = None,
    namenode: NameNode = None,
    limit: Annotated[int, typer.Option(min=1, help="The latest so many.")] = 20,
    as_json: Json = False,
) -> None:
    """The incidents that were found, the latest first, and what lies behind the latest."""
    from hdfs_pipeline.cli.tables.namenode import incidents_table, show_incident
    from hdfs_pipeline.domains.namenode.reports import list_incidents
    from hdfs_pipeline.store.store import Store

    store = Store.open(load_settings())
    found = list_incidents(store, namenode=namenode, start=_time(start), end=_time(end), limit=limit)
    if as_json:
        terminal.print_json(found)
    elif not found:
        _say("no incident; `hdfs-pipeline namenode score` looks for them, Dagster does so every five minutes")
    else:
        terminal.out.print(incidents_table(found))
        show_incident(terminal.out, found[0])


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
    from hdfs_pipeline.domains.namenode import watch
    from hdfs_pipeline.store.store import Store

    begin, until = _known_time(start), _known_time(end)
    concerned = watch.mark(Store.open(load_settings()), begin, until, kind, namenode=namenode, note=note)
    if as_json:
        terminal.print_json({"from": begin.isoformat(), "to": until.isoformat(), "as": kind, "incidents": concerned})
        return
    _say(f"marked as {kind}; {concerned} incidents changed. The next training leaves the stretch out.")


@app.command()
def rollback(as_json: Json = False) -> None:
    """Let the NameNode models serve again that served before."""
    from hdfs_pipeline.domains.namenode.models import roll_back

    before, now = roll_back(load_settings())
    if as_json:
        terminal.print_json({"before": before, "serving": now})
        return
    _say(f"version {now} serves again, in place of version {before}")


@app.command()
def evaluate(
    series: Annotated[Path, typer.Argument(help="Recording of polls (.jsonl.gz), or train, test and label (.npz).")],
    labels: Annotated[
        Path | None, typer.Option(help="Faults of the recording, JSON lines; or which metrics each anomaly is about.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the setting.")] = None,
    baseline: Annotated[
        float | None, typer.Option(help="Seconds of the recording to train on; the rest up to the fault is quiet.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train on the time before the first fault, judge all of it, and hold every detector against the labels."""
    from hdfs_pipeline.cli.tables.namenode import faults_table, machine_table, series_table
    from hdfs_pipeline.domains.namenode.evaluate import evaluate_machine, evaluate_series

    settings = load_settings()
    if not series.is_file():
        raise DataError(f"{series}: no such file")
    with terminal.steps() as progress:
        bar = progress.add_task("reading", total=None)

        def say(step: str) -> None:
            progress.update(bar, description=step)

        found: dict[str, Any]
        if series.suffix == ".npz":
            found = evaluate_machine(series, settings, explained=labels, seed=seed, on_step=say)
        else:
            beside = series.parent / "labels.jsonl"
            if labels is None and not beside.is_file():
                raise DataError("a recording needs --labels: JSON lines with fault, start, end, expected_metrics")
            found = evaluate_series(series, labels or beside, settings, seed=seed, baseline_s=baseline, on_step=say)
    if as_json:
        terminal.print_json(found)
    elif found["kind"] == "machine":
        terminal.out.print(machine_table(found))
    else:
        terminal.out.print(series_table(found))
        terminal.out.print(faults_table(found))


def _say(text: str) -> None:
    if text:
        terminal.out.print(escape(text), highlight=False, soft_wrap=True)
