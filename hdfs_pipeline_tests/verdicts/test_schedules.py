"""Schedules and sensors as a real Dagster tells them, and what is said where there is none."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from hdfs_pipeline.verdicts.schedules import dagster_page, schedules_of

_SERVE = """import sys
from hdfs_pipeline.running.orchestration import serve
from hdfs_pipeline.settings import load_settings
sys.exit(serve(load_settings()))"""
START_S = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_a_real_dagster_tells_its_schedules_and_the_ticks_of_its_sensors(new_home: Any) -> None:
    home = new_home(dagster_port=free_port())
    environment = os.environ | {
        "HDFS_PIPELINE_HOME": str(home.settings.home),
        "HDFS_PIPELINE_DAGSTER_PORT": str(home.settings.dagster_port),
    }
    with subprocess.Popen([sys.executable, "-c", _SERVE], env=environment) as process:
        try:
            until, found = time.monotonic() + START_S, dict[str, Any]()
            while not any(each["ticks"] for each in found.get("sensors", ())):
                assert process.poll() is None and time.monotonic() < until, found
                found = schedules_of(home.settings)
        finally:
            process.terminate()
            process.wait(60)
    nightly = next(each for each in found["schedules"] if each["name"] == "retrain_nightly")
    assert (
        nightly["running"] and nightly["when"] == "30 2 * * * (UTC)" and nightly["next_at"].endswith("T02:30:00+00:00")
    )
    ticked = next(each for each in found["sensors"] if each["ticks"])
    assert ticked["about"] and ticked["when"].startswith("every ")
    assert {"at", "status", "runs", "text"} == ticked["ticks"][0].keys() and ticked["ticks"][0]["at"].endswith("+00:00")


def test_where_no_dagster_is_the_command_that_starts_it_is_told(new_home: Any) -> None:
    home = new_home(dagster_port=free_port(), dagster_host="0.0.0.0")
    page, found = dagster_page(home.settings), schedules_of(home.settings)
    assert page.startswith("http://127.0.0.1:") and found["page"] == page and found["schedules"] == []
    assert found["why"] == f"Dagster does not answer at {page} (ConnectError): `hdfs-pipeline up` starts it"


@contextmanager
def answering(body: bytes, wait_s: float = 0.0) -> Iterator[int]:
    """The port of a web server that is no Dagster."""
    over = threading.Event()

    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            over.wait(wait_s)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        over.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"data": null}', b'{"data": {"repositoriesOrError": 7}}'])
def test_another_server_at_its_port_is_told(body: bytes, new_home: Any) -> None:
    with answering(body) as port:
        found = schedules_of(new_home(dagster_port=port).settings)
    assert "no Dagster: see the setting dagster_port" in found["why"]


def test_definitions_that_do_not_load_are_told(new_home: Any) -> None:
    body = b'{"data": {"repositoriesOrError": {"__typename": "PythonError", "message": "No module named x"}}}'
    with answering(body) as port:
        found = schedules_of(new_home(dagster_port=port).settings)
    assert "cannot load its definitions: No module named x" in found["why"]


def test_nobody_waits_for_a_dagster_that_hangs(new_home: Any) -> None:
    with answering(b"{}", wait_s=30) as port:
        began = time.monotonic()
        assert "within 1 s" in schedules_of(new_home(dagster_port=port).settings)["why"]
        assert time.monotonic() - began < 5
