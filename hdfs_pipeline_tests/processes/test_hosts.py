"""Which names our HTTP servers answer to, asked of the real ones."""

import http.client
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from hdfs_pipeline.domains.namenode.replay import SAMPLE, Replay, ReplayServer
from hdfs_pipeline.processes.hosts import answers_to
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.streaming.metrics import Metrics


@pytest.mark.parametrize(
    ("header", "answers"),
    [
        (None, True),
        ("localhost:9464", True),
        ("LOCALHOST.", True),
        ("127.0.0.1:9464", True),
        ("[::1]:9464", True),
        ("10.0.0.7", True),
        ("pipeline:9464", True),
        ("metrics.example.com:9464", True),
        (f"{socket.gethostname()}:1", True),
        ("evil.example.org:9464", False),
        ("metrics.example.com.evil.org", False),
        ("127.0.0.1.evil.org", False),
        ("localhost@evil.org", False),
        ("evil.org/localhost", False),
        ("[::1", False),
        ("", False),
        (":9464", False),
    ],
)
def test_names_that_are_answered(header: str | None, answers: bool) -> None:
    assert answers_to(header, "metrics.example.com") is answers


@pytest.fixture(params=["metrics", "replay"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    """The port and a path of each of our servers."""
    if request.param == "metrics":
        yield Metrics("x").serve(Settings(metrics_port=0)), "/metrics"
    else:
        with ReplayServer(Replay(SAMPLE)) as replay:
            yield urlsplit(replay.address).port or 0, "/jmx"


@pytest.mark.parametrize(("host", "status"), [("localhost", 200), ("127.0.0.1", 200), ("evil.example.org", 421)])
def test_our_servers_check_the_name(server: tuple[int, str], host: str, status: int) -> None:
    port, path = server
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": f"{host}:{port}"})
    answer = connection.getresponse()
    assert answer.status == status
    assert (b"hdfs" in answer.read().lower()) is (status == 200)
    connection.close()
