"""Axes, lines and labels as inline SVG. Colours and fonts are the page's: everything carries a class, not a style."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

LINE = 15.0
"""Height of a line of text in a picture, in its units."""


@dataclass(frozen=True)
class Axis:
    """Maps values from `low` to `high` onto `start` to `end` in the picture; values beyond go to the edge."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, values: np.ndarray | float) -> np.ndarray:
        """Places of `values`, any shape."""
        low, high, inside = self.low, self.high, np.clip(np.asarray(values, np.float64), self.low, self.high)
        if self.log:
            low, high, inside = np.log10(low), np.log10(high), np.log10(inside)
        return self.start + (inside - low) / (high - low) * (self.end - self.start)

    def values(self, count: int) -> np.ndarray:
        """`count` values whose places are evenly spread from end to end."""
        return (np.geomspace if self.log else np.linspace)(self.low, self.high, count)

    @property
    def ticks(self) -> list[float]:
        """Up to six round values."""
        if self.log:
            first, last = int(np.ceil(np.log10(self.low) - 1e-9)), int(np.floor(np.log10(self.high) + 1e-9))
            step = max(1, -(-(last - first + 1) // 6))
            return [10.0**power for power in range(first, last + 1, step)]
        rough = (self.high - self.low) / 5
        unit = 10.0 ** np.floor(np.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
        first = np.ceil(self.low / step - 1e-9)
        return [float(n * step) for n in np.arange(first, np.floor(self.high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A tick's text: short, with a power of ten for a number that would be long."""
    if abs(value) < 1e-300:  # no power of ten has so small a number
        return "0"
    if abs(value) >= 100_000 or abs(value) < 0.001:
        power = int(np.floor(np.log10(abs(value)) + 1e-9))
        lead = value / 10.0**power
        raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"10{raised}" if abs(lead - 1) < 1e-6 else f"{lead:.3g}·10{raised}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def picture(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """The parts as one picture; `title` describes it to those who cannot see it."""
    label, body = escape(title), "".join(parts)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}"><title>{label}</title>{body}</svg>'


def text(x: float, y: float, content: str, kind: str = "tick", anchor: str = "start") -> str:
    """Text with its baseline at (x, y)."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def straight(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """A line from one point to another."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def dot(x: float, y: float, kind: str, radius: float = 4.0) -> str:
    """A filled circle."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" class="{kind}"/>'


def path(x: np.ndarray, y: np.ndarray, kind: str, *, steps: bool = False) -> str:
    """A line through points (n,); with `steps` it goes sideways, then up or down. Equal neighbours are drawn once."""
    if steps:
        x, y = np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]
    points = np.column_stack([x, y]).round(1)
    moved = np.r_[True, (np.diff(points, axis=0) != 0).any(axis=1)]
    places = " ".join(f"{px:g},{py:g}" for px, py in points[moved].tolist())
    return f'<polyline points="{places}" class="{kind}"/>'


def bars(edges: np.ndarray, tops: np.ndarray, base: float, kind: str) -> str:
    """Adjacent bars from `base` to `tops` (n,), between `edges` (n + 1,), without those that have no height."""
    parts = [
        f"M{left:.1f} {base:.1f}V{top:.1f}H{right:.1f}V{base:.1f}Z"
        for left, right, top in zip(edges[:-1], edges[1:], tops, strict=True)
        if abs(top - base) > 0.01
    ]
    return f'<path d="{"".join(parts)}" class="{kind}"/>'


def bottom(axis: Axis, top: float, base: float, label: str = "", zero: str = "") -> list[str]:
    """Grid lines, ticks and label of a horizontal axis; `zero` takes the place of a tick at its left end."""
    parts = []
    for tick in axis.ticks:
        x = float(axis.at(tick))
        if zero and x - axis.start < 24:
            continue
        parts += [straight(x, top, x, base, "grid"), text(x, base + LINE, number(tick), anchor="middle")]
    if zero:
        parts.append(text(axis.start, base + LINE, zero, anchor="middle"))
    if label:
        parts.append(text((axis.start + axis.end) / 2, base + 2.2 * LINE, label, "label", "middle"))
    return parts


def left(axis: Axis, start: float, end: float, label: str = "", ticks: Sequence[float] | None = None) -> list[str]:
    """Grid lines, ticks and label of a vertical axis."""
    parts = []
    for tick in axis.ticks if ticks is None else ticks:
        y = float(axis.at(tick))
        parts += [straight(start, y, end, y, "grid"), text(start - 5, y + 4, number(tick), anchor="end")]
    if label:
        middle = (axis.start + axis.end) / 2
        parts.append(
            f'<text transform="translate({start - 36:.1f} {middle:.1f}) rotate(-90)" class="label" '
            f'text-anchor="middle">{escape(label)}</text>'
        )
    return parts


def spread(wanted: Sequence[float], low: float, high: float, least: float = LINE) -> list[float]:
    """Places near the `wanted` ones (in rising order), at least `least` apart and between `low` and `high`."""
    least = min(least, (high - low) / max(len(wanted) - 1, 1))
    places: list[float] = []
    for place in wanted:
        places.append(max(place, places[-1] + least if places else low))
    ceiling = high
    for at in range(len(places) - 1, -1, -1):
        places[at] = min(places[at], ceiling)
        ceiling = places[at] - least
    return places
