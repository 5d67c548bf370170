"""Incidents to read: those that meet conditions, and one with all that belongs to it."""

from datetime import timedelta
from typing import Any

import pytest

from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.verdicts.listing import Wanted, list_incidents, whole_incident
from hdfs_pipeline.verdicts.words import say
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.verdicts.made_incidents import NOW, ago, incident, put


@pytest.fixture
def filled(home: Home) -> Home:
    put(
        home,
        "incidents",
        incident(1, began=ago(hours=30)),
        incident(
            2,
            began=ago(hours=2),
            status="resolved",
            kind="copy failed",
            entity="",
            related=[f"{1:08x}00000000"],
        ),
        incident(3, began=ago(hours=1), status="acknowledged", domain="namenode", kind="", kinds={}, entity="nn:9870"),
    )
    put(home, "entities", {"alias": "dn7", "entity": "10.0.0.7:9866", "domain": "blocks"})
    return home


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [3, 2, 1]),
        ({"status": ["open"]}, [1]),
        ({"status": ["open", "acknowledged"]}, [3, 1]),
        ({"domain": "namenode"}, [3]),
        ({"entity": "10.0.0.7:9866"}, [1]),
        ({"entity": "dn7"}, [1]),
        ({"entity": "dn8' OR 1=1 --"}, []),
        ({"kind": "copy failed"}, [2]),
        ({"kind": "FAILED"}, [2, 1]),
        ({"kind": "%"}, []),
        ({"since": ago(hours=3)}, [3, 2]),
        ({"since": ago(hours=3), "status": ["resolved"], "kind": "copy"}, [2]),
    ],
)
def test_conditions(filled: Home, wanted: dict[str, Any], numbers: list[int]) -> None:
    count, found = list_incidents(filled.store, Wanted(**wanted))
    assert [int(row["id"][:8], 16) for row in found] == numbers
    assert count == len(numbers)
    assert list_incidents(filled.store, Wanted(**wanted), 1) == (count, found[:1])


def test_what_there_never_is_is_told(filled: Home) -> None:
    with pytest.raises(UsageError, match="did you mean 'open'"):
        Wanted(status=["opne"])
    with pytest.raises(UsageError, match="did you mean 'namenode'"):
        list_incidents(filled.store, Wanted(domain="namenodes"))


def test_incidents_of_the_watcher_itself_are_listed(home: Home) -> None:
    put(home, "incidents", incident(1, domain="watcher", title="", kind="a check failed", entity="raw_logs", items=2))
    _, (row,) = list_incidents(home.store, Wanted(domain="watcher"))
    assert row["title"] == "a check failed · raw_logs · 2 items", "where there is no title, kind and entity stand in"
    assert whole_incident(home.store, row["id"])["examples"] == []


def test_one_in_full(filled: Home) -> None:
    began, item = ago(hours=2), {"domain": "blocks", "detector": "lifecycle", "status": "final", "origin": "batch"}
    for number, (kind, later) in enumerate([("copy failed", 0), ("copy failed", 60), ("copy failed", 600), ("x", 0)]):
        told = began + timedelta(seconds=later)
        times = {"told_from": told, "last_time": told + timedelta(hours=9), "scored_at": NOW}
        about = {"item": f"blk_{number}", "kind": kind, "score": 0.5 + number / 10, "reason": "r", "entity": ""}
        put(filled, "anomalies", item | times | about)
    say(filled.store, "00000002", "reopen", note="again", by="Ann", now=NOW)
    found = whole_incident(filled.store, "00000002")
    assert [each["item"] for each in found["examples"]] == ["blk_1", "blk_0"], "of its kinds and its time, by score"
    assert found["related"] == [
        {"id": f"{1:08x}00000000", "title": incident(1)["title"], "status": "open"}
        | {"started_at": ago(hours=30).isoformat(timespec="milliseconds")}
    ]
    words = {"action": "reopen", "note": "again", "given_by": "Ann", "given_at": NOW.isoformat()}
    assert found["words"] == [words] and found["status"] == "open"
    with pytest.raises(DataError, match="3 incidents have ids that begin with '0000'"):
        whole_incident(filled.store, "0000")
