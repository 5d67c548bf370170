"""The system over REST: dead letters, store, collectors, topics, schedules, settings, tokens."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.serving.tokens import Tokens
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect
from hdfs_pipeline_tests.verdicts.test_requeue import RAW_LOGS, read, sent, streamed  # noqa: F401 - fixtures


def test_a_letter_is_found_opened_and_put_back_once(
    streamed: Home,  # noqa: F811 - the fixture
    connect: Connect,
) -> None:
    Tokens(streamed.settings).make("ops", "operate")
    client = connect(streamed)
    found = client.get("/api/dead-letters?topic=raw_logs&reason=layout").json()
    (letter,) = found["letters"]
    assert found["total"] == 1 and found["next"] is None and found["reasons"] == {letter["reason"]: 1}
    whole = client.get(f"/api/dead-letters/{letter['id']}").json()
    assert whole["original"]["from"] == "Kafka" and whole["original"]["text"] == letter["text"]
    path = f"/api/dead-letters/{letter['id']}/requeue"
    assert client.post(path, json={"by": "ana", "more": 1}).status_code == 422
    done = client.post(path, json={"by": "ana"})
    assert done.status_code == 200 and done.json()["became"] == "put back: raw_logs/1, offset 1"
    refused = client.post(path, json={"by": "ben"})
    assert refused.status_code == 409 and "put back already by ana" in refused.json()["detail"]
    assert client.get("/api/dead-letters").json()["total"] == 0
    (kept,) = client.get("/api/dead-letters?state=requeued").json()["letters"]
    assert (kept["state"], kept["requeued_by"]) == ("requeued", "ana")
    assert client.get("/api/dead-letters?state=all").json()["total"] == 1 and len(sent(streamed)) == 2
    topics = {topic["name"]: topic for topic in client.get("/api/topics").json()["topics"]}
    assert (topics[RAW_LOGS]["messages"], topics[RAW_LOGS]["sink_lag"]) == (2, 1)


def test_the_holder_of_a_token_is_who_puts_a_letter_back(
    read: tuple[Home, Path],  # noqa: F811 - the fixture
    connect: Connect,
) -> None:
    home, _ = read
    tokens = Tokens(home.settings)
    own, other = tokens.make("night.shift", "operate"), tokens.make("reader", "feedback")
    client = connect(home, serve_tokens=True)
    client.headers["Authorization"] = f"Bearer {other}"
    (letter,) = client.get("/api/dead-letters").json()["letters"]
    path = f"/api/dead-letters/{letter['id']}/requeue"
    assert client.post(path, json={}).status_code == 403
    client.headers["Authorization"] = f"Bearer {own}"
    assert "still no record" in client.post(path, json={"by": "somebody else"}).json()["became"]
    (kept,) = client.get("/api/dead-letters?state=requeued").json()["letters"]
    assert kept["requeued_by"] == "night.shift"


def test_letters_come_in_pages(home: Home, connect: Connect) -> None:
    with home.store.write() as con:
        con.execute("INSERT INTO dead_letters SELECT 1, '/a', n, 'why', 'x', now() FROM range(25) t(n)")
    client, address, seen = connect(home), "/api/dead-letters?limit=10", list[int]()
    while address:
        page = client.get(address).json()
        seen += [letter["position"] for letter in page["letters"]]
        address = page["next"]
    assert seen == list(range(25))


def test_a_new_home_tells_that_there_is_nothing(new_home: Any, connect: Connect) -> None:
    client = connect(new_home(bare=True))
    assert client.get("/api/dead-letters").json()["total"] == 0
    assert client.get("/api/collectors").json() == {"collectors": []}
    assert client.get("/api/store").json()["tables"] == []
    assert client.get("/api/dead-letters/abc").status_code == 404
    away = client.get("/api/topics")
    assert away.status_code == 200 and "hdfs-pipeline broker" in away.json()["why"]


def test_schedules_of_a_dagster_that_is_away_name_the_command(home: Home, connect: Connect) -> None:
    away = connect(home, dagster_port=1).get("/api/schedules")
    assert away.status_code == 200 and "`hdfs-pipeline up` starts it" in away.json()["why"]


def test_settings_are_told_without_secrets(home: Home, connect: Connect) -> None:
    client = connect(home, webhook_url="https://hooks.example/T0/hunter2", webhook_secret="hunter2")
    answer = client.get("/api/settings")
    found = {each["name"]: each["value"] for each in answer.json()["settings"]}
    assert found["webhook_url"] == "https://hooks.example/…" and "hunter2" not in answer.text


def test_a_token_is_made_shown_once_and_revoked(home: Home, connect: Connect) -> None:
    client = connect(home)
    made = client.post("/api/tokens", json={"name": "dash", "scope": "read", "days": 30})
    assert made.status_code == 200
    token = made.json()["token"]
    listed = client.get("/api/tokens")
    assert token not in listed.text and not listed.json()["needed"]
    ((known),) = listed.json()["tokens"]
    assert (known["name"], known["scope"]) == ("dash", "read") and known["until"] > known["made_at"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/status", headers=bearer).status_code == 200
    assert client.get("/api/tokens", headers=bearer).status_code == 403
    again = client.post("/api/tokens", json={"name": "dash", "scope": "read"})
    assert again.status_code == 400 and "already" in again.json()["detail"]
    assert client.delete("/api/tokens/dash").status_code == 204
    assert client.get("/api/status", headers=bearer).status_code == 401
    assert client.delete("/api/tokens/dash").status_code == 404


@pytest.mark.parametrize("body", [{"name": "", "scope": "read"}, {"name": "a/b", "scope": "read"}])
def test_what_is_no_name_of_a_token_is_refused(body: dict[str, str], client: TestClient) -> None:
    assert client.post("/api/tokens", json=body).status_code == 400
