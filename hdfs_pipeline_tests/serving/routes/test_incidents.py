"""Incidents over REST: the list in pages, one in full, and what people do with them."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.serving.tokens import Tokens
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect
from hdfs_pipeline_tests.verdicts.made_incidents import ago, incident, put


def ids(answer: dict[str, Any]) -> list[int]:
    return [int(row["id"][:8], 16) for row in answer["incidents"]]


def test_the_latest_come_first_and_each_says_what_where_and_when(client: TestClient) -> None:
    answer = client.get("/api/incidents").json()
    assert (answer["total"], answer["next"], ids(answer)) == (5, None, [1, 2, 3, 4, 5])
    first = answer["incidents"][0]
    assert first["entity"] == "10.0.0.7:9866" and first["next_steps"] and first["started_at"].endswith("+00:00")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
def test_pages_give_every_incident_once(limit: int, client: TestClient) -> None:
    address, found = f"/api/incidents?limit={limit}&domain=blocks", list[int]()
    while address:
        page = client.get(address).json()
        assert page["total"] == 5 and page["limit"] == limit and page["offset"] == len(found)
        found += ids(page)
        address = page["next"]
        assert not address or "domain=blocks" in address
    assert found == [1, 2, 3, 4, 5]
    assert ids(client.get("/api/incidents?offset=5").json()) == []


def test_conditions_choose(watched: Home, client: TestClient) -> None:
    put(
        watched,
        "incidents",
        incident(6, status="resolved", entity="10.0.0.8:9866", kind="slow disk", began=ago(hours=9)),
        incident(7, status="suppressed", domain="namenode", began=ago(days=9)),
    )
    asked = {
        "status=resolved": [6],
        "status=resolved&status=suppressed": [6, 7],
        "domain=namenode": [7],
        "entity=10.0.0.8:9866": [6],
        "kind=SLOW": [6],
        "kind=nothing": [],
        f"since={ago(hours=2, minutes=-1).isoformat().replace('+', '%2B')}": [1, 2],
        f"since={ago(hours=2, minutes=-1):%Y-%m-%dT%H:%M:%SZ}": [1, 2],
    }
    for query, numbers in asked.items():
        assert ids(client.get(f"/api/incidents?{query}").json()) == numbers, query


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("limit=0", 422, "query.limit"),
        ("limit=1001", 422, "query.limit"),
        ("limit=x", 422, "query.limit"),
        ("offset=-1", 422, "query.offset"),
        ("offset=99999999999999999999", 422, "query.offset"),
        ("status=gone", 422, "query.status.0"),
        ("nonsense=1", 422, "query.nonsense"),
        ("domain=none", 400, ""),
        ("since=yesterdayish", 400, ""),
        ("since=99999999999999d", 400, ""),
    ],
)
def test_what_cannot_be_asked_is_told_by_its_part(query: str, status: int, field: str, client: TestClient) -> None:
    answer = client.get(f"/api/incidents?{query}")
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "fields"} and body["status"] == status
    assert [*body["fields"]] == ([field] if field else [])


def test_an_empty_home_has_no_incidents(new_home: Any, connect: Connect) -> None:
    client = connect(new_home(bare=True))
    assert client.get("/api/incidents").json() == {"total": 0, "limit": 40, "offset": 0, "next": None, "incidents": []}


def test_one_is_found_by_the_beginning_of_its_id(client: TestClient) -> None:
    whole = client.get("/api/incidents/00000003").json()
    assert whole["id"] == "0000000300000000" and whole["words"] == [] and whole["examples"] == []
    assert client.get(f"/api/incidents/{whole['id'].upper()}").json() == whole


@pytest.mark.parametrize("identity", ["0000000", "zzzz", "%20", "'", "x" * 5000, "%00", "%F0%9F%90%98", "%ff"])
def test_ids_of_none_or_of_several_are_not_found(identity: str, client: TestClient) -> None:
    answer = client.get(f"/api/incidents/{identity}")
    assert answer.status_code == 404 and "incidents list" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/api/incidents", "/api/incidents/00000001", "/api/status", "/api/groups"])
def test_what_has_not_changed_is_not_sent_again(path: str, client: TestClient, watched: Home) -> None:
    first = client.get(path)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert again.status_code == 304 and again.content == b"" and again.headers["ETag"] == tag, known
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_what_somebody_has_changed_is_sent_at_once(client: TestClient) -> None:
    tag = client.get("/api/incidents/00000001").headers["ETag"]
    done = client.post("/api/incidents/00000001/suppress", json={"note": "known", "by": "ada"})
    assert done.json() == {
        "id": "0000000100000000", "kind": "write failed: disk full", "entity": "10.0.0.7:9866", "before": "open",
        "status": "suppressed", "items": 0,
    }  # fmt: skip
    fresh = client.get("/api/incidents/00000001", headers={"If-None-Match": tag})
    assert fresh.status_code == 200 and fresh.json()["status"] == "suppressed"
    (word,) = fresh.json()["words"]
    assert (word["action"], word["note"], word["given_by"]) == ("suppress", "known", "ada")


def test_a_life_of_an_incident(client: TestClient) -> None:
    steps = [
        ("acknowledge", "acknowledged"), ("acknowledge", "acknowledged"), ("resolve", "resolved"),
        ("acknowledge", "resolved"), ("reopen", "open"), ("suppress", "suppressed"), ("reopen", "open"),
    ]  # fmt: skip
    for does, status in steps:
        assert client.post(f"/api/incidents/00000002/{does}", json={}).json()["status"] == status


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/incidents/00000001/ack", {}, 422),
        ("/api/incidents/00000001/resolve", {"unknown": 1}, 422),
        ("/api/incidents/00000001/resolve", {"note": 7}, 422),
        ("/api/incidents/00000001/resolve", {"note": "x" * 2001}, 422),
        ("/api/incidents/00000001/resolve", [], 422),
        ("/api/incidents/00000001/resolve", None, 422),
        ("/api/incidents/ffffffff/resolve", {}, 404),
        ("/api/incidents/00000001/resolve/more", {}, 404),
    ],
)
def test_wrong_words_change_nothing(path: str, body: Any, status: int, client: TestClient, watched: Home) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert watched.rows("SELECT count(*) FROM incident_words") == [(0,)]


def test_whose_token_it_is_says_so_whatever_the_request_claims(watched: Home, connect: Connect) -> None:
    text = Tokens(watched.settings).make("ada", "operate")
    client = connect(watched)
    client.post("/api/incidents/00000001/resolve", json={"by": "eve"}, headers={"Authorization": f"Bearer {text}"})
    assert watched.rows("SELECT given_by FROM incident_words") == [("ada",)]
