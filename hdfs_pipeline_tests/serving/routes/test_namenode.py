"""A NameNode over REST: baseline, training as a job, report, metrics, and the state of HDFS."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.domains.namenode.detectors import LEARNING, MAIN
from hdfs_pipeline.serving.shapes.base import Shape
from hdfs_pipeline.serving.shapes.namenode import Baseline, HdfsSeries, HdfsState, Metrics, ModelStatus, Report
from hdfs_pipeline_tests.domains.namenode.states import state_of
from hdfs_pipeline_tests.domains.namenode.test_watch import BOTH, Watched
from hdfs_pipeline_tests.domains.namenode.watched import NAMENODE, QUICK, faults, watch
from hdfs_pipeline_tests.homes import open_home
from hdfs_pipeline_tests.serving.conftest import application

LIMIT_S = 120.0
STORM, CHURN = faults()["listing_storm"], faults()["metadata_write_churn"]


def when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def iso(seconds: float) -> str:
    return when(seconds).isoformat()


QUIET = {"from_ts": iso(STORM.start - 400), "to_ts": iso(STORM.start)}
WINDOW = {"from_ts": iso(STORM.start - 60), "to_ts": iso(CHURN.end + 60)}


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a home with the shipped recording, and no model yet."""
    home = open_home(tmp_path_factory.mktemp("namenode") / "home", **QUICK)
    watch(home)
    with TestClient(application(home), "http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture(scope="module")
def trained(asking: TestClient) -> dict[str, Any]:
    """The job of a training on the time before the first fault, which has ended."""
    begun = asking.post("/api/model/train", json=QUIET)
    assert begun.status_code == 202 and begun.headers["location"] == begun.json()["url"]
    assert begun.json()["state"] == "running"
    again = asking.post("/api/model/train", json=QUIET)
    assert again.status_code == 409 and begun.json()["url"] in again.json()["detail"]
    return ended(asking, begun.json()["url"])


def shaped(shape: type[Shape], answer: Any) -> dict[str, Any]:
    """An answer's JSON, which must have the shape that the document promises."""
    assert answer.status_code == 200, answer.text
    shape.model_validate(answer.json(), strict=True)
    return dict(answer.json())


def ended(client: TestClient, url: str) -> dict[str, Any]:
    until = time.monotonic() + LIMIT_S
    while (job := dict(client.get(url).json()))["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.05)
    return job


def test_a_baseline_is_looked_at_before_a_training(asking: TestClient) -> None:
    health = shaped(Baseline, asking.get("/api/model/baseline", params=QUIET))
    assert (health["namenode"], health["samples"], health["gaps"], health["why_not"]) == (NAMENODE, 30, 0, "")
    short = asking.get("/api/model/baseline", params=QUIET | {"to_ts": iso(STORM.start - 185)}).json()
    assert short["why_not"].startswith("needs 30 steps without a gap")


@pytest.mark.slow
def test_a_training_is_a_job_whose_model_serves(asking: TestClient, trained: dict[str, Any]) -> None:
    assert (trained["state"], trained["share"], trained["error"]) == ("done", 1.0, "")
    result = trained["result"]
    assert [each["detector"] for each in result["detectors"]] == list(LEARNING) and result["steps"] == 30
    assert QUIET["from_ts"][:19] <= result["trained_from"] < result["trained_to"] <= QUIET["to_ts"]
    assert all(each["serves"] for each in result["detectors"])
    assert len(result["losses"]["training"]) == len(result["losses"]["validation"]) == QUICK["namenode_epochs"]
    status = shaped(ModelStatus, asking.get("/api/model/status"))
    assert status["serving"] == 1 and status["detector"] == MAIN
    assert status["detectors"][MAIN]["facts"]["losses"] == result["losses"]


@pytest.mark.slow
def test_a_training_that_cannot_be_says_why(asking: TestClient, trained: dict[str, Any]) -> None:
    begun = asking.post("/api/model/train", json=QUIET | {"to_ts": iso(STORM.start - 185)})
    failed = ended(asking, begun.json()["url"])
    assert failed["state"] == "failed" and failed["error"].startswith("needs 30 steps without a gap, has 12")
    other = asking.post("/api/model/train", json=QUIET | {"namenode": "other:9870"})
    assert other.status_code == 422 and "which NameNode" in other.json()["detail"]


def test_a_report_recounts_by_another_threshold(asking: TestClient, trained: dict[str, Any]) -> None:
    plain = shaped(Report, asking.post("/api/report", json=WINDOW | {"metrics": ["GetListingAvgTime"]}))
    assert len(plain["times"]) == len(plain["scores"][MAIN]) == plain["steps"] and len(plain["incidents"]) == 5
    assert plain["causes"] and plain["users"] and list(plain["series"]["metrics"]) == ["GetListingAvgTime"]
    about = plain["detectors"][MAIN]
    strict = asking.post("/api/report", json=WINDOW | {"threshold_override": 3 * about["threshold"]}).json()
    assert 0 < strict["detectors"][MAIN]["steps_over"] < about["steps_over"]


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"to_ts": WINDOW["from_ts"]}, 400, "ends"),
        ({"metrics": ["Nonsense"]}, 422, "no metric 'Nonsense'"),
        ({"threshold_override": 0}, 422, "greater than 0"),
        ({"from_ts": "2026-11-21T04:00:00"}, 422, "timezone"),
        ({"from_ts": "0001-01-01T00:00:00Z"}, 422, "1970"),
        ({"more": 1}, 422, "more"),
    ],
)
def test_a_report_that_cannot_be_says_why(
    asking: TestClient, trained: dict[str, Any], body: dict[str, Any], status: int, why: str
) -> None:
    answer = asking.post("/api/report", json=WINDOW | body)
    assert answer.status_code == status and why in answer.json()["detail"]


