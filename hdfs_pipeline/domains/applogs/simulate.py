"""Simulated application logs: services with their own messages and rhythm, with labelled anomalies on request.

The same parameters give the same bytes. Services, messages and odd texts are in `simulated_services.py`.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hdfs_pipeline.domains.applogs.simulated_services import FATAL, ODD, SERVICES, STRANGERS, Service
from hdfs_pipeline.domains.applogs.simulated_text import SERVICE_NAMES, TEMPLATES, messages
from hdfs_pipeline.domains.applogs.topics import APP_LOGS
from hdfs_pipeline.domains.simulation import (
    DAY_S,
    Fault,
    Floats,
    Simulator,
    arrivals,
    at,
    coded,
    is_weekend,
    load,
    shown_seconds,
    shown_thousandths,
    spread,
)

KINDS: Final = ("error-burst", "unknown-service", "odd-message", "odd-time", "keyword")
LABELS: Final = ("", *KINDS)
_LINES: Final = 20_000
_SHORTEST_BURST: Final = 30
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
MESSAGES: Final = pa.schema(
    [
        ("time", pa.timestamp("us", "UTC")),
        ("service", _TEXT),
        ("level", _TEXT),
        ("host", _TEXT),
        ("message", pa.string()),
        ("label", _TEXT),
    ]
)
"""Columns of simulated messages; `label` is '' or the kind of the fault that wrote the message."""
_ROW: Final = np.dtype(
    [("time", "i8"), ("service", "i2"), ("template", "i2"), ("host", "i2"), ("fatal", "i2"), ("label", "i1")]
)
_LEVELS: Final = tuple(dict.fromkeys(template.level for template in TEMPLATES))
_HOSTS: Final = tuple(f"{name}-{number}.example" for name in SERVICE_NAMES for number in range(1, 9))
_FIRST_OF: Final = np.cumsum(
    [0, *(len(service.templates) for service in SERVICES), *(len(own) for _, own in STRANGERS)]
)
Rows = NDArray[np.void]


class Services:
    """Messages from `begin_s` (seconds since 1970) on, `rate` a second on average over a week, block after block."""

    def __init__(self, begin_s: float, rate: float, seed: int) -> None:
        self.now_s, self._rate = begin_s, rate
        self._rng = np.random.default_rng([seed, 0])
        self._later = np.zeros(0, _ROW)

    def until(self, end_s: float, faults: Sequence[Fault] = ()) -> pa.Table:
        """The messages from where the last block ended until before `end_s`, in the order of time (`MESSAGES`)."""
        begin_s, self.now_s = self.now_s, end_s
        parts = [self._usual(number, service, begin_s, end_s) for number, service in enumerate(SERVICES)]
        parts += [added_by(fault, self._rate) for fault in faults if begin_s <= fault.span[0] < end_s]
        rows = np.concatenate([self._later, *parts])
        due = rows["time"] < end_s * 1e6
        self._later, rows = rows[~due], rows[due]
        rows = rows[np.argsort(rows["time"], kind="stable")]
        templates = rows["template"].astype(np.int64)
        levels = np.array([_LEVELS.index(template.level) for template in TEMPLATES])[templates]
        hosts = rows["service"].astype(np.int64) * 8 + rows["host"]
        return pa.table(
            [
                pa.array(rows["time"]).cast(pa.timestamp("us", "UTC")),
                coded(rows["service"], SERVICE_NAMES),
                coded(levels, _LEVELS),
                coded(hosts, _HOSTS),
                messages(self._rng, templates, rows["fatal"].astype(np.int64)),
                coded(rows["label"], LABELS),
            ],
            schema=MESSAGES,
        )

    def _usual(self, number: int, service: Service, begin_s: float, end_s: float) -> Rows:
        times = arrivals(self._rng, begin_s, end_s, self._rate * service.share / _open_share(service), service.depth)
        times = times[is_open(service, times)]
        return _written(self._rng, number, times)


def is_open(service: Service, times: Floats) -> NDArray[np.bool_]:
    """Whether a service writes at times (seconds since 1970)."""
    written: NDArray[np.bool_] = times / 60 % 60 < service.minutes
    if service.hours:
        hours = times / 3600 % 24
        written &= (hours >= service.hours[0]) & (hours < service.hours[1]) & ~is_weekend(times)
    return written


def _open_share(service: Service) -> float:
    """Which share of its messages a service would write in the time that it is open, were it always open."""
    week: Floats = np.arange(7 * DAY_S // 60, dtype=np.float64) * 60
    usual = load(week, service.depth)
    return float(usual[is_open(service, week)].sum() / usual.sum())


def _written(rng: np.random.Generator, number: int, times: Floats, levels: Sequence[str] = ()) -> Rows:
    """Messages that a service (a row of SERVICES) writes at times, of these levels where given."""
    service = SERVICES[number]
    weights = np.array([(not levels or one.level in levels) * one.weight for one in service.templates])
    rows = np.zeros(len(times), _ROW)
    rows["time"], rows["service"] = times * 1e6, number
    rows["template"] = _FIRST_OF[number] + rng.choice(len(weights), len(times), p=weights / weights.sum())
    rows["host"] = rng.integers(0, service.hosts, len(times))
    return rows


def plan_faults(
    kinds: Sequence[str], begin_s: float, end_s: float, _rate: float, seed: int, per_day: float
) -> list[Fault]:
    """Faults of the kinds between two times (seconds since 1970), no two of them at a time.

    Each happens `per_day` times a day, at least once.
    """
    rng = np.random.default_rng([seed, int(begin_s), 1])
    planned = []
    for kind, begin, end in spread(rng, kinds, begin_s, end_s, per_day) if kinds else ():
        number = int(rng.integers(1 << 31))
        place, strength = _place(rng, kind, begin, end)
        if place is not None:
            planned.append(Fault(kind, SERVICE_NAMES[place], at(begin), at(end), strength, seed=number))
    return planned


def _place(rng: np.random.Generator, kind: str, begin: float, end: float) -> tuple[int | None, float]:
    """The service of a fault, and how bad it is: a share of errors or a number of messages."""
    busy = [number for number, service in enumerate(SERVICES) if not _is_timed(service)]
    if kind == "unknown-service":
        return len(SERVICES) + int(rng.integers(len(STRANGERS))), float(rng.integers(5, 40))
    if kind == "odd-time":
        moments = np.linspace(begin, end, 50)
        closed = [
            number
            for number, service in enumerate(SERVICES)
            if _is_timed(service) and not is_open(service, moments).all()
        ]
        return (int(rng.choice(closed)) if closed else None), float(rng.integers(4, 25))
    if kind == "error-burst":
        weights = np.array([SERVICES[number].share for number in busy])
        return int(rng.choice(busy, p=weights / weights.sum())), float(rng.uniform(0.2, 0.6))
    return int(rng.choice(busy)), float(rng.integers(1, 6))


def _is_timed(service: Service) -> bool:
    return service.hours is not None or service.minutes < 60


def added_by(fault: Fault, rate: float) -> Rows:
    """The messages that a fault writes, in no order."""
    rng = np.random.default_rng([fault.seed, 2])
    number = SERVICE_NAMES.index(fault.service)
    begin, end = fault.span
    count = int(fault.strength)
    if fault.kind == "error-burst":
        service = SERVICES[number]
        usual = rate * service.share * float(load((begin + end) / 2, service.depth)) * (end - begin)
        count = max(_SHORTEST_BURST, int(usual * fault.strength / (1 - fault.strength)))
    times = rng.uniform(begin, end, count)
    if fault.kind == "unknown-service":
        rows = np.zeros(count, _ROW)
        rows["time"], rows["service"] = times * 1e6, number
        rows["template"] = rng.integers(_FIRST_OF[number], _FIRST_OF[number + 1], count)
    elif fault.kind == "odd-time":
        rows = _written(rng, number, times[~is_open(SERVICES[number], times)])
    else:
        rows = _written(rng, number, times, ("ERROR",) if fault.kind == "error-burst" else ("INFO", "WARN"))
    if fault.kind == "odd-message":
        rows["template"] = rng.integers(len(TEMPLATES) - len(ODD), len(TEMPLATES), count)
    elif fault.kind == "keyword":
        rows["fatal"] = rng.integers(1, len(FATAL) + 1, count)
    rows["label"] = LABELS.index(fault.kind)
    return rows


def message_lines(table: pa.Table) -> Iterator[bytes]:
    """The messages as JSON, `{"timestamp", "service", "level", "message", "host"}`, without line ends."""
    for batch in table.to_batches(max_chunksize=_LINES):
        yield from _lines(batch).cast(pa.binary()).to_pylist()


def _lines(batch: pa.RecordBatch) -> pa.Array:
    message = batch["message"]
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        message = pc.replace_substring(message, plain, escaped)
    moments = batch["time"].cast(pa.int64()).to_numpy()
    return pc.binary_join_element_wise(
        '{"timestamp": "',
        shown_seconds(moments, "%Y-%m-%dT%H:%M:%S."),
        shown_thousandths(moments // 1000),
        'Z", "service": "',
        batch["service"].cast(pa.string()),
        '", "level": "',
        batch["level"].cast(pa.string()),
        '", "message": "',
        message,
        '", "host": "',
        batch["host"].cast(pa.string()),
        '"}',
        "",
    )


SIMULATOR: Final = Simulator(APP_LOGS, KINDS, Services, plan_faults, message_lines, 6.0)
simulate: Final = SIMULATOR.simulate
