"""The pages of groups and of one item: what they say, and what a word on them does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hdfs_pipeline.serving.tokens import Tokens
from hdfs_pipeline.verdicts.explain import explain_item
from hdfs_pipeline.verdicts.feedback import words
from hdfs_pipeline.verdicts.groups import report_groups
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, fill, open_home
from hdfs_pipeline_tests.serving.pages.test_incidents import HOSTILE, asks


@pytest.fixture(scope="module")
def fresh(excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with logs and neither labels nor a model."""
    home = open_home(tmp_path_factory.mktemp("pages") / "home")
    fill(home, [excerpt.log])
    return home


@pytest.fixture
def home(fresh: Home, tmp_path: Path) -> Home:
    return copy_home(fresh, tmp_path / "home")


def test_groups_are_shown_and_take_a_word(home: Home) -> None:
    ask, (total, groups) = asks(home), report_groups(home.store, home.settings, BLOCKS)
    first = groups[0]
    shown = ask("/groups")
    assert shown.status_code == 200 and f"{total:,} groups of like blocks" in shown.text
    assert shown.text.index(groups[0].kind) < shown.text.index(groups[1].kind)
    assert f'href="/items/blocks/{first.example}"' in shown.text
    assert "All 1 of them" not in shown.text and ("It is" in shown.text) == any(each.items == 1 for each in groups)
    told = ask("/groups", domain="blocks", group=first.kind, verdict="false", note="a test", by="ada")
    assert told.status_code == 303 and told.headers["location"] == "/groups?domain=blocks"
    given = words(home.store, BLOCKS)
    assert {(row["verdict"], row["note"], row["given_by"]) for row in given} == {("false", "a test", "ada")}
    assert len(given) == first.items
    assert f"False alarms: {first.items:,}" in ask("/groups").text
    assert ask("/groups", group=first.kind, verdict="withdraw").status_code == 303
    assert words(home.store, BLOCKS) == []


def test_an_item_is_shown_and_takes_a_word(home: Home) -> None:
    ask, (_, groups) = asks(home), report_groups(home.store, home.settings, BLOCKS)
    block, kind = groups[0].example, groups[0].kind
    shown = ask(f"/items/blocks/{block}").text
    assert f"{block} is anomalous: {kind}" in shown and "Its life, record by record" in shown
    assert f'href="/logs?item={block}"' in shown and ask(f"/logs?item={block}").status_code == 200
    assert "tells why" in shown and shown.count('<a href="#r') == shown.count('<li id="r')
    assert ask(f"/items/blocks?id={block}").headers["location"] == f"/items/blocks/{block}"
    told = ask(f"/items/blocks/{block}", verdict="real", by="ada", note=HOSTILE)
    assert told.status_code == 303 and told.headers["location"] == f"/items/blocks/{block}"
    again = ask(f"/items/blocks/{block}").text
    assert "<strong>Real trouble</strong> by ada" in again and "<script>alert" not in again and "\x1b" not in again
    assert ask(f"/items/blocks/{block}", verdict="withdraw").status_code == 303
    assert words(home.store, BLOCKS) == []


def test_an_anomalous_item_stands_beside_the_nearest_normal_one(home: Home) -> None:
    ask, (_, groups) = asks(home), report_groups(home.store, home.settings, BLOCKS)
    block = groups[0].example
    found = explain_item(home.store, home.settings, BLOCKS, block, "lifecycle", beside=True).beside
    assert found and found.item and (found.missing or found.extra)
    shown = ask(f"/items/blocks/{block}").text
    assert f'the nearest normal block, <a href="/items/blocks/{found.item}">' in shown
    marks = {"missing there": found.missing, "extra here": found.extra}
    for word, steps in marks.items():
        assert shown.count(f'aria-label="{word}: ') == sum(step.count for step in steps)
    assert shown.count(f'<a href="/items/blocks/{found.item}#r') == found.records
    assert "the nearest normal block" not in ask(f"/items/blocks/{found.item}").text
    with home.store.write() as con:  # nothing normal is left beside it
        con.execute("DELETE FROM event_matrix WHERE 'blk_' || block_id <> ?", [block])
    assert "No normal block of the day around it was found" in asks(home)(f"/items/blocks/{block}").text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/items/blocks/blk_1", 404, "names blk_1"),
        ("/items/blocks/nonsense", 400, "is no block id"),
        ("/items/blocks?id=", 400, "is no block id"),
        ("/items/nothing/blk_1", 400, "no domain"),
        ("/groups?domain=nothing", 400, "no domain"),
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(home: Home, path: str, status: int, said: str) -> None:
    shown = asks(home)(path)
    assert shown.status_code == status and said in shown.text and "<h1>" in shown.text


@pytest.mark.parametrize(
    "form",
    [
        {"group": "x", "verdict": "nonsense"},
        {"group": "no such group", "verdict": "real"},
        {"group": "x", "verdict": "real", "note": "x" * 2001},
        {"group": "x", "verdict": "real", "by": "x" * 201},
    ],
)
def test_a_word_that_cannot_be_kept_changes_nothing(home: Home, form: dict[str, str]) -> None:
    assert asks(home)("/groups", **form).status_code in (400, 404)
    assert words(home.store, BLOCKS) == []


def test_an_empty_home_says_what_to_do(new_home: Callable[..., Home]) -> None:
    ask = asks(new_home(bare=True))
    assert "hdfs-pipeline ingest" in ask("/groups").text
    assert ask("/items/blocks/blk_1").status_code == 404


def test_a_word_needs_its_scope(home: Home) -> None:
    guarded = Home(home.settings.model_copy(update={"serve_tokens": True}), home.store)
    token = Tokens(guarded.settings).make("eve", "read")
    ask = asks(guarded, hdfsp_token=token)
    assert ask("/groups").status_code == 200
    assert ask("/groups", group="x", verdict="real").status_code == 403
    assert asks(guarded)("/groups").headers["location"] == "/login?next=/groups"
