"""What holds for every route: one scope each, and a token without it opens nothing."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount
from starlette.testclient import TestClient

from hdfs_pipeline.serving.app import create_app
from hdfs_pipeline.serving.tokens import SCOPES, Tokens
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import Connect

OPEN = {"/api/ready", "/login", "/logout", "/openapi.json"}
"""Routes that nobody needs a token for."""
_BODY_FREE = ("GET", "HEAD")


class Route(NamedTuple):
    """A route, and the scopes that it needs."""

    method: str
    path: str
    scopes: tuple[str, ...]


@cache
def routes() -> tuple[Route, ...]:
    """Every route of the application, but mounted files."""
    app = create_app(load_settings(Path("/nowhere")))
    return tuple(sorted(_routes(app.routes)))


def _routes(found: Any) -> Iterator[Route]:
    for context in iter_route_contexts(found):
        if isinstance(context.original_route, Mount):
            assert context.path == "/static"
            continue
        needs = [getattr(each.dependency, "scope", "") for each in getattr(context, "dependencies", None) or []]
        for method in sorted(set(context.methods or ()) - {"HEAD"}):
            yield Route(method, context.path, tuple(filter(None, needs)))


GUARDED = [route for route in routes() if route.path not in OPEN]


def address(route: Route) -> str:
    """The route's path with something for each of its parameters."""
    return (
        route.path.replace("{does}", "acknowledge")
        .replace(":path}", "}")
        .replace("{identity}", "nothing")
        .replace("{", "")
        .replace("}", "")
    )


def test_the_routes_are_found() -> None:
    found = {(route.method, route.path) for route in routes()}
    assert {("GET", "/"), ("GET", "/api/incidents"), ("POST", "/api/feedback"), ("GET", "/metrics")} <= found
    assert {route.path for route in routes()} >= OPEN


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_needs_exactly_one_scope(route: Route) -> None:
    assert len(route.scopes) == 1 and route.scopes[0] in SCOPES
    if route.scopes == ("read",):
        assert route.method == "GET" or route.path.startswith(
            ("/api/score", "/api/report")
        )  # what changes something needs more


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """A client of a home that asks for tokens, and a token of each scope."""
    import shutil

    from hdfs_pipeline.serving.app import guarded

    settings = load_settings(tmp_path_factory.mktemp("scopes")).model_copy(update={"serve_tokens": True})
    settings.home.mkdir(exist_ok=True)
    shutil.copy(empty_store, settings.store_path)
    tokens = {scope: Tokens(settings).make(scope, scope) for scope in SCOPES}
    app = guarded(create_app(settings))
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False, follow_redirects=False) as client:
        yield client, tokens


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
def test_a_token_opens_what_its_scope_includes_and_nothing_else(
    route: Route, scope: str, asking: tuple[TestClient, dict[str, str]]
) -> None:
    client, tokens = asking
    allowed = SCOPES.index(scope) >= SCOPES.index(route.scopes[0])
    if allowed and route.path == "/api/live":
        pytest.skip("never ends; test_live.py listens to it")
    body = {} if route.method in _BODY_FREE else {"content": b"{}", "headers": {"content-type": "application/json"}}
    headers = {"Authorization": f"Bearer {tokens[scope]}"} | body.pop("headers", {})
    answer = client.request(route.method, address(route), headers=headers, **body)
    if allowed:
        assert answer.status_code not in (401, 403) and answer.status_code < 500, answer.text
    else:
        assert answer.status_code == 403
        assert answer.json()["detail"] == f"the token {scope} is for {scope}; this needs {route.scopes[0]}"


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
def test_without_a_good_token_nothing_is_opened(route: Route, asking: tuple[TestClient, dict[str, str]]) -> None:
    client, _ = asking
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic eDp5"},
        {"Cookie": "hdfsp_token=x"},
    ):
        answer = client.request(route.method, address(route), headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", sorted(OPEN - {"/logout"}))
def test_some_routes_are_open_to_all(path: str, asking: tuple[TestClient, dict[str, str]]) -> None:
    client, _ = asking
    assert client.get(path).status_code in (200, 204)


def test_a_browser_that_needs_a_token_is_asked_for_it_and_keeps_it(
    asking: tuple[TestClient, dict[str, str]],
) -> None:
    client, tokens = asking
    html = {"Accept": "text/html"}
    first = client.get("/", headers=html)
    assert first.status_code == 303 and first.headers["location"] == "/login?next=/"
    own = {"Sec-Fetch-Site": "same-origin"}
    assert client.post("/login", data={"token": "wrong", "next": "/"}, headers=own).status_code == 401
    signed = client.post("/login", data={"token": tokens["read"], "next": "/?since=24h"}, headers=own)
    assert signed.status_code == 303 and signed.headers["location"] == "/?since=24h"
    cookie = signed.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert client.get("/", headers=html).status_code == 200
    assert client.post("/logout", headers=own).status_code == 303
    assert client.get("/", headers=html).status_code == 303


@pytest.mark.parametrize("target", ["//evil.example/", "https://evil.example/", "/\\evil.example", "evil", ""])
def test_signing_in_leads_to_no_other_server(target: str, asking: tuple[TestClient, dict[str, str]]) -> None:
    client, tokens = asking
    signed = client.post("/login", data={"token": tokens["read"], "next": target})
    client.cookies.clear()
    assert signed.status_code == 303 and signed.headers["location"] == "/"


def test_on_loopback_no_token_is_needed_but_a_wrong_one_is_refused(client: TestClient) -> None:
    assert client.get("/api/status").status_code == 200
    assert client.get("/api/status", headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_a_failure_is_told_without_a_trace(watched: Home, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr("hdfs_pipeline.serving.routes.state.home_status", fail)
    monkeypatch.setattr("hdfs_pipeline.serving.pages.now.home_status", fail, raising=False)
    client = connect(watched)
    answer = client.get("/api/status")
    assert answer.status_code == 500
    assert answer.json()["detail"] == "the server failed over this request; its log says why"
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert (
        answer.headers["X-Frame-Options"] == "DENY"
        and "default-src 'none'" in answer.headers["content-security-policy"]
    )
