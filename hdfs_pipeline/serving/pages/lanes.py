"""The swim lanes: when each server or service had incidents, as positions in a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from hdfs_pipeline.scoring.severity import SEVERITIES
from hdfs_pipeline.verdicts.lacks import duration

_WIDTH: Final = 1200
_LEFT: Final = 190  # for the names
_ROW: Final = 28
_FOOT: Final = 24
_MOST: Final = 20  # lines that are drawn, those with the gravest incidents first
_LEAST: Final = 4.0  # of a bar, so that it can be seen and hit
_NAMED: Final = 26  # characters of a name
_STEPS: Final = [timedelta(seconds=s) for s in (1, 5, 15, 60, 300, 900, 3600, 10_800, 21_600, 86_400, 604_800)]
_TICKS: Final = 9


class Bar(NamedTuple):
    """An incident: where it lies, and what it is."""

    id: str
    x: float
    width: float
    severity: str
    label: str


class Lane(NamedTuple):
    """A server or service with its incidents, the less grave ones first, so that none hides a graver one."""

    name: str
    y: int
    bars: list[Bar]


class Tick(NamedTuple):
    """A time below the lanes."""

    x: float
    text: str


@dataclass(frozen=True)
class Lanes:
    """The picture between two times; `hidden` lines are not in it."""

    begin: str
    end: str
    rows: list[Lane]
    ticks: list[Tick]
    hidden: int
    width: int = _WIDTH
    left: int = _LEFT

    @property
    def height(self) -> int:
        """In the picture's units."""
        return _ROW * len(self.rows) + _FOOT


def lanes_of(incidents: Sequence[Mapping[str, Any]], begin: datetime, end: datetime) -> Lanes:
    """The lanes of incidents (as the API has them) between two times."""
    span = max((end - begin).total_seconds(), 1.0)

    def x(time: datetime) -> float:
        share = min(max((time - begin).total_seconds() / span, 0.0), 1.0)
        return round(_LEFT + share * (_WIDTH - _LEFT), 1)

    of: dict[str, list[Mapping[str, Any]]] = {}
    for row in incidents:
        of.setdefault(row["entity"] or "no single server", []).append(row)

    def gravity(name: str) -> tuple[int, int, str]:
        return -max(SEVERITIES.index(row["severity"]) for row in of[name]), -len(of[name]), name

    names = sorted(of, key=gravity)
    rows = []
    for line, name in enumerate(names[:_MOST]):
        bars = []
        for row in sorted(of[name], key=lambda row: SEVERITIES.index(row["severity"])):
            first, last = (datetime.fromisoformat(row[column]) for column in ("started_at", "ended_at"))
            at = min(x(first), _WIDTH - _LEAST)
            label = f"{row['title']}, {row['severity']}, {row['status']}, {first:%Y-%m-%d %H:%M:%S} UTC, "
            label += f"lasted {duration(row['duration_s'] or 0.0)}"
            bars.append(Bar(row["id"], at, max(round(x(last) - at, 1), _LEAST), row["severity"], label))
        shown = name if len(name) <= _NAMED else f"{name[: _NAMED - 1]}…"
        rows.append(Lane(shown, line * _ROW, bars))
    return Lanes(_iso(begin), _iso(end), rows, _ticks(begin, end, x), max(len(names) - _MOST, 0))


def _ticks(begin: datetime, end: datetime, x: Any) -> list[Tick]:
    step = next((step for step in _STEPS if (end - begin) / step <= _TICKS), (end - begin) / _TICKS)
    seconds = step.total_seconds()
    first = datetime.fromtimestamp(-(-begin.timestamp() // seconds) * seconds, UTC)
    shown = "%Y-%m-%d" if seconds >= 86_400 else "%m-%d %H:%M" if end - begin > timedelta(days=1) else "%H:%M"
    shown = "%H:%M:%S" if seconds < 60 else shown
    times = [first + at * step for at in range(_TICKS + 1)]
    return [Tick(x(time), format(time, shown)) for time in times if begin <= time <= end and x(time) < _WIDTH - 20]


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
