"""Pictures of NameNode scores, incidents and the state of HDFS, as PNG bytes."""

from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from typing import Any, Final

_PANELS = 6


def scores_png(report: dict[str, Any], detector: str | None = None) -> bytes:
    """The score over time, its threshold and the incidents, from a report with scores; by default of what serves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    detector = detector or next(iter(report["detectors"]))
    axes = figure.subplots()
    axes.xaxis_date("UTC")
    times = [_day(at) for at in report["times"]]
    scores = [float("nan") if score is None else score for score in report["scores"][detector]]
    threshold = report["detectors"][detector]["threshold"]
    axes.plot(times, scores, linewidth=0.9, label=detector)
    axes.axhline(threshold, color="tab:red", linestyle="--", linewidth=0.8, label=f"threshold {threshold:.3g}")
    for incident in report["incidents"]:
        start, end = _day(incident["start"]), _day(incident["end"])
        axes.axvspan(start, end, color="tab:orange", alpha=0.25)
        axes.annotate(
            incident["cause"]["name"],
            (start, 0.97),
            xycoords=("data", "axes fraction"),
            fontsize=7,
            rotation=90,
            va="top",
        )
    axes.set(yscale="symlog", ylabel="score", title=f"{report['namenode']}: error over time")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", fontsize=7)
    axes.grid(alpha=0.3)
    return _png(figure)


def metrics_png(series: dict[str, Any], names: Sequence[str], span: tuple[str, str] | None = None) -> bytes:
    """Metrics over time beside what was expected of them, one panel each; `span` (ISO times) is shaded."""
    from matplotlib.figure import Figure

    names = list(names)[:_PANELS]
    figure = Figure(figsize=(10, 1.6 * max(1, len(names))), layout="constrained")
    panels = figure.subplots(max(1, len(names)), 1, sharex=True, squeeze=False)[:, 0]
    times = [_day(at) for at in series["times"]]
    for axes, name in zip(panels, names, strict=False):
        axes.xaxis_date("UTC")
        metric = series["metrics"][name]
        axes.plot(times, _gaps(metric["values"]), linewidth=1.0, label="actual")
        if metric["expected"] is not None:
            axes.plot(times, _gaps(metric["expected"]), linewidth=0.8, linestyle="--", label="expected")
        if span is not None:
            axes.axvspan(_day(span[0]), _day(span[1]), color="tab:orange", alpha=0.25)
        axes.set_title(f"{name} ({metric['unit']})", fontsize=8, loc="left")
        axes.grid(alpha=0.3)
    panels[0].legend(loc="upper right", fontsize=7)
    return _png(figure)


_STATE_PANELS: Final = (
    ("blocks", ("missing", "corrupt", "under_replicated"), 1.0),
    ("DataNodes", ("live", "stale", "dead"), 1.0),
    ("GiB free", ("capacity_remaining",), 1024.0**3),
)


def state_png(series: dict[str, Any]) -> bytes:
    """The state of HDFS over time: blocks in trouble, DataNodes, free capacity, from `state_series`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.9 * len(_STATE_PANELS)), layout="constrained")
    panels = figure.subplots(len(_STATE_PANELS), 1, sharex=True)
    times = [_day(at) for at in series["times"]]
    for axes, (unit, names, divisor) in zip(panels, _STATE_PANELS, strict=True):
        axes.xaxis_date("UTC")
        for name in names:
            values = [value / divisor for value in _gaps(series["values"][name])]
            axes.plot(times, values, linewidth=1.0, drawstyle="steps-post", label=name)
        axes.set(ylabel=unit)
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper left", fontsize=7)
        axes.grid(alpha=0.3)
    panels[0].set_title(f"{series['namenode']}: the state of HDFS", fontsize=9)
    return _png(figure)


def _day(iso: str) -> float:
    """An ISO time in matplotlib's days."""
    return datetime.fromisoformat(iso).timestamp() / 86400


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _png(figure: Any) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
