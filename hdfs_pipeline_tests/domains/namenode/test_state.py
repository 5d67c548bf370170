"""The state of HDFS in real documents of Hadoop 2.7 to 3.5, and in documents that nobody should trust."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.domains.namenode.state import PARTS, VALUES, read_state
from hdfs_pipeline_tests.domains.namenode.documents import NAMES, changed, document
from hdfs_pipeline_tests.domains.namenode.states import node, state_document, state_of

DN1, DN2, DN3 = "10.0.0.1:9866", "10.0.0.2:9866", "10.0.0.3:9866"
ALL = {value.name for value in VALUES} | PARTS.keys()


@pytest.mark.parametrize(
    ("name", "figures", "absent"),
    [
        (
            "2.7.3_active",
            {"missing": 0, "under_replicated": 0, "blocks": 1100, "live": 1, "checkpoint_transactions": 73314},
            {"last_replica", "timed_out_reconstructions", "in_maintenance", "slow_peers", "slow_disks"},
        ),
        (
            "hdp_2.3.2_standalone",
            {"under_replicated": 72, "corrupt": 0, "live": 4, "capacity_total": 1673850781696, "missing_one": 0},
            {"last_replica", "timed_out_reconstructions", "in_maintenance", "slow_peers", "slow_disks"},
        ),
        (
            "hdp_2.3.5_active",
            {"under_replicated": 4, "live": 3, "dead": 0, "stale": 0, "last_transaction": 2096709},
            {"last_replica", "timed_out_reconstructions", "in_maintenance", "slow_peers", "slow_disks"},
        ),
        (
            "3.4.2_active",
            {"missing": 0, "last_replica": 0, "pending_deletion": 54, "live": 4, "in_maintenance": 0},
            {"slow_peers", "slow_disks"},
        ),
        ("3.4.2_startup_early", {}, ALL),
        ("3.5.0_rpcstub", {}, ALL),
    ],
)
def test_each_version_tells_what_it_has_and_the_rest_is_absent(
    name: str, figures: dict[str, float], absent: set[str]
) -> None:
    state = read_state(document(name), 30)
    assert {figure: state.values.get(figure) for figure in figures} == figures
    assert set(state.absent) == absent
    assert not state.values.keys() & set(state.absent)


def test_a_document_of_3_3_without_its_lists_still_has_its_counts() -> None:
    state = read_state(state_document("namenode_3.3.0"), 30)
    assert (state.values["under_replicated"], state.values["corrupt"], state.values["missing"]) == (365, 0, 0)
    assert state.datanodes is None and "datanodes" in state.absent


def test_two_dead_datanodes_of_3_4_2_and_what_they_cost() -> None:
    """FSNamesystem still said 0 missing for 8 s while NameNodeInfo said 2: the fresh bean comes first."""
    found = state_document("namenode_3.4.2_two_dead")
    state = read_state(changed(found, FSNamesystem={"MissingBlocks": 0, "LowRedundancyBlocks": 0}), 30)
    assert (state.values["missing"], state.values["missing_one"], state.values["under_replicated"]) == (2, 2, 31)
    assert state.datanodes is not None
    assert sorted(each.state for each in state.datanodes.values()) == ["dead", "dead", "live", "live"]
    assert state.datanodes["127.0.0.1:40876"].silent_s == 41
    assert state.aliases == {"127.0.0.1:40894": "127.0.0.1:40896", "127.0.0.1:40904": "127.0.0.1:40906"}
    assert state.clock is not None and state.clock.year == 2026


def test_safe_mode_is_on_by_its_own_words_or_by_the_state() -> None:
    found = state_document("namenode_3.4.2_safe_mode")
    assert "turned on manually" in (read_state(found, 30).safe_mode or "")
    assert read_state(changed(found, NameNodeInfo={"Safemode": None}), 30).safe_mode == "safeMode"
    both = changed(found, NameNodeInfo={"Safemode": None}, FSNamesystemState={"FSState": None})
    assert read_state(both, 30).safe_mode is None and "safe_mode" in read_state(both, 30).absent


@pytest.mark.parametrize(
    ("contacts", "counted", "stale"),
    [
        ((0, 1, 2), 0, []),
        ((0, 12, 2), 1, [DN2]),  # by the NameNode's count: the one that was silent for longest
        ((0, 2, 1), 2, []),  # it still counts two that have died meanwhile
        ((0, 31, 2), 0, [DN2]),  # it counts every five minutes only
        ((14, 14, 0), 1, [DN1, DN2]),  # nothing tells which of the two
        ((9, 12, 0), 2, [DN1, DN2]),
    ],
)
def test_stale_are_those_that_were_silent_for_longest(
    contacts: tuple[int, ...], counted: int, stale: list[str]
) -> None:
    live = {name: node(name, contact) for name, contact in zip((DN1, DN2, DN3), contacts, strict=True)}
    state = read_state(state_of(live, NumStaleDataNodes=counted), 30)
    assert state.datanodes is not None
    assert [entity for entity, each in state.datanodes.items() if each.state == "stale"] == stale


def test_names_of_datanodes_lead_to_their_transfer_address() -> None:
    live = {"dn1.example:9866": node(DN1), "dn2.example:9866": node(DN2), "both.example:1": node("10.0.0.9:9866")}
    live |= {"both.example:2": node("10.0.0.9:9876")}
    state = read_state(state_of(live), 30)
    assert state.aliases["dn1.example"] == state.aliases["dn1.example:9866"] == state.aliases["10.0.0.1:9864"] == DN1
    assert state.aliases["10.0.0.1"] == DN1
    assert "10.0.0.9" not in state.aliases and "both.example" not in state.aliases, "two DataNodes have these"


def test_reports_of_slow_peers_and_disks_name_datanodes_by_other_ports() -> None:
    """A peer is named by its web server's address, a disk by that of the IPC server, as Hadoop 2.9 to 3.5 write it."""
    live = {DN1: node(DN1), DN2: node(DN2)}
    of_3_4 = [{"SlowNode": "10.0.0.1:9864", "SlowPeerLatencyWithReportingNodes": [{"ReportingNode": "a"}] * 2}]
    of_2_9 = [{"SlowNode": "10.0.0.1:9864", "ReportingNodes": ["a", "b", "c"]}]
    disks = [{"SlowDiskID": "10.0.0.2:9867:/data/3", "Latencies": {"WRITE": 900.5}}]
    for reports, count in ((of_3_4, 2), (of_2_9, 3)):
        found = state_of(live, SlowPeersReport=json.dumps(reports), SlowDisksReport=json.dumps(disks))
        state = read_state(found, 30)
        assert state.slow_peers == {DN1: count} and state.slow_disks == {DN2: ("/data/3",)}


