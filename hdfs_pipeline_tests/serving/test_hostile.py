"""Hostile requests: each is refused with the next step, and none makes the server fail."""

import os
from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect
from hdfs_pipeline_tests.serving.test_app import address, routes

HALF = "\\ud800"
"""Half of a character, as JSON can name it."""
_NAMED = {"/items/{domain}/{identity:path}": "/items/blocks/x", "/models/{does}": "/models/rollback"}
FORMS = sorted(
    _NAMED.get(route.path, address(route))
    for route in routes()
    if route.method == "POST" and not route.path.startswith(("/api/", "/logout"))
)


@pytest.mark.parametrize("body", ["a=1&" * 101, "&" * 5000, "verdict=real&" * 5000])
@pytest.mark.parametrize("path", FORMS)
def test_a_form_of_thousands_of_fields_is_refused(path: str, body: str, client: TestClient) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    told = client.post(path, content=body, headers=kind)
    assert told.status_code == 400 and "more than 100 fields" in told.json()["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/score", '{"rows": [[1]], "columns": ["E5"], "ids": ["HALF"]}'),
        ("/api/score", '{"rows": [[1]], "columns": ["HALF"]}'),
        ("/api/score", '{"lines": ["HALF"]}'),
        ("/api/score", '{"vectors": [{"counts": {"HALF": 1}}]}'),
        ("/api/feedback", '{"verdict": "real", "domain": "HALF", "item": "x"}'),
        ("/api/feedback", '{"HALF": "real"}'),
        ("/api/tokens", '{"name": "HALF", "scope": "read"}'),
    ],
)
def test_half_a_character_is_refused(path: str, body: str, client: TestClient) -> None:
    told = client.post(path, content=body.replace("HALF", HALF), headers={"Content-Type": "application/json"})
    assert told.status_code == 422, told.text


def test_what_is_wrong_with_a_field_shows_nothing_that_a_terminal_obeys(client: TestClient) -> None:
    told = client.post("/api/feedback", json={"\x1b[2J": "x", "verdict": "real"})
    assert told.status_code == 422 and "\x1b" not in "".join(map(str, told.json()["fields"].items()))


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00"])
@pytest.mark.parametrize(
    "path", ["/?since=", "/?from=", "/?to=", "/incidents?since=", "/api/status?since=", "/api/logs?from=", "/logs?to="]
)
def test_times_at_the_edge_of_all_times_are_refused(path: str, time: str, client: TestClient) -> None:
    assert client.get(f"{path}{time.replace('+', '%2B')}").status_code == 400


def test_what_the_machine_refuses_is_told_and_can_be_tried_again(
    watched: Home, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, os.strerror(28), "/a/path/of/the/machine")

    monkeypatch.setattr("hdfs_pipeline.serving.routes.state.home_status", full)
    told = connect(watched).get("/api/status")
    assert told.status_code == 503 and told.headers["Retry-After"]
    assert "No space left on device" in told.json()["detail"] and "/a/path" not in told.text


def test_a_token_that_cannot_be_kept_is_not_given(watched: Home, connect: Connect) -> None:
    client = connect(watched)
    assert client.post("/api/tokens", json={"name": "old", "scope": "read"}).status_code == 200
    blocked = watched.settings.home / "tokens.json.new"
    blocked.mkdir()  # also root cannot write there
    told = client.post("/api/tokens", json={"name": "new", "scope": "read"})
    assert told.status_code == 503 and "is as it was" in told.json()["detail"] and "hdfsp_" not in told.text
    assert client.delete("/api/tokens/old").status_code == 503
    blocked.rmdir()
    assert [each["name"] for each in client.get("/api/tokens").json()["tokens"]] == ["old"]
