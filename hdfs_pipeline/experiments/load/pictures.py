"""Pictures of experiments on load as inline SVG: throughput, latency, scaling over consumers, lag by partition."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from hdfs_pipeline.experiments.load.findings import Knee, Side
from hdfs_pipeline.experiments.load.records import Record
from hdfs_pipeline.experiments.svg import Axis, bars, bottom, dot, left, path, picture, spread, straight, text

Lags = Sequence[tuple[int, datetime, int]]
"""Partition, time and lag, in order."""
MOST_PARTITIONS: Final = 12
"""Partitions that have a line each; of more there are the sum, the largest and the least."""
_WIDE, _LEFT, _RIGHT, _TOP = 760.0, 190.0, 690.0, 8.0
_LETTERS: Final = 25  # of a name that fit beside a picture
_LEAST_MS: Final = 0.01


def throughput(found: Sequence[Side]) -> str:
    """Bars of what each load sent and read a second; a line through the lower one is the 95 % interval of its mean.

    '' without loads.
    """
    if not found:
        return ""
    most = max((value for side in found for value in (side.sent_per_s, *_read(side))), default=0.0) or 1.0
    across = Axis(0, most, _LEFT, _RIGHT)
    row, base = 40.0, _TOP + 40.0 * len(found)
    parts = bottom(across, _TOP, base, "messages a second")
    for at, side in enumerate(found):
        y = _TOP + row * at
        parts += _named(side, y + row / 2)
        for value, top, kind in ((side.sent_per_s, y + 5, "sent"), (side.read_per_s, y + 20, "read")):
            end = float(across.at(value))
            parts.append(bars(np.array([_LEFT, end]), np.array([top]), top + 14, kind))
            if kind == "read" and np.isfinite(side.high):
                low, end = (float(each) for each in across.at(np.array([side.low, side.high])))
                parts.append(straight(low, top + 7, end, top + 7, "whisker"))
            parts.append(text(end + 6, top + 11, f"{value:,.0f}"))
    listed = ", ".join(f"{side.name} sent {side.sent_per_s:,.0f}/s and read {side.read_per_s:,.0f}/s" for side in found)
    return picture(_WIDE, base + 40, f"Throughput: {listed}", parts)


def _read(side: Side) -> list[float]:
    return [value for value in (side.read_per_s, side.high) if np.isfinite(value)]


def _named(side: Side, middle: float) -> list[str]:
    """Name and shape of a load at the left of its row."""
    name = side.name if len(side.name) <= _LETTERS else f"{side.name[: _LETTERS - 1]}…"
    shape = f"{side.load.producers}P/{side.load.consumers}C/{side.load.partitions} partitions"
    return [text(_LEFT - 12, middle - 2, name, "name", "end"), text(_LEFT - 12, middle + 12, shape, anchor="end")]


def latency(found: Sequence[Side]) -> str:
    """The latency that 50, 95 and 99 % of the verdicts of each load did not exceed; '' where no load has verdicts."""
    known = [(side, ms) for side in found if (ms := _ms(side))]
    if not known:
        return ""
    powers = np.log10([value for _, ms in known for value in ms])
    low, high = float(np.floor(powers.min())), float(np.ceil(powers.max()))
    across = Axis(10.0**low, 10.0 ** max(high, low + 1), _LEFT, _RIGHT, log=True)
    row, base = 40.0, _TOP + 40.0 * len(known)
    parts = bottom(across, _TOP, base, "latency in ms (logarithmic)")
    for at, (side, ms) in enumerate(known):
        y = _TOP + row * (at + 0.5)
        places = [float(across.at(value)) for value in ms]
        parts += _named(side, y)
        parts.append(straight(places[0], y, places[2], y, "reach"))
        parts += [dot(x, y, kind, 6) for x, kind in zip(places, ("p50", "p95", "p99"), strict=True)]
        parts.append(text(places[2] + 10, y + 4, f"{ms[2]:,.0f}"))
    listed = ", ".join(f"{side.name} {' / '.join(f'{value:,.0f}' for value in ms)} ms" for side, ms in known)
    return picture(_WIDE, base + 40, f"Latency of 50 / 95 / 99 % of the verdicts: {listed}", parts)


def _ms(side: Side) -> list[float]:
    found = [value for value in (side.p50_ms, side.p95_ms, side.p99_ms) if value is not None]
    return [max(value, _LEAST_MS) for value in found] if len(found) == 3 else []


def scaling(found: Sequence[Side], curve: Knee | None) -> str:
    """What each load read over its consumers, and the fitted curve; '' with a single number of consumers."""
    numbers = sorted({side.load.consumers for side in found})
    if len(numbers) < 2:
        return ""
    across = Axis(0, max(numbers[-1] + 1, 5), 70, _RIGHT)
    places = np.linspace(1, across.high, 200)
    fitted = curve.at(places) if curve else np.zeros(1)
    most = max(fitted.max(), *(value for side in found for value in _read(side))) or 1.0
    top, base = 24.0, 284.0
    up = Axis(0, most * 1.05, base, top)
    parts = [*bottom(across, top, base, "consumers"), *left(up, 70, _RIGHT), text(0, 12, "messages read a second")]
    if curve:
        parts.append(path(across.at(places), up.at(fitted), "curve"))
        if curve.peak <= across.high:
            x = float(across.at(curve.peak))
            parts += [straight(x, top, x, base, "peak"), text(x + 5, base - 6, f"peak at {curve.peak:.1f}")]
    for side in found:
        x = float(across.at(side.load.consumers))
        if np.isfinite(side.high):
            low, high = up.at(np.array([side.low, side.high]))
            parts.append(straight(x, float(low), x, float(high), "whisker"))
        parts.append(dot(x, float(up.at(side.read_per_s)), "point", 5))
    listed = ", ".join(f"{side.load.consumers} of {side.name} {side.read_per_s:,.0f}/s" for side in found)
    return picture(_WIDE, base + 40, f"Read a second over the number of consumers: {listed}", parts)


def lag(record: Record, lags: Lags) -> str:
    """Lag of each partition over the time of an experiment; '' where none was measured."""
    if not lags:
        return ""
    began = min(time for _, time, _ in lags)
    parts_of: dict[int, dict[float, int]] = defaultdict(dict)
    for part, time, messages in lags:
        parts_of[part][(time - began).total_seconds()] = messages
    lines = _lines(parts_of)
    many = len(parts_of) > MOST_PARTITIONS
    last = max(seconds for of in parts_of.values() for seconds in of) or 1.0
    most = max(max(line.values()) for line in lines.values())
    start, end, top, base = 56.0, 404.0, 24.0, 224.0
    across = Axis(0, last, start, end)
    # The sum of many partitions lies far above one of them.
    up = Axis(1, max(most, 10) * 1.3, base, top, log=True) if many else Axis(0, max(most, 5) * 1.05, base, top)
    parts = [*bottom(across, top, base, "seconds"), *left(up, start, end), text(0, 12, "lag in messages")]
    ends = []
    for at, (name, line) in enumerate(lines.items()):
        x, y = across.at(np.array([*line])), up.at(np.array([*line.values()]))
        parts.append(f'<g class="c{at}">{path(x, y, "curve")}{dot(float(x[-1]), float(y[-1]), "point", 3)}</g>')
        ends.append((float(y[-1]), float(x[-1]), name, at))
    ends.sort()
    for (high, far, name, at), place in zip(ends, spread([each[0] for each in ends], top, base), strict=True):
        leader = straight(far + 4, high, end + 16, place, "leader")
        parts += [f'<g class="c{at}">{leader}</g>', text(end + 20, place + 4, name)]
    listed = ", ".join(f"{name} {[*line.values()][-1]:,}" for name, line in lines.items())
    return picture(500, base + 40, f"Lag of {record.experiment} over time; at the end {listed}", parts)


def _lines(parts_of: Mapping[int, Mapping[float, int]]) -> dict[str, dict[float, int]]:
    """Lag by seconds of each line of a picture, by its name."""
    if len(parts_of) <= MOST_PARTITIONS:
        return {f"partition {part}": dict(parts_of[part]) for part in sorted(parts_of)}
    times = sorted({seconds for of in parts_of.values() for seconds in of})
    at = {seconds: [of[seconds] for of in parts_of.values() if seconds in of] for seconds in times}
    return {
        "all together": {seconds: sum(values) for seconds, values in at.items()},
        "the largest": {seconds: max(values) for seconds, values in at.items()},
        "the least": {seconds: min(values) for seconds, values in at.items()},
    }
