"""Versions of models that nobody needs any more are deleted, and no others."""

import shutil
from pathlib import Path

import pytest

from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.learning.tracking import publish_model
from hdfs_pipeline.scoring.models import champion_version, previous_version, promote_model, save_model, saved_versions
from hdfs_pipeline.scoring.retention import forget_versions
from hdfs_pipeline.verdicts.score import score_items
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home

NAME = "exact_match"


@pytest.fixture
def many(trained: Home, tmp_path: Path) -> Home:
    """Nine versions, of which 2 served, and 4 serves."""
    home = copy_home(trained, tmp_path / "home", models_keep=2)
    scorer = load_scorer(home.settings, BLOCKS, NAME)
    for _ in range(8):
        publish_model(home.store, home.settings, save_model(scorer, home.settings, promote=False).card)
    for version in (2, 4):
        promote_model(home.settings, "blocks", NAME, version)
    return home


def forget(home: Home) -> list[int]:
    return forget_versions(home.store, home.settings, "blocks", NAME)


def test_the_champion_its_predecessor_and_the_latest_stay(many: Home) -> None:
    assert forget(many) == [1, 3, 5, 6, 7]
    assert sorted(saved_versions(many.settings, "blocks", NAME)) == [2, 4, 8, 9]
    rows = many.rows("SELECT version FROM models WHERE domain = 'blocks' AND detector = ? ORDER BY 1", NAME)
    assert rows == [(2,), (4,), (8,), (9,)]
    others = many.rows("SELECT DISTINCT detector FROM models ORDER BY 1")
    assert others == [(name,) for name in ("exact_match", "keywords", "random_forest")], "no other detector's"
    assert champion_version(many.settings, "blocks", NAME) == 4
    assert previous_version(many.settings, "blocks", NAME) == 2
    assert not list((many.settings.models / "blocks" / NAME).glob(".staging.*"))
    assert forget(many) == []


def test_what_rows_name_can_still_be_explained(many: Home) -> None:
    promote_model(many.settings, "blocks", NAME, 1)
    score_items(many.store, many.settings, BLOCKS, NAME)
    with many.store.write() as con:
        con.execute("UPDATE scores SET version = 3 WHERE item = (SELECT min(item) FROM scores)")
    for version in (2, 4):
        promote_model(many.settings, "blocks", NAME, version)
    assert forget(many) == [5, 6, 7]
    assert load_scorer(many.settings, BLOCKS, NAME, 1).card.version == 1


def test_a_number_is_never_used_again(many: Home) -> None:
    forget(many)
    saved = save_model(load_scorer(many.settings, BLOCKS, NAME), many.settings, promote=False)
    assert saved.card.version == 10


def test_the_way_back_leaves_out_what_was_deleted(many: Home) -> None:
    shutil.rmtree(many.settings.models / "blocks" / NAME / "0002")
    assert previous_version(many.settings, "blocks", NAME) == 1
