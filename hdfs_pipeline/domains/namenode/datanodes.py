"""What DataNodes' own `/jmx` say: volumes, threads, latencies, checks of replicas; each held against its peers.

As with a NameNode, an average is a value only where its count of calls moved, a counter that fell is a restart, and
what was not measured is left out.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.namenode.process import Document, beans_of, number, plain_name
from hdfs_pipeline.domains.namenode.state import shortened

_WINDOW_S: Final = 600.0  # for which a failed check of a replica is news
_LEAST_CALLS: Final = 5
_LEAST_PEERS: Final = 3
_SPREADS: Final = 5.0
_TO_SIGMA: Final = 1.4826  # of a median absolute deviation, for a normal distribution


@dataclass(frozen=True)
class Latency:
    """A mean time of a DataNode: its attribute, without `AvgTime`, and what it is.

    Most stand in DataNodeActivity, one is made of two counters there, and those of volumes stand in DataNodeVolume.

    `to_ms` makes milliseconds of it; less than `least_ms` is slow for nobody. `own` tells whether the time is spent in
    the DataNode itself. Other times hold those of the DataNodes or clients at the other end: they are kept and shown,
    and call nobody slow.
    """

    name: str
    attribute: str
    about: str
    to_ms: float
    least_ms: float
    own: bool


LATENCIES: Final = (
    Latency("flush_ms", "FlushNanos", "flushing written data", 1e-6, 2.0, own=True),
    Latency("fsync_ms", "FsyncNanos", "forcing written data to disk", 1e-6, 50.0, own=True),
    Latency("send_packet_ms", "SendDataPacketTransferNanos", "reading and sending a packet", 1e-6, 10.0, own=True),
    Latency("create_replica_ms", "CreateRbwOp", "beginning a replica", 1.0, 50.0, own=True),
    Latency("finalize_replica_ms", "FinalizeBlockOp", "finishing a replica", 1.0, 50.0, own=True),
    Latency("write_packet_ms", "TotalWriteTime / PacketsReceived", "writing a packet to disk", 1.0, 10.0, own=True),
    Latency("volume_read_ms", "ReadIoRate", "reading from the slowest of its volumes", 1.0, 20.0, own=True),
    Latency("volume_write_ms", "WriteIoRate", "writing to the slowest of its volumes", 1.0, 20.0, own=True),
    Latency("volume_sync_ms", "SyncIoRate", "forcing to the slowest of its volumes", 1.0, 50.0, own=True),
    Latency("heartbeat_ms", "Heartbeats", "a heartbeat", 1.0, 500.0, own=True),
    Latency("packet_ack_ms", "PacketAckRoundTripTimeNanos", "a packet down and back", 1e-6, 0, own=False),
    Latency("blocked_ms", "SendDataPacketBlockedOnNetworkNanos", "waiting for the reader", 1e-6, 0, own=False),
    Latency("write_block_ms", "WriteBlockOp", "writing a block, with the pipeline behind", 1.0, 0, own=False),
    Latency("read_block_ms", "ReadBlockOp", "reading a block, with its reader", 1.0, 0, own=False),
)  # fmt: skip
_RATES: Final = {"bytes_written_s": "BytesWritten", "bytes_read_s": "BytesRead"}
_COUNTERS: Final = {"blocks_verified": "BlocksVerified", "verification_failures": "BlockVerificationFailures"}


@dataclass(frozen=True)
class Slowest:
    """The own latency of a DataNode that is furthest above its peers': which, its ms, and times their median."""

    latency: Latency
    ms: float
    times: float
    peers: int


@dataclass(frozen=True)
class DataNodeSample:
    """What one poll of a DataNode measured.

    `values` by name: latencies in ms, bytes per second, counts. `calls` of each latency since the poll before.
    `volumes` are used and free bytes by path. `new_failures` counts replicas that failed their check within ten
    minutes. `names` are other addresses of the DataNode. Without an answer `note` says why. `slowest` and `compared`
    come from `compare`.
    """

    entity: str
    at: datetime
    answered: bool
    values: Mapping[str, float] = field(default_factory=dict)
    calls: Mapping[str, float] = field(default_factory=dict)
    volumes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    failed_volumes: tuple[str, ...] = ()
    new_failures: float | None = None
    names: tuple[str, ...] = ()
    note: str = ""
    slowest: Slowest | None = None
    compared: bool = False

    def figures(self, full_percent: float) -> dict[str, float | str]:
        """What the rules about a DataNode's own /jmx are judged on; a volume is full from so many percent."""
        full = tuple(
            path for path, (used, free) in self.volumes.items() if free <= (used + free) * (1 - full_percent / 100)
        )
        figures: dict[str, float | str] = {"full_volumes": float(len(full)), "full_volume_paths": shortened(full)}
        figures |= {name: self.values[own] for name, own in _FIGURES.items() if own in self.values}
        if self.new_failures is not None:
            figures["verification_failures"] = self.new_failures
        if self.slowest is not None:
            slowest = self.slowest
            figures |= {
                "times_slower": slowest.times,
                "slower_at": slowest.latency.about,
                "slower_ms": slowest.ms,
                "peers": float(slowest.peers),
            }
        elif self.compared:
            figures["times_slower"] = 0.0
        return figures


