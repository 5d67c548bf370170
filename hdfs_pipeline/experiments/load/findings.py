"""What experiments on load tell: throughput side by side, how it scales, what limited each, and what to do."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from hdfs_pipeline.experiments.load.records import Record
from hdfs_pipeline.experiments.load.shapes import Load

Figures = Mapping[tuple[str, str, str], float]
_BUSY: Final = 0.9  # share of a machine's cores, or of one core, from which on it is the limit
_BEHIND: Final = 0.02  # share of what is sent that may stay unread while workers keep up
_LEAST_SHAPES: Final = 4  # numbers of consumers: three would fit exactly, and tell nothing of how sure they are


@dataclass(frozen=True)
class Side:
    """The trials of one load, side by side: means, with the 95 % interval of what was read."""

    name: str
    load: Load
    trials: list[str]
    sent_per_s: float
    read_per_s: float
    low: float
    high: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    unread: float
    verdicts_per_s: float
    cores: dict[str, float]
    sampling_share: float
    limit: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self) | {"load": self.load.to_json()}


@dataclass(frozen=True)
class Knee:
    """The Universal Scalability Law, X(N) = rate N / (1 + contention (N-1) + coherency N (N-1)), fitted to N consumers.

    Gunther, "Guerrilla Capacity Planning" (2007). `peak` is the number of consumers beyond which more read less,
    infinite where the curve only flattens. `rate` (messages/s), `contention` and `coherency` come with standard errors.
    """

    rate: tuple[float, float]
    contention: tuple[float, float]
    coherency: tuple[float, float]
    peak: float

    def at(self, consumers: np.ndarray) -> np.ndarray:
        """Messages a second at numbers of consumers (n,)."""
        return _law(consumers, self.rate[0], self.contention[0], self.coherency[0])

    def to_json(self) -> dict[str, Any]:
        """Plain values; an infinite peak is None."""
        return vars(self) | {"peak": None if np.isinf(self.peak) else self.peak}


def sides(records: Sequence[Record], figures: Mapping[str, Figures]) -> list[Side]:
    """The completed experiments by load, machine and broker, in the order of their first trial."""
    grouped: defaultdict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        if record.status == "completed":
            grouped[record.load, *(record.host.get(name) for name in ("host", "cores", "broker"))].append(record)
    return [_side(own[0].load, own, [figures[each.experiment] for each in own]) for own in grouped.values()]


def _side(load: Load, records: list[Record], figures: list[Figures]) -> Side:
    def mean(metric: str, component: str = "experiment", name: str = "") -> float | None:
        found = [each[component, name, metric] for each in figures if (component, name, metric) in each]
        return float(np.mean(found)) if found else None

    read = [each["experiment", "", "read_per_s"] for each in figures]
    low, high = _interval(read)
    cores: defaultdict[str, float] = defaultdict(float)
    busiest: defaultdict[str, float] = defaultdict(float)
    for kind, name, metric in {key for each in figures for key in each}:
        if metric == "cores":
            own = mean("cores", kind, name) or 0.0
            cores[kind] += own
            busiest[kind] = max(busiest[kind], own)
    machine = float(records[0].host.get("cores") or 1)
    used, sampling = mean("cores_used") or 0.0, mean("cores_of_sampling") or 0.0
    sent, unread = mean("sent_per_s") or 0.0, (mean("unread_at_end") or 0.0) - (mean("unread_at_begin") or 0.0)
    busy = mean("cores_busy") or used + sampling
    limit, why = _limit(load, machine, busy, busiest, sent, unread / (mean("seconds") or 1.0))
    return Side(
        load.name, load, [each.experiment for each in records], sent, float(np.mean(read)), low, high,
        mean("latency_p50_ms"), mean("latency_p95_ms"), mean("latency_p99_ms"), mean("unread_at_end") or 0.0,
        mean("verdicts_per_s") or 0.0, dict(sorted(cores.items())), sampling / max(used, 1e-9), limit, why,
    )  # fmt: skip


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of a mean by Student's t; without a second trial nobody knows it, and it is infinite."""
    from scipy.stats import t

    if len(values) < 2:
        return float("-inf"), float("inf")
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def _limit(
    load: Load, machine: float, used: float, busiest: Mapping[str, float], sent: float, growing: float
) -> tuple[str, str]:
    """What limited an experiment, and by which figures."""
    behind = growing > _BEHIND * max(sent, 1.0)
    busy = f"{used:.2f} of {machine:.0f} cores were busy"
    worker, producer = busiest.get("worker", 0.0), busiest.get("producer", 0.0)
    idle = load.consumers - load.partitions
    asked = load.rate * load.producers
    found = {
        "CPU": (used >= _BUSY * machine, busy),
        "partitions": (
            behind and idle > 0,
            f"{idle} of {load.consumers} consumers had no partition while records waited",
        ),
        "consumers": (behind, f"{growing:,.0f}/s stayed unread; a worker took {worker:.2f} of a core, and {busy}"),
        "the rate asked for": (
            load.rate > 0 and sent >= (1 - _BEHIND) * asked,
            f"{sent:,.0f}/s were sent of {asked:,.0f}/s, and all were read",
        ),
        "producers": (producer >= _BUSY, f"a producer took {producer:.2f} of a core, and all that it sent was read"),
        "the broker": (True, f"producers sent {sent:,.0f}/s and waited, while {busy}"),
    }
    return next((name, why) for name, (holds, why) in found.items() if holds)


