"""The first day: from a home without anything to what is wrong, by nothing but what the pages say."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline_tests.browser.conftest import LIMIT_S, SETTINGS, Server, excerpt, free_port
from hdfs_pipeline_tests.defs.page import until


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Server]:
    """A server of a home that holds nothing."""
    home = tmp_path / "home"
    home.mkdir()
    found = Server(home, free_port())
    found.start()
    yield found
    assert found.process is not None
    found.process.terminate()
    found.process.wait(30)


def type_in(server: Server, command: str, **replaced: str) -> None:
    """Run a command that a page shows, as somebody types it in a terminal."""
    words = [replaced.get("path", word) if word.startswith("/var/") else word for word in shlex.split(command)]
    assert words[0] == "hdfs-pipeline"
    settings = {"HDFS_PIPELINE_HOME": str(server.home)}
    settings |= {f"HDFS_PIPELINE_{name.upper()}": str(value) for name, value in SETTINGS.items()}
    done = subprocess.run(
        [sys.executable, "-m", "hdfs_pipeline", *words[1:]],
        check=False,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=LIMIT_S * 4,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def shown(page: Any, text: str) -> str:
    """The command with `text` in it, once the page shows it."""
    found = page.locator("code.command", has_text=text).first
    found.wait_for(timeout=LIMIT_S * 1000)
    return str(found.inner_text())


def test_from_an_empty_home_to_a_group_that_is_a_false_alarm(browser: Any, empty: Server, tmp_path: Path) -> None:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(LIMIT_S * 1000)
    page.goto(empty.address)
    assert page.locator("h1").inner_text() == "This home has no records yet"
    excerpt(tmp_path / "logs")
    type_in(empty, shown(page, "ingest"), path=str(tmp_path / "logs"))
    page.locator("h1.alarm").wait_for()  # the open page has looked again by itself
    page.get_by_role("link", name="Groups", exact=True).click()
    counts = {
        group.get_by_role("heading").inner_text(): group.locator("strong").first.inner_text()
        for group in page.locator("section.group").all()
    }
    page.get_by_role("link", name="Now", exact=True).click()

    def of_one_kind() -> tuple[str, str] | None:
        """An incident that holds all blocks of one kind, once the page, which is kept for a moment, shows it."""
        page.reload()
        titles = page.locator("section", has_text="Open, the gravest").locator("tbody th").all_inner_texts()
        return next(
            ((kind, f"{kind} · {counts[kind]}") for kind in counts if f"{kind} · {counts[kind]}" in titles), None
        )

    kind, title = until(of_one_kind, LIMIT_S)
    page.get_by_role("link", name=title, exact=True).click()
    page.locator("table", has_text="Examples").get_by_role("link").first.click()
    assert kind in page.locator("h1").inner_text()
    page.get_by_role("link", name="Groups", exact=True).first.click()
    group = page.locator("section.group").filter(has=page.get_by_role("heading", name=kind, exact=True))
    group.get_by_label("Your name").fill("ada")
    group.get_by_role("button", name="False alarm").click()
    group.get_by_text("Said so far").wait_for()
    page.get_by_role("link", name="Now", exact=True).click()
    page.locator("h1").wait_for()
    assert not page.locator("section", has_text="Open, the gravest").get_by_role("link", name=title, exact=True).count()