_FIGURES: Final = {"xceivers": "xceivers", "slept_ms": "slept_ms_s"}


@dataclass
class _Before:
    """A DataNode at the poll before: counters by attribute, its clock, its start, and failed checks by time."""

    counters: dict[str, float]
    at: float
    started: float | None
    failures: deque[tuple[float, float]]


class DataNodeProcessor:
    """Turns the documents of DataNodes, in the order of their polls, into samples."""

    def __init__(self) -> None:
        self._before: dict[str, _Before] = {}

    def add(self, entity: str, document: Document, at: datetime, clock: float) -> DataNodeSample | None:
        """The sample of a DataNode's document, polled at `at`; `clock` in seconds never jumps.

        Without an `entity` the DataNode's own word on its ports gives it. None without a bean of a DataNode.
        """
        beans = dict(beans_of(document, "DataNode"))
        if not beans:
            return None
        activity, info = _first(beans, "DataNodeActivity"), beans.get("DataNodeInfo", {})
        dataset = _dataset(beans)
        counters = {name: value for name in activity if (value := number(activity[name])) is not None}
        volumes = {name: bean for name, bean in beans.items() if name.startswith("DataNodeVolume")}
        counters |= _volume_calls(volumes)
        slept = number(beans.get("JvmMetrics", {}).get("GcTotalExtraSleepTime"))
        if slept is not None:
            counters["GcTotalExtraSleepTime"] = slept
        started = number(info.get("DNStartedTimeInMillis"))
        before = self._before.get(entity)
        failures = before.failures if before is not None else deque()
        if before is not None and (before.started != started or clock <= before.at):
            before = None
        grown = _growth(before, counters)
        failures.append((clock, grown.get("BlockVerificationFailures", 0.0)))
        while failures and clock - failures[0][0] > _WINDOW_S:
            failures.popleft()
        self._before[entity] = _Before(counters, clock, started, failures)
        seconds = clock - before.at if before is not None else 0.0
        return DataNodeSample(
            entity=entity,
            at=at,
            answered=True,
            values=_values(activity, info, dataset, grown, seconds) | _times(activity, volumes, grown),
            calls={each.name: _calls(each, volumes, grown) for each in LATENCIES},
            volumes=_volumes(info.get("VolumeInfo")),
            failed_volumes=_failed(dataset),
            new_failures=sum(count for _, count in failures) if activity else None,
            names=_names(entity, info),
        )

    def forget(self, entities: Iterable[str]) -> None:
        """Forget all DataNodes but these."""
        kept = set(entities)
        self._before = {entity: before for entity, before in self._before.items() if entity in kept}


def compare(samples: Sequence[DataNodeSample], least_times: float) -> list[DataNodeSample]:
    """The samples of one round, each with the own latency that is furthest above its peers'.

    Counted are DataNodes with work in the interval, three peers at least beside it. One is slow where its time is at
    least `least_times` the median of its peers, five of their spreads (median absolute deviation) above it, and long
    enough to matter.
    """
    slowest: dict[str, Slowest] = {}
    compared: set[str] = set()
    for latency in (each for each in LATENCIES if each.own):
        at_work = [
            sample
            for sample in samples
            if latency.name in sample.values and sample.calls.get(latency.name, 0) >= _LEAST_CALLS
        ]
        if len(at_work) <= _LEAST_PEERS:
            continue
        times = np.array([sample.values[latency.name] for sample in at_work])
        for row, sample in enumerate(at_work):
            compared.add(sample.entity)
            peers = np.delete(times, row)
            median = float(np.median(peers))
            spread = _TO_SIGMA * float(np.median(np.abs(peers - median)))
            ratio = float(times[row]) / max(median, latency.least_ms / least_times, 1e-9)
            if ratio < least_times or times[row] - median < _SPREADS * spread:
                continue
            if sample.entity not in slowest or ratio > slowest[sample.entity].times:
                slowest[sample.entity] = Slowest(latency, float(times[row]), ratio, len(peers))
    return [
        replace(sample, slowest=slowest.get(sample.entity), compared=sample.entity in compared) for sample in samples
    ]


def _first(beans: Mapping[str, Document], kind: str) -> Document:
    return next((bean for name, bean in beans.items() if name.startswith(kind)), {})


def _dataset(beans: Mapping[str, Document]) -> Document:
    """The volumes as a whole: the fresh MXBean over the metrics bean."""
    parts = sorted((name, bean) for name, bean in beans.items() if name.startswith("FSDatasetState"))
    merged: dict[str, Any] = {}
    for _, bean in parts:  # the one with a storage id in its name comes later, and is fresh
        merged |= bean
    return merged


