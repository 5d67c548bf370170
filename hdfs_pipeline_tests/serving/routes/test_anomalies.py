"""Anomalies of every domain over REST: what fits, page by page."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect
from hdfs_pipeline_tests.verdicts.made_incidents import ago, put


def anomaly(number: int, **more: Any) -> dict[str, Any]:
    began: datetime = more.pop("began", ago(hours=number))
    return {
        "domain": "blocks", "item": f"blk_{number}", "entity": "dn1:9866", "detector": "lifecycle", "version": 1,
        "score": 2.0, "threshold": 1.0, "kind": "lost", "reason": "no replica", "first_time": began,
        "last_time": began + timedelta(seconds=5), "records": 3, "origin": "batch", "status": "final", "part": -1,
        "first_offset": -1, "last_offset": -1, "scored_at": began,
    } | more  # fmt: skip


@pytest.fixture
def asking(home: Home, connect: Connect) -> TestClient:
    rows = [anomaly(number) for number in range(1, 6)]
    rows += [anomaly(6, domain="daemons", detector="rules", entity="nn1:8020"), anomaly(7, status="withdrawn")]
    put(home, "anomalies", *rows)
    return connect(home)


def items(client: TestClient, query: str = "") -> list[str]:
    return [each["item"] for each in client.get(f"/api/anomalies{query}").json()["anomalies"]]


def test_the_latest_come_first_and_withdrawn_ones_not_at_all(asking: TestClient) -> None:
    assert items(asking) == [f"blk_{number}" for number in range(1, 7)]
    first = asking.get("/api/anomalies?limit=4").json()
    assert first["total"] == 6 and first["next"] == "/api/anomalies?limit=4&offset=4"
    second = asking.get(first["next"]).json()
    assert [each["item"] for each in second["anomalies"]] == ["blk_5", "blk_6"] and second["next"] is None
    assert first["anomalies"][0]["first_time"].endswith("+00:00")


def test_conditions_narrow_them(asking: TestClient) -> None:
    assert items(asking, "?domain=daemons") == items(asking, "?detector=rules") == ["blk_6"]
    assert items(asking, "?entity=nn1:8020") == ["blk_6"]
    span = f"?from_ts={ago(hours=3.5):%Y-%m-%dT%H:%M:%SZ}&to_ts={ago(hours=1.5):%Y-%m-%dT%H:%M:%SZ}"
    assert items(asking, span) == ["blk_2", "blk_3"]


@pytest.mark.parametrize(
    ("query", "status"), [("domain=nothing", 400), ("from_ts=soon", 422), ("limit=0", 422), ("nothing=1", 422)]
)
def test_what_means_nothing_is_told(asking: TestClient, query: str, status: int) -> None:
    assert asking.get(f"/api/anomalies?{query}").status_code == status


def test_a_new_home_has_none(home: Home, connect: Connect) -> None:
    assert connect(home).get("/api/anomalies").json()["total"] == 0
