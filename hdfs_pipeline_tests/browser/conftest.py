"""A real server with a real home, and a headless browser, for the walks through the pages."""

import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.following import read_for_all
from hdfs_pipeline.settings import PROJECT
from hdfs_pipeline.store.store import publish_into
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.experiments.load.made import fill
from hdfs_pipeline_tests.homes import BLOCKS, Home, open_home

CHROMIUM = Path("/usr/bin/chromium")
SAMPLE = PROJECT / "data" / "sample" / "hdfs_3.4"
# The sample is of one quarter of an hour long ago: its incidents are to be open.
SETTINGS = {"incident_expiry_h": 1e6}
LIMIT_S = 30.0
"""For whatever a walk waits for."""
_BLOCK = re.compile(rb"blk_-?\d+")


@dataclass
class Server:
    """A process of `hdfs-pipeline serve` at a fixed port of this machine; it can end and begin again."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {"HOME": str(self.home), "SERVE_PORT": str(self.port)}
        settings |= {name.upper(): str(value) for name, value in SETTINGS.items()}
        environment = os.environ | {f"HDFS_PIPELINE_{name}": value for name, value in settings.items()}
        log = (self.home / "serve.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hdfs_pipeline", "serve"], env=environment, stdout=log, stderr=log
        )
        log.close()
        until = time.monotonic() + LIMIT_S
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < until, (self.home / "serve.log").read_text()
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            return bool(urllib.request.urlopen(f"{self.address}/api/ready", timeout=5).status == 204)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """End it as a crash does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def excerpt(folder: Path) -> None:
    """The logs of one block in twenty-four, of each server, and what is not usual of those that name no block."""
    rows = (SAMPLE / "labels.csv").read_text().splitlines()[1:]
    wanted = {row.split(",")[0].encode() for row in rows[::24]}
    folder.mkdir()
    for path in SAMPLE.glob("*.log.gz"):
        lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
        kept = [line for line in lines if _is_wanted(line, wanted)]
        (folder / path.name.removesuffix(".gz")).write_bytes(b"".join(kept))


def _is_wanted(line: bytes, blocks: set[bytes]) -> bool:
    named = _BLOCK.findall(line)
    return not blocks.isdisjoint(named) if named else b" INFO " not in line


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with an excerpt of the logs of a cluster of today, judged by what needs no training; to be copied."""
    folder = tmp_path_factory.mktemp("judged")
    excerpt(folder / "logs")
    home = open_home(folder / "home", **SETTINGS)
    read_for_all(home.store, home.settings, BLOCKS, [str(folder / "logs")], propose=False)
    for domain in (BLOCKS, domain_named("daemons")):
        scores = score_items(home.store, home.settings, domain, domain.day_one)
        with home.store.write() as con:
            publish_into(con, "scores", scores)
        publish_anomalies(home.store, home.settings, domain, domain.day_one)
        publish_incidents(home.store, home.settings, domain)
    fill(home.store)  # experiments on load
    return home


@pytest.fixture(scope="session")
def server(judged: Home) -> Iterator[Server]:
    found = Server(judged.settings.home, free_port())
    found.start()
    yield found
    if found.process is not None:
        found.process.terminate()
        found.process.wait(30)


# Playwright runs an event loop in this thread until it ends: other tests want one of their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists() and shutil.which("chromium") is None:
        pytest.skip(f"no browser: install Debian's chromium ({CHROMIUM})")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=str(CHROMIUM if CHROMIUM.exists() else shutil.which("chromium")), args=["--no-sandbox"]
        )
        yield found
        found.close()


@dataclass
class Visit:
    """Somebody with a browser of their own. `complaints` are what it said in its console, and whom else it asked."""

    page: Any
    server: Server
    complaints: list[str] = field(default_factory=list)

    def open(self, path: str) -> Any:
        """The page at a path, once it is there."""
        self.page.goto(self.server.address + path, wait_until="load")
        return self.page

    def live(self) -> None:
        """Wait until the page hears the live feed."""
        self.page.locator("#connection", has_text="live").wait_for(timeout=LIMIT_S * 1000)


@pytest.fixture
def visitor(browser: Any, server: Server) -> Iterator[Callable[..., Visit]]:
    """Opens a browser for one more person."""
    contexts = []

    def come(**options: Any) -> Visit:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, **options)
        contexts.append(context)
        visit = Visit(context.new_page(), server)
        visit.page.set_default_timeout(LIMIT_S * 1000)
        said = visit.complaints
        visit.page.on("console", lambda told: said.append(told.text) if told.type in ("error", "warning") else None)
        visit.page.on("pageerror", lambda error: said.append(str(error)))
        visit.page.on("request", lambda asked: None if asked.url.startswith(server.address) else said.append(asked.url))
        return visit

    yield come
    for context in contexts:
        context.close()


@pytest.fixture
def visit(visitor: Callable[..., Visit]) -> Iterator[Visit]:
    """Somebody whose browser must have nothing to complain of."""
    found = visitor()
    yield found
    assert found.complaints == []
