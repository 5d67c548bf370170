"""What probably lies behind an incident: rules over its metrics, each with the evidence that it rests on."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final

CLEAR: Final = 5.0
"""Spreads from what was expected, from which a metric is evidence."""
_TIMES = 2.0  # a rate is up where it is at least this multiple of what was expected
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

    def to_json(self) -> dict[str, str]:
        """As a dict."""
        return asdict(self)


Readings = Mapping[str, Reading]
UNCLEAR: Final = "unclear"


def likely_cause(readings: Readings) -> Cause:
    """The first rule that fits. Storms come before starvation: they are why everything else is slow."""
    for rule in _RULES:
        found = rule(readings)
        if found is not None:
            return found
    ranked = sorted(readings.items(), key=lambda item: -abs(item[1].spreads))[:3]
    return Cause(UNCLEAR, "no rule fits; furthest off: " + "; ".join(_said(name, each) for name, each in ranked))


def _said(name: str, each: Reading) -> str:
    return f"{name} {each.actual:.3g} (expected {each.expected:.3g})"


def _up(readings: Readings, name: str) -> Reading | None:
    found = readings.get(name)
    if found is None or found.spreads < CLEAR:
        return None
    if name.endswith("Rate") and found.actual < _TIMES * max(found.expected, 0):
        return None
    return found


def _rise(readings: Readings, name: str) -> float:
    found = _up(readings, f"{name}Rate")
    return found.actual - max(found.expected, 0.0) if found else 0.0


def _pause(readings: Readings) -> Cause | None:
    slept = readings.get("GcTotalExtraSleepTime")
    if slept is None or slept.spreads < CLEAR or slept.actual < _PAUSE_MS_PER_S:
        return None
    collected = readings.get("GcTimeMillisParNew")
    share = f"; garbage collection took {collected.actual:.3g} ms/s of it" if collected else ""
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
        return Cause("content-summary storm", _said("GetContentSummaryAvgTime", slow))
    if not weight:
        return None
    parts = [_said(f"{each}Rate", readings[f"{each}Rate"]) for each in operations]
    for beside in (*(f"{each}AvgTime" for each in operations), "CallQueueLength", "RpcQueueTimeAvgTime"):
        found = _up(readings, beside)
        if found is not None:
            parts.append(_said(beside, found))
    return Cause(name, "; ".join(parts))


def _lock(readings: Readings) -> Cause | None:
    names = ("ThreadsBlocked", "LockQueueLength", "RpcLockWaitTimeAvgTime")
    held = [_said(name, found) for name in names if (found := _up(readings, name)) is not None]
    return Cause("lock contention", "; ".join(held)) if held else None


def _starvation(readings: Readings) -> Cause | None:
    slow = [name for name in readings if name.endswith("AvgTime") and _up(readings, name) is not None]
    fewer = [name for name, each in readings.items() if name.endswith("Rate") and each.spreads <= -2]
    if len(slow) < 4 and not (len(fewer) >= 4 and (len(slow) >= 1 or len(fewer) >= 6)):
        return None
    parts = [f"{len(slow)} operations slower and {len(fewer)} called less, without a storm of calls"]
    parts += [
        _said(name, readings[name]) for name in ("RpcProcessingTimeAvgTime", "RpcProcessingRate") if name in readings
    ]
    return Cause("CPU starvation", "; ".join(parts))


_RULES: Final[tuple[Callable[[Readings], Cause | None], ...]] = (_pause, _storm, _starvation, _lock)
