"""Web traffic over REST: windows with their anomalies, endpoints, response times, clients, and requests one by one."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from hdfs_pipeline.serving.shapes.web import (
    Latencies,
    Statuses,
    WebClients,
    WebEndpoints,
    WebRequests,
    WebServices,
    WebWindows,
)
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect
from hdfs_pipeline_tests.serving.routes.test_namenode import shaped
from hdfs_pipeline_tests.serving.web_home import BEGIN, HOURS, SHOP

SHAPES = {
    "services": WebServices,
    "windows": WebWindows,
    "endpoints": WebEndpoints,
    "latencies": Latencies,
    "clients": WebClients,
    "statuses": Statuses,
    "requests": WebRequests,
}


@pytest.fixture
def asking(read_web: Home, connect: Connect) -> TestClient:
    return connect(read_web)


def ask(client: TestClient, what: str, **asked: Any) -> dict[str, Any]:
    return shaped(SHAPES[what], client.get(f"/api/web/{what}", params=asked))


def test_windows_and_requests_count_the_same(asking: TestClient, read_web: Home) -> None:
    ((requests, errors),) = read_web.rows("SELECT count(*), count(*) FILTER (status >= 500) FROM requests")
    whole = ask(asking, "services")
    counted = read_web.rows("SELECT sum(requests) FROM request_windows WHERE endpoint = '*'")[0][0]
    assert sum(row["requests"] for row in whole["services"]) == counted <= requests
    windows = ask(asking, "windows", points=5000)
    assert windows["total"]["requests"] == counted and windows["step_s"] == 60
    assert sum(value or 0 for value in windows["lines"]["requests"]) == counted
    assert sum(row["requests"] for row in ask(asking, "statuses")["statuses"]) == requests
    failed = [row["requests"] for row in ask(asking, "statuses")["statuses"] if row["status"] >= 500]
    assert (
        sum(failed) == errors and sum(row["errors"] for row in ask(asking, "clients", limit=1000)["clients"]) <= errors
    )
    assert sum(row["requests"] for row in ask(asking, "latencies")["latencies"]) == requests


def test_few_points_keep_what_stands_out(asking: TestClient) -> None:
    fine, few = ask(asking, "windows", points=5000, service=SHOP), ask(asking, "windows", points=12, service=SHOP)
    assert len(few["times"]) == 12 == len(few["lines"]["p99_ms"]) and few["step_s"] > 60
    for name in ("requests", "errors", "client_errors", "p99_ms"):
        greatest = [max(value for value in each["lines"][name] if value is not None) for each in (fine, few)]
        assert greatest[0] == greatest[1] > 0
    known = [value for value in fine["lines"]["least_requests"] if value is not None]
    assert min(value for value in few["lines"]["least_requests"] if value is not None) == min(known)
    assert few["total"] == fine["total"] and few["anomalies"] == fine["anomalies"]


def test_anomalous_windows_are_those_of_the_service_and_the_endpoint(asking: TestClient) -> None:
    of_all = ask(asking, "windows")["anomalies"]
    of_shop = ask(asking, "windows", service=SHOP)["anomalies"]
    assert of_shop and of_shop == [each for each in of_all if f" {SHOP} " in each["item"]] != of_all
    first = of_shop[0]
    assert first["kind"] in first["reason"] or first["reason"]
    assert first["severity"] in ("warning", "major", "critical") and first["detector"] == "lifecycle"
    endpoint = first["item"].split(" ")[2]
    own = ask(asking, "windows", service=SHOP, endpoint=endpoint)["anomalies"]
    assert first in own and {each["item"].split(" ")[2] for each in own} == {endpoint}
    whole = asking.get(f"/api/traffic/{first['item']}")
    assert whole.status_code == 200 and whole.json()["explanation"]["kind"] == first["kind"]


def test_endpoints_with_the_most_errors_come_first(asking: TestClient) -> None:
    found = ask(asking, "endpoints", service=SHOP, limit=5)["endpoints"]
    errors = [row["errors"] for row in found]
    assert len(found) == 5 and errors == sorted(errors, reverse=True) and errors[0] > 0
    assert {row["service"] for row in found} == {SHOP} and "*" not in {row["endpoint"] for row in found}
    for row in found:
        assert row["error_rate"] == pytest.approx(row["errors"] / row["requests"])


def test_requests_come_newest_first_with_what_is_wrong_and_a_next_page(asking: TestClient) -> None:
    page = ask(asking, "requests", limit=20, service=SHOP)
    times = [row["time"] for row in page["requests"]]
    assert times == sorted(times, reverse=True) and {row["service"] for row in page["requests"]} == {SHOP}
    following = shaped(WebRequests, asking.get(page["next"]))
    assert following["offset"] == 20 and following["requests"][0]["time"] <= times[-1]
    odd = ask(asking, "requests", limit=1000, show="anomalous")
    assert odd["total"] == len(odd["requests"]) > 20 and odd["next"] is None
    assert {row["anomaly"]["kind"] for row in odd["requests"]} == {"scan"}
    assert {row["anomaly"]["item"] == row["item"] for row in odd["requests"]} == {True}
    one = asking.get(f"/api/weblogs/{odd['requests'][0]['item']}").json()
    assert one["is_anomaly"] and odd["requests"][0]["path"] in one["lines"][0]["line"]


def test_a_span_and_an_endpoint_narrow_what_is_told(asking: TestClient) -> None:
    half = {"from_ts": BEGIN.isoformat(), "to_ts": (BEGIN + timedelta(hours=HOURS / 2)).isoformat()}
    whole, part = ask(asking, "clients"), ask(asking, "clients", **half)
    assert part["clients"] and part["end"] < whole["end"]
    assert all(row["last_time"] < half["to_ts"] for row in part["clients"])
    endpoint = ask(asking, "endpoints", service=SHOP)["endpoints"][0]["endpoint"]
    of_it = ask(asking, "requests", service=SHOP, endpoint=endpoint, **half)
    assert of_it["total"] > 0 and {row["endpoint"] for row in of_it["requests"]} == {endpoint}
    before = {"from_ts": "2020-01-01T00:00:00Z", "to_ts": "2020-01-02T00:00:00Z"}
    assert ask(asking, "requests", **before)["total"] == 0 and ask(asking, "windows", **before)["times"] == []
    wrong = asking.get("/api/web/windows", params={"from_ts": before["to_ts"], "to_ts": before["from_ts"]})
    assert wrong.status_code == 400 and "before it begins" in wrong.json()["detail"]


def test_requests_beside_the_endpoints_that_have_windows_are_other(read_web: Home, asking: TestClient) -> None:
    assert ask(asking, "requests", service=SHOP, endpoint="other")["total"] == 0
    ((gone,),) = read_web.rows(
        "SELECT endpoint FROM requests WHERE service = ? GROUP BY ALL ORDER BY count(*) LIMIT 1", SHOP
    )
    assert ask(asking, "requests", service=SHOP, endpoint=gone)["total"] > 0


@pytest.mark.parametrize("what", SHAPES)
def test_a_home_without_requests_has_nothing_to_tell(home: Home, connect: Connect, what: str) -> None:
    assert ask(connect(home), what)["begin"] is None
