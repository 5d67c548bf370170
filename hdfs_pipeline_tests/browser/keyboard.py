"""A page by the keyboard alone: what Tab reaches, and whether it shows where it is."""

from collections.abc import Callable
from typing import Any

FOCUSED = """() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    const drawn = at instanceof SVGElement ? getComputedStyle(at.querySelector(".bar, .step")) : null;
    const style = getComputedStyle(at);
    const box = at.getBoundingClientRect();
    return {
        name: at.outerHTML.slice(0, 90), href: at.getAttribute("href") || "",
        seen: drawn ? drawn.stroke !== "none" : style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0,
        within: box.width > 0 && box.bottom > 0 && box.top < innerHeight,
    };
}"""
REACHABLE = """() => [...document.querySelectorAll(
        "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
    .filter((each) => each.checkVisibility()).map((each) => each.outerHTML.slice(0, 90))"""


def require_reachable(page: Any, least: int) -> None:
    """Tab reaches all of a page's elements, of which there are at least so many, each in sight and marked."""
    reachable = page.evaluate(REACHABLE)
    missing = set(reachable)
    assert len(missing) >= least
    for _ in range(len(reachable) + 9):
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUSED)
        if at is None:
            break
        assert at["seen"] and at["within"], at
        missing.discard(at["name"])
    assert not missing


def tab_to(page: Any, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Press Tab until it is at the wanted element."""
    for _ in range(200):
        page.keyboard.press("Tab")
        if (at := page.evaluate(FOCUSED)) and wanted(at):
            return
    raise AssertionError("Tab does not reach it")
