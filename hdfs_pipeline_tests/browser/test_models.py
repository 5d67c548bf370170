"""The page of models, in a real browser, on a home with two versions of a model."""

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hdfs_pipeline.learning.challenge import train_and_track
from hdfs_pipeline.scoring.models import champion_version
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.verdicts.score import score_items
from hdfs_pipeline_tests.browser.conftest import Server, Visit, free_port
from hdfs_pipeline_tests.browser.keyboard import tab_to
from hdfs_pipeline_tests.browser.test_pages import found_by_axe
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home

PAGE = "/models?domain=blocks&detector=exact_match"


@pytest.fixture(scope="module")
def twice(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with scores, and a second version of a model that does not serve."""
    home = copy_home(trained, tmp_path_factory.mktemp("models") / "home")
    shutil.copy(trained.settings.home / "mlflow.db", home.settings.home)
    for name in ("random_forest", "exact_match", "lifecycle"):
        score_items(home.store, home.settings, BLOCKS, name)
    train_and_track(home.store, BLOCKS.features(home.store, home.settings), BLOCKS, "exact_match", home.settings)
    return home


@pytest.fixture(scope="module")
def server(twice: Home) -> Iterator[Server]:
    found = Server(twice.settings.home, free_port())
    found.start()
    yield found
    assert found.process is not None
    found.process.terminate()
    found.process.wait(30)


def serves(settings: Settings) -> int | None:
    return champion_version(settings, "blocks", "exact_match")


def version(page: Any, number: int) -> Any:
    return page.locator(".versions > li").filter(has=page.get_by_text(f"Version {number}", exact=True))


def test_nothing_serious_stands_in_anybodys_way(visitor: Callable[..., Visit]) -> None:
    visit = visitor()
    assert found_by_axe(visit.open(f"{PAGE}&threshold=0.3")) == []
    assert visit.complaints == []


def test_a_domain_and_a_threshold_are_chosen_and_stay_in_the_address(visit: Visit) -> None:
    page = visit.open("/models")
    assert "come from random_forest version 1" in page.locator("h1").inner_text()
    page.get_by_role("link", name="daemons", exact=True).click()
    page.wait_for_url("**/models?domain=daemons")
    page.get_by_role("link", name="blocks", exact=True).click()
    page.get_by_role("link", name="exact_match", exact=True).click()
    page.get_by_role("heading", name="exact_match: what it scores").wait_for()
    page.get_by_label("Try a threshold").fill("0.9")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/models?*threshold=0.9*")
    said = page.locator("#outcome").inner_text()
    assert re.match(r"From 0\.9 on it would flag [\d,]+ blocks, .*precision \d\.\d+ \(now", said)
    page.reload()
    assert page.locator("#outcome").inner_text() == said
    assert page.get_by_label("Try a threshold").input_value() == "0.9"
    assert page.locator("svg .level.asked").count() == 1
    page.get_by_role("link", name="Back to the fixed one").click()
    page.locator("#outcome", has_text="It flags").wait_for()


def test_drift_comes_by_itself_and_without_javascript_by_a_link(visit: Visit, visitor: Callable[..., Visit]) -> None:
    page = visit.open(PAGE)
    page.get_by_role("heading", name="Too few new blocks to tell drift").wait_for()
    assert page.locator("#drift").count() == 1
    other = visitor(java_script_enabled=False).open(PAGE)
    other.get_by_role("link", name="Measure whether new blocks").click()
    other.get_by_role("heading", name="Too few new blocks to tell drift").wait_for()


def test_a_version_serves_after_a_tick_and_the_one_before_serves_again(visit: Visit, twice: Home) -> None:
    page = visit.open(PAGE)
    assert version(page, 1).locator(".status").inner_text() == "★ serves"
    page.get_by_text("Let version 2 serve").click()
    button = version(page, 2).get_by_role("button", name="Let it serve")
    button.click()
    assert serves(twice.settings) == 1, "the browser asks for the tick first"
    version(page, 2).get_by_role("checkbox").check()
    version(page, 2).get_by_label("Your name").fill("ada")
    button.click()
    version(page, 2).locator(".status.serves").wait_for()
    assert serves(twice.settings) == 2
    assert "ada" in page.locator("table", has_text="What has served").locator("tbody tr").first.inner_text()
    page.get_by_text("Roll back to version 1").click()
    page.get_by_role("checkbox", name="Version 1 is to serve again").check()
    page.get_by_role("button", name="Roll back").click()
    version(page, 1).locator(".status.serves").wait_for()
    assert serves(twice.settings) == 1


def test_the_keyboard_alone_lets_a_version_serve(visit: Visit, twice: Home) -> None:
    page = visit.open(PAGE)
    tab_to(page, lambda at: "Let version 2 serve" in at["name"])
    page.keyboard.press("Enter")
    tab_to(page, lambda at: 'name="sure"' in at["name"])
    page.keyboard.press("Space")
    tab_to(page, lambda at: "Let it serve" in at["name"])
    page.keyboard.press("Enter")
    version(page, 2).locator(".status.serves").wait_for()
    assert serves(twice.settings) == 2
