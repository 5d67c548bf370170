"""What the command line shows of drift and of backtests: tables, by rich."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from hdfs_pipeline.monitoring.backtest import totals
from hdfs_pipeline.monitoring.drift import Drift
from hdfs_pipeline.monitoring.stability import Shift

_COLUMNS = 12
_SHOWN = (
    "blocks",
    "flagged_before",
    "flagged_after",
    "gained",
    "gained_real",
    "gained_false",
    "lost",
    "lost_real",
    "lost_false",
)


def drift_table(found: Drift) -> Table:
    """The figures of drift: all but columns, then the columns that moved furthest."""
    title = (
        f"{found.detector} version {found.version}: {found.current:,} new blocks against {found.reference:,} learned"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("figure", no_wrap=True)
    for name in ("PSI or rise", "limit", "by chance", "usual", "before", "after", "drifted"):
        table.add_column(name, justify="right", no_wrap=True)
    for each, what in ((found.scores, "scores"), (found.unknown, "unknown templates"), (found.unseen, "unseen counts")):
        if each is not None:
            _row(table, each, what, share=not each.bins)
    for each in found.columns[:_COLUMNS]:
        _row(table, each, f"column {each.name}", share=False)
    return table


def _row(table: Table, each: Shift, what: str, *, share: bool) -> None:
    sides = [f"{side:.2%}" if share else f"{side:.3f}" for side in (each.before, each.after)]
    figures = [f"{figure:.3f}" for figure in (each.value, each.limit, each.noise, each.usual)]
    table.add_row(escape(what), *figures, *sides, "[red]yes[/]" if each.drifted else "")


def backtest_table(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """A trial by day; `real` and `false` are parts of what was gained or lost, as far as that is known."""
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("day", no_wrap=True)
    for name in ("blocks", "was\nflagged", "would\nhave been", "gained", "real", "false", "lost", "real", "false"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in [*rows, {"day": "all", **totals(rows)}] if len(rows) > 1 else rows:
        table.add_row(str(row["day"]), *(f"{row[name]:,}" for name in _SHOWN))
    return table


def backtest_notes(rows: Sequence[dict[str, Any]]) -> str:
    """What a trial comes to, in a sentence or two."""
    found = totals(rows)
    told = (
        f"{found['gained']:,} more blocks would have been flagged ({found['gained_real']:,} known to be real, "
        f"{found['gained_false']:,} known to be false alarms), and {found['lost']:,} fewer "
        f"({found['lost_real']:,} real, {found['lost_false']:,} false alarms)"
        if found["gained"] or found["lost"]
        else "every verdict stays as it is"
    )
    left = f"; {found['unscored']:,} blocks have no verdict to be held against" if found["unscored"] else ""
    return f"{told}{left}"
