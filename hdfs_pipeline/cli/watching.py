"""Commands that show whether a model still fits: drift of its items, backtests of another model or threshold."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.cli.homes import existing_home
from hdfs_pipeline.cli.terminal import Domain, Json
from hdfs_pipeline.errors import DataError

app = typer.Typer()

Detector = Annotated[str | None, typer.Option("--detector", help="Detector; the one that serves by default.")]
Png = Annotated[Path | None, typer.Option("--png", help="File for a picture of the figures.")]
_DATE = ["%Y-%m-%d"]


@app.command()
def drift(detector: Detector = None, png: Png = None, domain: Domain = None, as_json: Json = False) -> None:
    """Tell whether the items that came since a model was trained still look like those that it learned from."""
    from hdfs_pipeline.cli.tables.monitoring import drift_table
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.domains.champions import serving_detector
    from hdfs_pipeline.monitoring.drift import measure_drift
    from hdfs_pipeline.monitoring.drift_plot import drift_png
    from hdfs_pipeline.store.store import Store

    settings, kind = existing_home(), domain_named(domain)
    name = detector or serving_detector(settings, kind)
    measured = measure_drift(Store.open(settings), settings, kind, name)
    if png is not None:
        _write(png, drift_png(measured))
    if as_json:
        terminal.print_json(measured.to_json())
        return
    if measured.scores is not None:
        terminal.out.print(drift_table(measured))
    terminal.out.print(measured.conclusion, markup=False, highlight=False, soft_wrap=True)
    if measured.status == "drifted":
        terminal.out.print(
            f"`hdfs-pipeline retrain --detector {measured.detector}` lets a challenger learn what is new"
        )


@app.command()
def backtest(
    detector: Detector = None,
    threshold: Annotated[
        float | None, typer.Option(callback=terminal.finite, help="Score to flag from; the model's own by default.")
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Version of the model; its champion by default.")] = None,
    first: Annotated[datetime | None, typer.Option("--from", formats=_DATE, help="First UTC day.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=_DATE, help="Last UTC day, included.")] = None,
    png: Png = None,
    domain: Domain = None,
    as_json: Json = False,
) -> None:
    """Replay the history with another model or threshold: by day, what was flagged and what would have been."""
    from hdfs_pipeline.cli.tables.monitoring import backtest_notes, backtest_table
    from hdfs_pipeline.domains import domain_named
    from hdfs_pipeline.monitoring.backtest import Trial, changes, chosen_days, days_there, kept, totals
    from hdfs_pipeline.monitoring.backtest_plot import backtest_png
    from hdfs_pipeline.running.orchestration import run_backtest
    from hdfs_pipeline.store.store import Store

    settings, kind = existing_home(), domain_named(domain)
    store = Store.open(settings)
    trial = Trial.of(settings, kind, detector, version, threshold)
    bounds = (first.date() if first else None, last.date() if last else None)
    days = chosen_days(days_there(store, kind), *bounds, kind.item.noun)
    card = trial.scorer.card
    tried: dict[str, Any] = {"detector": card.detector, "version": card.version, "threshold": trial.threshold}
    with terminal.err.status(f"{trial.title}: {days[0]} to {days[-1]}"):
        run_backtest(settings, kind.name, tried, days[0], days[-1])
        rows = kept(store, kind, trial.name, days)
    if png is not None:
        _write(png, backtest_png(rows, trial.title, kind.item.plural))
    if as_json:
        result = tried | {"trial": trial.name, "against": rows[0]["against"], "totals": totals(rows), "days": rows}
        terminal.print_json(result | {"changes": changes(store, kind, trial.name, days)}, kind.item)
        return
    title = f"{trial.title}; against the verdicts of {rows[0]['against']}"
    terminal.out.print(backtest_table(rows, title, kind.item.plural))
    terminal.out.print(backtest_notes(rows, kind.item.plural), markup=False, highlight=False, soft_wrap=True)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}): name another file with --png") from None
