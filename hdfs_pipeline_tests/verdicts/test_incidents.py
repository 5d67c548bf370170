"""Incidents of a home: in pieces as at once, late data extends, ids stay, people rule, related ones are named."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.contract import ENTITY
from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline.verdicts.feedback import give_feedback, give_feedback_on_stretch, take_back
from hdfs_pipeline.verdicts.incidents import incident_json, publish_incidents
from hdfs_pipeline.verdicts.listing import whole_incident
from hdfs_pipeline.verdicts.live import update_incidents
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline.verdicts.status import home_status, parse_since
from hdfs_pipeline.verdicts.words import say
from hdfs_pipeline_tests.homes import BLOCKS, Home, fill, open_home
from hdfs_pipeline_tests.verdicts.made_incidents import put

NAMENODES = domain_named("namenode")
NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW - timedelta(hours=2)
FULL = "write failed: disk full"
REBUILT = "write went on without a DataNode"
NODES = ("10.0.0.1:9866", "10.0.0.2:9866")
_LOGS = [
    {"source_id": n, "path": f"dn{n}.log", "host": "", "node": f"10.0.0.{n}:9866", "records": 99} for n in range(1, 6)
]


def anomaly(number: int, kind: str = FULL, at_s: float = 0.0, blamed: Sequence[str] = NODES[:1]) -> dict[str, Any]:
    """A row of `anomalies` whose records were asked already."""
    time = START + timedelta(seconds=at_s)
    return {
        "domain": "blocks", "entity": "", "item": f"blk_{number}", "detector": "lifecycle", "version": 0, "score": 0.5,
        "threshold": 0.5, "kind": kind, "reason": "why", "explanation": "{}", "status": "final", "records": 9,
        "first_time": time - timedelta(seconds=9), "last_time": time + timedelta(seconds=9), "origin": "batch",
        "part": -1, "first_offset": -1, "scored_at": time, "told_from": time, "told_to": time + timedelta(seconds=1),
        "blamed": list(blamed), "traits": [("client", "DFSClient_7")], "line": f"record of {number}",
    }  # fmt: skip


def cluster(folder: Path, lone_gap_s: float = 0.0) -> Home:
    """A home with the logs of five DataNodes, each as busy as the others."""
    home = open_home(folder, catalogue="hdfs_3.v1", incident_lone_gap_s=lone_gap_s)
    with home.store.write() as con:
        publish_into(con, "sources", pa.Table.from_pylist(_LOGS))
    return home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return cluster(tmp_path / "home")


def record(home: Home, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        schema = pa.Table.from_pylist(list(rows)).schema
        traits = pa.map_(pa.string(), pa.string())
        at = schema.get_field_index("traits")
        with home.store.write() as con:
            table = pa.Table.from_pylist(list(rows), schema.set(at, pa.field("traits", traits)))
            publish_into(con, "anomalies", table)


def incidents(home: Home, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The incidents of a home with these anomalies more, in order of time, as JSON."""
    record(home, rows)
    publish_incidents(home.store, home.settings, BLOCKS)
    with home.store.read() as con:
        cursor = con.execute("FROM incidents ORDER BY started_at, id")
        names = [column[0] for column in cursor.description]
        return [incident_json(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def test_an_incident_says_what_where_since_when_and_what_next(home: Home) -> None:
    (found,) = incidents(home, *(anomaly(number, at_s=number) for number in range(12)))
    assert found["title"] == f"{FULL} · {NODES[0]} · 12 blocks"
    assert (found["entity"], found["severity"], found["items"], found["kinds"]) == (NODES[0], "major", 12, {FULL: 12})
    assert found["started_at"] == START.isoformat(timespec="milliseconds")
    assert found["evidence"].startswith("a DataNode had no space left for the replica; 12 of 12 blocks blame 10.0.0.1")
    assert found["details"]["where"][ENTITY][0] == {"name": NODES[0], "items": 12, "share": 1.0, "usual": 0.2}
    assert found["details"]["lines"] == ["record of 0"] and len(found["details"]["examples"]) == 5
    assert found["next_steps"][0].startswith("free space")


def test_a_cause_and_its_symptom_are_one_incident_and_two_servers_two(home: Home) -> None:
    rows = [anomaly(number, at_s=number) for number in range(6)]
    rows += [anomaly(100 + number, REBUILT, number) for number in range(6)]
    rows += [anomaly(200 + number, REBUILT, number, NODES[1:]) for number in range(6)]
    found = incidents(home, *rows)
    assert {(row["kind"], row["entity"], row["items"]) for row in found} == {
        (FULL, NODES[0], 12),
        (REBUILT, NODES[1], 6),
    }


events = st.lists(
    st.tuples(st.sampled_from([FULL, REBUILT]), st.integers(0, 600), st.sampled_from([(), NODES[:1], NODES[1:]])),
    max_size=14,
)  # fmt: skip


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=events, cuts=st.lists(st.integers(0, 14), max_size=3), lone_gap_s=st.sampled_from([0.0, 200.0]))
def test_in_pieces_as_they_come_as_at_once(
    drawn: list[tuple[str, int, tuple[str, ...]]],
    cuts: list[int],
    lone_gap_s: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What a stream hands over piece by piece ends as the batch has it; the same again changes nothing."""
    rows = [anomaly(n, kind, at, blamed) for n, (kind, at, blamed) in enumerate(sorted(drawn, key=lambda row: row[1]))]
    folder = tmp_path_factory.mktemp("pieces")
    whole, pieces = (cluster(folder / name, lone_gap_s) for name in ("whole", "pieces"))
    at_once = incidents(whole, *rows)
    bounds = [0, *sorted(cuts), len(rows)]
    for begin, end in pairwise(bounds):
        incidents(pieces, *rows[begin:end])
    last = incidents(pieces)
    apart = ("id", "changed_at", "related")
    assert [{k: v for k, v in row.items() if k not in apart} for row in last] == [
        {k: v for k, v in row.items() if k not in apart} for row in at_once
    ]
    assert incidents(whole) == at_once
    assert sum(row["items"] for row in last) == len(rows)


def test_late_anomalies_extend_an_incident_and_its_id_stays(home: Home) -> None:
    (first,) = incidents(home, *(anomaly(number, at_s=20 + number) for number in range(5)))
    (longer,) = incidents(home, anomaly(50, at_s=0), anomaly(51, at_s=45))
    assert (longer["id"], longer["items"]) == (first["id"], 7)
    assert longer["started_at"] < first["started_at"] and longer["ended_at"] > first["ended_at"]
    assert longer["changed_at"] > first["changed_at"]
    (again,) = incidents(home)
    assert again == longer, "the same anomalies change nothing, not even the time of the change"


def test_a_culprit_that_becomes_known_keeps_the_id(home: Home) -> None:
    (spread,) = incidents(home, anomaly(1), anomaly(2, blamed=NODES[1:]))
    assert spread["entity"] == ""
    (sure,) = incidents(home, *(anomaly(10 + number, at_s=number) for number in range(9)))
    assert (sure["entity"], sure["id"]) == (NODES[0], spread["id"])


def test_an_id_is_not_taken_from_another_incident(home: Home) -> None:
    """Of two that meet a stored one the one that gives it its id by itself keeps it."""
    record(home, [anomaly(2, at_s=1200)])
    publish_incidents(home.store, home.settings, BLOCKS)
    ((identity,),) = home.rows("SELECT id FROM incidents")
    with home.store.write() as con:  # as if it had once begun earlier
        con.execute("UPDATE incidents SET started_at = ?", [START])
    record(home, [anomaly(1)])
    publish_incidents(home.store, home.settings, BLOCKS)
    ids = home.rows("SELECT id FROM incidents ORDER BY started_at")
    assert len(set(ids)) == 2 and ids[1] == (identity,)


def test_a_streams_verdicts_that_come_late_are_grouped_with_the_next(home: Home) -> None:
    record(home, [anomaly(1) | {"origin": "aggregated_events", "scored_at": NOW}])
    publish_incidents(home.store, home.settings, BLOCKS)
    late = anomaly(2, kind=REBUILT, at_s=1200, blamed=NODES[1:]) | {"origin": "aggregated_events"}
    record(home, [late | {"scored_at": NOW - timedelta(minutes=1)}])
    publish_incidents(home.store, home.settings, BLOCKS, None)
    assert home.rows("SELECT count(*) FROM incidents") == [(2,)]


def test_statuses(home: Home) -> None:
    """Open until five minutes of records without it have passed; expired where no record came for a day."""
    old = cluster(home.settings.home / "old")
    record(old, [anomaly(1, at_s=-90_000), anomaly(2, at_s=-89_600)])
    assert [found["status"] for found in incidents(old)] == ["resolved", "expired"]
    assert [found["status"] for found in incidents(home, anomaly(1, at_s=0), anomaly(2, at_s=200))] == ["open", "open"]
    assert [found["status"] for found in incidents(home, anomaly(3, at_s=700))][:2] == ["resolved", "resolved"]


def test_people_rule(home: Home) -> None:
    (found,) = incidents(home, anomaly(1), anomaly(2, at_s=3))
    done = say(home.store, found["id"][:6], "ack", note="on it", by="ann")
    assert (done["before"], done["status"]) == ("open", "acknowledged")
    assert [row["status"] for row in incidents(home)] == ["acknowledged"]
    assert say(home.store, found["id"], "resolve")["status"] == "resolved"
    assert [row["status"] for row in incidents(home)] == ["resolved"]
    assert say(home.store, found["id"], "ack")["status"] == "resolved", "what is over needs nobody"
    assert say(home.store, found["id"], "suppress")["status"] == "suppressed"
    assert [row["status"] for row in incidents(home, anomaly(3, at_s=9))] == ["suppressed"], "whatever comes"
    assert say(home.store, found["id"], "reopen")["status"] == "open"
    assert [row["status"] for row in incidents(home)] == ["open"]
    assert home.rows("SELECT action, note, given_by FROM incident_words ORDER BY given_at")[0] == (
        "ack",
        "on it",
        "ann",
    )


def test_trouble_after_a_person_called_it_resolved_opens_it_again(home: Home) -> None:
    (found,) = incidents(home, anomaly(1))
    say(home.store, found["id"], "resolve")
    later = (datetime.now(UTC) - START).total_seconds()  # `NOW` may be half an hour ago by now
    rows = [anomaly(10 + number, at_s=at) for number, at in enumerate(range(0, int(later) + 900, 20))]
    assert [row["status"] for row in incidents(home, *rows)] == ["open"]


def test_records_are_asked_by_the_verdict_that_counts(tmp_path: Path) -> None:
    """A stream calls a block by another rule than the batch whose verdict stands, and comes later."""
    log = tmp_path / "HDFS.log"
    log.write_text(
        "081109 203520 33 INFO dfs.FSNamesystem: BLOCK* NameSystem.allocateBlock: /a/b/part-1. blk_38\n"
        "081109 203520 143 INFO dfs.DataNode$DataXceiver: Receiving block blk_38 src: /10.0.0.1:1 dest: /10.0.0.2:2\n"
        "081109 203521 143 INFO dfs.DataNode$DataXceiver: writeBlock blk_38 received exception java.io.IOException: x\n"
    )
    home = open_home(tmp_path / "home")
    fill(home, [log])
    scores = score_items(home.store, home.settings, BLOCKS, BLOCKS.day_one)
    with home.store.write() as con:
        publish_into(con, "scores", scores)
    publish_anomalies(home.store, home.settings, BLOCKS, BLOCKS.day_one)
    publish_incidents(home.store, home.settings, BLOCKS)
    with home.store.write() as con:
        con.execute(
            """INSERT INTO anomalies SELECT * REPLACE ('aggregated_events' AS origin, 1 AS first_offset,
                now() AS scored_at) FROM anomalies"""
        )
        con.execute(
            """UPDATE anomalies SET kind = 'write failed', explanation = '{"broken": [{"rule": "write-failed"}]}'
            WHERE origin = 'batch'"""
        )
    assert {kind for (kind,) in home.rows("SELECT kind FROM anomalies")} == {"write failed", "allocated, never stored"}
    publish_incidents(home.store, home.settings, BLOCKS)
    assert all("received exception" in line for (line,) in home.rows("SELECT line FROM anomalies"))


def test_an_incident_with_a_word_stays_where_its_anomalies_are_told_otherwise(home: Home) -> None:
    suppressed, acknowledged = incidents(home, anomaly(1), anomaly(2, at_s=9000, blamed=NODES[1:2]))
    say(home.store, suppressed["id"], "suppress", note="we know")
    say(home.store, acknowledged["id"], "ack")
    with home.store.write() as con:
        con.execute("UPDATE anomalies SET kind = 'something else'")
    for _ in range(2):
        publish_incidents(home.store, home.settings, BLOCKS)
        status = dict(home.rows("SELECT id, status FROM incidents"))
        assert (status[suppressed["id"]], status[acknowledged["id"]]) == ("suppressed", "resolved")
        assert len(status) == 4
        assert [word["note"] for word in whole_incident(home.store, suppressed["id"])["words"]] == ["we know"]


def test_an_incident_of_whose_items_each_is_no_news_is_none(home: Home) -> None:
    """Whoever says so item by item, or of a group, has it suppressed; a word that one is real brings it back."""

    def states() -> list[str]:
        with home.store.read() as con:
            return [status for (status,) in con.execute("SELECT status FROM incidents ORDER BY started_at").fetchall()]

    rows = [anomaly(1), anomaly(2), anomaly(3, at_s=5000)]
    incidents(home, *(row | {"origin": "aggregated_events"} for row in rows))
    assert states() == ["resolved", "open"]
    give_feedback(home.store, home.settings, BLOCKS, "blk_1", "false")
    assert states() == ["resolved", "open"]
    give_feedback(home.store, home.settings, BLOCKS, "blk_2", "expected")
    assert states() == ["suppressed", "open"]
    give_feedback(home.store, home.settings, BLOCKS, "blk_2", "real")
    assert states() == ["resolved", "open"]
    give_feedback(home.store, home.settings, BLOCKS, "blk_2", "false")
    take_back(home.store, home.settings, BLOCKS, "blk_1")
    assert states() == ["resolved", "open"]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=events, words=st.lists(st.tuples(st.integers(0, 14), st.sampled_from(["real", "false", ""])), max_size=5))
def test_a_word_regroups_what_it_concerns_as_all_would_be(
    drawn: list[tuple[str, int, tuple[str, ...]]],
    words: list[tuple[int, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A word changes what grouping everything would change, with anomalies that wait to be grouped, and no more."""
    home = cluster(tmp_path_factory.mktemp("words"))
    rows = [anomaly(n, kind, at, blamed) for n, (kind, at, blamed) in enumerate(drawn)]
    streamed = [row | {"origin": "aggregated_events", "scored_at": NOW} for row in rows]
    incidents(home, *streamed[::2])
    record(home, streamed[1::2])
    said: set[int] = set()
    for number, verdict in words:
        if number >= len(rows) or (not verdict and number not in said):
            continue
        if verdict:
            give_feedback(home.store, home.settings, BLOCKS, f"blk_{number}", verdict)
            said.add(number)
        else:
            take_back(home.store, home.settings, BLOCKS, f"blk_{number}")
            said.remove(number)
        left = home.rows("FROM incidents ORDER BY id")
        publish_incidents(home.store, home.settings, BLOCKS)
        assert home.rows("FROM incidents ORDER BY id") == left


def test_maintenance_suppresses(home: Home) -> None:
    incidents(home, anomaly(1), anomaly(2, at_s=900))
    row = give_feedback_on_stretch(
        home.store, BLOCKS, START - timedelta(seconds=5), START + timedelta(seconds=60), "maintenance"
    )
    assert row["incidents"] == 1
    assert [found["status"] for found in incidents(home)] == ["suppressed", "open"]


def test_what_names_no_incident_or_several_is_refused(home: Home) -> None:
    incidents(home, anomaly(1), anomaly(2, at_s=900))
    for text in ("", "zz", "nothing"):
        with pytest.raises(DataError, match="incidents list"):
            say(home.store, text, "ack")
    with pytest.raises(UsageError, match="ack"):
        say(home.store, "a", "acknowledge")


def test_incidents_on_one_server_at_one_time_point_at_each_other(home: Home) -> None:
    rows = [anomaly(number, at_s=number) for number in range(4)]
    rows += [anomaly(10 + number, "replica damaged on disk", number) for number in range(4)]
    rows += [anomaly(20 + number, at_s=1000 + number) for number in range(4)]
    first, second, later = incidents(home, *rows)
    assert (first["related"], second["related"], later["related"]) == ([second["id"]], [first["id"]], [])


def test_what_is_about_all_of_a_cluster_belongs_to_what_begins_with_it(home: Home) -> None:
    """A DataNode that dies leaves blocks under-replicated; while they are, others have troubles of their own."""
    rows = [
        episode("dead DataNode", NODES[0], 0, 20, over=True, severity="major"),
        episode("under-replicated blocks", "nn:9870", 10, 3600, over=True, severity="warning"),
        episode("slow disk", NODES[1], 900, 20, over=True, severity="warning"),
        episode("safe mode", "nn:9870", 1800, 5, over=True),
    ]
    with home.store.write() as con:
        publish_into(con, "anomalies", pa.Table.from_pylist(rows))
    publish_incidents(home.store, home.settings, NAMENODES)
    kinds = dict(home.rows("SELECT id, kind FROM incidents"))
    related = dict(home.rows("SELECT kind, related FROM incidents"))
    assert {kind: [kinds[each] for each in ids] for kind, ids in related.items()} == {
        "dead DataNode": ["under-replicated blocks"],
        "under-replicated blocks": ["dead DataNode", "safe mode"],
        "slow disk": [],
        "safe mode": ["under-replicated blocks"],
    }


def test_an_incident_s_examples_are_its_own(home: Home) -> None:
    """Two servers have the same trouble at once: each incident shows the blocks of its own."""
    rows = [anomaly(number, REBUILT, number) for number in range(6)]
    rows += [anomaly(10 + number, at_s=1 + number) for number in range(6)]
    rows += [anomaly(20 + number, REBUILT, number, NODES[1:]) for number in range(6)]
    found = {row["entity"]: whole_incident(home.store, row["id"]) for row in incidents(home, *rows)}
    items = {entity: [each["item"] for each in row["examples"]] for entity, row in found.items()}
    assert items == {NODES[0]: ["blk_10", "blk_11", "blk_12"], NODES[1]: ["blk_20", "blk_21", "blk_22"]}


def test_other_ports_of_a_server_are_no_names_of_it(home: Home) -> None:
    host = NODES[0].partition(":")[0]
    names = [f"{host}:9864", f"{host}:9867", "dn1.example.com", "dn1.example.com:9866", "datanode_1"]
    with home.store.write() as con:
        alias = {"alias": names, "entity": [NODES[0]] * 5, "domain": ["blocks"] * 5}
        publish_into(con, "entities", pa.table(alias))
    (found,) = incidents(home, anomaly(1))
    assert found["title"] == f"{FULL} · {NODES[0]} (datanode_1, dn1.example.com) · 1 block"


def test_another_name_of_a_server_is_the_server(home: Home) -> None:
    with home.store.write() as con:
        alias = {"alias": ["dn1"], "entity": [NODES[0]], "domain": ["blocks"]}
        publish_into(con, "entities", pa.table(alias))
    unasked = anomaly(5, "new here: E9") | {"entity": "dn1", "told_from": None, "told_to": None, "blamed": None}
    (found,) = incidents(home, unasked)
    assert (found["entity"], found["title"]) == (NODES[0], f"new here: E9 · {NODES[0]} (dn1) · 1 block")


def episode(
    kind: str, entity: str, at_s: float, seconds: float, *, over: bool, severity: str = "critical"
) -> dict[str, Any]:
    """A row of `anomalies` of a trouble that polls of a NameNode tell of."""
    time = START + timedelta(seconds=at_s)
    about = {"severity": severity, "hint": "see fsck", "namenode": "nn:9870"}
    return {
        "domain": "namenode", "entity": entity,
        "item": f"nn:9870 {entity} {kind} {time:%Y-%m-%dT%H:%M:%S}Z",
        "detector": "hdfs_state", "version": 0, "score": 3.0, "threshold": 1.0, "kind": kind,
        "reason": f"3 {kind}", "status": "final",
        "explanation": json.dumps(about), "first_time": time, "last_time": time + timedelta(seconds=seconds),
        "origin": "jmx", "part": -1, "first_offset": -1, "scored_at": datetime.now(UTC), "records": 2,
    } | ({} if over else {"status": "provisional"})  # fmt: skip


def test_each_trouble_that_polls_tell_of_is_an_incident_that_ends_with_it(home: Home) -> None:
    def told() -> list[tuple[Any, ...]]:
        publish_incidents(home.store, home.settings, NAMENODES, None)
        columns = "kind, entity, status, severity, title, evidence, next_steps, id"
        return home.rows(f"SELECT {columns} FROM incidents ORDER BY started_at")

    with home.store.write() as con:
        publish_into(con, "anomalies", pa.Table.from_pylist([episode("missing blocks", "nn:9870", 0, 5, over=False)]))
    ((*first, identity),) = told()
    title = "missing blocks · nn:9870"
    assert first == ["missing blocks", "nn:9870", "open", "critical", title, "3 missing blocks", ["see fsck"]]
    later = [
        episode("missing blocks", "nn:9870", 0, 10, over=True),
        episode("dead DataNode", NODES[0], 5, 5, over=False, severity="major"),
    ]
    with home.store.write() as con:
        same = "item IN (SELECT item FROM publish_source)"
        publish_into(con, "anomalies", pa.Table.from_pylist(later), replace=same)
    rows = told()
    assert [(row[0], row[2], row[3]) for row in rows] == [
        ("missing blocks", "resolved", "critical"),
        ("dead DataNode", "open", "major"),
    ]
    assert rows[0][-1] == identity
    assert told() == rows


def test_troubles_that_nothing_groups_are_told_by_status(home: Home) -> None:
    """`collect` alone stores what polls tell of; without incidents a home would seem quiet."""
    with home.store.write() as con:
        publish_into(con, "anomalies", pa.Table.from_pylist([episode("dead DataNode", NODES[0], 0, 90, over=False)]))

    def lacking(at_s: float) -> list[tuple[str, str]]:
        now = START + timedelta(seconds=at_s)
        found = home_status(home.store, home.settings, parse_since("24h", now), now=now)
        return [(lack.text, lack.command) for lack in found.lacks if lack.kind == "ungrouped"]

    sentence = "1 trouble of polls in no incident: nothing brings incidents up to date"
    polled = {"namenode": "nn:9870", "sampled_at": START, "polled_at": START, "error": ""}
    put(home, "namenode_collectors", polled)
    assert (lacking(50), lacking(90)) == ([], [(sentence, "hdfs-pipeline incidents follow")])
    publish_incidents(home.store, home.settings, NAMENODES)
    assert lacking(90) == []


def test_incidents_of_two_domains_on_one_datanode_point_at_each_other(home: Home) -> None:
    record(home, [anomaly(number, at_s=number) for number in range(4)])
    with home.store.write() as con:
        publish_into(con, "anomalies", pa.Table.from_pylist([episode("dead DataNode", NODES[0], 20, 5, over=True)]))
    assert [change.what for change in update_incidents(home.store, home.settings)] == ["opened", "opened"]
    ids = dict(home.rows("SELECT domain, id FROM incidents"))
    assert dict(home.rows("SELECT domain, related FROM incidents")) == {
        "blocks": [ids["namenode"]], "namenode": [ids["blocks"]],
    }  # fmt: skip
    assert update_incidents(home.store, home.settings) == []
