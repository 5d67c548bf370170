"""Items, groups and feedback over REST, on a home with a trained model."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home
from hdfs_pipeline_tests.serving.conftest import Connect


@pytest.fixture(scope="module")
def scored(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose blocks have scores and anomalies. Tests leave no word in it."""
    home = copy_home(trained, tmp_path_factory.mktemp("scored") / "home")
    score_items(home.store, home.settings, BLOCKS, "random_forest")
    publish_anomalies(home.store, home.settings, BLOCKS, "random_forest")
    return home


@pytest.fixture
def asking(scored: Home, tmp_path: Path, connect: Connect) -> TestClient:
    return connect(copy_home(scored, tmp_path / "home"))


def anomalous(given: Excerpt) -> str:
    return next(block for block, label in given.labels.items() if label == "Anomaly")


def test_a_block_is_told_with_every_voice_and_its_lines(asking: TestClient, excerpt: Excerpt) -> None:
    item = anomalous(excerpt)
    told = asking.get(f"/api/blocks/{item}").json()
    assert told["item"] == item and told["is_anomaly"] and told["explanation"]["reason"]
    assert {voice["detector"] for voice in told["voices"]} >= {"random_forest", "lifecycle", "exact_match"}
    named = asking.get(f"/api/blocks/{item}?detector=exact_match&everything=true").json()
    assert named["detector"] == "exact_match" and len(named["lines"]) >= len(told["lines"]) > 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/blocks/blk_77", 404),
        ("/api/blocks/nonsense", 400),
        ("/api/blocks/blk_99999999999999999999", 400),
        ("/api/blocks/%00", 400),
        ("/api/blocks/blk_1?detector=none", 400),
        ("/api/blocks/blk_1?scored=perhaps", 422),
        ("/api/daemons/x", 400),
        ("/api/namenode/x", 400),
        ("/api/nothing/x", 404),
    ],
)
def test_what_is_not_there_is_told(path: str, status: int, asking: TestClient) -> None:
    answer = asking.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_groups_come_the_most_worth_knowing_first(asking: TestClient) -> None:
    whole = asking.get("/api/groups").json()
    assert whole["total"] == len(whole["groups"]) > 1
    first = asking.get("/api/groups?limit=1").json()
    assert first["total"] == whole["total"] and first["groups"] == whole["groups"][:1]
    assert asking.get("/api/groups?domain=namenode").json() == {"total": 0, "groups": []}
    assert asking.get("/api/groups?domain=none").status_code == 400
    assert asking.get("/api/groups?limit=0").status_code == 422


def test_a_word_on_an_item_is_seen_with_the_item(asking: TestClient, excerpt: Excerpt) -> None:
    item = anomalous(excerpt)
    asking.get(f"/api/blocks/{item}")
    kept = asking.post("/api/feedback", json={"item": item, "verdict": "false", "note": "a test", "by": "ada"})
    assert kept.json() == {"verdict": "false", "items": 1, "incidents": 0}
    assert asking.get(f"/api/blocks/{item}").json()["feedback"]["given_by"] == "ada"


def test_a_word_on_a_group_is_one_on_each_of_its_items(asking: TestClient) -> None:
    (group,) = asking.get("/api/groups?limit=1").json()["groups"]
    kept = asking.post("/api/feedback", json={"group": group["kind"], "verdict": "real"}).json()
    assert kept["items"] == group["items"]
    assert sum(asking.get("/api/groups").json()["groups"][0]["words"].values()) <= group["items"]


def test_a_word_on_a_stretch_of_time(asking: TestClient) -> None:
    stretch = {"from_ts": "2008-11-09T00:00:00Z", "to_ts": "2008-11-12T00:00:00+02:00", "verdict": "maintenance"}
    assert asking.post("/api/feedback", json=stretch).json()["verdict"] == "maintenance"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"verdict": "real"}, 400),
        ({"verdict": "perhaps", "item": "blk_1"}, 422),
        ({"verdict": "real", "item": "blk_1", "group": "x"}, 400),
        ({"verdict": "real", "item": "blk_1", "entity": "x"}, 400),
        ({"verdict": "real", "item": "blk_77"}, 404),
        ({"verdict": "real", "item": "x"}, 400),
        ({"verdict": "real", "item": "blk_1", "domain": "none"}, 400),
        ({"verdict": "real", "item": "blk_1", "more": 1}, 422),
        ({"verdict": "real", "group": "no such kind"}, 404),
        ({"verdict": "maintenance", "from_ts": "2026-01-01T00:00:00Z"}, 400),
        ({"verdict": "maintenance", "from_ts": "2026-01-01T00:00:00", "to_ts": "2026-01-02T00:00:00Z"}, 400),
        ({"verdict": "maintenance", "from_ts": "soon", "to_ts": "2026-01-02T00:00:00Z"}, 400),
        ({"verdict": "maintenance", "from_ts": "2026-01-03T00:00:00Z", "to_ts": "2026-01-02T00:00:00Z"}, 400),
        ({"verdict": "maintenance", "from_ts": "9999-12-31T23:59:59-23:00", "to_ts": "2026-01-02T00:00:00Z"}, 400),
        ([], 422),
        ("real", 422),
    ],
)
def test_words_that_cannot_be_kept_are_told_and_leave_nothing(body: Any, status: int, asking: TestClient) -> None:
    answer = asking.post("/api/feedback", json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"type", "title", "status", "detail", "fields"}
