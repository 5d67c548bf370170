"""Raw records over REST: one answer or a stream, the next page, and what is said of a question that cannot be asked."""

import json

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline_tests.domains.daemons.written import DN1, NN, TROUBLE, read, write
from hdfs_pipeline_tests.homes import Home, open_home
from hdfs_pipeline_tests.serving.conftest import Connect


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Three daemons over 20 minutes, with a pause and a lost heartbeat later on. To be read."""
    folder = tmp_path_factory.mktemp("logs")
    home = open_home(folder / "home")
    read(home, write(folder / "logs", range(20), {NN: TROUBLE[NN], DN1: TROUBLE[DN1]}))
    return home


@pytest.fixture
def asking(written: Home, connect: Connect) -> TestClient:
    return connect(written)


def test_pages_are_followed_by_their_addresses(asking: TestClient) -> None:
    whole = asking.get("/api/logs?text=receiving&limit=1000").json()
    assert whole["ended"] == "whole" and whole["next"] is None and len(whole["records"]) == 40
    records, address, pages = [], "/api/logs?text=receiving&limit=15", 0
    while address:
        page = asking.get(address).json()
        records, address, pages = records + page["records"], page["next"], pages + 1
    assert records == whole["records"] and pages == 3
    first = records[0]
    assert first["line"][slice(*first["marks"][0])] == "Receiving" and first["items"][0]["domain"] == "blocks"


@pytest.mark.parametrize("asked", [{"params": {"format": "ndjson"}}, {"headers": {"Accept": "application/x-ndjson"}}])
def test_a_stream_has_a_record_a_line_and_then_how_far_it_went(asking: TestClient, asked: dict[str, object]) -> None:
    whole = asking.get("/api/logs").json()
    answer = asking.get("/api/logs", **asked)  # type: ignore[arg-type]
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    *records, end = map(json.loads, answer.text.splitlines())
    assert records == whole["records"] and end["ended"] == whole["ended"] and end["after"] == whole["after"]


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("regex=a(b", 400, "no regular expression"),
        ("regex=a(b&format=ndjson", 400, "no regular expression"),
        ("template=blocks/E999&format=ndjson", 400, "no template"),
        ("item=x", 400, "no block id"),
        ("after=x", 400, "no place to go on from"),
        ("from=x", 400, "is no time"),
        ("domain=x", 400, "no domain"),
        ("domain=namenode", 422, "keeps no raw records"),
        ("limit=0", 422, "limit"),
        ("seconds=nan", 422, "seconds"),
        ("begin=1h", 422, "begin"),
        (f"text={'x' * 501}", 422, "text"),
    ],
)
def test_what_cannot_be_asked_is_a_problem(asking: TestClient, query: str, status: int, said: str) -> None:
    answer = asking.get(f"/api/logs?{query}")
    assert answer.status_code == status and said in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


def test_patterns_are_counted_and_lead_to_their_records(asking: TestClient) -> None:
    told = asking.get("/api/logs/patterns").json()
    assert told["total"] == len(told["patterns"]) > 3
    for row in told["patterns"][:2]:
        assert len(asking.get("/api/logs", params={"template": row["template"]}).json()["records"]) == row["records"]
    few = asking.get("/api/logs/patterns?limit=1")
    assert few.json()["patterns"] == told["patterns"][:1] and few.json()["total"] == told["total"]
    tag = {"If-None-Match": few.headers["etag"]}
    assert asking.get("/api/logs/patterns?limit=1", headers=tag).status_code == 304
    assert asking.get("/api/logs/patterns?show=odd").status_code == 422


def test_a_home_without_records_has_none(connect: Connect, new_home: object) -> None:
    client = connect(new_home(bare=True))  # type: ignore[operator]
    found = client.get("/api/logs?text=x").json()
    assert found["records"] == [] and found["begin"] is None and found["next"] is None
    assert client.get("/api/logs/patterns").json()["patterns"] == []


def test_the_document_names_the_stream(asking: TestClient) -> None:
    answer = asking.get("/openapi.json").json()["paths"]["/api/logs"]["get"]["responses"]
    assert {*answer["200"]["content"]} == {"application/json", "application/x-ndjson"} and "304" not in answer
