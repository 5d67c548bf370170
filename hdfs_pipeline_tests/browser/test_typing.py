"""What somebody writes on a page that brings itself up to date is there when the update has come."""

from hdfs_pipeline_tests.browser.conftest import Visit


def test_a_window_that_is_being_written_outlives_an_update(visit: Visit) -> None:
    page = visit.open("/")
    page.locator("[name=from]").fill("2026-11-21T08:00")
    page.locator("[name=to]").focus()
    page.evaluate("document.querySelector('h1').textContent = 'old'")
    page.evaluate("htmx.trigger('#now', 'sse:incident')")
    page.locator("h1:not(:text-is('old'))").wait_for()
    assert page.locator("[name=from]").input_value() == "2026-11-21T08:00"
