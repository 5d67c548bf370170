"""Pictures of an evaluation: precision over recall, ROC, and how many items score what, as positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log10
from typing import Any, Final, NamedTuple

MOST_LINES: Final = 6
"""Detectors in one picture; each has a dash and a letter of its own."""
_WIDTH: Final = 560
_HIGH: Final = 300
_LEFT: Final = 46  # for the numbers
_TOP: Final = 10
_FOOT: Final = 40
_NEAR: Final = 1e-3  # shares below which the axis of ROC is about even, above which it is logarithmic

_WIDE: Final = 1200  # of a histogram
_UP: Final = 120
_NEAR_EDGE: Final = 160  # to the left of it a text has room only on the right
_FAR: Final = 960  # and to the right of it only on the left
_LEAST: Final = 2.0  # of a bar that stands for anything
_NOTHING: Final = {"precision": 1.0, "recall": 0.0, "false_share": 0.0}
"""The figures where nothing is flagged, at which a curve begins."""


class Line(NamedTuple):
    """A detector's curve. `at` is where its fixed threshold lies, `letter` stands at `place`."""

    detector: str
    letter: str
    number: int
    points: str
    at: tuple[float, float]
    place: tuple[float, float]
    label: str


@dataclass(frozen=True)
class Curves:
    """One picture: its lines, the ticks of both axes, and what these are called."""

    lines: list[Line]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]
    x_name: str
    y_name: str
    width: int = _WIDTH
    left: int = _LEFT
    top: int = _TOP
    floor: int = _TOP + _HIGH
    height: int = _TOP + _HIGH + _FOOT


def precision_over_recall(reports: Sequence[Mapping[str, Any]]) -> Curves:
    """Of detectors whose `curve` has figures: how many alarms are right, over how many anomalies are found."""

    def point(each: Mapping[str, Any]) -> tuple[float, float]:
        return _across(each["recall"]), _up(each["precision"])

    ticks = [(_across(share), f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 1)]
    levels = [(_up(share), f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 1)]
    lines = _lines(reports, point, "precision {precision:.3f}, recall {recall:.3f}")
    return Curves(lines, ticks, levels, "recall: anomalies that are found", "precision: alarms that are right")


def roc(reports: Sequence[Mapping[str, Any]]) -> Curves:
    """Of the same: how many anomalies are found, over how many normal items are flagged, which is logarithmic."""

    def along(share: float) -> float:
        return _across(log10(1 + share / _NEAR) / log10(1 + 1 / _NEAR))

    def point(each: Mapping[str, Any]) -> tuple[float, float]:
        return along(each["false_share"]), _up(each["recall"])

    shares = {0.0: "0", 0.001: "0.1%", 0.01: "1%", 0.1: "10%", 1.0: "100%"}
    ticks = [(along(share), text) for share, text in shares.items()]
    levels = [(_up(share), f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 1)]
    lines = _lines(reports, point, "recall {recall:.3f}, {false_share:.3%} of the normal ones flagged")
    return Curves(lines, ticks, levels, "normal ones that are flagged (logarithmic)", "recall")


def _lines(reports: Sequence[Mapping[str, Any]], point: Any, words: str) -> list[Line]:
    lines = []
    for number, report in enumerate(reports):
        curve = [each for each in report["curve"] if each["precision"] is not None]
        places = [point(_NOTHING), *(point(each) for each in curve)]
        reached = [each for each in curve if each["threshold"] >= report["threshold"]]
        fixed = reached[-1] if reached else curve[0]
        aim = _across((number + 0.5) / len(reports))
        lines.append(
            Line(
                report["detector"],
                "ABCDEF"[number],
                number,
                " ".join(f"{x},{y}" for x, y in _stairs(places)),
                point(fixed),
                (aim, [y for x, y in places if x <= aim][-1]),
                f"{report['detector']} at its threshold: {words.format(**fixed)}",
            )
        )
    return lines


