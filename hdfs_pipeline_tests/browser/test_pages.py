"""Every page: nothing serious against WCAG A and AA in both themes and at three widths, and how much it weighs."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from hdfs_pipeline_tests.browser.conftest import Visit
from hdfs_pipeline_tests.browser.test_walks import a_block, one
from hdfs_pipeline_tests.homes import Home

PAGES = {
    "now": "/",
    "now, an empty window": "/?from=2001-01-01&to=2001-01-02",
    "incidents": "/incidents",
    "incidents, none fits": "/incidents?kind=nothing+like+it",
    "incident": "/incidents/{incident}",
    "groups": "/groups",
    "feed": "/feed",
    "groups, none": "/groups?domain=namenode",
    "item": "/items/blocks/{block}",
    "models": "/models",
    "models, another threshold": "/models?detector=lifecycle&threshold=0.3",
    "models, none": "/models?domain=namenode",
    "drift": "/models/drift",
    "namenode, none polled": "/namenode",
    "no such training": "/namenode/training/nonsense",
    "no such item": "/items/blocks/blk_1",
    "no such incident": "/incidents/nonsense",
    "logs": "/logs?text=exception",
    "logs, none fits": "/logs?text=nothing+like+it",
    "logs, wrong expression": "/logs?regex=a(b",
    "patterns": "/logs/patterns",
    "experiments": "/experiments",
    "wrong address": "/nothing/here",
    "wrong question": "/incidents?since=yesterday",
    "login": "/login",
    "system": "/system",
    "system, its parts": "/system/health",
    "system, store": "/system/store",
    "system, topics": "/system/topics",
    "system, schedules": "/system/schedules",
    "dead letters": "/system/dead-letters",
    "no such dead letter": "/system/dead-letters/nothing",
    "settings": "/system/settings",
    "tokens": "/system/tokens",
}
WIDTHS = (1440, 1280, 390)
_RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "resultTypes": ["violations"],
}
_MOST = 150_000  # bytes of JavaScript and CSS, gzipped


@pytest.mark.parametrize("name", PAGES)
def test_nothing_serious_stands_in_anybodys_way(visitor: Callable[..., Visit], judged: Home, name: str) -> None:
    visit = visitor()
    page = visit.open(PAGES[name].format(incident=one(judged), block=a_block(judged)))
    assert found_by_axe(page) == []
    assert [told for told in visit.complaints if "status of 4" not in told] == []


def found_by_axe(page: Any) -> list[tuple[str, int, str, list[str]]]:
    """What is serious on a page, by theme and width; none of it may be wider than the window."""
    from axe_playwright_python.sync_playwright import Axe

    axe = Axe()
    found: list[tuple[str, int, str, list[str]]] = []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{width} px are too narrow"
            found += [
                (theme, width, each["id"], [node["html"][:200] for node in each["nodes"][:3]])
                for each in axe.run(page, options=_RULES).response["violations"]
                if each["impact"] in ("serious", "critical")
            ]
    return found


def test_the_button_for_the_theme_keeps_it(visit: Visit) -> None:
    page = visit.open("/")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Switch between dark and light").click()
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after != before


def test_javascript_and_css_weigh_little(visit: Visit) -> None:
    weights: dict[str, int] = {}

    def weigh(answer: object) -> None:
        path = answer.url.partition("?")[0]  # type: ignore[attr-defined]
        if path.endswith((".js", ".css")):
            weights[path] = len(gzip.compress(answer.body()))  # type: ignore[attr-defined]

    visit.page.on("response", weigh)
    visit.open("/")
    visit.live()
    assert len(weights) >= 5
    assert sum(weights.values()) < _MOST
