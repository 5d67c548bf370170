"""What was usual of HDFS in the last days, from one poll in ten minutes: under-replicated blocks, and free space."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from hdfs_pipeline.store.store import Connection

_EVERY_S: Final = 600.0
_KEPT: Final = timedelta(days=7)
_USUAL_S: Final = 24 * 3600.0
_HIGH: Final = 0.95  # the quantile that is still usual
_FEWEST: Final = 6  # polls, an hour, before anything is usual
_SPAN_S: Final = 6 * 3600.0  # of polls before there is a pace
_PAIRED: Final = 300  # polls of which all pairs are looked at

_STORED: Final = """SELECT epoch(min(polled_at)), first(state['under_replicated'] ORDER BY polled_at),
    first(state['last_replica'] ORDER BY polled_at),
    first(state['capacity_remaining'] / nullif(state['capacity_total'], 0) ORDER BY polled_at)
    FROM hdfs_state WHERE namenode = $1 AND polled_at > $2 AND role IN ('active', 'unknown')
    AND coalesce(safe_mode, '') = ''
    GROUP BY time_bucket(INTERVAL 10 MINUTE, polled_at) ORDER BY 1"""
_TROUBLE: Final = """SELECT epoch(first_time), epoch(last_time) FROM anomalies WHERE domain = 'namenode'
    AND origin = 'jmx' AND status <> 'withdrawn' AND kind = $3 AND last_time > $2 AND explanation->>'namenode' = $1"""
USUAL_OF: Final = {"under_replicated": "under-replicated blocks", "last_replica": "blocks with one replica"}
"""The figures of which some are usual, each with the kind of its trouble."""


@dataclass
class Past:
    """Thinned polls: `times` in Unix seconds, and of each figure its values; NaN where it was unknown or in trouble."""

    times: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(
        default_factory=lambda: {"under_replicated": [], "last_replica": [], "free": []}
    )
    _pace: float | None = None

    @classmethod
    def stored(cls, con: Connection, namenode: str, now: datetime) -> "Past":
        """The past of a NameNode that the store has."""
        past, since = cls(), now - _KEPT
        for at, *figures in con.execute(_STORED, [namenode, since]).fetchall():
            past._append(at, dict(zip(past.values, figures, strict=True)))
        times = np.array(past.times)
        for name, kind in USUAL_OF.items():
            for first, last in con.execute(_TROUBLE, [namenode, since, kind]).fetchall():
                for row in np.flatnonzero((times >= first) & (times <= last)).tolist():
                    past.values[name][row] = np.nan
        past._find_pace()
        return past

    def add(self, at: datetime, figures: dict[str, float | None]) -> None:
        """Take in a poll, if the last one was ten minutes before; None for what is unknown or in trouble."""
        now = at.timestamp()
        if self.times and 0 <= now - self.times[-1] < _EVERY_S:
            return
        self._append(now, figures)
        old = sum(time < now - _KEPT.total_seconds() for time in self.times)
        for series in (self.times, *self.values.values()):
            del series[:old]
        self._find_pace()

    def join(self, other: "Past") -> None:
        """Take in the polls of the same HDFS that another one holds, as far as there are none of that time here."""
        times = np.array(self.times + other.times)
        order, last = [], -np.inf
        for row in np.argsort(times, kind="stable").tolist():
            if times[row] - last >= _EVERY_S / 2:
                order.append(row)
                last = times[row]
        self.times = times[order].tolist()
        for name, series in self.values.items():
            self.values[name] = np.array(series + other.values[name])[order].tolist()
        self._find_pace()

    def usual(self, name: str, now: datetime) -> float:
        """The highest value that was usual in the day before the last ten minutes; 0 where there is too little to tell.

        What begins now must not be usual by its own first poll.
        """
        times, values = np.array(self.times), np.array(self.values[name])
        age = now.timestamp() - times
        known = values[(age > _EVERY_S) & (age <= _USUAL_S) & ~np.isnan(values)]
        return float(np.quantile(known, _HIGH, method="higher")) if len(known) >= _FEWEST else 0.0

    def days_to_full(self, free: float) -> float | None:
        """Days until a free share is 0 at the pace of the last week; None where it does not shrink, or is unknown."""
        return None if self._pace is None or self._pace >= 0 else free / -self._pace / 86_400

    def _append(self, at: float, figures: dict[str, float | None]) -> None:
        self.times.append(at)
        for name, series in self.values.items():
            value = figures.get(name)
            series.append(np.nan if value is None else value)

    def _find_pace(self) -> None:
        """The median slope of the free share over all pairs of polls (Theil, 1950; Sen, 1968), per second."""
        free = np.array(self.values["free"])
        known = ~np.isnan(free)
        times, free = np.array(self.times)[known], free[known]
        self._pace = None
        if len(times) < _FEWEST or times[-1] - times[0] < _SPAN_S:
            return
        rows = np.unique(np.linspace(0, len(times) - 1, min(len(times), _PAIRED)).astype(int))
        first, second = np.triu_indices(len(rows), 1)
        times, free = times[rows], free[rows]
        self._pace = float(np.median((free[second] - free[first]) / (times[second] - times[first])))
