"""The pages of the system: a dead letter put back, a token made and revoked, by mouse and by keyboard alone."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hdfs_pipeline_tests.browser.conftest import Server, Visit, free_port
from hdfs_pipeline_tests.browser.keyboard import require_reachable
from hdfs_pipeline_tests.homes import BLOCKS, open_home

_GOOD = "2026-11-21 08:00:00,000 INFO dn.DataNode: Receiving block blk_1 src: /10.0.0.1:1 dest: /10.0.0.2:2\n"
_OWN = "2026-11-21 08:00:01,000 <INFO> {dn7} Receiving block blk_38 src: /10.0.0.1:1 dest: /10.0.0.2:2\n"
_NEVER = "2026-11-21 08:00:02,000 ~~~ what is this\n"
_LAYOUT = '[log_layouts]\n"%d <%p> {%c} %m" = "2026-11-21 08:00:00,000 <INFO> {dn7} Receiving block blk_1"\n'


# A server of its own: what is put back here must not be missing elsewhere.
@pytest.fixture
def server(tmp_path: Any) -> Iterator[Server]:
    """A server of a home with two dead letters, of which the settings that it has now make one a record."""
    home, log = open_home(tmp_path / "home"), tmp_path / "hadoop-hdfs-datanode-dn7.log"
    log.write_text(_GOOD + _OWN + _NEVER)
    BLOCKS.read(home.store, home.settings, [str(log)], propose=False)
    (home.settings.home / "settings.toml").write_text(f"dagster_port = {free_port()}\n{_LAYOUT}")
    found = Server(home.settings.home, free_port())
    found.start()
    yield found
    assert found.process is not None
    found.process.terminate()
    found.process.wait(30)


def tab_to(page: Any, name: str) -> None:
    """Press Tab until what is called so has the focus."""
    for _ in range(100):
        page.keyboard.press("Tab")
        at = page.evaluate("(document.activeElement.ariaLabel || document.activeElement.innerText).trim()")
        if at.startswith(name):
            return
    raise AssertionError(f"Tab does not reach {name!r}")


def enter(page: Any) -> None:
    """Press Enter, which leads to another page."""
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_what_is_mended_is_gone_and_what_is_not_is_a_letter_again(visit: Visit) -> None:
    page = visit.open("/system")
    page.get_by_role("link", name="Look at all of them").click()
    assert page.locator("h1").inner_text() == "2 dead letters wait"
    page.locator("tr", has_text="blk_38").get_by_role("link").click()
    assert "<INFO> {dn7} Receiving block blk_38" in page.locator("pre").first.inner_text()
    page.get_by_label("Your name").fill("ada")
    page.get_by_role("button", name="Put it back").click()
    page.get_by_text(re.compile("by ada, .*What became of it: read")).wait_for()
    page.get_by_role("link", name="Dead letters").first.click()
    assert page.locator("h1").inner_text() == "1 dead letter waits"
    page.locator("tbody th a").click()
    before = page.url
    page.get_by_role("button", name="Put it back").click()
    page.get_by_text(re.compile("What became of it: still no record")).wait_for()
    page.get_by_role("link", name="Letters of this source that wait").click()
    assert page.locator("h1").inner_text() == "1 dead letter waits"
    page.locator("tbody th a").click()
    assert page.url != before and page.get_by_role("button", name="Put it back").count() == 1


def test_two_who_put_the_same_letter_back_learn_of_each_other(visit: Visit, visitor: Callable[..., Visit]) -> None:
    page = visit.open("/system/dead-letters")
    path = page.locator("tbody th a").first.get_attribute("href")
    other = visitor()
    for each in (visit, other):
        each.open(path)
    page.get_by_label("Your name").fill("ada")
    page.get_by_role("button", name="Put it back").click()
    page.get_by_text("put back").first.wait_for()
    other.page.get_by_role("button", name="Put it back").click()
    other.page.get_by_text("put back already by ada").wait_for()


def test_a_token_is_made_shown_once_and_revoked(visit: Visit, visitor: Callable[..., Visit]) -> None:
    page = visit.open("/system/tokens")
    page.get_by_label("Name").fill("dash")
    page.get_by_label("Scope").select_option("read")
    page.get_by_role("button", name="Make it").click()
    token = page.locator("code.command").first.inner_text()
    assert token.startswith("hdfsp_")
    other = visitor().open("/login")
    other.get_by_label("Token").fill(token)
    other.get_by_role("button", name="Sign in").click()
    other.get_by_role("button", name="Sign out").wait_for()
    page.get_by_role("link", name="Tokens").click()
    assert token not in page.content()
    page.get_by_role("button", name="Revoke dash").click()
    page.get_by_text("There is no token yet").wait_for()
    other.get_by_role("link", name="System").click()
    other.get_by_role("heading", name="Sign in").wait_for()


def test_with_the_keyboard_alone_a_letter_is_put_back_and_a_token_made_and_revoked(visit: Visit) -> None:
    page = visit.open("/system")
    for name in ("Look at all of them", "no log record"):
        tab_to(page, name)
        enter(page)
    page.get_by_role("heading", name="What it was").wait_for()
    tab_to(page, "Put it back")
    enter(page)
    page.get_by_text(re.compile("What became of it")).wait_for()
    visit.open("/system")
    tab_to(page, "Tokens")
    enter(page)
    page.get_by_role("heading", name="Make a token").wait_for()
    while page.evaluate("document.activeElement.name") != "name":
        page.keyboard.press("Tab")
    page.keyboard.type("dash")
    enter(page)
    page.get_by_text("it is shown this once").wait_for()
    tab_to(page, "Revoke dash")
    enter(page)
    page.get_by_text("There is no token yet").wait_for()


@pytest.mark.parametrize("path", ["/system", "/system/dead-letters", "letter", "/system/tokens", "/system/settings"])
def test_the_keyboard_reaches_everything_and_shows_where_it_is(visit: Visit, path: str) -> None:
    page = visit.open("/system/dead-letters" if path == "letter" else path)
    if path == "letter":
        page.locator("tbody th a").first.click()
        page.get_by_role("heading", name="What it was").wait_for()
    if path == "/system":
        for part in ("#health .why", "#topics p", "#schedules .wrong"):
            page.locator(part).wait_for()
    require_reachable(page, 9)


def test_without_javascript_links_lead_to_what_comes_later(visitor: Callable[..., Visit]) -> None:
    page = visitor(java_script_enabled=False).open("/system")
    page.get_by_role("link", name="Ask the broker for its topics and their lag").click()
    page.get_by_text("hdfs-pipeline broker").first.wait_for()
    page.get_by_role("link", name="System").last.click()
    page.get_by_role("link", name="Ask Dagster for its schedules and sensors").click()
    page.get_by_text("hdfs-pipeline up").wait_for()
