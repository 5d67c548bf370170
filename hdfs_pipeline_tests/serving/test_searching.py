"""Searches for clients: one whose client goes really ends, and only a few run at once."""

import asyncio
import threading
import time
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from hdfs_pipeline.serving import searching
from hdfs_pipeline.serving.home import Home as Served
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import LOCAL, application
from hdfs_pipeline_tests.verdicts.test_logs import LIMIT_S, SLOW, many

ENDLESS = f"/api/logs?seconds=30&regex={quote(SLOW)}"
"""A search that takes longer than any test would wait."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return many(tmp_path_factory.mktemp("large"), 100_000)


async def until(condition: Any) -> None:
    """Wait for a condition."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < LIMIT_S
        await asyncio.sleep(0.01)


def searching_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == "search limit"]


@pytest.mark.parametrize("form", ["", "&format=ndjson"])
def test_a_search_ends_when_its_client_goes(large: Home, form: str) -> None:
    app = application(large)
    served: Served = app.state.home

    async def go() -> None:
        gone = asyncio.Event()
        sent: list[dict[str, Any]] = []
        asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            if (first := next(asked, None)) is not None:
                return first
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        path, _, query = f"{ENDLESS}{form}".partition("?")
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"}
        scope |= {"path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": ""}
        scope |= {"headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000)}
        answering = asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]
        await until(lambda: served.searches.running == 1 and searching_threads())
        gone.set()
        begun = time.monotonic()
        await until(lambda: served.searches.running == 0)
        assert time.monotonic() - begun < 20  # far from the thirty seconds, and those of the whole search
        await asyncio.wait_for(answering, LIMIT_S)

    asyncio.run(go())
    assert searching_threads() == []


def test_only_some_search_at_once_and_the_others_are_told(large: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "WAIT_S", 0.2)
    app = application(large)
    served: Served = app.state.home

    async def go() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=LOCAL) as client:
            for _ in range(searching.AT_ONCE):
                await served.searches._places.acquire()
            refused = await client.get("/api/logs")
            assert refused.status_code == 503 and "searches run already" in refused.json()["detail"]
            assert refused.headers["Retry-After"]
            page = await client.get("/logs?text=x", headers={"Accept": "text/html"})
            assert page.status_code == 503 and "Others are searching" in page.text and "Ask again" in page.text
            served.searches._places.release()
            assert (await client.get("/api/logs")).status_code == 200

    asyncio.run(go())
