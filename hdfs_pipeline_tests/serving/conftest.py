"""Clients of the application, on homes with made-up incidents."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from hdfs_pipeline.serving.app import create_app, guarded
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.web_home import web_home
from hdfs_pipeline_tests.verdicts.made_incidents import ago, incident, put

LOCAL = "http://127.0.0.1:8000"
Connect = Callable[..., TestClient]


def application(home: Home, **settings: Any) -> FastAPI:
    """The application for a home, with other settings."""
    return create_app(home.settings.model_copy(update=settings))


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connects a client to a home: `connect(home, setting=value)`; its application runs until the test ends."""
    with ExitStack() as stack:

        def make(home: Home | FastAPI, client: str = "127.0.0.1", **settings: Any) -> TestClient:
            app = home if isinstance(home, FastAPI) else application(home, **settings)
            asking = TestClient(
                guarded(app), LOCAL, raise_server_exceptions=False, client=(client, 50_000), follow_redirects=False
            )
            return stack.enter_context(asking)

        yield make


@pytest.fixture(scope="session")
def read_web(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with judged requests and messages (`web_home`). To be read."""
    return web_home(tmp_path_factory.mktemp("web"))


@pytest.fixture
def watched(home: Home) -> Home:
    """A home with five incidents, the first of them the latest."""
    put(home, "incidents", *(incident(number, began=ago(hours=number)) for number in range(1, 6)))
    return home


@pytest.fixture
def client(watched: Home, connect: Connect) -> TestClient:
    """A client of the home with five incidents, on this machine and without a token."""
    return connect(watched)
