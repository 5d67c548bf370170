"""What people do with the pages, in a real browser on a real server."""

import re
from collections.abc import Callable

import pytest

from hdfs_pipeline_tests.browser.conftest import Server, Visit
from hdfs_pipeline_tests.browser.keyboard import require_reachable, tab_to
from hdfs_pipeline_tests.homes import Home


def test_from_now_to_an_incident_that_somebody_looks_after(visit: Visit) -> None:
    page = visit.open("/")
    assert page.locator("h1").inner_text().endswith(page.locator("tbody th a").first.inner_text())
    page.locator("tbody th a").first.click()
    title, link = page.locator("h1").inner_text(), page.url
    assert page.locator(".line .status").inner_text() == "open"
    page.get_by_label("Note").fill("looking at the volume")
    page.get_by_label("Your name").fill("ada")
    page.get_by_role("button", name="Acknowledge").click()
    page.locator(".line .status", has_text="acknowledged").wait_for()
    assert page.url == link
    said = page.locator("#said li").first.inner_text()
    assert re.match(r"acknowledged by ada, .* UTC\nlooking at the volume", said)
    assert not page.get_by_role("button", name="Acknowledge").count()
    page.get_by_role("link", name="Now", exact=True).click()
    row = page.locator("tbody tr").filter(has=page.get_by_role("link", name=title, exact=True))
    assert row.locator(".status").inner_text() == "acknowledged"


def test_what_somebody_else_does_shows_at_once_and_leaves_the_note_alone(
    visit: Visit, visitor: Callable[..., Visit], judged: Home
) -> None:
    path = f"/incidents/{one(judged, 'open')}"
    page = visit.open(path)
    visit.live()
    page.get_by_label("Note").fill("half a thought")
    page.get_by_label("Note").focus()
    other = visitor().open(path)
    other.get_by_role("button", name="Suppress").click()
    other.locator(".line .status", has_text="suppressed").wait_for()
    page.locator(".line .status", has_text="suppressed").wait_for()
    page.get_by_role("button", name="Reopen").wait_for()
    assert page.get_by_label("Note").input_value() == "half a thought"
    assert page.evaluate("document.activeElement.name") == "note"


@pytest.mark.parametrize("path", ["/", "/incidents", "/groups", "/models", "/logs", "incident", "item"])
def test_the_keyboard_reaches_everything_and_shows_where_it_is(visit: Visit, judged: Home, path: str) -> None:
    others = {"incident": f"/incidents/{one(judged)}", "item": f"/items/blocks/{a_block(judged)}"}
    page = visit.open(others.get(path, path))
    require_reachable(page, 9)


def test_the_keyboard_alone_opens_and_acknowledges(visit: Visit, judged: Home) -> None:
    identity = one(judged, "open")
    page = visit.open("/incidents?status=open")
    tab_to(page, lambda at: at["href"] == f"/incidents/{identity}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/incidents/{identity}")
    tab_to(page, lambda at: "acknowledge" in at["name"])
    page.keyboard.press("Enter")
    page.locator(".line .status", has_text="acknowledged").wait_for()


def test_a_window_that_was_brushed_is_the_same_in_a_new_tab(visit: Visit, visitor: Callable[..., Visit]) -> None:
    page = visit.open("/")
    everything = page.locator(".lanes a").count()
    box = page.locator(".lanes svg").bounding_box()
    bars = sorted(bar["x"] for bar in (each.bounding_box() for each in page.locator(".lanes rect.bar").all()))
    # To the left half of the bars, along the line of times below the lanes.
    page.mouse.move(bars[0] - 20, box["y"] + box["height"] - 6)
    page.mouse.down()
    page.mouse.move(bars[len(bars) // 2] - 2, box["y"] + box["height"] - 6, steps=4)
    page.mouse.up()
    page.wait_for_url("**/?from=*&to=*")
    other = visitor().open(page.url.removeprefix(visit.server.address))
    assert 0 < page.locator(".lanes a").count() < everything
    for part in (".lanes", "table", "input[name=from]", "input[name=to]"):
        assert [each.evaluate("each => each.outerHTML") for each in page.locator(part).all()] == [
            each.evaluate("each => each.outerHTML") for each in other.locator(part).all()
        ]


def test_filters_are_in_the_address(visit: Visit) -> None:
    page = visit.open("/incidents")
    page.get_by_label("resolved").check()
    page.get_by_label("Kind has").fill("replica")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/incidents?*status=resolved*")
    page.reload()
    assert page.get_by_label("resolved").is_checked()
    assert {each.inner_text() for each in page.locator("tbody .status").all()} == {"resolved"}
    assert all("replica" in each.inner_text() for each in page.locator("tbody th").all())


def test_a_page_says_that_the_server_is_gone_and_goes_on_when_it_is_back(
    visitor: Callable[..., Visit], server: Server
) -> None:
    visit = visitor()
    page = visit.open("/")
    visit.live()
    server.kill()
    try:
        page.locator("#connection", has_text="the server does not answer").wait_for()
        assert page.locator("tbody tr").count()  # what is known stays on the page
    finally:
        server.start()
    visit.live()


def test_a_word_on_a_group_takes_its_incidents_from_now(visit: Visit, judged: Home) -> None:
    kind, title = judged.rows(
        """SELECT kind, any_value(title) FROM incidents WHERE domain = 'blocks' AND status = 'open'
        GROUP BY kind HAVING count(*) = 1 AND any_value(len(json_keys(kinds))) = 1 ORDER BY any_value(items), kind"""
    )[0]
    page = visit.open("/")
    now = page.get_by_role("link", name=title, exact=True)
    assert now.count() == 1
    now.click()
    page.locator("table", has_text="Examples").get_by_role("link").first.click()
    assert kind in page.locator("h1").inner_text()
    page.locator(".step.telling").first.click()
    assert page.locator("li:target .soft").inner_text().endswith("tells why")
    page.get_by_role("link", name="Groups", exact=True).first.click()
    group = page.locator("section.group").filter(has=page.get_by_role("heading", name=kind, exact=True))
    group.get_by_label("Your name").fill("ada")
    group.get_by_role("button", name="False alarm").click()
    group.get_by_text("Said so far").wait_for()
    page.get_by_role("link", name="Now", exact=True).click()
    page.locator("h1").wait_for()
    assert not page.locator("section", has_text="Open, the gravest").get_by_role("link", name=title, exact=True).count()
    page.get_by_role("link", name="Groups", exact=True).first.click()
    group.get_by_role("button", name="Take it back").click()
    group.get_by_text("Said so far").wait_for(state="detached")
    page.get_by_role("link", name="Now", exact=True).click()
    page.get_by_role("link", name=title, exact=True).wait_for()


def a_block(home: Home) -> str:
    """Id of an anomalous block."""
    return str(home.rows("SELECT item FROM anomalies WHERE domain = 'blocks' ORDER BY score DESC, item")[0][0])


def one(home: Home, status: str = "%") -> str:
    """Id of the largest incident, or of the largest one of a status."""
    found = home.rows("SELECT id FROM incidents WHERE status LIKE ? ORDER BY items DESC, id", status)
    return str(found[0][0])
