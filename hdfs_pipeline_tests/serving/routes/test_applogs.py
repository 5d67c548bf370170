"""Messages of applications over REST: by service over time, by template, and one by one."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.domains.applogs.timeline import LINES, OTHERS
from hdfs_pipeline.serving.shapes.applogs import AppCounts, AppMessages, AppServices, AppTemplates
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect
from hdfs_pipeline_tests.serving.routes.test_namenode import shaped

SHAPES = {"services": AppServices, "counts": AppCounts, "templates": AppTemplates, "messages": AppMessages}


@pytest.fixture
def asking(read_web: Home, connect: Connect) -> TestClient:
    return connect(read_web)


def ask(client: TestClient, what: str, **asked: Any) -> dict[str, Any]:
    return shaped(SHAPES[what], client.get(f"/api/app/{what}", params=asked))


def test_services_counts_templates_and_messages_agree(asking: TestClient, read_web: Home) -> None:
    ((messages, errors),) = read_web.rows(
        "SELECT count(*), count(*) FILTER (level IN ('ERROR', 'FATAL')) FROM app_logs"
    )
    services = ask(asking, "services")["services"]
    assert (sum(row["messages"] for row in services), sum(row["errors"] for row in services)) == (messages, errors)
    counts = ask(asking, "counts", points=5000)
    assert counts["total"] == {"messages": messages, "errors": errors} and len(services) > LINES
    assert [row["service"] for row in counts["services"]][-1] == OTHERS and len(counts["services"]) == LINES
    for name in ("messages", "errors"):
        assert sum(sum(row[name]) for row in counts["services"]) == counts["total"][name]
    few = ask(asking, "counts", points=10)
    minutes = few["step_s"] / 60
    assert sum(sum(row["messages"]) * minutes for row in few["services"]) == pytest.approx(messages, rel=1e-3)
    templates = ask(asking, "templates", limit=1000)["templates"]
    assert sum(row["messages"] for row in templates) == messages == sum(sum(row["counts"]) for row in templates)
    assert [row["errors"] for row in templates] == sorted((row["errors"] for row in templates), reverse=True)
    assert ask(asking, "messages")["total"] == messages


def test_service_and_level_narrow_what_is_told(asking: TestClient) -> None:
    busiest = ask(asking, "services")["services"][0]
    grave = ask(asking, "messages", service=busiest["service"], level=["ERROR", "FATAL"], limit=1000)
    assert grave["total"] == len(grave["messages"]) == busiest["errors"]
    assert {row["service"] for row in grave["messages"]} == {busiest["service"]}
    counts = ask(asking, "counts", service=busiest["service"])
    assert [row["service"] for row in counts["services"]] == [busiest["service"]]
    assert all(
        row["services"] == [busiest["service"]]
        for row in ask(asking, "templates", service=busiest["service"])["templates"]
    )


def test_messages_say_what_is_wrong_and_lead_on(asking: TestClient) -> None:
    odd = ask(asking, "messages", show="anomalous", limit=5)
    assert odd["total"] > 5 and {row["anomaly"]["kind"] for row in odd["messages"]} == {"keyword"}
    following = shaped(AppMessages, asking.get(odd["next"]))
    assert following["messages"][0]["time"] <= odd["messages"][-1]["time"]
    one = asking.get(f"/api/applogs/{odd['messages'][0]['item']}").json()
    assert one["is_anomaly"] and odd["messages"][0]["message"] in one["lines"][0]["line"]


@pytest.mark.parametrize("what", SHAPES)
def test_a_home_without_messages_has_nothing_to_tell(home: Home, connect: Connect, what: str) -> None:
    assert ask(connect(home), what)["begin"] is None
