"""Searching logs in a real browser: from a text to its record and its block, by expression, by pattern, by keyboard."""

import re
from typing import Any

from hdfs_pipeline_tests.browser.conftest import Visit
from hdfs_pipeline_tests.browser.keyboard import tab_to
from hdfs_pipeline_tests.browser.test_walks import a_block
from hdfs_pipeline_tests.homes import Home


def search(page: Any, **fields: str) -> None:
    """Fill fields of the form, search, and wait for the answer."""
    for label, value in fields.items():
        page.get_by_label(label.replace("_", " ")).fill(value)
    with page.expect_response(lambda answer: "/logs?" in answer.url):
        page.get_by_role("button", name="Search").click()
    page.locator(".htmx-request").wait_for(state="detached")


def test_from_a_text_to_its_record_and_its_block(visit: Visit, judged: Home) -> None:
    page = visit.open("/")
    page.get_by_role("link", name="Logs", exact=True).click()
    search(page, Text="EXCEPTION", Host_or_daemon="datanode")
    page.wait_for_url("**/logs?text=EXCEPTION&host=datanode")  # what is empty stays out of the address
    assert {text.lower() for text in page.locator(".found mark").all_inner_texts()} == {"exception"}
    assert page.locator(".near a").count()
    link = page.locator(".found a", has_text=re.compile("^blk_")).first
    block = link.inner_text()
    link.click()
    page.wait_for_url(f"**/items/blocks/{block}")
    assert "exception" in page.locator(".records").inner_text().lower()


def test_a_search_by_expression_block_and_level_is_the_same_in_a_new_tab(visit: Visit, judged: Home) -> None:
    block = a_block(judged)
    page = visit.open("/logs")
    search(page, Regular_expression=r"dest: /\S+:\d+", Block_or_item=block)
    assert page.locator(".found li").count() > 0
    assert all(text.startswith("dest: /") for text in page.locator(".found mark").all_inner_texts())
    shown = page.locator("#found").inner_text()
    again = page.context.new_page()
    again.goto(page.url)
    assert again.locator("#found").inner_text() == shown
    again.get_by_label("FATAL").check()
    search(again)
    assert "No record fits" in again.locator("#found").inner_text()


def test_a_pattern_leads_to_its_records(visit: Visit) -> None:
    page = visit.open("/logs")
    page.get_by_role("link", name="Patterns").click()
    row = page.locator("table.patterns tbody tr").first
    count, link = row.locator("td.number").inner_text(), row.locator("th a")
    name = link.inner_text()
    link.click()
    page.locator("#found-title").wait_for()
    shown = page.locator(".found li")
    assert shown.count() == min(int(count.replace(",", "")), 50)
    assert all(name in text for text in shown.all_inner_texts())


def test_what_cannot_be_searched_is_told_beside_what_was_typed(visitor: Any) -> None:
    page = visitor().open("/logs")
    search(page, Regular_expression="a(b")
    page.get_by_role("alert").wait_for()
    assert "missing )" in page.locator("#found").inner_text()
    assert page.get_by_label("Regular expression").input_value() == "a(b"
    search(page, Regular_expression="a.b")
    page.get_by_role("alert").wait_for(state="detached")


def test_the_keyboard_alone_searches_and_follows(visit: Visit) -> None:
    page = visit.open("/logs")
    tab_to(page, lambda at: 'name="text"' in at["name"])
    page.keyboard.type("exception")
    page.keyboard.press("Enter")
    page.wait_for_url("**/logs?text=exception")
    page.locator(".found mark").first.wait_for()
    tab_to(page, lambda at: at["href"].startswith("/items/blocks/"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/blocks/*")


def test_stop_ends_a_search_and_leaves_the_page_as_it_is(visitor: Any) -> None:
    page = visitor().open("/logs")
    before = page.locator("#found").inner_text()
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    page.route("**/logs?text=held*", hold)  # as a search that takes long
    page.get_by_label("Text").fill("held")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("button", name="Stop").click()
    page.locator("#connection", has_text="the search was stopped").wait_for()
    page.locator(".htmx-request").wait_for(state="detached")
    assert page.locator("#found").inner_text() == before and not page.get_by_role("button", name="Stop").is_visible()
    assert held and held[0].request.failure
