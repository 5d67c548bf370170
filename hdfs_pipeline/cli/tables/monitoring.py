"""Tables and notes about drift and backtests."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from hdfs_pipeline.cli.tables.style import Listing, name, number
from hdfs_pipeline.monitoring.backtest import totals
from hdfs_pipeline.monitoring.drift import Drift
from hdfs_pipeline.monitoring.stability import Shift

_COLUMNS = 12
_SHOWN = (
    "items",
    "flagged_before",
    "flagged_after",
    "gained",
    "gained_real",
    "gained_false",
    "lost",
    "lost_real",
    "lost_false",
)


def drift_table(drift: Drift) -> Listing:
    """The figures of drift: scores and shares first, then the columns that moved furthest."""
    sides = f"{drift.current:,} new {drift.plural} against {drift.reference:,} learned"
    title = f"{drift.detector} version {drift.version}: {sides}"
    figures = ("PSI or rise", "limit", "by chance", "usual", "before", "after", "drifted")
    table = Listing(escape(title), (name("figure"), *map(number, figures)))
    for shift, what in (
        (drift.scores, "scores"),
        (drift.unknown, "unknown templates"),
        (drift.unseen, "unseen counts"),
    ):
        if shift is not None:
            _row(table, shift, what, share=not shift.bins)
    for shift in drift.columns[:_COLUMNS]:
        _row(table, shift, f"column {shift.name}", share=False)
    return table


def _row(table: Listing, shift: Shift, what: str, *, share: bool) -> None:
    sides = [f"{side:.2%}" if share else f"{side:.3f}" for side in (shift.before, shift.after)]
    figures = [f"{figure:.3f}" for figure in (shift.value, shift.limit, shift.noise, shift.usual)]
    table.add_row(escape(what), *figures, *sides, "[red]yes[/]" if shift.drifted else "")


def backtest_table(rows: Sequence[dict[str, Any]], title: str, plural: str) -> Listing:
    """A trial by day. `real` and `false` count the gained and lost items that are known to be so."""
    figures = (plural, "was flagged", "would have been", "gained", "real", "false", "lost", "real", "false")
    table = Listing(escape(title), (name("day"), *map(number, figures)))
    for row in [*rows, {"day": "all", **totals(rows)}] if len(rows) > 1 else rows:
        table.add_row(str(row["day"]), *(f"{row[figure]:,}" for figure in _SHOWN))
    return table


def backtest_notes(rows: Sequence[dict[str, Any]], plural: str) -> str:
    """The outcome of a trial in a sentence or two."""
    sums = totals(rows)
    changed = (
        f"{sums['gained']:,} more {plural} would have been flagged ({sums['gained_real']:,} known to be real, "
        f"{sums['gained_false']:,} known to be false alarms), and {sums['lost']:,} fewer "
        f"({sums['lost_real']:,} real, {sums['lost_false']:,} false alarms)"
        if sums["gained"] or sums["lost"]
        else "every verdict stays as it is"
    )
    left = f"; {sums['unscored']:,} {plural} have no verdict to be held against" if sums["unscored"] else ""
    return f"{changed}{left}"
