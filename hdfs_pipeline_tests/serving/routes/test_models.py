"""Detectors, models and figures over REST, on a home with two versions of a model."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.learning.challenge import train_and_track
from hdfs_pipeline.scoring.models import champion_version, served_versions
from hdfs_pipeline.verdicts.score import score_items
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home
from hdfs_pipeline_tests.serving.conftest import Connect


@pytest.fixture(scope="module")
def twice(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with scores, and a second version of a model that does not serve."""
    home = copy_home(trained, tmp_path_factory.mktemp("twice") / "home")
    shutil.copy(trained.settings.home / "mlflow.db", home.settings.home)
    for name in ("random_forest", "exact_match"):
        score_items(home.store, home.settings, BLOCKS, name)
    data = BLOCKS.features(home.store, home.settings)
    train_and_track(home.store, data, BLOCKS, "exact_match", home.settings)
    assert champion_version(home.settings, "blocks", "exact_match") == 1
    return home


@pytest.fixture
def home(twice: Home, tmp_path: Path) -> Home:
    copied = copy_home(twice, tmp_path / "home")
    shutil.copy(twice.settings.home / "mlflow.db", copied.settings.home)
    return copied


@pytest.fixture
def asking(home: Home, connect: Connect) -> TestClient:
    return connect(home)


def test_each_detector_is_told(asking: TestClient) -> None:
    found = {each["detector"]: each for each in asking.get("/api/detectors").json()["detectors"]}
    assert set(found) == set(BLOCKS.detectors)
    assert [name for name, each in found.items() if each["serves"]] == ["random_forest"]
    assert found["random_forest"]["needs_labels"] and found["random_forest"]["version"] == 1
    assert not found["lifecycle"]["needs_training"] and found["lifecycle"]["version"] == 0
    assert not found["pca"]["ready"] and found["pca"]["version"] is None and "train" in found["pca"]["trained_by"]
    others = asking.get("/api/detectors?domain=namenode").json()
    assert others["domain"] == "namenode" and not any(each["serves"] for each in others["detectors"])


def test_each_version_is_told_with_its_runs(asking: TestClient) -> None:
    found = asking.get("/api/models").json()
    assert found["serving"] == "random_forest"
    versions = [(each["detector"], each["version"], each["serves"]) for each in found["models"]]
    assert ("exact_match", 1, True) in versions and ("exact_match", 2, False) in versions
    (second,) = [each for each in found["models"] if each["detector"] == "exact_match" and each["version"] == 2]
    assert second["judgement"]["verdict"] and second["runs"]["mlflow_url"].endswith(second["runs"]["mlflow"])
    own = asking.get("/api/models?detector=exact_match").json()
    assert {each["detector"] for each in own["models"]} == {"exact_match"}
    assert [(each["version"], each["back"]) for each in own["served"]] == [(1, False)]


def test_figures_and_another_threshold(asking: TestClient) -> None:
    found = asking.get("/api/evaluation").json()
    assert {each["detector"] for each in found["detectors"]} == {"random_forest", "exact_match"}
    for each in found["detectors"]:
        assert each["figures"]["intervals"]["f1"] and set(each["splits"]) == {"random", "chronological"}
        assert each["asked"] is None and 0 < len(each["curve"]) <= 200
    (asked,) = asking.get("/api/evaluation?detector=random_forest&threshold=0.999").json()["detectors"]
    assert asked["asked"]["threshold"] == 0.999 and asked["asked"]["flagged"] <= asked["flagged"]
    assert asking.get("/api/evaluation?domain=namenode").json() == {"domain": "namenode", "detectors": []}


def test_drift_is_told(asking: TestClient) -> None:
    found = asking.get("/api/drift?detector=exact_match").json()
    assert found["status"] == "too few" and found["version"] == 1 and "500 of each are needed" in found["verdict"]


def test_a_version_serves_and_goes_back(asking: TestClient, home: Home) -> None:
    asking.get("/api/models?detector=exact_match")
    done = asking.post("/api/models/exact_match/promote", json={"version": 2, "by": "ada", "note": "a try"})
    assert done.json() == {"detector": "exact_match", "before": 1, "now": 2, "alias_moved": True}
    told = asking.get("/api/models?detector=exact_match").json()
    assert [each["serves"] for each in told["models"]] == [False, True]
    assert told["served"][0] | {"at": ""} == {
        "detector": "exact_match", "version": 2, "at": "", "back": True, "by": "ada", "note": "a try",
    }  # fmt: skip
    assert asking.post("/api/models/exact_match/rollback", json={}).json()["now"] == 1
    assert champion_version(home.settings, "blocks", "exact_match") == 1
    assert [each.version for each in served_versions(home.settings, "blocks", "exact_match")] == [1, 2, 1]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("exact_match/promote", {"version": 9}, 404),
        ("exact_match/promote", {"version": 1}, 422),
        ("exact_match/promote", {"version": 0}, 422),
        ("exact_match/promote", {}, 422),
        ("exact_match/promote", {"version": 2, "domain": "none"}, 400),
        ("exact_match/rollback", {}, 422),
        ("exact_match/rollback", {"more": 1}, 422),
        ("pca/rollback", {}, 409),
        ("nothing/rollback", {}, 400),
        ("..%2f..%2fx/rollback", {}, 404),
    ],
)
def test_what_cannot_serve_changes_nothing(
    path: str, body: dict[str, Any], status: int, asking: TestClient, home: Home
) -> None:
    answer = asking.post(f"/api/models/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"type", "title", "status", "detail", "fields"}
    assert champion_version(home.settings, "blocks", "exact_match") == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/detectors?domain=none", 400),
        ("/api/models?detector=none", 400),
        ("/api/evaluation?detector=pca", 404),
        ("/api/evaluation?threshold=0.5", 400),
        ("/api/evaluation?detector=random_forest&threshold=nan", 422),
        ("/api/evaluation?detector=random_forest&threshold=much", 422),
        ("/api/drift?detector=lifecycle", 409),
        ("/api/drift?domain=namenode", 409),
        ("/api/drift?detector=rhythm", 400),
    ],
)
def test_what_is_not_there_is_told(path: str, status: int, asking: TestClient) -> None:
    answer = asking.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
