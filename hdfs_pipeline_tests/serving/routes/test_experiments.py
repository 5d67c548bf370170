"""Experiments on load over REST: the list with its conditions, and the report."""

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline_tests.experiments.load.made import fill
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect


@pytest.fixture
def client(home: Home, connect: Connect) -> TestClient:
    """A client of a home with made-up experiments."""
    fill(home.store)
    return connect(home)


def test_the_list_has_the_latest_first_and_goes_on(client: TestClient) -> None:
    found = client.get("/api/experiments?limit=2").json()
    assert found["total"] == 7 and [each["load"]["name"] for each in found["experiments"]] == ["broken", "stress"]
    assert found["experiments"][0]["reason"] == "worker-1 ended by itself"
    assert found["next"] == "/api/experiments?limit=2&offset=2"
    assert client.get("/api/experiments?offset=5").json()["next"] is None


@pytest.mark.parametrize(("status", "count"), [("completed", 6), ("failed", 1), ("running", 0)])
def test_a_status_narrows_the_list(status: str, count: int, client: TestClient) -> None:
    found = client.get(f"/api/experiments?status={status}").json()
    assert found["total"] == count == len(found["experiments"])
    assert client.get("/api/experiments?status=lost").status_code == 422


def test_the_report_compares(client: TestClient) -> None:
    found = client.get("/api/experiments/report").json()
    rows = {row["name"]: row for row in found["experiments"]}
    assert rows["baseline"]["read_per_s"] == 20_250 and len(rows["baseline"]["trials"]) == 2
    assert rows["stress"]["low"] is None and rows["stress"]["cores"]["worker"] == pytest.approx(3.2)
    assert found["knee"]["peak"] > 4 and "52,000 messages a second" in found["recommendation"][0]
    one = client.get("/api/experiments/report?name=stress&name=baseline").json()
    assert [row["name"] for row in one["experiments"]] == ["baseline", "stress"] and one["knee"] is None
    refused = client.get("/api/experiments/report?name=nothing")
    assert refused.status_code == 400 and "no experiment is called nothing" in refused.json()["detail"]


def test_a_home_without_experiments_has_none(home: Home, connect: Connect) -> None:
    home.settings.store_path.unlink()
    client = connect(home)
    assert client.get("/api/experiments").json()["total"] == 0
    assert client.get("/api/experiments/report").json()["experiments"] == []
