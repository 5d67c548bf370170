"""Episodes from polls: begun by the first poll that shows a trouble, ended by the first that does not."""

import json
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.domains.namenode.datanodes import DataNodeSample
from hdfs_pipeline.domains.namenode.episodes import GONE
from hdfs_pipeline.domains.namenode.past import Past
from hdfs_pipeline.domains.namenode.state_reports import state_report
from hdfs_pipeline.domains.namenode.state_rules import rule_of
from hdfs_pipeline.domains.namenode.watch import StateRows, StateWatch
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.domains.namenode.documents import at
from hdfs_pipeline_tests.domains.namenode.states import node, state_of
from hdfs_pipeline_tests.homes import Home

NN = "nn1:9870"
DN1, DN2 = "10.0.0.1:9866", "10.0.0.2:9866"
BOTH = {DN1: node(DN1), DN2: node(DN2)}
DEAD = {DN2: {"lastContact": 640, "decommissioned": False, "adminState": "In Service", "xferaddr": DN2}}


class Watched:
    """A NameNode's state, polled every 5 s; each item's latest row of `anomalies`."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.watch = StateWatch(NN, self.settings)
        self.now = at(0)
        self.items: dict[str, dict[str, Any]] = {}
        self.rows: list[StateRows] = []

    def poll(self, document: dict[str, Any], role: str = "active", after_s: float = 5.0) -> datetime:
        self.now += timedelta(seconds=after_s)
        self._keep(self.watch.add(document, role, self.now))
        return self.now

    def no_answer(self, polls: int) -> None:
        self.now += timedelta(seconds=5)
        self._keep(self.watch.unanswered(self.now, polls, "no answer within 4 s"))

    def _keep(self, rows: StateRows) -> None:
        self.rows.append(rows)
        for table in rows.anomalies:
            self.items |= {row["item"]: row for row in table.to_pylist()}

    def open(self) -> set[tuple[str, str]]:
        return {(row["entity"], row["kind"]) for row in self.items.values() if row["status"] == "provisional"}

    def one(self, kind: str) -> dict[str, Any]:
        (row,) = [row for row in self.items.values() if row["kind"] == kind]
        return row

    def store(self, home: Home) -> None:
        with home.store.write() as con:
            for rows in self.rows:
                rows.publish(con)
        self.rows = []


TROUBLES: dict[str, tuple[dict[str, Any], str, int]] = {
    "missing blocks": ({"NumberOfMissingBlocks": 3, "NumberOfMissingBlocksWithReplicationFactorOne": 1}, NN, 1),
    "corrupt blocks": ({"CorruptBlocks": 2}, NN, 1),
    "under-replicated blocks": ({"LowRedundancyBlocks": 1204, "PendingReconstructionBlocks": 40}, NN, 2),
    "dead DataNode": ({"live": {DN1: node(DN1)}, "dead": DEAD}, DN2, 1),
    "stale DataNode": ({"live": {DN1: node(DN1), DN2: node(DN2, 45)}}, DN2, 1),
    "failed volume": ({"live": {DN1: node(DN1), DN2: node(DN2, volfails=1)}}, DN2, 1),
    "full DataNode": ({"live": {DN1: node(DN1), DN2: node(DN2, remaining=2**30)}}, DN2, 1),
    "HDFS nearly full": ({"CapacityRemaining": 100 * 2**30}, NN, 1),
    "safe mode": ({"Safemode": "Safe mode is ON. It was turned on manually."}, NN, 1),
    "edit log journal failed": ({"NameJournalStatus": '[{"manager": "QJM", "disabled": "true"}]'}, NN, 1),
    "NameNode folder failed": ({"NameDirStatuses": '{"active": {}, "failed": {"/b": "EDITS"}}'}, NN, 1),
    "many edits without a checkpoint": ({"TransactionsSinceLastCheckpoint": 4_000_000}, NN, 1),
    "old checkpoint": (
        {"LastCheckpointTime": int((at(0).timestamp() - 5 * 3600) * 1000), "TransactionsSinceLastCheckpoint": 9},
        NN,
        1,
    ),
    "slow peer": ({"SlowPeersReport": '[{"SlowNode": "10.0.0.2:9864", "ReportingNodes": ["a"]}]'}, DN2, 1),
    "slow disk": ({"SlowDisksReport": '[{"SlowDiskID": "10.0.0.2:9867:/data/1"}]'}, DN2, 1),
    "failed volumes": ({"VolumeFailuresTotal": 1, "LiveNodes": "[]"}, NN, 1),
}


def trouble(kind: str) -> dict[str, Any]:
    changes = dict(TROUBLES[kind][0])
    return state_of(changes.pop("live", BOTH), changes.pop("dead", None), **changes)


@pytest.mark.parametrize("kind", TROUBLES)
def test_each_trouble_begins_and_ends_with_the_polls_that_show_it(kind: str) -> None:
    entity, polls = TROUBLES[kind][1:]
    watched = Watched()
    watched.poll(state_of(BOTH))
    assert not watched.open()
    first = watched.poll(trouble(kind))
    if polls > 1:
        watched.poll(trouble(kind))
    assert watched.open() == {(entity, kind)}
    last = watched.poll(trouble(kind))
    watched.poll(state_of(BOTH))
    row = watched.one(kind)
    assert (row["first_time"], row["last_time"], row["status"]) == (first, last, "final")
    assert (row["closed_by"], row["detector"], row["origin"]) == (GONE, "hdfs_state", "jmx")
    assert row["score"] >= row["threshold"] == 1.0
    about, rule = json.loads(row["explanation"]), rule_of(kind)
    assert rule is not None
    assert (about["severity"], about["hint"], about["namenode"]) == (rule.severity, rule.hint, NN)
    assert "unknown number" not in row["reason"] and "{" not in row["reason"]


def test_the_sentence_tells_of_the_worst_poll() -> None:
    watched = Watched()
    for missing in (1, 3, 2):
        watched.poll(state_of(BOTH, NumberOfMissingBlocks=missing))
    assert watched.one("missing blocks")["reason"].startswith("3 blocks missing: no DataNode that is alive")
    assert watched.one("missing blocks")["records"] == 3


def test_one_poll_of_under_replicated_blocks_is_no_trouble() -> None:
    watched = Watched()
    for blocks in (0, 4, 0, 4, 0):
        watched.poll(state_of(BOTH, LowRedundancyBlocks=blocks))
    assert [row["status"] for row in watched.items.values()] == ["withdrawn"], "which nobody counts"
    for blocks in (4, 4):
        watched.poll(state_of(BOTH, LowRedundancyBlocks=blocks))
    row = watched.one("under-replicated blocks")
    assert (row["status"], row["first_time"], row["records"]) == ("provisional", watched.now - timedelta(seconds=5), 2)


def test_a_datanode_goes_stale_then_dead_then_comes_back() -> None:
    watched = Watched()
    watched.poll(trouble("stale DataNode"))
    watched.poll(trouble("dead DataNode"))
    assert watched.open() == {(DN2, "dead DataNode")}
    watched.poll(state_of(BOTH))
    assert not watched.open() and len(watched.items) == 2


@pytest.mark.parametrize(
    "admin", ["Decommissioned", "In Maintenance", "Entering Maintenance", "Decommission In Progress"]
)
def test_a_datanode_that_people_took_out_of_service_is_not_called_dead(admin: str) -> None:
    watched = Watched()
    watched.poll(state_of({DN1: node(DN1)}, {DN2: DEAD[DN2] | {"adminState": admin}}))
    assert not watched.open()


def test_a_restarted_namenode_does_not_bring_a_dead_datanode_back() -> None:
    """It has forgotten the DataNode: the trouble ends when the DataNode is listed again, or after a day."""
    watched = Watched()
    watched.poll(trouble("dead DataNode"))
    watched.poll({"beans": [{"name": "Hadoop:service=NameNode,name=StartupProgress"}]}, "starting")
    watched.poll(state_of({}, Safemode="Safe mode is ON. The reported blocks 0 needs additional 9 blocks"))
    assert (DN2, "dead DataNode") in watched.open()
    watched.poll(state_of({DN1: node(DN1)}))
    assert watched.open() == {(DN2, "dead DataNode")}
    assert watched.rows[-1].datanodes[0].to_pylist()[-1]["state"] == "gone"
    watched.poll(state_of(BOTH))
    assert not watched.open()
    for _ in range(2):
        watched.poll(state_of({DN1: node(DN1)}), after_s=40)
    assert watched.open() == {(DN2, "dead DataNode")}, "one that was alive, and is listed no longer"
    watched.poll(state_of({DN1: node(DN1)}), after_s=25 * 3600)
    assert not watched.open()


@pytest.mark.parametrize("safe_mode", ["", "Safe mode is ON. It was turned on manually."])
def test_a_datanode_that_a_running_namenode_takes_off_its_list_is_not_dead(home: Home, safe_mode: str) -> None:
    """Started anew with another address, or removed by people: the NameNode says so, since it ran all the time."""
    moved = "10.0.0.2:9966"
    started = int((at(0) - timedelta(hours=1)).timestamp() * 1000)
    watched = Watched()
    watched.poll(state_of(BOTH, NNStartedTimeInMillis=started))
    watched.poll(state_of({DN1: node(DN1)}, DEAD, NNStartedTimeInMillis=started))
    assert watched.open() == {(DN2, "dead DataNode")}
    after = state_of({DN1: node(DN1), moved: node(moved)}, NNStartedTimeInMillis=started, Safemode=safe_mode)
    watched.poll(after)
    assert watched.one("dead DataNode")["status"] == "final"
    for _ in range(30):
        watched.poll(after)
    assert not {entity for entity, _ in watched.open()} & {DN1, DN2, moved}
    watched.store(home)
    assert [each["entity"] for each in state_report(home.store)["datanodes"]] == [DN1, moved]
    with home.store.read() as con:
        watched.watch.resume(con, watched.now)
    assert watched.watch._known.keys() == {DN1, moved}


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        [{"NNStartedTimeInMillis": int(at(seconds).timestamp() * 1000)} for seconds in (-3600, 10)],
        [{"NNStarted": f"Sat Nov 21 {clock} UTC 2026"} for clock in ("11:00:00", "12:00:10")],  # Hadoop 2.7
    ],
)
def test_only_a_datanode_that_a_restart_made_forgotten_is_missed(
    first: dict[str, Any], second: dict[str, Any], same: bool
) -> None:
    watched = Watched()
    watched.poll(state_of(BOTH, **first))
    for _ in range(3):
        watched.poll(state_of({DN1: node(DN1)}, **(first if same else second)), after_s=40)
    assert watched.open() == (set() if same else {(DN2, "dead DataNode")})


def test_polls_far_apart_are_not_in_a_row() -> None:
    watched = Watched()
    lacking = state_of(BOTH, LowRedundancyBlocks=9)
    watched.poll(lacking)
    watched.poll(lacking, after_s=3 * 3600)
    assert not watched.open()
    second = watched.now
    watched.poll(lacking)
    (row,) = [row for row in watched.items.values() if row["status"] == "provisional"]
    assert (row["first_time"], row["records"]) == (second, 2)


def test_where_polls_are_hours_apart_troubles_go_on_and_polls_are_in_a_row() -> None:
    watched = Watched(namenode_poll_s=2 * 3600.0, datanode_poll_s=2 * 3600.0)
    for _ in range(3):
        watched.poll(state_of(BOTH, LowRedundancyBlocks=9), after_s=2 * 3600)
        watched._keep(watched.watch.add_datanode(DataNodeSample(DN2, watched.now, True, {"xceivers": 5000.0})))
    assert watched.one("under-replicated blocks")["records"] == watched.one("too many xceivers")["records"] == 3


def test_a_clock_that_goes_back_makes_no_trouble_end_before_it_began() -> None:
    watched = Watched()
    watched.poll(trouble("missing blocks"))
    watched.poll(trouble("missing blocks"), after_s=-3600)
    assert watched.open() == {(NN, "missing blocks")}
    watched.poll(state_of(BOTH))
    row = watched.one("missing blocks")
    assert row["first_time"] <= row["last_time"] and row["status"] == "final"
    watched.poll(trouble("missing blocks"))
    assert len(watched.items) == 2, "it is no part of what ended in the time to come"


def test_while_a_namenode_starts_or_is_in_safe_mode_blocks_in_trouble_stay_so() -> None:
    watched = Watched()
    for _ in range(2):
        watched.poll(state_of(BOTH, NumberOfMissingBlocks=3, LowRedundancyBlocks=9))
    troubles = {(NN, "missing blocks"), (NN, "under-replicated blocks")}
    assert watched.open() == troubles
    watched.poll(state_of({}), "starting")
    watched.poll(state_of(BOTH, Safemode="Safe mode is ON."))
    assert watched.open() == troubles | {(NN, "safe mode")}
    watched.poll(state_of(BOTH))
    assert not watched.open()


def test_only_an_active_namenode_speaks_for_hdfs() -> None:
    """A standby of a real cluster counted 7,687 under-replicated blocks where the active one counted 4."""
    watched = Watched()
    watched.poll(trouble("missing blocks"))
    watched.poll(trouble("missing blocks"), "standby")
    assert "standby" in watched.one("missing blocks")["closed_by"]
    for _ in range(3):
        watched.poll(trouble("under-replicated blocks"), "standby")
    assert not watched.open() and watched.watch.state is None
    watched.poll(trouble("safe mode"), "standby")
    assert watched.open() == {(NN, "safe mode")}


def test_a_namenode_that_does_not_answer_is_a_trouble_and_ends_none() -> None:
    watched = Watched()
    watched.poll(trouble("missing blocks"))
    for polls in (1, 2):
        watched.no_answer(polls)
    assert watched.open() == {(NN, "missing blocks")}
    watched.no_answer(3)
    assert watched.open() == {(NN, "missing blocks"), (NN, "no answer from the NameNode")}
    watched.poll(trouble("missing blocks"))
    assert watched.open() == {(NN, "missing blocks")}


def test_a_bean_that_is_gone_ends_a_trouble_after_an_hour() -> None:
    watched = Watched()
    watched.poll(trouble("missing blocks"))
    without = state_of(BOTH, NumberOfMissingBlocks=None)
    watched.poll(without)
    assert watched.open()
    watched.poll(without, after_s=3700)
    assert watched.one("missing blocks")["closed_by"] == "nothing tells of it any more"


def test_what_a_datanode_told_ends_an_hour_after_it_fell_silent() -> None:
    watched = Watched()
    watched.poll(state_of(BOTH))
    watched._keep(watched.watch.add_datanode(DataNodeSample(DN2, watched.now, True, {"xceivers": 5000.0})))
    assert watched.open() == {(DN2, "too many xceivers")}
    watched._keep(watched.watch.add_datanode(DataNodeSample(DN2, watched.now, False, note="no answer")))
    watched.poll(trouble("dead DataNode"))
    assert (DN2, "too many xceivers") in watched.open()
    watched.poll(trouble("dead DataNode"), after_s=3700)
    assert watched.open() == {(DN2, "dead DataNode")}


def test_a_datanode_that_is_polled_at_its_host_name_is_the_one_that_the_namenode_lists() -> None:
    """`datanode_urls` name hosts; the DataNode itself says the port only, and its NameNode lists an address."""
    watched = Watched()
    watched.poll(state_of({"dn2.example:9866": node(DN2, volfails=1)}))
    sample = DataNodeSample("dn2.example:9866", watched.now, True, {"xceivers": 5000.0}, failed_volumes=("/data/3",))
    rows = watched.watch.add_datanode(sample)
    watched._keep(rows)
    assert rows.metrics[0]["entity"].to_pylist() == [DN2]
    assert watched.open() == {(DN2, "too many xceivers"), (DN2, "failed volume")}
    watched.poll(state_of({"dn2.example:9866": node(DN2, volfails=2)}))
    assert "/data/3" in watched.one("failed volume")["reason"]


def test_a_flapping_datanode_is_one_trouble() -> None:
    watched = Watched()
    for _ in range(50):
        watched.poll(trouble("stale DataNode"))
        watched.poll(state_of(BOTH))
    assert len(watched.items) == 1 and watched.one("stale DataNode")["status"] == "final"
    watched.poll(state_of(BOTH), after_s=100)
    watched.poll(trouble("stale DataNode"))
    assert len(watched.items) == 2


def test_what_was_usual_is_no_trouble_and_what_began_beyond_it_ends_below_it() -> None:
    watched = Watched()
    for _ in range(20):
        watched.poll(state_of(BOTH, LowRedundancyBlocks=365), after_s=600)
    assert watched.open() == {(NN, "under-replicated blocks")}, "on the first day nothing was usual yet"
    watched.poll(state_of(BOTH))
    for blocks in [72] * 3 + [0] * 15 + [72, 0] * 5:
        watched.poll(state_of(BOTH, LowRedundancyBlocks=blocks), after_s=600)
    assert watched.watch._past.usual("under_replicated", watched.now) == 72
    for blocks in (70, 72, 72):
        watched.poll(state_of(BOTH, LowRedundancyBlocks=blocks))
    assert not watched.open()
    for _ in range(300):  # two days: it does not become usual while it lasts
        watched.poll(state_of(BOTH, LowRedundancyBlocks=90), after_s=600)
    assert watched.open() == {(NN, "under-replicated blocks")}
    watched.poll(state_of(BOTH, LowRedundancyBlocks=72))
    assert not watched.open()
    assert watched.watch._past.usual("under_replicated", watched.now) <= 72


def test_what_was_usual_stays_so_after_a_failover() -> None:
    """The NameNode that takes over has the same blocks; one of another block pool has its own."""
    past = Past()
    for step in range(12):
        past.add(at(600 * step), {"under_replicated": 72.0})
    pasts = {"BP-1": past}

    def watched(namenode: str) -> Watched:
        own = Watched()
        own.watch, own.now = StateWatch(namenode, own.settings, pasts), at(600 * 12)
        return own

    second, other = watched("nn2:9870"), watched("nn3:9870")
    for role in ("standby", "active", "active"):
        second.poll(state_of(BOTH, LowRedundancyBlocks=72, BlockPoolId="BP-1"), role)
        other.poll(state_of(BOTH, LowRedundancyBlocks=72, BlockPoolId="BP-2"), role)
    assert not second.open() and other.open() == {("nn3:9870", "under-replicated blocks")}


def test_pasts_join_without_a_poll_twice() -> None:
    first, second = Past(), Past()
    for step in range(10):
        first.add(at(600 * step), {"free": 0.5})
        second.add(at(600 * step + 20), {"free": 0.5})
    second.add(at(9000), {"free": 0.25})
    for _ in range(3):
        first.join(second)
    assert len(first.times) == 11 == len(first.values["under_replicated"]) and first.times == sorted(first.times)
    assert first.values["free"][-1] == 0.25


def test_days_to_full_are_those_of_the_median_pace() -> None:
    """2,400 GiB are free of 3,000; 4 GiB go each hour; a DataNode that is away for a while changes nothing."""
    watched = Watched(namenode_full_days=30.0)
    for step in range(6 * 30):
        free = (2400 - 4 * step / 6) * 2**30
        away = 60 <= step < 80
        total = 2000 * 2**30 if away else 3000 * 2**30
        watched.poll(
            state_of(BOTH, CapacityRemaining=int(free * (2 / 3 if away else 1)), CapacityTotal=total), after_s=600
        )
        assert bool(watched.open()) == (step > 36), step
    row = watched.one("HDFS fills up")
    assert json.loads(row["explanation"])["figures"]["days_to_full"] == pytest.approx(
        (2400 - 4 * 30) / 4 / 24, rel=0.02
    )


def test_decommissioning_is_stuck_when_no_block_gets_on() -> None:
    watched = Watched()
    for hour, lacking in enumerate([90, 40, 10, 10, 10, 10, 10, 0]):
        emptying = {DN1: node(DN1), DN2: node(DN2, adminState="Decommission In Progress")}
        watched.poll(
            state_of(emptying, emptied={DN2: {"underReplicatedBlocks": lacking, "xferaddr": DN2}}), after_s=3600
        )
        assert bool(watched.open()) == (hour == 6), hour
    assert "10 blocks" in watched.one("decommissioning stuck")["reason"]


def test_polls_of_two_processes_make_a_trouble_that_takes_two_polls(home: Home) -> None:
    """As `collect --once` from cron does it."""
    for minutes in (0, 5, 10):
        watched = Watched()
        watched.now = at(60 * minutes)
        if minutes:
            with home.store.read() as con:
                watched.watch.resume(con, watched.now)
        watched.poll(state_of(BOTH, LowRedundancyBlocks=7))
        watched.store(home)
        assert home.rows("SELECT status, records FROM anomalies") == [
            ("provisional" if minutes else "withdrawn", 1 + minutes // 5)
        ]


def test_a_collector_that_starts_goes_on_with_what_is_open(home: Home) -> None:
    watched = Watched()
    for _ in range(2):
        watched.poll(state_of({DN1: node(DN1)}, DEAD, NumberOfMissingBlocks=3, LowRedundancyBlocks=9))
    watched.store(home)
    later = Watched()
    later.now = watched.now
    with home.store.read() as con:
        later.watch.resume(con, later.now)
    later.poll(state_of({DN1: node(DN1)}, DEAD, NumberOfMissingBlocks=2))
    later.poll(state_of(BOTH))
    later.store(home)
    rows = home.rows("SELECT entity, kind, status, records, score FROM anomalies ORDER BY kind")
    assert rows == [
        (DN2, "dead DataNode", "final", 3, 1.0),
        (NN, "missing blocks", "final", 3, 3.0),
        (NN, "under-replicated blocks", "final", 2, 9.0),
    ]
    aliases = dict(home.rows("SELECT alias, entity FROM entities WHERE domain = 'namenode'"))
    assert aliases["10.0.0.1:9864"] == aliases["10.0.0.1"] == DN1
    assert home.rows("SELECT state FROM datanode_state WHERE entity = ? ORDER BY polled_at", DN2) == [
        ("dead",),
        ("dead",),
        ("live",),
    ]


@given(st.lists(st.sampled_from([*TROUBLES, "", "starting", "standby", "no answer"]), max_size=30), st.booleans())
def test_in_whatever_order_polls_come_no_trouble_is_open_twice(kinds: list[str], again: bool) -> None:
    watched = Watched()
    for kind in kinds * (1 + again):
        if kind == "no answer":
            watched.no_answer(3)
        elif kind in TROUBLES:
            watched.poll(trouble(kind))
        else:
            watched.poll(state_of(BOTH), kind or "active")
        rows = [row for row in watched.items.values() if row["status"] == "provisional"]
        assert len({(row["entity"], row["kind"]) for row in rows}) == len(rows)
        assert all(row["first_time"] <= row["last_time"] <= watched.now for row in watched.items.values())
    watched.poll(state_of(BOTH))
    assert not watched.open()


def test_a_poll_of_a_thousand_datanodes_is_quick() -> None:
    nodes = [f"10.0.{place // 250}.{place % 250}:9866" for place in range(1000)]
    document = state_of({f"dn{place}.example:9866": node(address) for place, address in enumerate(nodes)})
    watched = Watched()
    watched.poll(document)
    begun = time.perf_counter()
    for _ in range(5):
        watched.poll(document)
    assert (time.perf_counter() - begun) / 5 < 0.25
    assert len(watched.watch.state.aliases if watched.watch.state else {}) == 4000
    assert [len(rows.datanodes[0]) for rows in watched.rows] == [1000, 0, 0, 0, 0, 0], (
        "what did not change is not stored"
    )
