"""The 28 metrics of a NameNode, the metrics kept beside them, and where `/jmx` has each.

Names are Hadoop's own (Hadoop Metrics guide: the contexts rpc, rpcdetailed, jvm, ugi and dfs). There are three kinds:

- average: the mean time of the calls since the bean was last refreshed. It freezes when the operation stops, so it
  counts as a value only if `ops`, its count of calls, has moved.
- gauge: a state, as it is.
- counter: grows for as long as the process lives; the value is its growth per second.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from hdfs_pipeline.domains.namenode.gc_times import OLD, YOUNG

Bean = Literal["RpcActivity", "RpcDetailedActivity", "JvmMetrics", "UgiMetrics", "NameNodeActivity", "FSNamesystem"]
Kind = Literal["average", "gauge", "counter"]


@dataclass(frozen=True)
class Metric:
    """One column. `ops` is the count of calls behind an average."""

    name: str
    bean: Bean
    attribute: str
    unit: str
    kind: Kind
    ops: str | None = None


def _average(bean: Bean, operation: str) -> Metric:
    return Metric(f"{operation}AvgTime", bean, f"{operation}AvgTime", "ms", "average", ops=f"{operation}NumOps")


def _gauge(bean: Bean, name: str, unit: str) -> Metric:
    return Metric(name, bean, name, unit, "gauge")


def _rate(bean: Bean, operation: str, name: str | None = None) -> Metric:
    return Metric(f"{name or operation}Rate", bean, f"{operation}NumOps", "calls/s", "counter")


def _milliseconds(name: str) -> Metric:
    return Metric(name, "JvmMetrics", name, "ms/s", "counter")


OPERATIONS: Final = (
    *("Create", "Delete", "Rename", "Rename2", "Mkdirs", "Complete", "GetFileInfo", "GetBlockLocations", "GetListing"),
    *("GetContentSummary", "Fsync", "Concat"),
    *("CreateSnapshot", "DeleteSnapshot", "RenameSnapshot", "GetSnapshotDiffReport", "GetSnapshotDiffReportListing"),
    *("GetDatanodeReport", "GetDatanodeStorageReport"),
)
"""The 19 operations of the client protocol that are measured, as `RpcDetailedActivityForPortP` names them."""

METRICS: Final[tuple[Metric, ...]] = (
    _average("RpcActivity", "RpcProcessingTime"),
    _average("RpcActivity", "RpcQueueTime"),
    _gauge("RpcActivity", "CallQueueLength", "calls"),
    *(_average("RpcDetailedActivity", operation) for operation in OPERATIONS),
    *(_gauge("JvmMetrics", f"Threads{state}", "threads") for state in ("Blocked", "Waiting", "TimedWaiting")),
    # Only ParNew and CMS have times of their own; see `gc_times` for what these are with any other collector.
    *(_milliseconds(name) for name in (YOUNG, OLD)),
    _average("UgiMetrics", "GetGroups"),
)
"""The 28 metrics, in their usual order."""

CONTEXT: Final[tuple[Metric, ...]] = (
    # Under a storm of small calls the averages fall while the rates grow a hundredfold: rates are features too.
    _rate("RpcActivity", "RpcProcessingTime", "RpcProcessing"),
    *(_rate("RpcDetailedActivity", operation) for operation in OPERATIONS),
    _rate("UgiMetrics", "GetGroups"),
    # A pause of the process shows in this metric, and hardly ever in GcTimeMillis.
    _milliseconds("GcTotalExtraSleepTime"),
    _average("NameNodeActivity", "Syncs"),
    _rate("NameNodeActivity", "Syncs"),
    _average("NameNodeActivity", "Transactions"),
    _rate("NameNodeActivity", "Transactions"),
    _gauge("JvmMetrics", "MemHeapUsedM", "MiB"),
    _gauge("RpcActivity", "NumOpenConnections", "connections"),
    # Not every version of Hadoop has these.
    _average("RpcActivity", "RpcLockWaitTime"),
    _average("RpcActivity", "RpcResponseTime"),
    _gauge("FSNamesystem", "LockQueueLength", "threads"),
)
"""Metrics that are kept beside the 28."""

ALL: Final = METRICS + CONTEXT
COLUMNS: Final[tuple[str, ...]] = tuple(metric.name for metric in ALL)
"""Every column of a sample, in order."""

BY_NAME: Final[dict[str, Metric]] = {metric.name: metric for metric in ALL}
BY_BEAN: Final[dict[Bean, tuple[Metric, ...]]] = {
    bean: tuple(metric for metric in ALL if metric.bean == bean) for bean in sorted({metric.bean for metric in ALL})
}

_COUNTER = re.compile(r"\w+NumOps|Gc(Count|TimeMillis)\w*|GcTotalExtraSleepTime|ReceivedBytes|SentBytes")
# Hadoop's MutableQuantiles counts anew in each window, whose length stands in the name: RpcQueueTime60sNumOps.
_OF_A_WINDOW = re.compile(r"\dsNum")


def only_grows(attribute: str) -> bool:
    """Whether an attribute counts up for as long as the process lives: if it falls, a new process answers."""
    return _COUNTER.fullmatch(attribute) is not None and _OF_A_WINDOW.search(attribute) is None
