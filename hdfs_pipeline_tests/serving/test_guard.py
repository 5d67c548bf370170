"""What no route sees: foreign names and pages, too large bodies, too many requests; and headers on every answer."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hdfs_pipeline.serving.guard import Guard, Rates
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect

SAFE = ("Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cache-Control")
WORD = {"item": "blk_1", "verdict": "real"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "a@127.0.0.1", ""])
def test_other_names_are_refused(host: str, client: TestClient) -> None:
    answer = client.get("/api/status", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["title"] == "Misdirected Request"


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "pipeline", "x.localhost"])
def test_own_names_are_answered(host: str, client: TestClient) -> None:
    assert client.get("/api/ready", headers={"Host": host}).status_code == 204


def test_the_name_that_was_set_is_answered(watched: Home, connect: Connect) -> None:
    client = connect(watched, serve_host="hdfs.example.org", serve_tokens=True)
    assert client.get("/api/ready", headers={"Host": "hdfs.example.org"}).status_code == 204


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "Same-Origin "},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:8000.evil.example"},
    {"Origin": "http://[broken"},
]
OWN = [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://127.0.0.1:8000"}]


@pytest.mark.parametrize("path", ["/api/feedback", "/api/incidents/00000001/resolve", "/login", "/logout"])
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_other_sites_pages_change_nothing(
    path: str, headers: dict[str, str], client: TestClient, watched: Home
) -> None:
    answer = client.post(path, json=WORD if "feedback" in path else {}, headers=headers)
    assert answer.status_code == 403 and "CSRF" in answer.json()["detail"]
    assert watched.rows("SELECT status FROM incidents WHERE id LIKE '00000001%'") == [("open",)]


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_programs_and_own_pages_change_things(headers: dict[str, str], client: TestClient) -> None:
    assert client.post("/api/incidents/00000001/resolve", json={}, headers=headers).json()["status"] == "resolved"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_every_other_method_is_guarded_too(method: str, client: TestClient) -> None:
    assert client.request(method, "/api/status", headers=FOREIGN[0]).status_code == 403
    assert client.request(method, "/api/status").status_code == 405


def test_reading_is_open_to_links_but_to_no_other_origin(client: TestClient) -> None:
    """CORS is closed: an answer may be asked for by a foreign page, which cannot read it."""
    answer = client.get("/api/status", headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    before = client.options("/api/feedback", headers=asked)
    assert before.status_code == 405 and "access-control-allow-origin" not in before.headers


def pieces(size: int, of: int = 1000) -> Iterator[bytes]:
    """A body of `size` bytes that does not say how long it is."""
    for _ in range(size // of):
        yield b" " * of


PATHS = ["/api/feedback", "/api/score", "/api/score/arrow", "/login", "/api/incidents/00000001/resolve"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("told", [True, False], ids=["with its length", "in pieces"])
def test_too_large_bodies_are_refused(told: bool, path: str, watched: Home, connect: Connect) -> None:
    client = connect(watched, serve_max_bytes=10_000)
    headers = {"Content-Type": "application/json"}
    content: Any = b" " * 11_000 if told else pieces(50_000)
    answer = client.post(path, content=content, headers=headers)
    assert answer.status_code == 413, answer.text
    assert "serve_max_bytes" in answer.json()["detail"]
    fits = client.post("/api/feedback", content=pieces(9_000), headers=headers)
    assert fits.status_code == 422


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "99999999999999999999"])
def test_a_length_that_is_none_is_refused(length: str, client: TestClient) -> None:
    assert client.post("/api/feedback", content=b"{}", headers={"Content-Length": length}).status_code == 413


def test_who_asks_too_often_waits(watched: Home, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    plain = Guard.__init__

    def with_clock(self: Guard, *given: Any) -> None:
        plain(self, *given)
        self._rates = Rates(given[1].serve_rate, lambda: now[0])

    monkeypatch.setattr(Guard, "__init__", with_clock)
    client = connect(watched, client="10.0.0.9", serve_rate=5.0, serve_tokens=False)
    answers = [client.get("/api/ready").status_code for _ in range(12)]
    assert answers == [204] * 10 + [429] * 2
    refused = client.get("/api/ready")
    assert refused.headers["Retry-After"] == "1" and "5 requests a second" in refused.json()["detail"]
    now[0] += 0.2
    assert [client.get("/api/ready").status_code for _ in range(2)] == [204, 429]
    now[0] += 3600
    assert [client.get("/api/ready").status_code for _ in range(11)] == [204] * 10 + [429]


@pytest.mark.parametrize("here", ["127.0.0.1", "127.3.2.1", "::1"])
def test_this_machine_is_not_counted(here: str, watched: Home, connect: Connect) -> None:
    client = connect(watched, client=here, serve_rate=1.0)
    assert {client.get("/api/ready").status_code for _ in range(20)} == {204}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 3)), max_size=200), st.floats(0.5, 20))
def test_no_client_ever_gets_more_than_its_rate_and_twice_a_second_at_once(
    asks: list[tuple[str, float]], rate: float
) -> None:
    now, granted = [0.0], {"a": 0, "b": 0}
    rates = Rates(rate, lambda: now[0])
    for name, pause in asks:
        now[0] += pause
        wait_s = rates.wait_s(name)
        granted[name] += wait_s == 0
        assert wait_s <= 1 / rate + 1e-9
        assert granted[name] <= max(2 * rate, 1) + now[0] * rate + 1e-6


def test_only_so_many_clients_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hdfs_pipeline.serving.guard._CLIENTS", 10)
    rates = Rates(1.0, lambda: 0.0)
    for number in range(1000):
        rates.wait_s(str(number))
    assert len(rates._buckets) == 10


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/api/status", 200),
        ("GET", "/api/ready", 204),
        ("GET", "/api/nothing", 404),
        ("GET", "/api/incidents/zzzz", 404),
        ("GET", "/api/incidents?limit=0", 422),
        ("PUT", "/api/status", 405),
        ("GET", "/static/app.css", 200),
        ("GET", "/static/none.css", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/render.py", 404),
        ("GET", "/login", 200),
        ("GET", "/metrics", 200),
        ("GET", "/openapi.json", 200),
    ],
)
def test_every_answer_has_the_headers_of_safety(method: str, path: str, status: int, client: TestClient) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert all(name in answer.headers for name in SAFE)
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "server" not in answer.headers and "Strict-Transport-Security" not in answer.headers


def test_answers_over_tls_say_that_only_tls_is_to_be_used(watched: Home, connect: Connect) -> None:
    client = connect(watched)
    client.base_url = "https://127.0.0.1:8000"
    assert client.get("/api/ready").headers["Strict-Transport-Security"] == "max-age=31536000"


def test_each_answer_is_counted_under_its_route(client: TestClient) -> None:
    for path in ("/api/incidents/00000001", "/api/incidents/00000002", "/api/nothing", "/api/incidents/00000009"):
        client.get(path)
    text = client.get("/metrics").text
    assert 'hdfs_pipeline_requests_total{method="GET",route="/api/incidents/{identity}",status="200"} 2.0' in text
    assert 'hdfs_pipeline_requests_total{method="GET",route="/api/incidents/{identity}",status="404"} 1.0' in text
    assert 'hdfs_pipeline_requests_total{method="GET",route="other",status="404"} 1.0' in text
    assert "nothing" not in text
