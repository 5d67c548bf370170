"""Experiments: every detector on the same blocks, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json, Labels, Logs
from hdfs_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from hdfs_pipeline.experiments.figures import Comparison

app = typer.Typer()


@app.command()
def compare(  # noqa: PLR0917 - options, which are given by name
    logs: Logs = None,
    labels: Labels = None,
    test_logs: Annotated[
        list[str] | None, typer.Option("--test-logs", help="Logs of another data set, to judge on.")
    ] = None,
    test_labels: Annotated[Path | None, typer.Option("--test-labels", help="Their labels, as CSV.")] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Which blocks are judged on: chronological (the default), random, online, unseen."),
    ] = None,
    detector: Annotated[
        list[str] | None, typer.Option("--detector", help="Name of a detector, standard, or all (the default); repeat.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", help="Kind of label that a second F1 leaves out; repeat.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the report with its pictures to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare detectors: learn from one part of labelled blocks, judge on the other, tell figures and cost.

    The home's blocks, or those of --logs and --labels; with --test-logs another data set is what they are judged on.
    """
    if bool(logs) != (labels is not None):
        raise typer.BadParameter("--logs and --labels go together; without both the home's blocks are compared on")
    if bool(test_logs) != (test_labels is not None):
        raise typer.BadParameter("--test-logs and --test-labels go together")
    if test_logs and split:
        raise typer.BadParameter("--test-logs says what is judged on: leave --split out")
    settings = load_settings()
    sources = {"logs": logs or [], "labels": labels, "test_logs": test_logs or [], "test_labels": test_labels}
    found = _compare(settings, detector or ["all"], split or "chronological", without or [], sources, html)
    if as_json:
        terminal.print_json(found.to_json())
    else:
        _show(found)
        if html:
            terminal.out.print(f"report: {html}", markup=False, highlight=False, soft_wrap=True)


def _compare(
    settings: Settings, asked: list[str], split: str, without: list[str], sources: dict[str, Any], html: Path | None
) -> "Comparison":
    import shutil
    import tempfile

    from hdfs_pipeline.detectors import named_detectors
    from hdfs_pipeline.experiments.comparison import compare as run
    from hdfs_pipeline.experiments.logged import log_comparison
    from hdfs_pipeline.experiments.report import write_report
    from hdfs_pipeline.experiments.sides import file_sides

    names = named_detectors(asked)
    with terminal.steps() as progress, tempfile.TemporaryDirectory() as folder:
        bar = progress.add_task("comparing", total=None)

        def on_step(step: str) -> None:
            progress.update(bar, description=step)

        sides = file_sides(settings, names, split, on_step=on_step, **sources)
        found = run(sides, names, settings, without=without, on_step=on_step)
        on_step("report")
        report = write_report(found, Path(folder) / "report.html")
        if html:  # before MLflow: what has been measured is not lost with it
            html.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(report, html)
        on_step("recording")
        log_comparison(found, settings, report)
    return found


def _show(found: "Comparison") -> None:
    from hdfs_pipeline.cli.tables.detectors import costs_table, detectors_table, kinds_table

    judged_on = "later" if found.split == "chronological" else found.split
    shown = [(entry.detector, judged_on, entry.evaluation.to_json()) for entry in found.ranked]
    judged, learned = found.data["judged"], found.data["learned"]
    title = f"Learned from {learned['blocks']:,} blocks, judged on {judged['blocks']:,} others ({found.data['source']})"
    terminal.out.print(detectors_table(escape(title), shown))
    terminal.out.print(costs_table(found))
    if table := kinds_table({entry.detector: entry.evaluation for entry in found.ranked}):
        terminal.out.print(table)
    for sentence in found.conclusion:
        terminal.out.print(sentence, markup=False, highlight=False, soft_wrap=True)
    for sentence in found.warnings:
        terminal.out.print(f"[yellow]![/] {escape(sentence)}", highlight=False, soft_wrap=True)
