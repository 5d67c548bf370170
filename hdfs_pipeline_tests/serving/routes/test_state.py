"""The state of a home over REST: the morning's answer, and the truth about stores that are away, held or damaged."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.serving.tokens import Tokens
from hdfs_pipeline.store.store import Store
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect, application

LIMIT_S = 30.0


@contextmanager
def written(home: Home) -> Iterator[None]:
    """Somebody else writes to the store for as long as the block lasts."""
    begun, end = threading.Event(), threading.Event()

    def hold() -> None:
        with Store(home.settings.store_path, lock_timeout_s=LIMIT_S).write():
            begun.set()
            end.wait(LIMIT_S)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert begun.wait(LIMIT_S)
        yield
    finally:
        end.set()
        thread.join(LIMIT_S)


def part(client: TestClient, name: str) -> dict[str, Any]:
    parts = client.get("/api/health").json()["parts"]
    return next(each for each in parts if each["name"] == name)


def test_the_status_says_what_is_wrong(client: TestClient) -> None:
    answer = client.get("/api/status?since=7d&limit=2").json()
    assert answer["number_open"] == 5 and len(answer["open"]) == 2 and answer["severities"]["major"] == 5
    assert answer["now"].endswith("+00:00")


@pytest.mark.parametrize("query", ["since=soon", "since=-1d", "since="])
def test_a_since_that_is_none_is_told(query: str, client: TestClient) -> None:
    answer = client.get(f"/api/status?{query}")
    assert answer.status_code == 400 and answer.json()["detail"]


def test_a_good_home_is_ready_and_well(client: TestClient) -> None:
    ready = client.get("/api/ready")
    assert ready.status_code == 204 and ready.content == b""
    health = client.get("/api/health").json()
    assert health["state"] == "well" and part(client, "store")["state"] == "well"
    assert part(client, "broker")["state"] == "off"


def test_an_absent_store_is_off_and_the_server_ready(new_home: Any, connect: Connect) -> None:
    client = connect(new_home(bare=True))
    assert client.get("/api/ready").status_code == 204
    assert part(client, "store") == {"name": "store", "state": "off", "text": "nothing was read into this home yet"}
    for path in ("/api/status", "/api/incidents", "/api/groups", "/metrics", "/"):
        assert client.get(path).status_code == 200, path
    assert client.get("/api/incidents/00000001").status_code in (404, 503)


@pytest.mark.parametrize("what", ["text", "cut", "empty"])
def test_a_damaged_store_is_told(what: str, watched: Home, connect: Connect) -> None:
    path = watched.settings.store_path
    whole = path.read_bytes()
    path.write_bytes({"text": b"no database\n" * 1000, "cut": whole[:5000], "empty": b""}[what])
    client = connect(watched, lock_timeout_s=0.5)
    ready = client.get("/api/ready")
    assert ready.status_code == 503 and str(path) in ready.json()["detail"]
    assert part(client, "store")["state"] == "ill" and client.get("/api/health").json()["state"] == "ill"
    for address in ("/api/status", "/api/incidents", "/api/incidents/1", "/api/groups", "/api/blocks/blk_1"):
        answer = client.get(address)
        assert answer.status_code == 503 and "Traceback" not in answer.text, address
    page = client.get("/", headers={"Accept": "text/html"})
    assert "Traceback" not in page.text and page.headers["content-type"].startswith("text/html")
    assert client.get("/metrics").status_code == 200 and 'part_ill{part="store"} 1.0' in client.get("/metrics").text


def test_a_store_that_is_damaged_under_way_is_told_too(watched: Home, connect: Connect) -> None:
    client = connect(watched, lock_timeout_s=0.5)
    assert client.get("/api/ready").status_code == 204
    watched.settings.store_path.write_bytes(b"no database\n" * 1000)
    assert client.get("/api/ready").status_code == 503


def test_a_store_that_is_held_too_long_is_told_with_who_holds_it(new_home: Any, connect: Connect) -> None:
    home = new_home(lock_timeout_s=0.3)
    client = connect(home)
    with written(home):
        ready = client.get("/api/ready")
        assert ready.status_code == 503 and "in use by process" in ready.json()["detail"]
        assert ready.headers["Retry-After"] == "2"
        assert part(client, "store")["state"] == "ill"
        answer = client.get("/api/incidents")
        assert answer.status_code == 503 and "in use by" in answer.json()["detail"]
        assert client.post("/api/incidents/1/resolve", json={}).status_code == 503
    assert client.get("/api/ready").status_code == 204
    assert client.get("/api/incidents").status_code == 200


def test_what_was_asked_before_is_still_told_while_somebody_writes(new_home: Any, connect: Connect) -> None:
    home = new_home(lock_timeout_s=0.3)
    client = connect(home)
    known = client.get("/api/incidents").json()
    with written(home):
        assert [client.get("/api/incidents").json() for _ in range(20)] == [known] * 20


def test_figures_name_routes_and_the_home(client: TestClient) -> None:
    client.get("/api/status")
    text = client.get("/metrics").text
    assert 'hdfs_pipeline_open_incidents{severity="major"} 5.0' in text
    assert 'hdfs_pipeline_part_ill{part="store"} 0.0' in text
    assert 'hdfs_pipeline_requests_total{method="GET",route="/api/status",status="200"} 1.0' in text


def test_a_probe_needs_no_token_but_learns_nothing_else(watched: Home, connect: Connect) -> None:
    Tokens(watched.settings).make("ops", "read")
    client = connect(watched, serve_tokens=True)
    assert client.get("/api/ready").status_code == 204
    assert client.get("/api/health").status_code == 401 and client.get("/metrics").status_code == 401


def test_readiness_is_told_within_two_seconds_however_long_others_wait(new_home: Any, connect: Connect) -> None:
    home = new_home(lock_timeout_s=30.0)
    client = connect(home)
    assert client.get("/api/ready").status_code == 204
    with written(home):
        began = time.monotonic()
        answer = client.get("/api/ready")
        assert answer.status_code == 503 and "in use by process" in answer.json()["detail"]
        assert time.monotonic() - began < 2
    assert client.get("/api/ready").status_code == 204


def test_scrapes_share_one_look_at_the_home(watched: Home, connect: Connect) -> None:
    app = application(watched)
    client, looks = connect(app), list[int]()
    look = app.state.home.health._make
    app.state.home.health._make = lambda: looks.append(1) or look()
    for address in ("/metrics", "/api/health", "/metrics", "/metrics"):
        assert client.get(address).status_code == 200
    assert looks == [1]