def _stairs(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of steps: what a lower threshold adds comes at once."""
    stairs = list(places[:1])
    for (_, before), place in pairwise(places):
        stairs += [(place[0], before), place]
    return stairs


def _across(share: float) -> float:
    return round(_LEFT + share * (_WIDTH - _LEFT - 8), 1)


def _up(share: float) -> float:
    return round(_TOP + (1 - share) * _HIGH, 1)


class Column(NamedTuple):
    """A bin: its place, how high it is above the line and below it, and both in words."""

    x: float
    width: float
    above: float
    below: float
    label: str


class Mark(NamedTuple):
    """A threshold in the picture."""

    x: float
    text: str
    kind: str
    anchor: str


@dataclass(frozen=True)
class Histogram:
    """How many items score what, above the line, and below it those known to be anomalous; heights are logarithmic."""

    columns: list[Column]
    marks: list[Mark]
    ticks: list[tuple[float, str]]
    levels: list[tuple[float, str]]
    line: float
    has_below: bool
    width: int
    left: int
    height: float


def histogram_picture(report: Mapping[str, Any]) -> Histogram | None:
    """The picture of a report's `histogram`, with its thresholds; None where nothing was scored."""
    told = report["histogram"]
    edges = told["edges"]
    if len(edges) < 2:
        return None
    above = [normal + unknown for normal, unknown in zip(told["normal"], told["unknown"], strict=True)]
    most = max(*above, *told["anomaly"], 1)
    down = _UP if any(told["anomaly"]) else 0
    head = 36.0
    line = head + _UP

    def place(score: float) -> float:
        return round(_LEFT + _share(score, edges, told["scale"]) * (_WIDE - _LEFT - 8), 1)

    def high(count: int) -> float:
        return round(max(log10(1 + count) / log10(1 + most) * _UP, _LEAST), 1) if count else 0.0

    columns = []
    for at, (low, top) in enumerate(pairwise(edges)):
        counts = f"{above[at]:,} not known to be anomalous" if down else f"{above[at]:,}"
        counts += f", {told['anomaly'][at]:,} anomalies" if down else ""
        if above[at] or told["anomaly"][at]:
            x, heights = place(low), (high(above[at]), high(told["anomaly"][at]))
            wide = max(round(place(top) - x - 1, 1), 1.5)
            columns.append(Column(x + 0.5, wide, *heights, f"{low:.4g} to {top:.4g}: {counts}"))
    fixed = place(report["threshold"])
    marks = [Mark(fixed, f"fixed threshold {report['threshold']:.4g}", "fixed", "end" if fixed > _FAR else "start")]
    if report["asked"]:
        asked = place(min(max(report["asked"]["threshold"], edges[0]), edges[-1]))
        away = asked > _FAR or _NEAR_EDGE < asked < fixed  # from the other mark, where there is room
        text = f"chosen {report['asked']['threshold']:.4g}"
        marks.append(Mark(asked, text, "asked", "end" if away else "start"))
    powers = [10**power for power in range(int(log10(most)) + 1)]
    levels = [(line - high(power), f"{power:,}") for power in powers if power > 1 or most < 10]
    every = max(len(edges) // 8, 1)
    ticks = [(place(edges[at]), f"{edges[at]:.3g}") for at in range(0, len(edges) - every // 2, every)]
    return Histogram(columns, marks, ticks, levels[-3:], line, bool(down), _WIDE, _LEFT, line + down + 26)


def _share(score: float, edges: Sequence[float], scale: str) -> float:
    """Where between the first and the last edge a score lies, 0 to 1."""
    if scale == "logarithmic":  # the first bin reaches down to whatever is least: it is drawn as wide as the second
        least = log10(edges[1]) - (log10(edges[2]) - log10(edges[1])) if len(edges) > 2 else log10(edges[1]) - 1
        value = max(log10(score), least) if score > 0 else least
        return (value - least) / (log10(edges[-1]) - least)
    return (score - edges[0]) / (edges[-1] - edges[0])
