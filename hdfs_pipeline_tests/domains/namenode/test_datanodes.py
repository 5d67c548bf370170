"""DataNodes' own /jmx: what one measures, and how it stands beside its peers."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.domains.namenode.datanodes import DataNodeProcessor, DataNodeSample, compare, entity_of
from hdfs_pipeline.domains.namenode.state_rules import rules_about
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.domains.namenode.documents import Document, at, changed
from hdfs_pipeline_tests.domains.namenode.states import state_document

REAL = state_document("datanode_3.4.2")
DN = "127.0.0.1:40876"
ACTIVITY = "DataNodeActivity-127.0.0.1-40876"
DATASET = next(each["name"].partition("name=")[2] for each in REAL["beans"] if "FSDatasetState-" in each["name"])


def later(**attributes: Any) -> Document:
    """The real document a while later: attributes of its activity."""
    return changed(REAL, **{ACTIVITY: attributes})


def sample(processor: DataNodeProcessor, document: Document, seconds: float) -> DataNodeSample:
    found = processor.add(DN, document, at(seconds), seconds)
    assert found is not None
    return found


def kinds(one: DataNodeSample, **settings: Any) -> set[str]:
    """The kinds of trouble that a sample shows."""
    own = Settings(**settings)
    figures = one.figures(own.namenode_full_percent) | {"name": DN}
    return {rule.kind for rule in rules_about("datanode_jmx") if rule.ratio(figures, own)}


def test_what_a_real_datanode_tells() -> None:
    first = sample(DataNodeProcessor(), REAL, 0)
    assert first.values["xceivers"] == 0 and first.values["failed_volumes"] == 0
    assert first.values["capacity"] == 270553174016 and first.volumes == {"/data/data/datanode_1": (68783, 68219424768)}
    assert first.values["blocks_verified"] == 0 and first.new_failures == 0
    assert "flush_ms" not in first.values, "nothing tells how old this mean is"
    assert first.names == ("127.0.0.1:40877", "127.0.0.1:40874")
    assert entity_of(REAL, "127.0.0.1") == DN
    assert kinds(first) == set()


def test_a_mean_is_a_value_only_where_its_calls_moved() -> None:
    processor = DataNodeProcessor()
    sample(processor, REAL, 0)
    moved = later(FlushNanosNumOps=78, FlushNanosAvgTime=3e6, BytesWritten=64260 + 3000)
    second = sample(processor, moved, 30)
    assert second.values["flush_ms"] == pytest.approx(3.0) and second.calls["flush_ms"] == 50
    assert second.values["bytes_written_s"] == 100 and "write_block_ms" not in second.values
    assert "flush_ms" not in sample(processor, moved, 60).values, "it stands still"


def test_times_of_volumes_and_of_packets() -> None:
    """Of several volumes the slowest counts; without profiling of file I/O (a setting of HDFS) there is none."""
    processor = DataNodeProcessor()
    first = sample(processor, REAL, 0)
    assert not {"volume_write_ms", "write_packet_ms"} & first.values.keys()
    volume = "DataNodeVolume-/data/data/datanode_1"
    other = {"name": "Hadoop:service=DataNode,name=DataNodeVolume-/data/2", "WriteIoRateNumOps": 0}
    quiet = {"beans": [*REAL["beans"], other]}
    sample(processor, quiet, 30)
    busy = changed(quiet, **{volume: {"WriteIoRateNumOps": 40, "WriteIoRateAvgTime": 3.0}})
    busy["beans"][-1] |= {"WriteIoRateNumOps": 10, "WriteIoRateAvgTime": 80.0}
    packets = {"PacketsReceived": 35 + 50, "TotalWriteTime": 1 + 100}
    last = sample(processor, changed(busy, **{ACTIVITY: packets}), 60)
    assert last.values["volume_write_ms"] == 80 and last.calls["volume_write_ms"] == 50
    assert last.values["write_packet_ms"] == 2 and last.calls["write_packet_ms"] == 50
    assert "volume_read_ms" not in last.values


def test_a_restart_measures_nothing() -> None:
    processor = DataNodeProcessor()
    sample(processor, later(FlushNanosNumOps=900, BytesWritten=10**9, BlockVerificationFailures=4), 0)
    again = sample(processor, changed(REAL, DataNodeInfo={"DNStartedTimeInMillis": 5}), 30)
    assert not {"flush_ms", "bytes_written_s", "slept_ms_s"} & again.values.keys()
    without = changed(REAL, DataNodeInfo={"DNStartedTimeInMillis": None})
    processor = DataNodeProcessor()
    sample(processor, changed(without, **{ACTIVITY: {"FlushNanosNumOps": 900, "BytesWritten": 10**9}}), 0)
    assert "bytes_written_s" not in sample(processor, without, 30).values, (
        "a counter fell: Hadoop 2.7 has no start time"
    )


def test_failed_checks_of_replicas_are_news_for_ten_minutes() -> None:
    processor = DataNodeProcessor()
    assert kinds(sample(processor, later(BlockVerificationFailures=7), 0)) == set(), "these may be old"
    found = later(BlockVerificationFailures=9)
    assert kinds(sample(processor, found, 30)) == {"replicas failed their check"}
    assert kinds(sample(processor, found, 500)) == {"replicas failed their check"}
    assert kinds(sample(processor, found, 700)) == set()


@pytest.mark.parametrize(
    ("beans", "kind"),
    [
        ({"DataNodeInfo": {"XceiverCount": 4000}}, "too many xceivers"),
        (
            {ACTIVITY: {"DataNodeActiveXceiversCount": 4000}, "DataNodeInfo": {"XceiverCount": None}},
            "too many xceivers",
        ),
        (
            {"DataNodeInfo": {"VolumeInfo": json.dumps({"/a": {"usedSpace": 97, "freeSpace": 3}})}},
            "full volume",
        ),
        ({"DataNodeInfo": {"VolumeInfo": json.dumps({"/a": {"usedSpace": 0, "freeSpace": 0}})}}, "full volume"),
    ],
)
def test_troubles_of_one_datanode(beans: dict[str, Any], kind: str) -> None:
    assert kinds(sample(DataNodeProcessor(), changed(REAL, **beans), 0)) == {kind}


def test_a_pause_of_its_process() -> None:
    processor = DataNodeProcessor()
    sample(processor, REAL, 0)
    paused = changed(REAL, JvmMetrics={"GcTotalExtraSleepTime": 13 + 6000})
    assert kinds(sample(processor, paused, 30)) == {"paused DataNode"}


def test_failed_volumes_are_named() -> None:
    failed = changed(REAL, **{DATASET: {"NumFailedVolumes": 1, "FailedStorageLocations": ["/data/7"]}})
    one = sample(DataNodeProcessor(), failed, 0)
    assert one.values["failed_volumes"] == 1 and one.failed_volumes == ("/data/7",)


def at_work(entity: str, flush_ms: float, calls: float = 40) -> DataNodeSample:
    return DataNodeSample(entity, at(0), True, {"flush_ms": flush_ms}, {"flush_ms": calls})


def slow(samples: list[DataNodeSample]) -> dict[str, float]:
    return {each.entity: each.slowest.times for each in compare(samples, 4.0) if each.slowest is not None}


def test_one_of_twelve_is_six_times_slower() -> None:
    peers = [at_work(f"dn{place}:9866", 4 + 0.1 * place) for place in range(11)]
    found = compare([*peers, at_work("dn11:9866", 27.0)], 4.0)
    assert {each.entity for each in found if each.slowest} == {"dn11:9866"} and all(each.compared for each in found)
    (rule,) = [rule for rule in rules_about("datanode_jmx") if rule.kind == "slow DataNode"]
    sentence = rule.words(found[-1].figures(90) | {"name": "dn11"})
    assert sentence == "dn11: flushing written data takes 6 times as long as the median of 11 DataNodes (27 ms)"
    assert not rule.ratio(found[0].figures(90), Settings())


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ([1, 1, 30], "two peers are too few"),
        ([0.01, 0.01, 0.01, 0.09], "it takes no time that matters"),
        ([1, 2, 20, 60, 70, 110], "they differ so among each other"),
        ([20, 22, 21, 60], "less than four times as long"),
    ],
)
def test_nobody_is_called_slow(times: list[float], why: str) -> None:
    assert slow([at_work(f"dn{place}", ms) for place, ms in enumerate(times)]) == {}, why


def test_a_datanode_that_did_little_is_neither_slow_nor_a_peer() -> None:
    busy = [at_work(f"dn{place}", 4.0) for place in range(4)]
    assert slow([*busy, at_work("idle", 900.0, calls=2)]) == {}
    assert slow([at_work(f"dn{place}", 4.0, calls=1) for place in range(4)] + [at_work("busy", 900.0)]) == {}


def test_what_is_spent_in_other_datanodes_calls_nobody_slow() -> None:
    waiting = [
        DataNodeSample(f"dn{place}", at(0), True, {"packet_ack_ms": ms}, {"packet_ack_ms": 50})
        for place, ms in enumerate([1, 1, 1, 1, 400])
    ]
    assert slow(waiting) == {}


@given(st.lists(st.floats(0.001, 1e6), min_size=4, max_size=12), st.floats(1.0, 1e3))
def test_the_same_times_in_other_order_call_the_same_slow(times: list[float], factor: float) -> None:
    samples = [at_work(f"dn{place}", ms) for place, ms in enumerate(times)]
    found = slow(samples)
    assert found == slow(samples[::-1])
    for entity, ratio in found.items():
        own = times[int(entity[2:])]
        peers = [ms for place, ms in enumerate(times) if f"dn{place}" != entity]
        assert ratio >= 4 and own > np.median(peers)


odd = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.lists(st.integers(), max_size=2)
)


@given(st.data())
def test_whatever_the_beans_hold_there_is_a_sample(data: st.DataObject) -> None:
    processor = DataNodeProcessor()
    for seconds in (0, 30):
        bean = {name: data.draw(odd) for name in ("FlushNanosNumOps", "FlushNanosAvgTime", "BytesWritten")}
        info = {name: data.draw(odd) for name in ("VolumeInfo", "XceiverCount", "RpcPort", "DNStartedTimeInMillis")}
        if data.draw(st.booleans()):
            info["VolumeInfo"] = json.dumps(data.draw(st.dictionaries(st.text(max_size=4), odd, max_size=2)))
        dataset = {name: data.draw(odd) for name in ("NumFailedVolumes", "FailedStorageLocations", "Capacity")}
        found = changed(REAL, **{ACTIVITY: bean, "DataNodeInfo": info, DATASET: dataset})
        one = sample(processor, found, seconds)
        assert all(abs(value) < float("inf") for value in one.values.values())
        kinds(one)
    assert processor.add(DN, {"beans": []}, at(60), 60) is None
