"""The picture of incidents: one line for each entity, over time, as PNG bytes."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final

from hdfs_pipeline.scoring.severity import SEVERITIES

_ENTITIES: Final = 20
_COLOURS: Final = dict(zip(SEVERITIES, ("tab:olive", "tab:orange", "tab:red"), strict=True))
_LEAST: Final = 0.004  # of the width: a shorter incident could not be seen


def timeline_png(incidents: Sequence[Mapping[str, Any]]) -> bytes:
    """When each entity had incidents and how grave, of rows of `incidents` (one at least); the entities with most."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    of: dict[str, list[Mapping[str, Any]]] = {}
    for row in incidents:
        of.setdefault(row["entity"], []).append(row)
    entities = sorted(sorted(of, key=lambda entity: (-len(of[entity]), entity))[:_ENTITIES], reverse=True)
    days = [(_day(row["started_at"]), _day(row["ended_at"])) for entity in entities for row in of[entity]]
    least = max(_LEAST * (max(end for _, end in days) - min(start for start, _ in days)), 1 / 86400)
    figure = Figure(figsize=(10, 1.2 + 0.3 * len(entities)), layout="constrained")
    axes = figure.subplots()
    axes.xaxis_date("UTC")
    for line, entity in enumerate(entities):
        for row in sorted(of[entity], key=lambda row: SEVERITIES.index(row["severity"])):
            start = _day(row["started_at"])
            span = (start, max(_day(row["ended_at"]) - start, least))
            axes.broken_barh([span], (line - 0.35, 0.7), facecolors=_COLOURS[row["severity"]])
    axes.set_yticks(range(len(entities)), [entity or "no single server" for entity in entities], fontsize=7)
    axes.set_title(f"{len(incidents):,} incidents", fontsize=9)
    axes.legend(handles=[Patch(color=colour, label=name) for name, colour in _COLOURS.items()], fontsize=7)
    axes.grid(axis="x", alpha=0.3)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _day(time: Any) -> float:
    """A time in matplotlib's days."""
    return float(time.timestamp()) / 86400
