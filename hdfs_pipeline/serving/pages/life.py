"""The life of an item: its records in their order, a line for each server, as positions in a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from hdfs_pipeline.verdicts.lacks import duration

_WIDTH: Final = 1200
_LEFT: Final = 150  # for the names
_ROW: Final = 30
_FOOT: Final = 26
_HEAD: Final = 8
_APART: Final = 46.0  # between two records where there is room
_MOST: Final = 120  # records that are drawn
_TICKS: Final = 14
_SHOWN: Final = 200  # characters of a record in its label


class Step(NamedTuple):
    """A record: its place, its number among the records, whether it tells, and what it is in words.

    `marked` are those that another life does not have.
    """

    x: float
    y: float
    number: int
    telling: bool
    label: str
    marked: bool = False


@dataclass(frozen=True)
class Life:
    """The picture; `steps` are in the order of time, `lanes` the names of the lines with their places.

    `ticks` say how long after the first record those above them came. `hidden` records are not drawn.
    """

    steps: list[Step]
    lanes: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    hidden: int
    height: float
    width: int = _WIDTH
    left: int = _LEFT


def life_of(lines: Sequence[Mapping[str, Any]], marked: Sequence[bool] = (), word: str = "") -> Life:
    """The life that raw records (`time`, `line`, and where known `host`, `daemon`, `telling`) tell, in their order.

    Those that are `marked`, by their index, have `word` before their label.
    Places go by the order of records and not by the clock: a block is written in milliseconds and deleted days later.
    """
    drawn = lines[:_MOST]
    names = list(dict.fromkeys(_name(line) for line in drawn))
    lanes = {name: _HEAD + _ROW * at + _ROW / 2 for at, name in enumerate(names)}
    apart = min(_APART, (_WIDTH - _LEFT - 30) / max(len(drawn), 1))
    steps = []
    for at, line in enumerate(drawn):
        place = round(_LEFT + 16 + at * apart, 1)
        label = f"{_time(line['time'])} {_name(line)}: {line['line'][:_SHOWN]}"
        own = at < len(marked) and marked[at]
        label = f"{word}: {label}" if own else label
        steps.append(Step(place, lanes[_name(line)], at + 1, bool(line.get("telling")), label, own))
    return Life(
        steps,
        [(place, name) for name, place in lanes.items()],
        _ticks(drawn, steps),
        len(lines) - len(drawn),
        _HEAD + _ROW * len(lanes) + _FOOT,
    )


def _ticks(lines: Sequence[Mapping[str, Any]], steps: Sequence[Step]) -> list[tuple[float, str]]:
    """How long after the first record some came: those before which most time has passed, and the first."""
    if not lines:
        return []
    times = [line["time"].timestamp() for line in lines]
    gaps = sorted(range(1, len(times)), key=lambda at: times[at - 1] - times[at])[: _TICKS * 2]
    chosen: list[int] = [0]
    for at in gaps:
        if times[at] - times[at - 1] >= 0.001 and all(abs(steps[at].x - steps[other].x) >= 64 for other in chosen):
            chosen.append(at)
        if len(chosen) == _TICKS:
            break
    return [(steps[at].x, "first" if at == 0 else f"+{_after(times[at] - times[0])}") for at in sorted(chosen)]


def _after(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _name(line: Mapping[str, Any]) -> str:
    return str(line.get("host") or line.get("daemon") or "the log")


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}"
