"""Which anomalies an incident has, when they came, whom they blame, and the word that they are false alarms."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.errors import NotFoundError
from hdfs_pipeline.verdicts.false_alarms import call_false
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline.verdicts.listing import whole_incident
from hdfs_pipeline.verdicts.members import members_of, timeline_of
from hdfs_pipeline_tests.homes import BLOCKS, Home
from hdfs_pipeline_tests.verdicts.made_incidents import incident, put
from hdfs_pipeline_tests.verdicts.test_incidents import FULL, NODES, START, anomaly, cluster, incidents, record

OTHER = "read refused: wrong length or version"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return cluster(tmp_path / "home")


def items(home: Home, row: dict[str, Any]) -> set[str]:
    with home.store.read() as con:
        found = members_of(con, row)
        assert members_of(con, row, 1) == found[:1]
    return {each["item"] for each in found}


def test_each_anomaly_belongs_to_the_incident_that_counts_it(home: Home) -> None:
    first = [anomaly(n, at_s=n / 3) for n in range(9)]
    second = [anomaly(n, OTHER, at_s=n / 3, blamed=NODES[1:]) for n in range(10, 16)]
    found = incidents(home, *first, *second, anomaly(30, at_s=9000))
    assert [len(items(home, row)) for row in found] == [row["items"] for row in found] == [9, 6, 1]
    assert {len(items(home, row) & items(home, other)) for row in found for other in found if row is not other} == {0}


def test_anomalies_that_name_a_server_by_another_name_are_its_incidents(home: Home) -> None:
    put(home, "entities", {"alias": "dn1", "entity": NODES[0], "domain": "blocks"})
    (row,) = incidents(home, *(anomaly(n, blamed=NODES[:1]) for n in range(4)))
    record(home, [anomaly(99, blamed=()) | {"entity": "dn1", "blamed": None}])
    assert items(home, row) >= {"blk_0", "blk_99"}


def test_withdrawn_anomalies_are_none(home: Home) -> None:
    (row,) = incidents(home, *(anomaly(n) for n in range(4)))
    record(home, [anomaly(7) | {"status": "withdrawn"}])
    assert items(home, row) == {f"blk_{n}" for n in range(4)}


@pytest.mark.parametrize("length_s", [0, 0.2, 40, 4000, 400_000])
def test_a_timeline_counts_each_anomaly_once_in_its_own_step(home: Home, length_s: float) -> None:
    rows = [anomaly(n, at_s=length_s * n / 7) for n in range(8)]
    record(home, [*rows, anomaly(50, OTHER, at_s=length_s / 2)])
    end = START + timedelta(seconds=length_s)
    about = {"domain": "blocks", "entity": NODES[0], "kinds": {FULL: 8}, "details": {}, "items": 8}
    about |= {"started_at": START.isoformat(), "ended_at": end.isoformat()}
    with home.store.read() as con:
        line = timeline_of(con, about)
    assert (sum(line["own"]), sum(line["others"])) == (8, 1)
    assert len(line["own"]) == len(line["others"]) <= 52
    begin, step = datetime.fromisoformat(line["begin"]), timedelta(seconds=line["step_s"])
    assert begin + step * len(line["own"]) == datetime.fromisoformat(line["end"])
    assert begin < START and datetime.fromisoformat(line["end"]) > end
    for row in rows:
        assert line["own"][int((row["told_from"] - begin) / step)] > 0


def test_peers_that_nobody_blames_stand_beside_the_one_that_is(home: Home) -> None:
    (row,) = incidents(home, *(anomaly(n) for n in range(8)))
    first, *others = whole_incident(home.store, row["id"])["peers"]
    assert (first["name"], first["items"], first["share"]) == (NODES[0], 8, 1.0)
    assert len(others) == 4 and {(peer["items"], peer["share"]) for peer in others} == {(0, 0.0)}
    assert {peer["usual"] for peer in (first, *others)} == {0.2}


def test_peers_are_told_where_nothing_is_known_of_what_is_usual(home: Home) -> None:
    put(home, "entities", *({"alias": f"d{n}", "entity": node, "domain": "blocks"} for n, node in enumerate(NODES)))
    put(home, "incidents", incident(1, began=START, entity=NODES[0], items=1))
    record(home, [anomaly(1)])
    found = whole_incident(home.store, "00000001")["peers"]
    assert [(peer["name"], peer["items"], peer["usual"]) for peer in found] == [
        (NODES[0], 1, None),
        (NODES[1], 0, None),
    ]


def test_a_false_alarm_is_suppressed_and_its_anomalies_are_learned_from(home: Home) -> None:
    (row,) = incidents(home, *(anomaly(n) for n in range(3)))
    said = call_false(home.store, row["id"][:8], note="a drill", by="ada")
    assert (said["status"], said["items"]) == ("suppressed", 3)
    words = home.rows("SELECT item, verdict, note, given_by, was_anomaly, detector FROM feedback ORDER BY item")
    assert words == [(f"blk_{n}", "false", "a drill", "ada", True, "lifecycle") for n in range(3)]
    call_false(home.store, row["id"])
    assert home.rows("SELECT count(*) FROM feedback") == [(3,)]
    publish_incidents(home.store, home.settings, BLOCKS)  # goes on being suppressed
    assert home.rows("SELECT status FROM incidents") == [("suppressed",)]


def test_a_false_alarm_of_what_is_no_domain_is_suppressed(home: Home) -> None:
    put(home, "incidents", incident(1, domain="watcher"))
    assert call_false(home.store, "00000001")["items"] == 0
    assert home.rows("SELECT status FROM incidents") == [("suppressed",)]
    with pytest.raises(NotFoundError):
        call_false(home.store, "ffff")


def test_the_words_of_a_false_alarm_can_be_read_by_each_domain(home: Home) -> None:
    daemons = domain_named("daemons")
    item = daemons.item.shown(daemons.item.example)
    record(home, [anomaly(1) | {"domain": "daemons", "item": item, "entity": NODES[0], "kind": "disk full"}])
    about = {"domain": "daemons", "entity": NODES[0], "kind": "disk full", "began": START, "items": 1}
    put(home, "incidents", incident(1, lasted=timedelta(seconds=1), **about))
    assert call_false(home.store, "00000001")["items"] == 1
    assert home.rows("SELECT item FROM feedback") == [(item,)]
