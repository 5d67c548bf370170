"""The picture of a backtest, as PNG bytes: what was flagged each day, what would have been, and what changes."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

_PARTS: Final[tuple[tuple[str, str | None, int, str], ...]] = (
    ("gained, real", "gained_real", 1, "tab:green"),
    ("gained, false alarms", "gained_false", 1, "tab:red"),
    ("gained, not known", None, 1, "tab:gray"),
    ("lost, real", "lost_real", -1, "darkred"),
    ("lost, false alarms", "lost_false", -1, "lightgreen"),
    ("lost, not known", None, -1, "lightgray"),
)
_LABELLED: Final = 14  # days that each have their date under them


def backtest_png(rows: Sequence[dict[str, Any]], title: str, plural: str) -> bytes:
    """Rows of `backtests`, by day, as bars: flagged then and in the trial, and the `plural` gained and lost."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    places = range(len(rows))
    for offset, column, label, color in (
        (-0.2, "flagged_before", "was flagged", "tab:blue"),
        (0.2, "flagged_after", "would have been", "tab:orange"),
    ):
        upper.bar([at + offset for at in places], [row[column] for row in rows], width=0.4, label=label, color=color)
    heights = {1: [0] * len(rows), -1: [0] * len(rows)}
    for label, name, sign, color in _PARTS:
        counts = [row[name] if name else _unknown(row, sign) for row in rows]
        if any(counts):
            lower.bar(places, [sign * count for count in counts], bottom=heights[sign], label=label, color=color)
            heights[sign] = [base + sign * count for base, count in zip(heights[sign], counts, strict=True)]
    if not any(heights[1] + heights[-1]):
        lower.text(0.5, 0.5, "no verdict changes", transform=lower.transAxes, ha="center", va="center")
    step = max(1, len(rows) // _LABELLED)
    lower.set_xticks(list(places)[::step], [str(row["day"]) for row in rows][::step], fontsize=8)
    lower.axhline(0, color="black", linewidth=0.8)
    lower.set(ylabel=plural, title="what changes")
    upper.set(ylabel=plural, title=title)
    for axes in (upper, lower):
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.grid(axis="y", alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _unknown(row: dict[str, Any], sign: int) -> int:
    change = "gained" if sign > 0 else "lost"
    return int(row[change] - row[f"{change}_real"] - row[f"{change}_false"])