def _growth(before: _Before | None, counters: Mapping[str, float]) -> dict[str, float]:
    """How much each counter grew; nothing after a restart, which is a counter of calls that fell."""
    if before is None:
        return {}
    pairs = {name: (before.counters.get(name, 0.0), value) for name, value in counters.items()}
    if any(value < was for name, (was, value) in pairs.items() if name.endswith("NumOps")):
        return {}
    return {name: value - was for name, (was, value) in pairs.items() if value >= was}


def _values(
    activity: Document, info: Document, dataset: Document, grown: Mapping[str, float], seconds: float
) -> dict[str, float]:
    found: dict[str, float | None] = {
        "xceivers": _either(number(info.get("XceiverCount")), number(activity.get("DataNodeActiveXceiversCount"))),
        "failed_volumes": number(dataset.get("NumFailedVolumes")),
        "capacity": number(dataset.get("Capacity")),
        "remaining": number(dataset.get("Remaining")),
        **{name: number(activity.get(attribute)) for name, attribute in _COUNTERS.items()},
    }
    if seconds > 0:
        found |= {name: grown[counter] / seconds for name, counter in _RATES.items() if counter in grown}
        if "GcTotalExtraSleepTime" in grown:
            found["slept_ms_s"] = grown["GcTotalExtraSleepTime"] / seconds
    return {name: value for name, value in found.items() if value is not None}


def _times(activity: Document, volumes: Mapping[str, Document], grown: Mapping[str, float]) -> dict[str, float]:
    """The latencies that were measured since the poll before, in ms; of several volumes the longest one."""
    times = {}
    for latency in LATENCIES:
        attribute, _, counter = latency.attribute.partition(" / ")
        if counter:
            found = [grown[attribute] / grown[counter]] if attribute in grown and grown.get(counter) else []
        elif latency.name.startswith("volume_"):
            beans = [(bean, f"{volume} ") for volume, bean in volumes.items()]
            found = list(_means(beans, attribute, grown))
        else:
            found = list(_means([(activity, "")], attribute, grown))
        if found:
            times[latency.name] = max(found) * latency.to_ms
    return times


def _means(beans: Iterable[tuple[Document, str]], attribute: str, grown: Mapping[str, float]) -> Iterator[float]:
    """The means of an attribute whose calls moved; of each bean also what its counters begin with in `grown`."""
    for bean, prefix in beans:
        mean = number(bean.get(f"{attribute}AvgTime"))
        if mean is not None and mean >= 0 and grown.get(f"{prefix}{attribute}NumOps", 0) > 0:
            yield mean


def _volume_calls(volumes: Mapping[str, Document]) -> dict[str, float]:
    """The counts of calls of each volume, by volume and attribute."""
    calls = {
        f"{volume} {name}": number(bean[name])
        for volume, bean in volumes.items()
        for name in bean
        if name.endswith("IoRateNumOps")
    }
    return {name: value for name, value in calls.items() if value is not None}


def _calls(latency: Latency, volumes: Mapping[str, Document], grown: Mapping[str, float]) -> float:
    """How many calls since the poll before a latency is the mean of."""
    _, _, counter = latency.attribute.partition(" / ")
    if counter:
        return grown.get(counter, 0.0)
    places = [f"{volume} " for volume in volumes] if latency.name.startswith("volume_") else [""]
    return sum(grown.get(f"{place}{latency.attribute}NumOps", 0.0) for place in places)


def _either(first: float | None, second: float | None) -> float | None:
    return second if first is None else first


def _volumes(text: object) -> dict[str, tuple[float, float]]:
    """Used and free bytes of each volume, from VolumeInfo, which is JSON in a string."""
    try:
        rows = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        return {}
    found = {}
    for path, row in rows.items() if isinstance(rows, dict) else ():
        used, free = (
            (number(row.get(name)) for name in ("usedSpace", "freeSpace")) if isinstance(row, dict) else (None,) * 2
        )
        if used is not None and free is not None and used >= 0:
            found[plain_name(path)] = (used, max(free, 0.0))
    return found


def _failed(dataset: Document) -> tuple[str, ...]:
    paths = dataset.get("FailedStorageLocations")
    return tuple(plain_name(path) for path in paths) if isinstance(paths, list) else ()


def _names(entity: str, info: Document) -> tuple[str, ...]:
    """Other addresses of a DataNode: those of its IPC server and of its web server, on the host of its entity."""
    host = entity.rpartition(":")[0]
    ports = (info.get("RpcPort"), info.get("HttpPort"))
    return tuple(f"{host}:{port}" for port in ports if isinstance(port, str) and port.isdigit() and len(port) <= 5)


def entity_of(document: Document, host: str) -> str | None:
    """The transfer address of a DataNode that was polled at a host, by its own word; None where it does not say."""
    info = dict(beans_of(document, "DataNode")).get("DataNodeInfo", {})
    port = info.get("DataPort")
    return f"{host}:{port}" if isinstance(port, str) and port.isdigit() and len(port) <= 5 else None
