"""The feed in a real browser: what is produced shows on the open page, Pause holds it back, the keyboard will do."""

from collections.abc import Iterator
from typing import Any

import pytest

from hdfs_pipeline_tests.browser.conftest import LIMIT_S, Visit
from hdfs_pipeline_tests.browser.keyboard import tab_to
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.test_anomalies import send
from hdfs_pipeline_tests.streaming.conftest import running_broker

pytestmark = pytest.mark.xdist_group("kafka")


@pytest.fixture(scope="module")
def streaming(judged: Home) -> Iterator[Home]:
    """The home that is served, with its embedded broker."""
    with running_broker(judged):
        yield judged


def first(page: Any) -> str:
    return str(page.locator("#feed tr").first.get_by_role("link").inner_text())


def produced(home: Home, page: Any, name: str, **changes: Any) -> None:
    """Produce a verdict until it shows: the server may be about to find the broker."""
    row = page.locator("#feed tr", has_text=name)
    for _ in range(int(LIMIT_S)):
        send(home, name, **changes)
        try:
            row.first.wait_for(timeout=1000)
        except Exception:  # noqa: BLE001 - playwright's own error of a limit
            continue
        return
    raise AssertionError(f"{name} does not show")


def test_the_keyboard_alone_pauses_and_opens(visit: Visit) -> None:
    page = visit.open("/feed")
    visit.live()
    tab_to(page, lambda at: 'id="pause"' in at["name"])
    page.keyboard.press("Space")
    assert page.locator("#pause").get_attribute("aria-pressed") == "true"
    tab_to(page, lambda at: "/items/" in at["href"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/**")


def test_what_is_produced_shows_on_the_open_page_and_pause_holds_it_back(visit: Visit, streaming: Home) -> None:
    page = visit.open("/feed")
    visit.live()
    before = page.locator("#feed tr").count()
    assert 0 < before <= 100
    produced(streaming, page, "blk_9000001", status="provisional")
    row = page.locator("#feed tr").first
    assert first(page) == "blk_9000001" and row.locator(".status").inner_text() == "provisional"
    assert row.get_by_role("link").get_attribute("href") == "/items/blocks/blk_9000001"
    send(streaming, "blk_9000002")
    row.get_by_text("blk_9000002").wait_for()
    send(streaming, "blk_9000001", status="withdrawn")
    page.locator("#feed tr", has_text="blk_9000001").locator(".status.withdrawn").wait_for()
    assert page.locator("#feed tr", has_text="blk_9000001").count() == 1  # the newest word on it
    page.locator("#news", has_text=", the latest: blk_").wait_for()

    page.get_by_role("button", name="Pause").click()
    send(streaming, "blk_9000003")
    page.locator("#news", has_text="Paused: 1 anomaly waiting").wait_for()
    assert first(page) == "blk_9000001"
    page.get_by_role("button", name="Go on").click()
    assert first(page) == "blk_9000003"

    send(streaming, *(f"blk_91{number:05}" for number in range(110)))
    page.locator("#news", has_text="came too fast to be shown").wait_for()
    assert page.locator("#feed tr").count() <= 100


def test_the_page_is_reached_from_groups_and_now(visit: Visit) -> None:
    for path in ("/", "/groups"):
        visit.open(path).get_by_role("link", name="Anomalies as they come").click()
        visit.page.wait_for_url("**/feed")
        assert visit.page.locator("nav a[aria-current=page]").inner_text() == "Groups"
