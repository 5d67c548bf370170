"""Pictures of a comparison as inline SVG: F1 with its intervals, curves, and per detector scores and thresholds."""

from collections.abc import Mapping, Sequence

import numpy as np

from hdfs_pipeline.experiments.conclusion import BARS
from hdfs_pipeline.experiments.figures import Judged
from hdfs_pipeline.experiments.svg import (
    LINE,
    Axis,
    bars,
    bottom,
    dot,
    left,
    number,
    path,
    picture,
    spread,
    straight,
    text,
)
from hdfs_pipeline.learning.curves import curve
from hdfs_pipeline.learning.training import Tested

_BINS = 48
_SQUEEZED = 0.05  # a threshold in this lowest part of a linear axis is hard to see: the axis becomes logarithmic
_LEAST = 1e-300  # smaller thresholds leave no room for a logarithmic axis
_COLOURS = 12
_EDGE, _WIDE = 320, 520  # right end of the curves, and of the names beside them


def series(names: Sequence[str]) -> dict[str, str]:
    """The CSS class of each detector in every picture of a page: colours in order, and grey for the bars.

    Detectors beyond the number of colours have dashed curves.
    """
    bars_of = {name: f"bar{at}" for at, name in enumerate(BARS)}
    others = [name for name in names if name not in BARS]
    return {name: bars_of.get(name) or _colour(others.index(name)) for name in names}


def _colour(at: int) -> str:
    return f"c{at % _COLOURS}" + (" again" if at >= _COLOURS else "")


def f1_picture(ranked: Sequence[Judged], kinds: Mapping[str, str], bar: str) -> str:
    """F1 of each detector with its interval, a hollow dot for F1 on vectors that training lacks, a line for `bar`."""
    top, row, right = 12.0, 24.0, 500.0
    base = top + row * len(ranked) + 4
    judged = [entry.evaluation for entry in ranked]
    least = min(min(one.f1, *one.intervals.get("f1", ()), one.unseen.get("f1", 1)) for one in judged)
    across = Axis(np.floor(least * 10) / 10 if least < 0.9 else 0.9, 1, 168, right)
    parts = bottom(across, top, base, "F1")
    for entry in ranked:
        if entry.detector == bar:
            x = float(across.at(entry.evaluation.f1))
            parts.append(straight(x, top, x, base, f"reference {kinds[bar]}"))
    for at, entry in enumerate(ranked):
        evaluation, y = entry.evaluation, top + row * (at + 0.5)
        low, high = across.at(np.array(evaluation.intervals.get("f1", (evaluation.f1, evaluation.f1))))
        kind = kinds[entry.detector]
        inside = [straight(low, y, high, y, "whisker")]
        if evaluation.unseen and evaluation.unseen["items"]:
            inside.append(dot(float(across.at(evaluation.unseen["f1"])), y, "hollow", 4.5))
        inside.append(dot(float(across.at(evaluation.f1)), y, "point", 5))
        inside.append(text(156, y + 4, entry.detector, "name", "end"))
        parts.append(_group(kind, inside))
    listed = ", ".join(f"{entry.detector} {entry.evaluation.f1:.3f}" for entry in ranked)
    return picture(_WIDE, base + 40, f"F1 of each detector with its 95 % interval: {listed}", parts)


def pr_picture(ranked: Sequence[Judged], kinds: Mapping[str, str]) -> str:
    """Precision over recall: a line per detector with its name at the end, and a dot at the fixed threshold."""
    across, up = Axis(0, 1, 48, _EDGE), Axis(0, 1, 300, 14)
    parts = [*bottom(across, 14, 300, "recall"), *left(up, 48, _EDGE, "precision")]
    ends, lines = [], []
    for entry in ranked:
        precision, recall, _ = curve(entry.tested.scores, entry.tested.labels)
        evaluation, kind = entry.tested.evaluation, kinds[entry.detector]
        x, y = across.at(recall), up.at(precision)
        whole = int(np.searchsorted(recall, recall[-1]))  # beyond it the line says nothing new
        point = dot(float(across.at(evaluation.recall)), float(up.at(evaluation.precision)), "point")
        lines.append(_group(kind, [path(x[: whole + 1], y[: whole + 1], "curve", steps=True), point]))
        area = f"{entry.detector} {_area(evaluation.pr_auc)}"
        ends.append((float(y[whole]), -(evaluation.pr_auc or 0), area, kind))
    parts += [*reversed(lines), *_names(ends, _EDGE, 14, 300)]
    listed = ", ".join(f"{entry.detector} {_area(entry.evaluation.pr_auc)}" for entry in ranked)
    return picture(_WIDE, 340, f"Precision over recall; area under each curve: {listed}", parts)


def roc_picture(ranked: Sequence[Judged], kinds: Mapping[str, str], plural: str) -> str:
    """Recall over the share of normal items flagged: logarithmic, since few false alarms are what matters."""
    normals = max((int((entry.tested.labels == 0).sum()) for entry in ranked), default=1)
    across, up = Axis(0.5 / normals, 1, 48, _EDGE, log=True), Axis(0, 1, 300, 14)
    parts = bottom(across, 14, 300, f"share of normal {plural} flagged (logarithmic)", zero="0")
    parts += left(up, 48, _EDGE, "recall")
    ends, lines = [], []
    for entry in ranked:
        _, recall, false = curve(entry.tested.scores, entry.tested.labels)
        evaluation, kind = entry.tested.evaluation, kinds[entry.detector]
        alarms = evaluation.confusion["false_positives"] / normals
        point = dot(float(across.at(alarms)), float(up.at(evaluation.recall)), "point")
        lines.append(_group(kind, [path(across.at(false), up.at(recall), "curve", steps=True), point]))
        area = f"{entry.detector} {_area(evaluation.roc_auc, 4)}"
        ends.append((float(up.at(1)), -(evaluation.roc_auc or 0), area, kind))
    parts += [*reversed(lines), *_names(ends, _EDGE, 14, 300)]
    listed = ", ".join(f"{entry.detector} {_area(entry.evaluation.roc_auc, 4)}" for entry in ranked)
    return picture(_WIDE, 340, f"ROC curves; area under each curve: {listed}", parts)


