"""What of a `/jmx` document is a measurement, and what is not."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.domains.namenode.metrics import COLUMNS
from hdfs_pipeline.domains.namenode.process import Processor, Sample
from hdfs_pipeline_tests.domains.namenode.documents import (
    GOLDEN,
    NAMES,
    Document,
    at,
    bean,
    busier,
    changed,
    document,
    without,
)

EXPECTED = json.loads((GOLDEN / "samples.json").read_text())
ACTIVE = document("3.4.2_active")


def samples(*polls: tuple[float, Document]) -> list[Sample]:
    processor = Processor()
    found = [processor.add(polled, at(seconds)) for seconds, polled in polls]
    assert all(found)
    return found  # type: ignore[return-value]


def last(*polls: tuple[float, Document]) -> Sample:
    return samples(*polls)[-1]


def calls(operation: str, count: int, average: float, base: Document = ACTIVE) -> Document:
    return changed(base, RpcDetailed={f"{operation}NumOps": count, f"{operation}AvgTime": average})


@pytest.mark.parametrize("name", NAMES)
def test_golden_documents(name: str) -> None:
    """Hadoop 2.7 (HDP 2.3 is 2.7.1), 3.4 and 3.5; active, standby, starting, with a service RPC port."""
    found, expected = document(name), EXPECTED[name]
    first, second = samples((0, found), (10, busier(found)))
    assert " ".join(first.values) == expected["first"], "a first look measures states only"
    assert " ".join(second.values) == expected["measured"]
    assert (second.role, second.port, list(second.ports)) == (expected["role"], expected["port"], expected["ports"])
    assert [list(each) for each in second.top_users.get("*", [])] == expected["users"]
    assert not second.restarted and not second.gap and second.moved
    assert set(second.values) <= set(COLUMNS)


def test_golden_covers_every_version() -> None:
    assert set(EXPECTED) == set(NAMES)
    assert {name.split("_")[0] for name in NAMES} == {"hdp", "2.7.3", "3.4.2", "3.5.0"}


def test_a_bean_that_did_not_change_is_no_sample() -> None:
    again = last((0, ACTIVE), (5, ACTIVE))
    assert again.values == {} and not again.moved
    assert again.role == "active" and again.top_users, "what is fresh at each poll is there"


def test_each_bean_is_refreshed_by_itself() -> None:
    found = last((0, ACTIVE), (5, changed(ACTIVE, JvmMetrics={"ThreadsBlocked": 3})))
    assert found.values["ThreadsBlocked"] == 3
    assert "CallQueueLength" not in found.values


def test_an_idle_operation_has_no_average_neither_stale_nor_zero() -> None:
    was = bean(ACTIVE, "RpcDetailed")["GetListingAvgTime"]
    found = last((0, ACTIVE), (10, calls("Create", 800, 2.5)))
    assert found.values["CreateAvgTime"] == 2.5
    assert was > 0 and "GetListingAvgTime" not in found.values
    assert found.values["GetListingRate"] == 0.0, "that there were no calls was measured"


def test_an_average_of_zero_is_a_value_where_there_were_calls() -> None:
    assert last((0, ACTIVE), (10, calls("Create", 800, 0.0))).values["CreateAvgTime"] == 0.0


def test_a_rate_is_over_the_time_since_its_bean_last_changed() -> None:
    begun = bean(ACTIVE, "RpcDetailed")["CreateNumOps"]
    found = samples((0, ACTIVE), (5, ACTIVE), (10, ACTIVE), (15, calls("Create", begun + 300, 1.0)))
    assert found[-1].values["CreateRate"] == pytest.approx(20.0)


def collector(name: str, milliseconds: Any) -> dict[str, Any]:
    return {"name": f"java.lang:type=GarbageCollector,name={name}", "CollectionTime": milliseconds}


def test_counters_of_collections_become_milliseconds_a_second() -> None:
    first = {"beans": [*ACTIVE["beans"], collector("G1 Young Generation", 90), collector("G1 Old Generation", 6)]}
    later = changed(first, JvmMetrics={"GcTimeMillis": 96 + 50, "GcTotalExtraSleepTime": 44 + 4000})
    bean(later, "G1 Young Generation")["CollectionTime"] += 50
    found = last((0, first), (10, later)).values
    assert found["GcTotalExtraSleepTime"] == pytest.approx(400.0)
    assert found["GcTimeMillisParNew"] == found["GcTimeMillisConcurrentMarkSweep"] == pytest.approx(5.0)


def test_cycles_beside_the_program_are_no_pause() -> None:
    """ZGC on a real NameNode: the cycles took 4 s, the pauses nothing, and JvmMetrics counts all of it."""
    first = {"beans": [*ACTIVE["beans"], collector("ZGC Cycles", 19990), collector("ZGC Pauses", 10)]}
    later = changed(first, JvmMetrics={"GcTimeMillis": 24000})
    bean(later, "ZGC Cycles")["CollectionTime"] = 23990
    found = last((0, first), (10, later)).values
    assert found["GcTimeMillisParNew"] == found["GcTimeMillisConcurrentMarkSweep"] == 0.0


def test_a_sum_of_unknown_collectors_is_no_pause() -> None:
    found = last((0, ACTIVE), (10, changed(ACTIVE, JvmMetrics={"GcTimeMillis": 96 + 4000}))).values
    assert not [name for name in found if name.startswith("GcTimeMillis")]


def test_collectors_that_appear_have_no_growth_yet() -> None:
    """As after an update: earlier documents were asked for without them, and 9 s were not all since then."""
    later = {"beans": [*changed(ACTIVE, JvmMetrics={"ThreadsBlocked": 1})["beans"], collector("PS Scavenge", 9000)]}
    assert "GcTimeMillisParNew" not in last((0, ACTIVE), (10, later)).values


def test_parnew_and_cms_are_told_apart_where_they_are() -> None:
    cms = document("hdp_2.3.5_active")
    was = bean(cms, "JvmMetrics")
    later = changed(cms, JvmMetrics={"GcTimeMillisParNew": was["GcTimeMillisParNew"] + 100, "GcTimeMillis": 99999})
    found = last((0, cms), (10, later)).values
    assert found["GcTimeMillisParNew"] == 10.0 and found["GcTimeMillisConcurrentMarkSweep"] == 0.0


def test_the_first_call_of_an_operation_counts() -> None:
    """Hadoop 2.7 and 3.3 name an operation only once it was called."""
    never = document("2.7.3_active")
    assert "ConcatNumOps" not in bean(never, "RpcDetailed")
    found = samples((0, never), (10, busier(never)), (20, calls("Concat", 4, 7.0, busier(never))))
    assert "ConcatRate" not in found[1].values and "ConcatAvgTime" not in found[1].values
    assert found[2].values["ConcatRate"] == 0.4 and found[2].values["ConcatAvgTime"] == 7.0


def test_names_are_matched_whole() -> None:
    twins = {f"{twin}GetListing{what}": 10**6 for twin in ("Overall", "Deferred") for what in ("NumOps", "AvgTime")}
    found = last((0, ACTIVE), (10, changed(calls("Create", 800, 1.0), RpcDetailed=twins | {"CreateNumOps": 800})))
    assert found.values["GetListingRate"] == 0.0 and "GetListingAvgTime" not in found.values


def test_the_order_of_the_keys_of_a_name_means_nothing() -> None:
    turned = changed(ACTIVE)
    for each in turned["beans"]:
        domain, _, keys = each["name"].partition(":")
        each["name"] = f"{domain}:{','.join(reversed(keys.split(',')))}"
    assert last((0, turned), (10, busier(turned))).values == last((0, ACTIVE), (10, busier(ACTIVE))).values


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), "12 ", True, None, [1]])
def test_what_is_no_number_is_left_out(odd: Any) -> None:
    later = busier(ACTIVE)
    bean(later, "RpcActivity").update(CallQueueLength=odd, RpcProcessingTimeAvgTime=odd, RpcQueueTimeNumOps=odd)
    values = last((0, ACTIVE), (10, later)).values
    assert not {"CallQueueLength", "RpcProcessingTimeAvgTime", "RpcQueueTimeAvgTime"} & set(values)
    assert values["RpcProcessingRate"] == 5.0


def test_a_restart_is_marked_once_and_gives_no_negative_value() -> None:
    starting, new = document("3.4.2_startup_early"), changed(ACTIVE, NameNodeInfo={"NNStartedTimeInMillis": 1})
    long_run = busier(ACTIVE, 10**6)
    found = samples((0, ACTIVE), (10, long_run), (15, starting), (25, new), (35, busier(new)))
    assert [each.restarted for each in found] == [False, False, True, False, False]
    assert "started anew" in found[2].note and found[2].role == "starting"
    assert all(value >= 0 for each in found for value in each.values.values())
    assert "CreateRate" not in found[3].values, "there was no such bean before"
    assert found[4].values["CreateRate"] == 5.0


def test_a_restart_between_two_polls_shows_in_the_counters() -> None:
    found = samples((0, busier(ACTIVE, 10**6)), (10, ACTIVE), (20, busier(ACTIVE)))
    assert [each.restarted for each in found] == [False, True, False]
    assert not [name for name in found[1].values if name.endswith(("AvgTime", "Rate"))]


def test_windows_that_count_anew_are_no_restart() -> None:
    """`rpc.metrics.percentiles.intervals` and `dfs.metrics.percentiles.intervals`."""
    windows = {f"RpcQueueTime{seconds}sNumOps": 5210 for seconds in (60, 300)} | {"GetGroups60sNumOps": 9}
    first = changed(ACTIVE, RpcActivity=windows, NameNodeActivity={"Syncs300sNumOps": 800})
    for before in (first, without(first, "NameNodeInfo")):
        later = changed(busier(before), RpcActivity={"RpcQueueTime60sNumOps": 4890, "RpcQueueTime300sNumOps": 0})
        later = changed(later, NameNodeActivity={"Syncs300sNumOps": 650})
        found = last((0, before), (10, later))
        assert not found.restarted and found.note == "" and found.values["CreateRate"] == 5.0


def test_one_counter_that_falls_is_no_restart_where_the_start_time_is_the_same() -> None:
    was = changed(ACTIVE, RpcActivity={"ReceivedBytes": 10**9})
    fallen = changed(busier(was), RpcActivity={"ReceivedBytes": 5})
    assert not last((0, was), (10, fallen)).restarted
    assert last((0, without(was, "NameNodeInfo")), (10, without(fallen, "NameNodeInfo"))).restarted


def test_the_start_of_the_java_machine_tells_a_restart() -> None:
    def started(at_ms: Any, base: Document) -> Document:
        return {"beans": [*base["beans"], {"name": "java.lang:type=Runtime", "StartTime": at_ms}]}

    without_info = without(ACTIVE, "NameNodeInfo")
    found = samples((0, started(1, without_info)), (10, started(2, busier(without_info))), (20, busier(without_info)))
    assert [each.restarted for each in found] == [False, True, False]
    nan = float("nan")
    assert not last((0, started(nan, ACTIVE)), (10, started(nan, busier(ACTIVE)))).restarted


def test_a_restart_that_outran_its_counters_shows_in_the_start_time() -> None:
    for attribute, base in (("NNStartedTimeInMillis", ACTIVE), ("NNStarted", document("2.7.3_active"))):
        later = changed(busier(base), NameNodeInfo={attribute: "another"})
        assert last((0, base), (10, later)).restarted, attribute


def test_a_first_start_is_no_restart() -> None:
    found = samples((0, document("3.4.2_startup_early")), (5, document("3.4.2_startup_rpc")), (10, ACTIVE))
    assert [each.role for each in found] == ["starting", "starting", "active"]
    assert not any(each.restarted for each in found)


def test_the_client_port_is_the_one_of_the_status() -> None:
    """With a service RPC port there are two pairs of beans; what DataNodes do is not what clients wait for."""
    both = document("2.7.3_servicerpc")
    later = changed(both, RpcActivityForPort8020={"CallQueueLength": 7}, RpcActivityForPort8022={"CallQueueLength": 99})
    found = last((0, both), (10, later))
    assert (found.port, found.ports, found.values["CallQueueLength"]) == (8020, (8020, 8022), 7)
    moved = changed(later, NameNodeStatus={"HostAndPort": "host:8022"})
    assert last((0, both), (10, moved)).values["CallQueueLength"] == 99
    assert last((0, without(both, "NameNodeStatus"))).port is None, "nobody said which one"
    assert last((0, both), (5, without(both, "NameNodeStatus"))).port == 8020, "it was said before"


@pytest.mark.parametrize(
    ("state", "role"), [("standby", "standby"), ("observer", "observer"), ("initializing", "starting")]
)
def test_roles(state: str, role: str) -> None:
    assert last((0, changed(ACTIVE, NameNodeStatus={"State": state}))).role == role


def test_a_change_of_role_is_no_restart() -> None:
    found = last((0, ACTIVE), (5, changed(busier(ACTIVE), NameNodeStatus={"State": "standby"})))
    assert found.role == "standby" and not found.restarted and found.values


def test_a_gap_is_marked_and_nothing_is_measured_over_it() -> None:
    found = samples((0, ACTIVE), (10, busier(ACTIVE)), (300, busier(ACTIVE, 500)), (310, busier(ACTIVE, 900)))
    assert [each.gap for each in found] == [True, False, True, False]
    assert "no poll for 290 s" in found[2].note
    assert not [name for name in found[2].values if name.endswith(("AvgTime", "Rate"))]
    assert found[3].values["CreateRate"] == 40.0


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_jumps_is_told(jump: float) -> None:
    processor = Processor()
    processor.add(ACTIVE, at(0), clock=100.0)
    found = processor.add(busier(ACTIVE), at(10 + jump), clock=110.0)
    assert found and found.gap and f"the clock went {'forward' if jump > 0 else 'back'} by 3600 s" in found.note
    after = processor.add(busier(ACTIVE, 100), at(20 + jump), clock=120.0)
    assert after and not after.gap and after.note == "" and after.values["CreateRate"] == 5.0


def test_a_small_jump_spoils_no_rate() -> None:
    processor = Processor()
    processor.add(ACTIVE, at(0), clock=100.0)
    found = processor.add(busier(ACTIVE), at(5), clock=110.0)
    assert found and not found.gap and "back by 5 s" in found.note
    assert found.values["CreateRate"] == 5.0, "50 calls in 10 s by the clock that does not jump"


def test_without_a_steady_clock_times_that_go_back_are_a_gap() -> None:
    found = samples((10, ACTIVE), (5, busier(ACTIVE)), (5, busier(ACTIVE, 90)))
    assert [each.gap for each in found] == [True, True, True]
    assert "went back by 5 s" in found[1].note and "same time" in found[2].note


def test_top_users_are_of_the_shortest_window_largest_first() -> None:
    def window(minutes: int, **users: int) -> dict[str, Any]:
        listed = [{"user": user, "count": count} for user, count in users.items()]
        return {"windowLenMs": minutes * 60_000, "ops": [{"opType": "*", "topUsers": listed, "totalCount": 0}]}

    text = json.dumps({"windows": [window(5, old=99), window(1, a=1, b=9, c=5, d=2, e=3, f=4), window(25, older=1)]})
    found = last((0, changed(ACTIVE, FSNamesystemState={"TopUserOpCounts": text})))
    assert found.top_users == {"*": [("b", 9), ("c", 5), ("f", 4), ("e", 3), ("d", 2)]}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"windows": 3}', '{"windows": [{"ops": [{}]}]}', 7, None])
def test_top_users_that_cannot_be_read_are_none(text: Any) -> None:
    state = {**bean(ACTIVE, "FSNamesystemState"), "TopUserOpCounts": text}
    assert last((0, {"beans": [state, bean(ACTIVE, "JvmMetrics")]})).top_users == {}


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"beans": None},
        {"beans": []},
        {"beans": [None, 3, {"name": 7}, {"name": "no name"}]},
        {"beans": [{"name": "Hadoop:service=DataNode,name=JvmMetrics", "ThreadsBlocked": 3}]},
        {"beans": [{"name": "java.lang:type=Memory"}]},
    ],
)
def test_without_a_bean_of_a_namenode_there_is_no_sample(odd: Any) -> None:
    assert Processor().add(odd, at(0)) is None


@given(steps=st.lists(st.tuples(st.integers(0, 500), st.booleans()), min_size=2, max_size=30), seed=st.integers(0, 999))
def test_rates_add_up_to_the_calls_whatever_was_cached(steps: list[tuple[int, bool]], seed: int) -> None:
    """Rate × time since the bean last changed, over all samples, is the growth of the counter that was seen."""
    draw = random.Random(seed)
    small = {"beans": [bean(ACTIVE, "NameNodeStatus"), bean(ACTIVE, "RpcDetailed")]}
    processor, clock, real, seen = Processor(), 0.0, 1000, calls("Create", 1000, 1.0, small)
    processor.add(seen, at(0))
    counted, since = 0.0, 0.0
    for grown, refreshed in steps:
        clock += draw.uniform(1.0, 20.0)
        real += grown
        before = seen
        if refreshed:
            seen = calls("Create", real, 1.0, small)
        found = processor.add(seen, at(clock))
        assert found and all(value >= 0 for value in found.values.values())
        assert ("CreateAvgTime" in found.values) == (seen != before)
        if "CreateRate" in found.values:
            counted += found.values["CreateRate"] * (clock - since)
            since = clock
    assert counted == pytest.approx(bean(seen, "RpcDetailed")["CreateNumOps"] - 1000, abs=1e-3)