def test_journals_and_folders_that_failed() -> None:
    stream = (
        "Writing segment beginning at txid 9. \n10.0.0.1:8485 (Written txid 12), 10.0.0.2:8485 (Written txid 3) "
        "(will try to re-sync on next segment)"
    )
    journals = [{"manager": "QJM", "stream": stream, "disabled": "false"}, {"manager": "file", "disabled": "true"}]
    found = state_of(
        NameJournalStatus=json.dumps(journals), NameDirStatuses='{"active":{"/a":"IMAGE"},"failed":{"/b":"EDITS"}}'
    )
    state = read_state(found, 30)
    assert len(state.failed_journals) == 2 and "file" in state.failed_journals
    assert any("re-sync" in each for each in state.failed_journals)
    assert state.failed_folders == ("/b",)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ATTRIBUTES = {
    "NameNodeInfo": ("LiveNodes", "DeadNodes", "DecomNodes", "NameJournalStatus", "NameDirStatuses", "Safemode",
                     "JournalTransactionInfo", "NumberOfMissingBlocks"),
    "NameNodeStatus": ("SlowPeersReport", "SlowDisksReport"),
    "FSNamesystemState": ("FSState", "LowRedundancyBlocks", "NumStaleDataNodes", "TopUserOpCounts"),
}  # fmt: skip


@given(st.data())
def test_whatever_the_beans_hold_there_is_a_state(data: st.DataObject) -> None:
    beans = []
    for bean, attributes in ATTRIBUTES.items():
        values: dict[str, Any] = {}
        for attribute in attributes:
            value = data.draw(json_values)
            values[attribute] = json.dumps(value) if data.draw(st.booleans()) else value
        beans.append({"name": f"Hadoop:service=NameNode,name={bean}", **values})
    nodes = data.draw(st.dictionaries(st.text(max_size=12), st.fixed_dictionaries({}, optional={
        "xferaddr": json_values, "infoAddr": json_values, "lastContact": json_values, "adminState": json_values,
        "capacity": json_values, "remaining": json_values, "volfails": json_values,
    }), max_size=4))  # fmt: skip
    if data.draw(st.booleans()):
        beans[0]["LiveNodes"] = beans[0]["DeadNodes"] = json.dumps(nodes)
    state = read_state({"beans": beans}, 30)
    assert all(isinstance(value, float) and abs(value) <= 2**63 for value in state.values.values())
    assert set(state.absent) <= ALL
    for each in (state.datanodes or {}).values():
        each.entity.encode()
        assert each.full_percent is None or isinstance(each.full_percent, float)


@pytest.mark.parametrize("name", NAMES)
def test_no_document_has_a_datanode_twice(name: str) -> None:
    state = read_state(document(name), 30)
    assert len({each.name for each in (state.datanodes or {}).values()}) == len(state.datanodes or {})