def scores_picture(entry: Judged, kind: str, plural: str) -> str:
    """Scores of normal items (up) and anomalies (down), and below them the figures at each threshold."""
    tested = entry.tested
    across, zero = score_axis(tested)
    threshold = tested.evaluation.threshold
    where = float(across.at(threshold))
    parts = _distribution(tested, across, plural)
    precision, recall, f1 = sweep(tested, thresholds := across.values(160))
    up = Axis(0, 1, 292, 192)
    parts += [*left(up, 46, 446), *bottom(across, 192, 292, _label(across), zero="0" if zero else "")]
    for values, what in ((recall, "recall"), (precision, "precision"), (f1, "f1")):
        parts.append(_group(kind, [path(across.at(thresholds), up.at(values), f"sweep {what}")]))
    anchor = "start" if where < 140 or 250 < where < 316 else "end"  # the upper half's name leaves room there
    parts.append(straight(where, 20, where, 292, "threshold"))
    parts.append(text(where + (5 if anchor == "start" else -5), 16, f"threshold {number(threshold)}", "name", anchor))
    one = tested.evaluation
    listed = f"precision {one.precision:.3f}, recall {one.recall:.3f}, F1 {one.f1:.3f} at {number(threshold)}"
    return picture(460, 330, f"Scores of {entry.detector}, and its figures by threshold: {listed}", parts)


def _distribution(tested: Tested, across: Axis, plural: str) -> list[str]:
    """Numbers of items by score, logarithmic up and down, so that one item among thousands still shows."""
    edges, middle = across.values(_BINS + 1), 116.0
    clipped = np.clip(tested.scores, edges[0], edges[-1])
    counts = [np.histogram(clipped[tested.labels == label], edges)[0] for label in (0, 1)]
    most = float(max(10, *(int(count.max()) for count in counts)))
    heights = [np.log10(1 + count) / np.log10(1 + most) for count in counts]
    places = across.at(edges)
    parts = []
    for tick in (1, 10, 100, 1000, 10_000, 100_000):
        if tick <= most:
            part = float(np.log10(1 + tick) / np.log10(1 + most))
            parts += [straight(46, y, 446, y, "grid") for y in (middle - part * 90, middle + part * 50)]
            if part > 0.35 or tick == 1:
                parts.append(text(41, middle - part * 90 + 4, number(tick), anchor="end"))
    parts += [bars(places, middle - heights[0] * 90, middle, "normal")]
    parts += [bars(places, middle + heights[1] * 50, middle, "anomaly")]
    parts += [straight(46, middle, 446, middle, "axis")]
    beyond = float(across.at(tested.evaluation.threshold)) > 250
    x, anchor = (46.0, "start") if beyond else (446.0, "end")
    parts += [
        text(x, 16, f"normal {plural} ↑", "normal-name", anchor),
        text(x, 181, "anomalies ↓", "anomaly-name", anchor),
    ]
    return parts


def score_axis(tested: Tested) -> tuple[Axis, bool]:
    """The axis of a detector's scores, and whether its left end stands for 0 and all that is too small to show.

    It is logarithmic where the threshold would lie in the lowest 5 % of a linear one.
    """
    scores, threshold = tested.scores, tested.evaluation.threshold
    low, high = float(min(scores.min(), threshold)), float(max(scores.max(), threshold))
    if low < 0 or threshold < _LEAST or low == high or threshold - low > _SQUEEZED * (high - low):
        low = 0.0 if 0 <= low < 0.2 * high else low
        room = (high - low) * 0.02 or max(abs(high), 1.0) * 0.02
        return Axis(low, high + room, 46, 446), False
    positive = scores[scores > 0]
    least = min(float(np.percentile(positive, 1)), threshold / 3)
    return Axis(max(least, threshold * 1e-6), high * 1.1, 46, 446, log=True), bool(scores.min() < least)


def sweep(tested: Tested, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision (1 where nothing is flagged), recall and F1 at each of `thresholds` (k,)."""
    ordered = np.sort(tested.scores)
    anomalies = np.sort(tested.scores[tested.labels == 1])
    flagged = len(ordered) - np.searchsorted(ordered, thresholds, side="left")
    hits = len(anomalies) - np.searchsorted(anomalies, thresholds, side="left")
    precision = np.where(flagged > 0, hits / np.maximum(flagged, 1), 1.0)
    return precision, hits / max(len(anomalies), 1), 2 * hits / np.maximum(flagged + len(anomalies), 1)


def _names(ends: list[tuple[float, float, str, str]], x: float, top: float, base: float) -> list[str]:
    """A name at the end of each line (place, rank, name, class), moved apart, with a leader to its own line."""
    ends = sorted(ends, key=lambda end: (round(end[0] / (3 * LINE)), *end[1:]))  # neighbours by their rank
    places = spread([end for end, *_ in ends], top, base)
    parts = []
    for (end, _, name, kind), place in zip(ends, places, strict=True):
        inside = [straight(x, end, x + 12, place, "leader")] if abs(end - place) < 4 * LINE else []
        parts.append(_group(kind, [*inside, text(x + 15, place + 4, name, "name")]))
    return parts


def _group(kind: str, parts: Sequence[str]) -> str:
    return f'<g class="{kind}">{"".join(parts)}</g>'


def _area(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _label(across: Axis) -> str:
    return "score (logarithmic)" if across.log else "score"
