"""Web traffic and applications in a real browser: they follow what comes, pause, and stand in nobody's way."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline_tests.browser.conftest import LIMIT_S, Server, Visit
from hdfs_pipeline_tests.browser.keyboard import require_reachable, tab_to
from hdfs_pipeline_tests.browser.test_namenode import serving
from hdfs_pipeline_tests.browser.test_pages import found_by_axe
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.web_home import BEGIN, HOURS, SHOP, read_and_judge, requests, web_home

PAGES = {
    "web": "/web",
    "web, an endpoint": f"/web?service={SHOP}&endpoint=/cart&from=1h",
    "web, anomalous requests": "/web?show=anomalous",
    "web, an empty window": "/web?from=2020-01-01&to=2020-01-02",
    "web, counts of requests": "/web/more",
    "applications": "/applogs",
    "applications, errors": "/applogs?level=ERROR&show=anomalous",
    "logs of requests": "/logs?domain=weblogs",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def home(folder: Path) -> Home:
    return web_home(folder)


@pytest.fixture(scope="module")
def server(home: Home) -> Iterator[Server]:
    yield from serving(home)


def more(home: Home, path: Path, hours: float) -> None:
    """Read a quarter of an hour of requests that came so many hours after the first."""
    read_and_judge(home, "weblogs", requests(0.25, BEGIN + timedelta(hours=hours)), path)


def count(page: Any) -> int:
    return int(page.locator("#request-list-title").inner_text().partition(" ")[0].replace(",", ""))


def test_the_page_follows_what_comes_and_pause_holds_it(visit: Visit, home: Home, folder: Path) -> None:
    page = visit.open("/web")
    page.locator("#requests canvas").wait_for()
    page.locator("#news", has_text="Follows what comes, every 10 s").wait_for()
    page.locator("#more", has_text="Clients with the most requests").wait_for()
    page.get_by_text("The same as a table").first.click()
    page.get_by_label("from", exact=True).fill("6h")  # and not sent
    page.evaluate("document.querySelector('#requests canvas').dataset.mine = 'yes'")
    before, drawn = count(page), page.locator("#requests-summary").inner_text()

    more(home, folder / "second.log", HOURS)
    page.wait_for_function("before => !document.getElementById('request-list-title').innerText.startsWith(before)",
                           arg=f"{before:,} ", timeout=2 * LIMIT_S * 1000)  # fmt: skip
    second = count(page)
    assert second > before and page.locator("#requests-summary").inner_text() != drawn
    assert page.locator("#requests canvas").get_attribute("data-mine") == "yes"  # drawn on, and not anew
    assert page.locator("#requests-table").is_visible() and page.get_by_label("from", exact=True).input_value() == "6h"
    assert page.locator("#as-of").inner_text().startswith("as of ")

    page.get_by_role("button", name="Pause").click()
    page.locator("#news", has_text="Paused at").wait_for()
    more(home, folder / "third.log", HOURS + 1)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(11_000)
    assert count(page) == second and asked == []
    page.get_by_role("button", name="Go on").click()
    page.wait_for_function("before => !document.getElementById('request-list-title').innerText.startsWith(before)",
                           arg=f"{second:,} ", timeout=LIMIT_S * 1000)  # fmt: skip
    assert count(page) > second and page.get_by_role("button", name="Pause").get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("path", ["/web", "/applogs"])
def test_the_keyboard_alone_pauses(visit: Visit, path: str) -> None:
    page = visit.open(path)
    tab_to(page, lambda at: 'id="pause"' in at["name"])
    page.keyboard.press("Space")
    assert page.locator("#pause").get_attribute("aria-pressed") == "true"
    assert page.locator("#pause").inner_text() == "Go on" and "Paused at" in page.locator("#news").inner_text()
    page.keyboard.press("Space")
    assert page.locator("#pause").get_attribute("aria-pressed") == "false"


def test_a_pause_outlives_the_choice_of_another_service(visit: Visit) -> None:
    page = visit.open("/web")
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Service").select_option(SHOP)
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(f"**service={SHOP}**")
    page.locator("h1", has_text=f"Web traffic of {SHOP}").wait_for()
    page.locator("#times canvas").wait_for()
    assert page.locator("#pause").inner_text() == "Go on" and "Paused at" in page.locator("#news").inner_text()


def test_a_window_is_brushed_and_the_crosshair_is_linked(visit: Visit) -> None:
    page = visit.open("/web")
    page.locator("#times canvas").wait_for()
    page.locator("#requests .u-over").hover()
    page.locator("#times .u-legend", has_text="2026-11-20").wait_for()
    box = page.locator("#requests .u-over").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=2026-11-20T**to=2026-11-20T**")
    page.get_by_text("This window has a fixed end").wait_for()


def test_an_anomalous_request_leads_to_its_explanation(visit: Visit) -> None:
    page = visit.open("/web?show=anomalous")
    page.locator("table.requests tr.odd").first.get_by_role("link", name="scan").click()
    page.wait_for_url("**/items/weblogs/req-*")
    assert "is anomalous: scan" in page.locator("h1").inner_text()
    page.get_by_role("link", name="Search them in Logs").click()
    page.wait_for_url("**/logs?domain=weblogs&item=req-*")
    assert page.locator("#found ol > li").count() == 1


def test_an_anomalous_window_leads_to_the_requests_of_its_minute(visit: Visit) -> None:
    page = visit.open(f"/web?service={SHOP}")
    page.locator("a[href^='/items/traffic/']").first.click()
    page.wait_for_url("**/items/traffic/**")
    page.get_by_role("link", name="Search them in Logs").click()
    page.wait_for_url("**/logs?domain=weblogs&from=*")
    assert page.locator("#found ol > li").count() > 0


@pytest.mark.parametrize("path", [f"/web?service={SHOP}&from=10m", "/applogs?level=FATAL"])
def test_the_keyboard_reaches_everything(visit: Visit, path: str) -> None:
    page = visit.open(path)
    page.locator(".uplot canvas").first.wait_for()
    page.wait_for_load_state("networkidle")
    require_reachable(page, 16)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_serious_stands_in_anybodys_way(visitor: Callable[..., Visit], name: str) -> None:
    visit = visitor()
    page = visit.open(PAGES[name])
    page.wait_for_load_state("networkidle")
    assert found_by_axe(page) == []
    assert visit.complaints == []


def test_without_javascript_tables_and_fields_do(visitor: Callable[..., Visit]) -> None:
    page = visitor(java_script_enabled=False).open("/web")
    assert not page.locator("#pause").is_visible()
    page.get_by_label("Service").select_option(SHOP)
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(f"**service={SHOP}**")
    page.get_by_text("The same as a table").first.click()
    assert page.locator("#requests-table tbody tr").count() > 10
    page.get_by_role("link", name="Response times, answers and clients").click()
    page.get_by_text("Clients with the most requests").wait_for()
