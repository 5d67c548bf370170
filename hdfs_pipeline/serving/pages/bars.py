"""The timeline of an incident: a bar for each step of time, as positions in a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from hdfs_pipeline.verdicts.lacks import duration

_WIDTH: Final = 900
_HIGH: Final = 130  # of the highest bar
_LEFT: Final = 44  # for the numbers
_FOOT: Final = 24
_LEAST: Final = 2.0  # of a bar that stands for anything
_TICKS: Final = 5


class Bar(NamedTuple):
    """A step of time: its place, and how high the incident's part and that of the others above it is."""

    x: float
    width: float
    own: float
    others: float
    label: str


class Row(NamedTuple):
    """A step of time in which there was anything, for the table."""

    time: str
    own: int
    others: int


@dataclass(frozen=True)
class Bars:
    """The picture, its table, and in `summary` what both say in a sentence."""

    bars: list[Bar]
    ticks: list[tuple[float, str]]
    levels: list[tuple[float, int]]
    table: list[Row]
    summary: str
    begin: float
    end: float
    width: int = _WIDTH
    high: int = _HIGH
    left: int = _LEFT
    height: int = _HIGH + _FOOT


def bars_of(incident: Mapping[str, Any]) -> Bars:
    """The picture of an incident's `timeline`."""
    line = incident["timeline"]
    begin, step = datetime.fromisoformat(line["begin"]), timedelta(seconds=line["step_s"])
    sums = [own + others for own, others in zip(line["own"], line["others"], strict=True)]
    most = max(sums, default=0) or 1
    wide = (_WIDTH - _LEFT) / max(len(sums), 1)
    precise = "%H:%M:%S" if step < timedelta(minutes=1) else "%m-%d %H:%M"

    def high(count: int) -> float:
        return round(max(count / most * _HIGH, _LEAST if count else 0.0), 1)

    def x(time: str) -> float:
        share = (datetime.fromisoformat(time) - begin) / (step * max(len(sums), 1))
        return round(_LEFT + share * (_WIDTH - _LEFT), 1)

    times = [(begin + at * step).astimezone(UTC) for at in range(len(sums))]
    rows = zip(times, line["own"], line["others"], strict=True)
    table = [Row(f"{time:%Y-%m-%d %H:%M:%S}", own, others) for time, own, others in rows if own or others]
    bars = [
        Bar(
            round(_LEFT + at * wide + 0.5, 1),
            round(max(wide - 1, 1.0), 1),
            high(own),
            high(others),
            f"{times[at]:%H:%M:%S} UTC: {own:,} of this incident, {others:,} others",
        )
        for at, (own, others) in enumerate(zip(line["own"], line["others"], strict=True))
        if own or others
    ]
    every = -(-len(sums) // _TICKS)
    ticks = [(round(_LEFT + at * wide, 1), format(times[at], precise)) for at in range(0, len(sums), every)]
    return Bars(
        bars,
        [tick for tick in ticks if tick[0] < _WIDTH - 40],
        [(0.0, most)] if most < 2 else [(0.0, most), (_HIGH / 2, round(most / 2))],
        table,
        _summary(line, times),
        x(incident["started_at"]),
        max(x(incident["ended_at"]), x(incident["started_at"]) + 1),
    )


def _summary(line: Mapping[str, Any], times: list[datetime]) -> str:
    own, others = line["own"], line["others"]
    if not any(own):
        return "The anomalies of this incident are no longer in the store."
    peak = own.index(max(own))
    step = duration(line["step_s"])
    text = f"Most came at {times[peak]:%H:%M:%S} UTC: {own[peak]:,} within {step}, {sum(own):,} in all."
    return f"{text} Around that time there were {sum(others):,} other anomalies." if any(others) else text
