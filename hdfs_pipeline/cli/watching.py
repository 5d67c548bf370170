"""Watch a model: has what it sees drifted, and what would another model or threshold have flagged."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.terminal import Json
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import load_settings

app = typer.Typer()

Detector = Annotated[str | None, typer.Option("--detector", help="Detector; the one that serves by default.")]
Png = Annotated[Path | None, typer.Option("--png", help="File for a picture of it.")]
_DATE = ["%Y-%m-%d"]


@app.command()
def drift(detector: Detector = None, png: Png = None, as_json: Json = False) -> None:
    """Tell whether the blocks that came since a model was trained still look like those that it learned from."""
    from hdfs_pipeline.cli.tables.monitoring import drift_table
    from hdfs_pipeline.monitoring.drift import watch
    from hdfs_pipeline.monitoring.drift_plot import drift_png
    from hdfs_pipeline.store.store import Store
    from hdfs_pipeline.verdicts.score import serving_detector

    settings = load_settings()
    found = watch(Store.open(settings), settings, detector or serving_detector(settings))
    if png is not None:
        _write(png, drift_png(found))
    if as_json:
        terminal.print_json(found.to_json())
        return
    if found.scores is not None:
        terminal.out.print(drift_table(found))
    terminal.out.print(found.verdict, markup=False, highlight=False, soft_wrap=True)
    if found.status == "drifted":
        terminal.out.print(f"`hdfs-pipeline retrain --detector {found.detector}` lets a challenger learn what is new")


@app.command()
def backtest(
    detector: Detector = None,
    threshold: Annotated[float | None, typer.Option(help="Score to flag from; the model's own by default.")] = None,
    version: Annotated[int | None, typer.Option(help="Version of the model; its champion by default.")] = None,
    first: Annotated[datetime | None, typer.Option("--from", formats=_DATE, help="First UTC day.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=_DATE, help="Last UTC day, included.")] = None,
    png: Png = None,
    as_json: Json = False,
) -> None:
    """Replay the history with another model or threshold: what would have been flagged, by day, beside what was."""
    from hdfs_pipeline.cli.tables.monitoring import backtest_notes, backtest_table
    from hdfs_pipeline.monitoring.backtest import Trial, changes, chosen_days, days_there, kept, totals
    from hdfs_pipeline.monitoring.backtest_plot import backtest_png
    from hdfs_pipeline.running.orchestration import run_backtest
    from hdfs_pipeline.store.store import Store

    settings = load_settings()
    store = Store.open(settings)
    trial = Trial.of(settings, detector, version, threshold)
    days = chosen_days(days_there(store), first.date() if first else None, last.date() if last else None)
    card = trial.scorer.card
    tried: dict[str, Any] = {"detector": card.detector, "version": card.version, "threshold": trial.threshold}
    with terminal.err.status(f"{trial.title}: {days[0]} to {days[-1]}"):
        run_backtest(settings, tried, days[0], days[-1])
        rows = kept(store, trial.name, days)
    if png is not None:
        _write(png, backtest_png(rows, trial.title))
    if as_json:
        found = tried | {"trial": trial.name, "against": rows[0]["against"], "totals": totals(rows), "days": rows}
        terminal.print_json(found | {"changes": changes(store, trial.name, days)})
        return
    title = f"{trial.title}; against the verdicts of {rows[0]['against']}"
    terminal.out.print(backtest_table(rows, title))
    terminal.out.print(backtest_notes(rows), markup=False, highlight=False, soft_wrap=True)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}): name another file with --png") from None