def test_without_a_model_the_next_step_is_told(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    with TestClient(application(home), "http://127.0.0.1:8000") as client:
        assert shaped(ModelStatus, client.get("/api/model/status"))["trained"] is False
        for path in ("model/baseline", "metrics?metric=CallQueueLength", "hdfs", "hdfs/series"):
            answer = client.get(f"/api/{path}")
            assert answer.status_code == 422 and "hdfs-pipeline collect" in answer.json()["detail"]
        assert "collect" in client.post("/api/model/train", json=QUIET).json()["detail"]
        watch(home)
        untrained = client.post("/api/report", json=WINDOW)
        assert untrained.status_code == 409 and "namenode train" in untrained.json()["detail"]


def test_metrics_keep_the_least_and_the_greatest(asking: TestClient) -> None:
    asked = {"metric": ["RpcQueueTimeAvgTime", "CallQueueLength"]}
    whole, few = (shaped(Metrics, asking.get("/api/metrics", params=asked | {"points": points})) for points in (600, 7))
    assert len(whole["times"]) == whole["polls"] == 95 and len(few["times"]) == 7 and few["step_s"] > 0
    for name in asked["metric"]:
        told = whole["metrics"][name]["high"]
        assert max(filter(None, few["metrics"][name]["high"])) == max(filter(None, told))
    again = asking.get("/api/metrics", params=asked)
    assert asking.get("/api/metrics", params=asked, headers={"If-None-Match": again.headers["etag"]}).status_code == 304


def test_the_state_of_hdfs(tmp_path: Path) -> None:
    home = open_home(tmp_path / "home")
    seen = Watched()
    for _ in range(3):
        last = seen.poll(state_of(BOTH, NumberOfMissingBlocks=3))
    seen.store(home)
    with TestClient(application(home), "http://127.0.0.1:8000") as client:
        state = shaped(HdfsState, client.get("/api/hdfs"))
        assert state["state"]["missing"]["value"] == 3 and state["state"]["missing"]["unit"] == "blocks"
        assert [each["kind"] for each in state["troubles"]] == ["missing blocks"] and len(state["datanodes"]) == 2
        span = {"from_ts": (last - timedelta(minutes=1)).isoformat(), "to_ts": (last + timedelta(1)).isoformat()}
        series = shaped(HdfsSeries, client.get("/api/hdfs/series", params=span))
        assert len(series["times"]) == len(series["values"]["missing"]) > 0
        assert max(filter(None, series["values"]["missing"])) == 3
