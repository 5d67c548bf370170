"""Incidents to tell of, and a web server that hears of them and answers as it is told."""

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext
from typing import Any

import httpx
import pyarrow as pa
import pytest

from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.streaming.conftest import pytest_runtest_setup, wait_for  # noqa: F401 - a hook

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
NOBODY = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
HOW = "no Alertmanager here: apt-get install prometheus-alertmanager"


def put(home: Home, *identities: str, **columns: Any) -> None:
    """Put incidents into the store, or other columns into those that are there, as a change."""
    with home.store.write() as con:
        there = {row["id"]: row for row in con.sql("FROM incidents").to_arrow_table().to_pylist()}
        now = datetime.now(UTC)
        rows = [{**there.get(each, fresh(each, now)), "changed_at": now, **columns} for each in identities]
        same = "id IN (SELECT id FROM publish_source)"
        publish_into(con, "incidents", pa.Table.from_pylist(rows), replace=same)


def fresh(identity: str, now: datetime) -> dict[str, Any]:
    """An incident that began a minute ago."""
    began = now - timedelta(minutes=1)
    return {
        "id": identity,
        "domain": "blocks",
        "entity": "10.0.0.3:9866",
        "kind": "write failed: disk full",
        "title": "10.0.0.3:9866 has no room: 57 writes failed",
        "started_at": began,
        "ended_at": now,
        "peak_at": began,
        "opened_at": began,
        "duration_s": 60.0,
        "status": "open",
        "severity": "major",
        "items": 57,
        "evidence": "57 of 61 writes to it failed.",
        "detectors": json.dumps({"lifecycle": {"score": 1.0, "threshold": 0.5, "version": 0, "opened": True}}),
        "details": "{}",
        "kinds": json.dumps({"write failed: disk full": 57}),
        "next_steps": ["free space on its volumes", "hdfs dfsadmin -report"],
        "related": [],
        "changed_at": now,
    }


def remove(home: Home, identity: str) -> None:
    with home.store.write() as con:
        con.execute("DELETE FROM incidents WHERE id = ?", [identity])


@dataclass
class Post:
    """A request that came: its headers by lower-case name, and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def key(self) -> str:
        return self.headers["idempotency-key"]


@dataclass
class Receiver:
    """A webhook's receiver. `answer` gets each request and says the status, or does what it likes with the handler."""

    url: str = ""
    posts: list[Post] = field(default_factory=list)
    answer: Callable[[Post, BaseHTTPRequestHandler], int | None] = lambda *_: 200

    def events(self, identity: str = "") -> list[str]:
        return [p.json["event"] for p in self.posts if identity in ("", p.json["incident"]["id"])]


@contextmanager
def receiving(port: int = 0, tls: SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that runs."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            post = Post(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            receiver.posts.append(post)
            status = receiver.answer(post, self)
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            """A connection that breaks off is part of a test."""

    server = Server(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.url = f"http{'s' * (tls is not None)}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def hooked(new_home: Callable[..., Home], receiver: Receiver) -> Home:
    """A home that tells the receiver alone."""
    return new_home(webhook_url=f"{receiver.url}/hook", kafka_bootstrap_servers="", notify_timeout_s=2.0)


@pytest.fixture
def patient(hooked: Home) -> Home:
    """The same, for tests that count messages: it waits for an answer however busy the machine is."""
    return Home(hooked.settings.model_copy(update={"notify_timeout_s": 60.0}), hooked.store)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def alertmanager(folder: Path, port: int, configuration: str = NOBODY) -> Iterator[str]:
    """Debian's Alertmanager, once it is ready; its address."""
    if ALERTMANAGER is None:
        pytest.skip(HOW)
    folder.mkdir(exist_ok=True)
    (folder / "alertmanager.yml").write_text(configuration)
    url = f"http://127.0.0.1:{port}"
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                ALERTMANAGER,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )

    def ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            return httpx.get(f"{url}/-/ready", timeout=1).is_success
        except httpx.HTTPError:
            return False

    try:
        wait_for(ready, what="Alertmanager")
        yield url
    finally:
        process.kill()
        process.wait()


def alerts(url: str) -> list[dict[str, Any]]:
    """The alerts that go on."""
    return httpx.get(f"{url}/api/v2/alerts", timeout=5).raise_for_status().json()


def command_of(home: Home, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of `hdfs-pipeline` in `home`, with its settings of the ways out."""
    from hdfs_pipeline.settings import PREFIX
    from hdfs_pipeline_tests.streaming.conftest import command

    line, environment = command(home, *arguments)
    names = ("alertmanager_url", "webhook_url", "webhook_secret", "notify_repeat_s", "notify_timeout_s")
    given = {f"{PREFIX}{name.upper()}": str(getattr(home.settings, name)) for name in names}
    return line, environment | given


@contextmanager
def following(home: Home, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`hdfs-pipeline notify --follow`, running; killed at the end if it still does."""
    line, environment = command_of(home, "notify", "--follow")
    with log.open("ab") as file:
        process = subprocess.Popen(line, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
