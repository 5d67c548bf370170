"""The picture of drift: the columns that moved furthest and the scores, before and after, as PNG bytes."""

from io import BytesIO
from typing import Any

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.monitoring.drift import Drift
from hdfs_pipeline.monitoring.stability import Shift

_COLUMNS = 5


def drift_png(drift: Drift) -> bytes:
    """Shares of the items in each bin before and after: the five columns that moved furthest, and the scores.

    Raises: DataError where there were too few items for figures.
    """
    from matplotlib.figure import Figure

    if drift.scores is None:
        raise DataError(f"no picture of drift: {drift.conclusion}")
    shown = [*drift.columns[:_COLUMNS], drift.scores]
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for axes, shift in zip(panels, shown, strict=False):
        _bars(axes, shift)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    panels[0].legend(
        [f"learned ({drift.reference:,} {drift.plural})", f"new ({drift.current:,} {drift.plural})"],
        fontsize=8,
        loc="upper right",
    )
    figure.suptitle(f"{drift.detector} version {drift.version}: {drift.status}", fontsize=11)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _bars(axes: Any, shift: Shift) -> None:
    places = range(len(shift.bins))
    for offset, side, color in ((-0.2, 1, "tab:blue"), (0.2, 2, "tab:orange")):
        axes.bar([at + offset for at in places], [part[side] for part in shift.bins], width=0.4, color=color)
    axes.set_xticks(
        list(places), [part[0] for part in shift.bins], fontsize=7, rotation=30 if len(shift.bins) > 5 else 0
    )
    axes.set_title(
        f"{shift.name}: PSI {shift.value:.2f}{', drifted' if shift.drifted else ''}",
        fontsize=9,
        color="tab:red" if shift.drifted else "black",
    )
    axes.set_yscale("symlog", linthresh=0.1)  # so that a bin of 1 % shows beside one of nearly all
    axes.set(ylim=(0, 1.3), yticks=[0, 0.05, 0.1, 0.5, 1], yticklabels=["0", "5 %", "10 %", "50 %", "100 %"])
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(axis="y", alpha=0.3)
