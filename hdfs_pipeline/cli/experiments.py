"""Experiments: detectors compared on the same items."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.terminal import Domain, Json, Labels, Logs
from hdfs_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from hdfs_pipeline.domains import contract
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
        typer.Option(help="Items to judge on: chronological (the default), random, online, unseen, groups."),
    ] = None,
    groups: Annotated[
        int | None,
        typer.Option("--groups", min=0, help="With --split groups: groups that are asked about; 10 if not given."),
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
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Compare detectors: they learn from one part of the labelled items and are judged on the other; figures and cost.

    The items are the home's, or those of --logs and --labels. With --test-logs they are judged on another data set.
    With --split groups no label is learned, but a simulated person's words on the groups most worth asking about.
    """
    from hdfs_pipeline.domains import domain_named

    if bool(logs) != (labels is not None):
        raise typer.BadParameter("--logs and --labels go together; without both the home's items are compared on")
    if bool(test_logs) != (test_labels is not None):
        raise typer.BadParameter("--test-logs and --test-labels go together")
    if test_logs and split not in {None, "groups"}:
        raise typer.BadParameter("--test-logs names the data to judge on: leave --split out, or take --split groups")
    if groups is not None and split != "groups":
        raise typer.BadParameter("--groups is for --split groups")
    settings, kind = load_settings() if logs else existing_home(), domain_named(domain)
    sources: dict[str, Any] = {
        "logs": logs or [],
        "labels": labels,
        "test_logs": test_logs or [],
        "test_labels": test_labels,
    }
    sources |= {} if groups is None else {"groups": groups}
    comparison = _compare(settings, kind, detector or ["all"], split or "chronological", without or [], sources, html)
    if as_json:
        terminal.print_json(comparison.to_json(), kind.item)
    else:
        _show(comparison)
        if html:
            terminal.out.print(f"report: {html}", markup=False, highlight=False, soft_wrap=True)


def _compare(
    settings: Settings,
    kind: "contract.Domain",
    detectors: list[str],
    split: str,
    without: list[str],
    sources: dict[str, Any],
    html: Path | None,
) -> "Comparison":
    import shutil
    import tempfile

    from hdfs_pipeline.domains.champions import named_detectors
    from hdfs_pipeline.experiments.comparison import compare as run
    from hdfs_pipeline.experiments.logged import log_comparison
    from hdfs_pipeline.experiments.report import write_report
    from hdfs_pipeline.experiments.sides import file_sides

    names = named_detectors(kind, detectors)
    with terminal.steps() as progress, tempfile.TemporaryDirectory() as folder:
        bar = progress.add_task("comparing", total=None)

        def on_step(step: str) -> None:
            progress.update(bar, description=step)

        sides = file_sides(settings, kind, names, split, on_step=on_step, **sources)
        comparison = run(sides, kind, names, settings, without=without, on_step=on_step)
        on_step("report")
        report = write_report(comparison, Path(folder) / "report.html")
        if html:  # before MLflow: its failure must not lose the report
            html.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(report, html)
        on_step("recording")
        log_comparison(comparison, settings, report)
    return comparison


def _show(comparison: "Comparison") -> None:
    from hdfs_pipeline.cli.tables.detectors import costs_table, detectors_table, kinds_table

    judged_on = "later" if comparison.split == "chronological" else comparison.split
    shown = [(entry.detector, judged_on, entry.evaluation.to_json()) for entry in comparison.ranked]
    data, plural = comparison.data, comparison.plural
    title = f"Learned from {data['learned']['items']:,} {plural}, judged on {data['judged']['items']:,} others"
    terminal.out.print(detectors_table(escape(f"{title} ({data['source']})"), shown))
    terminal.out.print(costs_table(comparison))
    if table := kinds_table({entry.detector: entry.evaluation for entry in comparison.ranked}, plural):
        terminal.out.print(table)
    for sentence in comparison.conclusion:
        terminal.out.print(sentence, markup=False, highlight=False, soft_wrap=True)
    for sentence in comparison.warnings:
        terminal.out.print(f"[yellow]![/] {escape(sentence)}", highlight=False, soft_wrap=True)
