"""What people do on the page of a NameNode: choose a baseline, train, look at a window, move the threshold, share."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hdfs_pipeline.domains.namenode.reports import model_status
from hdfs_pipeline_tests.browser.conftest import LIMIT_S, Server, Visit, free_port
from hdfs_pipeline_tests.browser.keyboard import require_reachable, tab_to
from hdfs_pipeline_tests.browser.test_pages import found_by_axe
from hdfs_pipeline_tests.domains.namenode.states import state_of
from hdfs_pipeline_tests.domains.namenode.test_watch import BOTH, NN, Watched
from hdfs_pipeline_tests.domains.namenode.watched import NAMENODE, faults, learn, watch
from hdfs_pipeline_tests.homes import Home, open_home

BEFORE_THE_FIRST_FAULT = "2026-11-21T04:07:10"
BASELINE, REPORT = "/namenode?step=baseline", "/namenode?step=report&from=2026-11-21T04:02:00&to=2026-11-21T04:18:00"


def recorded(folder: Path) -> Home:
    """A home with the shipped recording of a NameNode, and the state of HDFS of another one."""
    home = open_home(folder)
    watch(home)
    seen = Watched()
    for missing in (0, 3, 3):
        seen.poll(state_of(BOTH, NumberOfMissingBlocks=missing))
    seen.store(home)
    with home.store.write() as con:
        con.execute("UPDATE hdfs_state SET namenode = ? WHERE namenode = ?", [NAMENODE, NN])
    return home


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return recorded(tmp_path_factory.mktemp("untrained") / "home")


@pytest.fixture(scope="module")
def server(untrained: Home) -> Iterator[Server]:
    yield from serving(untrained)


def serving(home: Home) -> Iterator[Server]:
    found = Server(home.settings.home, free_port())
    found.start()
    yield found
    assert found.process is not None
    found.process.terminate()
    found.process.wait(30)


@pytest.fixture(scope="module")
def trained(untrained: Home) -> Home:
    """The same home, where a model serves."""
    if not model_status(untrained.settings)["trained"]:
        learn(untrained, end=datetime.fromtimestamp(faults()["listing_storm"].start, UTC))
    return untrained


def type_over(page: Any, text: str) -> None:
    page.keyboard.press("Control+a")
    page.keyboard.type(text)


def test_from_a_baseline_to_a_permalink_with_the_keyboard_alone(
    visit: Visit, visitor: Callable[..., Visit], server: Server
) -> None:
    page = visit.open("/namenode")
    assert page.locator("h1").inner_text() == f"{NAMENODE}: no model yet"
    tab_to(page, lambda at: 'id="to"' in at["name"])
    type_over(page, BEFORE_THE_FIRST_FAULT)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**to={BEFORE_THE_FIRST_FAULT.replace(':', '%3A')}**")
    page.locator("#health", has_text="30, every 10 s").wait_for()
    assert page.locator("#health .severity").first.inner_text() == "✓ can be learned from"
    tab_to(page, lambda at: 'class="main"' in at["name"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/namenode/training/*")
    page.locator("h1", has_text="Training is done").wait_for(timeout=4 * LIMIT_S * 1000)
    page.locator("#losses canvas").wait_for()
    assert "epochs" in page.locator("#losses-summary").inner_text()
    tab_to(page, lambda at: at["href"].startswith("/namenode?step=report"))
    page.keyboard.press("Enter")
    page.locator("#errors canvas").wait_for()
    assert page.locator("h1").inner_text() == f"{NAMENODE}: 5 likely causes of trouble in this window"
    before = page.locator("#count").inner_text()
    anomalies = page.locator(".ranked > li").count()
    tab_to(page, lambda at: 'id="slider"' in at["name"])
    page.keyboard.press("End")
    page.wait_for_url("**threshold=*")
    page.locator("#anomalies-title", has_text="anomal").wait_for()
    page.get_by_text("The address holds this threshold").wait_for()
    after = page.locator("#count").inner_text()
    assert _steps(after) < _steps(before) and page.locator(".ranked > li").count() < anomalies
    other = visitor().open(page.locator("#permalink").get_attribute("href"))
    other.locator("#errors canvas").wait_for()
    for part in ("h1", "#count", ".ranked", "#errors-table", "#metrics-table", "#threshold"):
        assert page.locator(part).evaluate("each => each.outerHTML") == other.locator(part).evaluate(
            "each => each.outerHTML"
        )


def _steps(text: str) -> int:
    return int(text.partition(" ")[0].replace(",", ""))


def test_the_slider_recounts_while_it_moves(visit: Visit, trained: Home) -> None:
    page = visit.open(REPORT)
    page.locator("#errors canvas").wait_for()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    found = page.evaluate(
        """() => {
        const slider = document.getElementById("slider"), counts = [];
        for (const share of [0.05, 0.3, 0.9]) {
            slider.value = share * slider.max;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            counts.push(document.getElementById("count").textContent);
        }
        return counts;
    }"""
    )
    steps = [_steps(text) for text in found]
    assert steps == sorted(steps, reverse=True) and steps[0] > steps[2] and "stretches" in found[0]
    assert asked == []


def test_a_window_is_brushed_and_the_crosshair_is_linked(visit: Visit, trained: Home) -> None:
    page = visit.open(REPORT)
    page.locator("#metric-CallQueueLength canvas").wait_for()
    page.locator("#metric-RpcQueueTimeAvgTime .u-over").hover()
    page.locator("#metric-CallQueueLength .u-legend", has_text="2026-11-21").wait_for()
    page.locator("#timeline").scroll_into_view_if_needed()
    box = page.locator("#timeline .u-over").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 50, steps=4)
    page.mouse.up()
    page.wait_for_url("**from=2026-11-21T04%3A06**")
    page.locator("h1", has_text="3 likely causes").wait_for()
    page.get_by_label("RpcQueueTimeAvgTime", exact=True).uncheck()
    page.get_by_role("button", name="Draw them").click()
    page.locator("#metric-RpcQueueTimeAvgTime").wait_for(state="detached")
    page.reload()
    assert page.locator("#metric-CallQueueLength canvas").count() == 1
    assert "04:06" in page.get_by_label("from", exact=True).input_value()


def test_what_is_wrong_with_a_window_is_said_beside_it(visitor: Callable[..., Visit], trained: Home) -> None:
    page = visitor().open(REPORT)
    page.get_by_label("to", exact=True).fill("soon")
    page.get_by_role("button", name="Show").click()
    page.locator(".waiting.wrong", has_text="'soon' is no time").first.wait_for()


@pytest.mark.parametrize("path", [BASELINE, REPORT])
def test_the_keyboard_reaches_everything(visit: Visit, trained: Home, path: str) -> None:
    page = visit.open(path)
    require_reachable(page, 16)


@pytest.mark.parametrize("path", [BASELINE, REPORT])
def test_nothing_serious_stands_in_anybodys_way(visitor: Callable[..., Visit], trained: Home, path: str) -> None:
    visit = visitor()
    assert found_by_axe(visit.open(path)) == []
    assert visit.complaints == []


def test_without_javascript_tables_and_fields_do(visitor: Callable[..., Visit], trained: Home) -> None:
    page = visitor(java_script_enabled=False).open(REPORT)
    assert not page.locator("#slider").is_visible() and page.get_by_text("needs JavaScript").is_visible()
    page.get_by_label("Threshold", exact=True).fill("5")
    page.get_by_role("button", name="Judge by it").click()
    page.wait_for_url("**threshold=5**")
    assert "reach 5" in page.locator("#count").inner_text()
    page.get_by_text("The same as a table").nth(1).click()
    assert page.locator("#errors-table tbody tr").count() == 24
    assert page.locator("aside").get_by_text("blocks missing").is_visible()