def efficiency(side: Side, found: Sequence[Side]) -> float | None:
    """What is read of a load for each consumer, as a share of what the least consumers read of one like it."""
    alike = [each for each in found if _alike(each.load) == _alike(side.load)]
    first = min(alike, key=lambda each: each.load.consumers)
    if first.load.consumers == side.load.consumers or not first.read_per_s:
        return None
    return side.read_per_s / side.load.consumers / (first.read_per_s / first.load.consumers)


def _alike(load: Load) -> tuple[Any, ...]:
    return load.payload, load.detector, load.rate, load.duration_s


def knee(found: Sequence[Side]) -> Knee | None:
    """The curve of what is read over the number of consumers; None with less than four numbers of them.

    It goes over loads of one payload, rate, detector and duration, of which there are most numbers. Of several loads
    with as many consumers the one that read most counts.
    """
    from scipy.optimize import curve_fit

    alike: defaultdict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    for side in found:
        own, consumers = alike[_alike(side.load)], side.load.consumers
        own[consumers] = max(own.get(consumers, 0.0), side.read_per_s)
    best = max(alike.values(), key=len, default={})
    if len(best) < _LEAST_SHAPES:
        return None
    number, read = np.array(sorted(best), np.float64), np.array([best[each] for each in sorted(best)])

    start = (read[0] / number[0], 0.1, 0.01)
    values, errors = curve_fit(_law, number, read, start, bounds=(0, (np.inf, 10, 10)), maxfev=20_000)
    deviations = np.sqrt(np.maximum(np.diag(errors), 0))
    peak = np.sqrt((1 - values[1]) / values[2]) if values[2] > 1e-6 and values[1] < 1 else np.inf
    pairs = [(float(value), float(error)) for value, error in zip(values, deviations, strict=True)]
    return Knee(pairs[0], pairs[1], pairs[2], float(max(peak, 1.0)))


def _law(n: np.ndarray, rate: float, contention: float, coherency: float) -> np.ndarray:
    return np.asarray(rate * n / (1 + contention * (n - 1) + coherency * n * (n - 1)))


def recommendation(found: Sequence[Side]) -> list[str]:
    """What to do, in sentences."""
    if not found:
        return ["No experiment is completed: there is nothing to recommend."]
    best = max(found, key=lambda side: side.read_per_s)
    enough = [side for side in found if side.read_per_s >= 0.95 * best.read_per_s]
    least = min(enough, key=lambda side: (side.load.consumers + side.load.producers, side.load.partitions))
    said = [
        f"{_number(least.load.consumers, 'consumer')}, {_number(least.load.producers, 'producer')} and "
        f"{_number(least.load.partitions, 'partition')} read {least.read_per_s:,.0f} messages a second, "
        + ("the most of all" if least is best else f"within 5 % of the most ({best.name}: {best.read_per_s:,.0f})")
        + f". There the limit is {least.limit}: {least.why}."
    ]
    curve = knee(found)
    if curve is not None:
        end = "it flattens, without a peak" if np.isinf(curve.peak) else f"its peak is at {curve.peak:.1f} consumers"
        said.append(
            f"Over the number of consumers the curve (Universal Scalability Law) has contention "
            f"{curve.contention[0]:.2f} ± {1.96 * curve.contention[1]:.2f} and coherency {curve.coherency[0]:.3f} ± "
            f"{1.96 * curve.coherency[1]:.3f}: {end}."
        )
    return said


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
