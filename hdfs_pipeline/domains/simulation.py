"""What the simulators of logs share: the rhythm of day and week, arrivals that follow it, and when faults happen."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hdfs_pipeline.errors import UsageError

DAY_S: Final = 86_400
BLOCK_ROWS: Final = 500_000
"""About so many rows are simulated at once."""
_BIN_S: Final = 10.0
_EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday
_WEEKEND: Final = 0.6
_HOURS: Final = (
    0.18, 0.15, 0.15, 0.15, 0.16, 0.20, 0.30, 0.50, 0.75, 0.92, 1.00, 1.00,
    0.95, 0.95, 0.98, 1.00, 0.97, 0.90, 0.82, 0.78, 0.75, 0.60, 0.42, 0.28,
)  # fmt: skip
_MARGIN_S: Final = 300.0
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fault:
    """Something that went wrong on purpose, from `begin` until before `end` (UTC).

    `endpoint` is '' where the whole service is meant, `clients` are the addresses that did it. `strength` says how bad:
    the share of errors, the factor of response times or of requests, the share of requests left, or a number of lines.
    """

    kind: str
    service: str
    begin: datetime
    end: datetime
    strength: float
    endpoint: str = ""
    clients: tuple[str, ...] = ()
    seed: int = 0

    @property
    def span(self) -> tuple[float, float]:
        """Begin and end in seconds since 1970."""
        return self.begin.timestamp(), self.end.timestamp()


@dataclass(frozen=True)
class Simulated:
    """Rows in the order of time, whose `label` names the fault that changed them, and the faults."""

    table: pa.Table
    faults: list[Fault]


class Source(Protocol):
    """Simulated rows from a time on, block after block."""

    @property
    def now_s(self) -> float:
        """Where the last block ended, in seconds since 1970."""
        ...

    def until(self, end_s: float, faults: Sequence[Fault] = ()) -> pa.Table:
        """The rows from where the last block ended until before `end_s`, in the order of time."""
        ...


@dataclass(frozen=True)
class Simulator:
    """A domain's simulation: its topic, the kinds of anomalies, and what makes rows, faults and lines.

    `source` takes where to begin (seconds since 1970), rows a second on average over a week, and a seed; `plan` takes
    kinds, begin and end, rows a second, a seed and how often a day each kind happens; `lines` writes rows as they stand
    in a log, without line ends.
    """

    topic: str
    kinds: tuple[str, ...]
    source: Callable[[float, float, int], Source]
    plan: Callable[[Sequence[str], float, float, float, int, float], list[Fault]]
    lines: Callable[[pa.Table], Iterator[bytes]]
    per_day: float
    """How often a day each kind happens, where nothing else is asked for."""

    def simulate(
        self,
        *,
        begin: datetime,
        duration_s: float,
        rate: float,
        anomalies: Sequence[str] = (),
        seed: int = 0,
        per_day: float = 0.0,
        quiet: float = 0.25,
    ) -> Simulated:
        """Simulate a stretch, with faults of the kinds `anomalies` (or `all`).

        `rate` is in rows a second, on average over a week. Each kind happens `per_day` times a day (0 is the usual
        number), at least once, and none before the share `quiet` of the time has passed.

        Raises: UsageError for a kind that is not known.
        """
        begin_s, end_s = begin.timestamp(), begin.timestamp() + duration_s
        first = begin_s + quiet * duration_s
        faults = self.plan(kinds_named(anomalies, self.kinds), first, end_s, rate, seed, per_day or self.per_day)
        source, tables = self.source(begin_s, rate, seed), []
        while source.now_s < end_s:
            tables.append(source.until(min(source.now_s + block_s(rate), end_s), faults))
        return Simulated(pa.concat_tables(tables), faults)


def at(seconds: float) -> datetime:
    """A time in seconds since 1970, in UTC and whole milliseconds."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)


