"""The likely cause of an incident: rules over its metrics, each with its evidence."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hdfs_pipeline.domains.namenode.gc_times import YOUNG

CLEAR: Final = 5.0
"""A metric is evidence if it is at least so many spreads off what was expected."""
_TIMES = 2.0  # a rate is up if it is at least this multiple of what was expected
_PAUSE_MS_PER_S = 50.0

WRITES: Final = ("Create", "Delete", "Rename", "Rename2", "Mkdirs", "Complete", "Fsync", "Concat")


@dataclass(frozen=True)
class Reading:
    """A metric at the worst step of an incident. `spreads`: signed distance from what was expected, in spreads."""

    actual: float
    expected: float
    spreads: float


@dataclass(frozen=True)
class Cause:
    """A likely cause, by name, and the evidence in words."""

    name: str
    evidence: str


Readings = Mapping[str, Reading]
UNCLEAR: Final = "unclear"


def likely_cause(readings: Readings) -> Cause:
    """The first rule that fits. Storms come before starvation: they are why everything else is slow."""
    for rule in _RULES:
        cause = rule(readings)
        if cause is not None:
            return cause
    furthest = sorted(readings.items(), key=lambda item: -abs(item[1].spreads))[:3]
    return Cause(UNCLEAR, "no rule fits; furthest off: " + "; ".join(_words(*item) for item in furthest))


def _words(name: str, reading: Reading) -> str:
    return f"{name} {reading.actual:.3g} (expected {reading.expected:.3g})"


def _up(readings: Readings, name: str) -> Reading | None:
    reading = readings.get(name)
    if reading is None or reading.spreads < CLEAR:
        return None
    if name.endswith("Rate") and reading.actual < _TIMES * max(reading.expected, 0):
        return None
    return reading


def _rise(readings: Readings, name: str) -> float:
    reading = _up(readings, f"{name}Rate")
    return reading.actual - max(reading.expected, 0.0) if reading else 0.0


def _pause(readings: Readings) -> Cause | None:
    slept = readings.get("GcTotalExtraSleepTime")
    if slept is None or slept.spreads < CLEAR or slept.actual < _PAUSE_MS_PER_S:
        return None
    collected = readings.get(YOUNG)  # only what stopped the program, with any collector
    share = (
        f"; garbage collection stopped it for {collected.actual:.3g} ms/s of it"
        if collected
        else "; for how much of it garbage collection stopped it is unknown"
    )
    text = f"the process slept {slept.actual:.0f} ms in each second longer than it meant to{share}"
    by_gc = collected is not None and collected.actual > 0.3 * slept.actual
    return Cause("garbage collection pause" if by_gc else "process pause", text)


def _storm(readings: Readings) -> Cause | None:
    rises = {name: _rise(readings, name) for name in ("GetListing", "GetContentSummary", *WRITES)}
    writes = sum(rises[name] for name in WRITES)
    options = {
        "listing storm": (rises["GetListing"], ("GetListing",)),
        # A content summary walks a whole tree under the lock: a few of them weigh as much as many listings.
        "content-summary storm": (10 * rises["GetContentSummary"], ("GetContentSummary",)),
        "metadata churn": (writes, tuple(name for name in WRITES if rises[name])),
    }
    name, (weight, operations) = max(options.items(), key=lambda item: item[1][0])
    slow = _up(readings, "GetContentSummaryAvgTime")
    if not weight and slow is not None and "GetContentSummaryRate" in readings:
        return Cause("content-summary storm", _words("GetContentSummaryAvgTime", slow))
    if not weight:
        return None
    parts = [_words(f"{operation}Rate", readings[f"{operation}Rate"]) for operation in operations]
    for metric in (*(f"{operation}AvgTime" for operation in operations), "CallQueueLength", "RpcQueueTimeAvgTime"):
        reading = _up(readings, metric)
        if reading is not None:
            parts.append(_words(metric, reading))
    return Cause(name, "; ".join(parts))


def _lock(readings: Readings) -> Cause | None:
    names = ("ThreadsBlocked", "LockQueueLength", "RpcLockWaitTimeAvgTime")
    held = [_words(name, reading) for name in names if (reading := _up(readings, name)) is not None]
    return Cause("lock contention", "; ".join(held)) if held else None


def _starvation(readings: Readings) -> Cause | None:
    slow = [name for name in readings if name.endswith("AvgTime") and _up(readings, name) is not None]
    fewer = [name for name, reading in readings.items() if name.endswith("Rate") and reading.spreads <= -2]
    if len(slow) < 4 and not (len(fewer) >= 4 and (len(slow) >= 1 or len(fewer) >= 6)):
        return None
    parts = [f"{len(slow)} operations slower and {len(fewer)} called less, without a storm of calls"]
    parts += [
        _words(name, readings[name])
        # A call waits for a thread, and a thread for a CPU: without CPU both times rise, and so does what the process
        # oversleeps. Only the host knows for sure: CPU steal is in no bean.
        for name in ("RpcProcessingTimeAvgTime", "RpcQueueTimeAvgTime", "GcTotalExtraSleepTime", "RpcProcessingRate")
        if name in readings
    ]
    parts.append("CPU steal and load of the host would tell it for sure")
    return Cause("CPU starvation", "; ".join(parts))


_RULES: Final[tuple[Callable[[Readings], Cause | None], ...]] = (_pause, _storm, _starvation, _lock)
