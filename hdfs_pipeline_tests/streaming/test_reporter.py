"""A worker's reports to Dagster, on a server that records them; test_up.py asks Dagster itself."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hdfs_pipeline.domains.blocks.topics import RAW_LOGS
from hdfs_pipeline.streaming.metrics import Metrics
from hdfs_pipeline.streaming.reporter import Reporter, stream_asset
from hdfs_pipeline_tests.homes import BLOCKS, Home
from hdfs_pipeline_tests.streaming.conftest import wait_for

ASSET = stream_asset(BLOCKS)


class Recorder(ThreadingHTTPServer):
    """Keeps the path and the body of each POST and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.posts: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.server.posts.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def reporter(home: Home, metrics: Metrics, url: str, every_s: float) -> Reporter:
    return Reporter(home.settings.model_copy(update={"dagster_url": url}), metrics, ASSET, every_s)


def test_figures_of_the_last_seconds_are_reported(home: Home, recorder: Recorder) -> None:
    metrics = Metrics(RAW_LOGS)
    metrics.read(123)
    with reporter(home, metrics, f"{recorder.url}/", 0.1):
        wait_for(lambda: len(recorder.posts) >= 2)
    paths, bodies = zip(*recorder.posts, strict=True)
    assert set(paths) == {f"/report_asset_materialization/{ASSET}"}
    found = [body["metadata"] for body in bodies]
    assert [each["messages"] for each in found[:2]] == [123, 0]
    assert all(each["stage"] == RAW_LOGS for each in found)
    # Dagster plots what is a number.
    assert all(isinstance(value, int | float) for name, value in found[0].items() if name != "stage")


def test_where_nothing_happens_nothing_is_reported(home: Home, recorder: Recorder) -> None:
    metrics = Metrics(RAW_LOGS)
    with reporter(home, metrics, recorder.url, 0.02):
        wait_for(lambda: len(recorder.posts) == 1)
        metrics.read(5)
        wait_for(lambda: len(recorder.posts) >= 2)
    counts = [body["metadata"]["messages"] for _, body in recorder.posts]
    assert counts in ([0, 5], [0, 5, 0]), "of a silence the beginning is told"


def test_the_last_figures_are_reported_at_the_end(home: Home, recorder: Recorder) -> None:
    metrics = Metrics(RAW_LOGS)
    with reporter(home, metrics, recorder.url, 3600.0):
        metrics.read(7)
    assert [body["metadata"]["messages"] for _, body in recorder.posts] == [7]


def test_a_dagster_that_refuses_is_told_once_and_so_is_its_return(
    home: Home, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recorder.status = 500
    metrics = Metrics(RAW_LOGS)

    def comes(condition: bool) -> bool:
        metrics.read(1)
        return condition

    with reporter(home, metrics, recorder.url, 0.05):
        wait_for(lambda: comes(len(recorder.posts) >= 3))
        recorder.status = 200
        wait_for(lambda: comes("Dagster takes reports again" in caplog.text))
    assert caplog.text.count("Dagster does not take reports") == 1
    assert caplog.text.count("Dagster takes reports again") == 1


def test_a_worker_without_dagster_goes_on(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    metrics = Metrics(RAW_LOGS)
    with reporter(home, metrics, "http://127.0.0.1:9", 0.05) as running:
        wait_for(lambda: metrics.read(1) or caplog.text.count("lines_per_s") >= 3)
    assert caplog.text.count("Dagster does not take reports") == 1
    assert not running._thread.is_alive()


def test_dagster_knows_the_asset() -> None:
    """It takes reports on keys that nobody has defined as well, and would show them nowhere."""
    import dagster as dg

    from hdfs_pipeline.definitions import defs

    (spec,) = [spec for spec in defs().resolve_all_asset_specs() if spec.key == dg.AssetKey(ASSET)]
    assert spec.group_name == "stream"