def is_weekend(moments: Floats) -> NDArray[np.bool_]:
    """Whether times (seconds since 1970) lie on a Saturday or a Sunday of UTC."""
    result: NDArray[np.bool_] = (moments // DAY_S + _EPOCH_WEEKDAY) % 7 >= 5
    return result


def load(seconds: Floats | float, depth: float = 1.0) -> Floats:
    """How busy it is at times (seconds since 1970, (n,)), as a factor whose mean over a week is 1.

    Nights have 15 % of the busiest hour, weekends 60 % of other days. `depth` 0 is the same all the time.
    """
    moments = np.asarray(seconds, np.float64)
    hours = np.array(_HOURS)
    daily = np.interp(moments / 3600 % 24, np.arange(24) + 0.5, hours, period=24)
    mean = hours.mean() * (5 + 2 * _WEEKEND) / 7
    result: Floats = 1 - depth + depth * daily * np.where(is_weekend(moments), _WEEKEND, 1.0) / mean
    return result


def arrivals(rng: np.random.Generator, begin_s: float, end_s: float, rate: float, depth: float) -> Floats:
    """Times (seconds since 1970, not sorted) of a Poisson process with `rate` a second on average over a week."""
    edges = np.linspace(begin_s, end_s, max(2, int((end_s - begin_s) / _BIN_S) + 1))
    width = edges[1] - edges[0]
    counts = rng.poisson(rate * width * load(edges[:-1] + width / 2, depth))
    starts = np.repeat(edges[:-1], counts)
    result: Floats = starts + rng.random(len(starts)) * width
    return result


def kinds_named(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Kinds of anomalies by their names; `all` and `none` are those. Raises: UsageError for a name not known."""
    chosen = [name for name in names if name not in ("", "none", "all")]
    if unknown := [name for name in chosen if name not in known]:
        raise UsageError(f"no anomaly is called {unknown[0]}: choose from {', '.join(known)}, or all, or none")
    return list(known) if "all" in names else list(dict.fromkeys(chosen))


def spread(
    rng: np.random.Generator, kinds: Sequence[str], begin_s: float, end_s: float, per_day: float
) -> Iterator[tuple[str, float, float]]:
    """Kinds with their begin and end: each at least once, `per_day` times a day, and no two at a time.

    They last 3 to 15 minutes, or less where there is no room for that.
    """
    each = max(1, round(per_day * (end_s - begin_s) / DAY_S))
    order = rng.permutation(np.repeat(np.arange(len(kinds)), each))
    slot_s = (end_s - begin_s) / max(len(order), 1)
    for place, kind in enumerate(order):
        length = min(rng.uniform(180, 900), 0.6 * slot_s)
        room = slot_s - length - min(_MARGIN_S, 0.2 * slot_s)
        begin = begin_s + place * slot_s + rng.uniform(0, max(room, 0.0))
        yield kinds[kind], begin, begin + length


def block_s(rate: float, rows: int = BLOCK_ROWS, most_s: float = 3600.0) -> float:
    """How many seconds are simulated at once, so that they have about so many rows."""
    return max(1.0, min(most_s, rows / rate))


def stretch_of(rows: int, rate: float, end_s: float) -> float:
    """How many seconds before `end_s` about so many rows begin."""
    step_s, length, left = 60.0, 0.0, rows / rate
    while left > 0:
        done = step_s * float(load(end_s - length - step_s / 2))
        length += step_s * min(1.0, left / done)
        left -= done
    return length


def mixed(*values: Any) -> NDArray[np.uint64]:
    """A hash of whole numbers, each (n,) or one, by splitmix64: what stays the same for the same client or file."""
    state = np.zeros(1, np.uint64)
    for value in values:
        state = state ^ np.asarray(value).astype(np.uint64)
        state = state + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def coded(codes: NDArray[Any], texts: Sequence[str]) -> pa.Array:
    """A dictionary array: the texts that whole numbers (n,) stand for."""
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(texts))


def shown_seconds(moments: NDArray[np.int64], pattern: str) -> pa.Array:
    """The whole seconds of times (microseconds since 1970, (n,)) in UTC, by a pattern of `strftime`."""
    seconds, places = np.unique(moments // 1_000_000, return_inverse=True)
    shown = [datetime.fromtimestamp(second, UTC).strftime(pattern) for second in seconds.tolist()]
    return pa.array(shown, pa.string()).take(pa.array(places))


def shown_thousandths(thousandths: NDArray[np.int64]) -> pa.Array:
    """The last three digits of whole numbers (n,)."""
    return pa.array([f"{number:03d}" for number in range(1000)]).take(pa.array(thousandths % 1000))
