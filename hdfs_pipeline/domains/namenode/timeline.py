"""The stored metrics of a NameNode over any length of time, as few points that keep what stands out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isnan
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.namenode.frames import HOLD_S, frame_of
from hdfs_pipeline.domains.namenode.metrics import BY_NAME
from hdfs_pipeline.domains.namenode.series import iso, load_series, the_namenode
from hdfs_pipeline.errors import DataError, unknown
from hdfs_pipeline.store.store import Store, dicts

POINTS: Final = 600
"""Steps of time of a picture, unless somebody asks for another number."""
_LAST: Final = 4e10  # Unix seconds, later than every poll
_WHOLE: Final = 5000  # polls that are read one by one; of more the store keeps the least and greatest of each step
_POLLED: Final = """SELECT namenode, min(polled_at) AS first, max(polled_at) AS latest, count(*) AS polls,
    count(*) FILTER (gap) - 1 AS gaps, arg_max(role, polled_at) AS latest_role FROM namenode_metrics GROUP BY namenode
    ORDER BY latest_role = 'active' DESC, latest DESC LIMIT 100"""
_WINDOW: Final = "namenode = $namenode AND polled_at >= to_timestamp($since) AND polled_at < to_timestamp($until)"
_COUNT: Final = f"SELECT count(*), epoch(min(polled_at)), epoch(max(polled_at)) FROM namenode_metrics WHERE {_WINDOW}"
# In the inner query, each metric is taken from its map once.
_STEPS: Final = f"""SELECT floor((moment - $first) / $step) AS place, {{figures}}
    FROM (SELECT epoch(polled_at) AS moment, {{metrics}} FROM namenode_metrics WHERE {_WINDOW})
    GROUP BY place ORDER BY place LIMIT {{most}}"""


@dataclass(frozen=True)
class Lines:
    """Metrics over k steps of time of `step_s` seconds, made of `polls` polls; 0 s where each step is one poll.

    `times`: (k,) float64, Unix seconds. `low`, `high`: by metric the least and the greatest value of each step, (k,)
    float64, equal where a step is one poll; NaN where nothing was measured, and at least once in each gap.
    """

    namenode: str
    times: np.ndarray
    low: dict[str, np.ndarray]
    high: dict[str, np.ndarray]
    step_s: float
    polls: int

    def to_json(self) -> dict[str, Any]:
        """Times in ISO 8601; values that are not known as null."""
        return {
            "namenode": self.namenode,
            "polls": self.polls,
            "step_s": self.step_s,
            "times": [iso(at) for at in self.times.tolist()],
            "metrics": {
                name: {"unit": BY_NAME[name].unit, "low": plain(self.low[name]), "high": plain(self.high[name])}
                for name in self.low
            },
        }


def polled(store: Store) -> list[dict[str, Any]]:
    """What was polled: of each NameNode the first and the last sample, how many there are, and its role at the end."""
    if not store.path.exists():
        return []
    with store.read() as con:
        rows = dicts(con, _POLLED)
    for row in rows:
        row |= {edge: row[edge].astimezone(UTC) for edge in ("first", "latest")}
    return rows


def known_metrics(metrics: Sequence[str]) -> list[str]:
    """The names, each once. Raises: DataError for one that no metric has."""
    for name in metrics:
        if name not in BY_NAME:
            raise DataError(unknown("metric", name, BY_NAME))
    return list(dict.fromkeys(metrics))


def metric_lines(
    store: Store,
    metrics: Sequence[str],
    *,
    namenode: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    points: int = POINTS,
) -> Lines:
    """Metrics as they were measured from `start` (with it) to `end` (without it), by default all of the time.

    Raises: DataError for an unknown metric or NameNode, or where nothing was polled at all.
    """
    names, name = known_metrics(metrics), the_namenode(store, namenode)
    about = _about(name, start, end)
    polls, first, last = _count(store, about)
    if polls <= _WHOLE:
        frame = frame_of(load_series(store, name, about["since"], about["until"]))
        columns = [frame.columns.index(each) for each in names]
        return lines_of(name, names, frame.times, frame.segment, frame.values[:, columns], points)
    # A bean that was not refreshed says nothing at a poll, but within this time it does.
    step = max((last - first) / points, HOLD_S)
    figures = [f"min(m{at}) AS low{at}, max(m{at}) AS high{at}" for at in range(len(names))]
    values = [f"metrics['{each}'] AS m{at}" for at, each in enumerate(names)]
    sql = _STEPS.format(figures=", ".join(figures) or "0", metrics=", ".join(values) or "0", most=points + 1)
    with store.read() as con:
        table = con.execute(sql, about | {"first": first, "step": step}).fetchnumpy()
    place = np.minimum(np.asarray(table["place"], np.int64), points - 1)
    count = int(place[-1]) + 1

    def side(which: str) -> dict[str, np.ndarray]:
        found = {each: np.full(count, np.nan) for each in names}
        for at, each in enumerate(names):
            found[each][place] = np.ma.filled(np.ma.asarray(table[f"{which}{at}"], np.float64), np.nan)
        return found

    return Lines(name, first + np.arange(count) * step, side("low"), side("high"), step, polls)


def polls_between(store: Store, namenode: str, start: datetime | None, end: datetime | None) -> int:
    """How often a NameNode was polled from `start` (with it) to `end` (without it)."""
    return _count(store, _about(namenode, start, end))[0]


def _about(namenode: str, start: datetime | None, end: datetime | None) -> dict[str, Any]:
    since, until = (edge if edge is None else edge.timestamp() for edge in (start, end))
    return {"namenode": namenode, "since": since or 0.0, "until": _LAST if until is None else until}


def _count(store: Store, about: dict[str, Any]) -> tuple[int, float, float]:
    """How many polls there are, and the times of the first and the last, Unix seconds."""
    with store.read() as con:
        polls, first, last = con.execute(_COUNT, about).fetchall()[0]
    return int(polls), first, last


def lines_of(
    namenode: str, names: Sequence[str], times: np.ndarray, segment: np.ndarray, values: np.ndarray, points: int
) -> Lines:
    """Metrics `values` (n, m) at `times` (n,) as lines; a new `segment` (n,) begins after a gap."""
    if len(times) <= points:
        rows = np.arange(len(times))
        # A moment of nothing stands before whatever follows a gap.
        breaks = np.flatnonzero(np.diff(segment)) + 1 if len(times) else rows
        rows = np.insert(rows, breaks, -1)
        moments = np.where(rows < 0, np.nan, times[rows]) if len(times) else times
        moments[rows < 0] = times[breaks - 1] + 1e-3
        shown = np.where(rows[:, None] < 0, np.nan, values[rows]) if len(times) else values
        lines = {name: shown[:, at].astype(np.float64) for at, name in enumerate(names)}
        return Lines(namenode, moments, lines, lines, 0.0, len(times))
    step = (times[-1] - times[0]) / points
    place = np.minimum((times - times[0]) // step, points - 1).astype(np.int64)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    low, high = (np.full((points, len(names)), np.nan) for _ in range(2))
    low[place[starts]] = np.fmin.reduceat(values, starts, axis=0)
    high[place[starts]] = np.fmax.reduceat(values, starts, axis=0)
    return Lines(
        namenode,
        times[0] + np.arange(points) * step,
        {name: low[:, at] for at, name in enumerate(names)},
        {name: high[:, at] for at, name in enumerate(names)},
        float(step),
        len(times),
    )


def plain(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON, None for what is not known."""
    return [None if isnan(value) else round(value, 6) for value in values.tolist()]
