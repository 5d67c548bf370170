import re

import pytest

from hdfs_pipeline.domains.namenode.gc_times import OLD, YOUNG
from hdfs_pipeline.domains.namenode.metrics import ALL, BY_BEAN, COLUMNS, METRICS, only_grows
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline_tests.domains.namenode.documents import bean, document

OPERATIONS = [
    *("Create", "Delete", "Rename", "Rename2", "Mkdirs", "Complete", "GetFileInfo", "GetBlockLocations", "GetListing"),
    *("GetContentSummary", "Fsync", "Concat", "CreateSnapshot", "DeleteSnapshot", "RenameSnapshot"),
    *("GetSnapshotDiffReport", "GetSnapshotDiffReportListing", "GetDatanodeReport", "GetDatanodeStorageReport"),
]
EXPECTED = [
    "RpcProcessingTimeAvgTime",
    "RpcQueueTimeAvgTime",
    "CallQueueLength",
    *(f"{operation}AvgTime" for operation in OPERATIONS),
    "ThreadsBlocked",
    "ThreadsWaiting",
    "ThreadsTimedWaiting",
    "GcTimeMillisParNew",
    "GcTimeMillisConcurrentMarkSweep",
    "GetGroupsAvgTime",
]


def test_the_28_metrics_in_order() -> None:
    assert len(EXPECTED) == 28
    assert [metric.name for metric in METRICS] == EXPECTED


def test_columns_have_names_of_their_own_and_begin_with_the_28() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert list(COLUMNS[:28]) == EXPECTED
    assert sum(len(metrics) for metrics in BY_BEAN.values()) == len(COLUMNS)


def test_every_average_has_its_count_and_a_rate() -> None:
    rates = {metric.attribute for metric in ALL if metric.kind == "counter"}
    for metric in METRICS:
        assert (metric.kind == "average") == (metric.ops is not None)
        if metric.ops is not None and metric.name != "RpcQueueTimeAvgTime":  # as many as are processed
            assert metric.ops in rates


@pytest.mark.parametrize(
    "metric",
    [metric for metric in ALL if metric.name not in (YOUNG, OLD)],  # see test_gc_times
    ids=lambda metric: metric.name,
)
def test_a_real_namenode_has_each(metric) -> None:
    found = bean(document("3.4.2_active"), {"RpcDetailedActivity": "RpcDetailed"}.get(metric.bean, metric.bean))
    assert metric.attribute in found
    assert metric.ops is None or metric.ops in found


def test_what_only_grows() -> None:
    assert all(only_grows(metric.attribute) for metric in ALL if metric.kind == "counter")
    assert not any(only_grows(metric.attribute) for metric in ALL if metric.kind != "counter")
    assert not only_grows("GcTimePercentage") and not only_grows("NumOpenConnections")


@pytest.mark.parametrize("length", [1, 60, 300, 3600])
@pytest.mark.parametrize("name", ["RpcQueueTime", "Syncs", "GetGroups", "BlockReport", "DeferredRpcProcessingTime"])
def test_what_is_counted_in_a_window_does_not_only_grow(name: str, length: int) -> None:
    """Hadoop's MutableQuantiles, in the beans of every daemon that sets percentiles' intervals."""
    assert only_grows(f"{name}NumOps")
    of_window = ("NumOps", "NumBytes", "50thPercentileLatency", "99.9thPercentileTime", "5thInversePercentileOps")
    assert not any(only_grows(f"{name}{length}s{what}") for what in of_window)
    assert not only_grows(f"[{name}]RollingAvgTime")


def test_the_docs_tell_every_column() -> None:
    text = (PROJECT / "docs" / "namenode.md").read_text()
    operations = re.search(r"^Operations: (.+?)\n\n", text, re.MULTILINE | re.DOTALL)
    told = set(re.findall(r"\w+", operations[1])) if operations else set()
    assert told == set(OPERATIONS)
    for name in COLUMNS:
        assert f"`{name}`" in text or re.sub(r"(AvgTime|Rate)$", "", name) in told, name
