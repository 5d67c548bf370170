"""A simulated person: the labels answer for groups, and nothing else of them is learned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.experiments.comparison import compare
from hdfs_pipeline.experiments.figures import Judged
from hdfs_pipeline.experiments.person import questioned
from hdfs_pipeline.experiments.report import render_report
from hdfs_pipeline.experiments.sides import file_sides, home_sides
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED
from hdfs_pipeline.verdicts.groups import known_groups
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, fill, open_home


@pytest.fixture(scope="module")
def home(excerpt: Excerpt, tmp_path_factory: pytest.TempPathFactory) -> Home:
    found = open_home(tmp_path_factory.mktemp("person") / "home")
    fill(found, [excerpt.log], excerpt.csv)
    return found


@pytest.fixture(scope="module")
def data(home: Home) -> Dataset:
    return BLOCKS.features(home.store, home.settings)


def test_the_word_on_a_group_is_what_most_of_its_items_are(home: Home, data: Dataset) -> None:
    first, *_ = known_groups(data, home.settings, BLOCKS)
    size = len(first)
    halves = [ANOMALY] * (size // 2) + [NORMAL] * (size // 2) + [UNLABELLED] * (size % 2)
    for labels, verdict, right in (
        ([ANOMALY] * size, "real", size),
        ([NORMAL] * (size - 1) + [ANOMALY], "false", size - 1),
        ([AMBIGUOUS] * size, "expected", size),
        ([UNLABELLED] * (size - 1) + [ANOMALY], "real", 1),
        (halves, "expected", 0),
        ([UNLABELLED] * size, "expected", 0),
    ):
        known = data.labels.copy()
        known[first.rows] = labels
        asked, said = questioned(replace(data, labels=known), BLOCKS, home.settings, 1)
        assert said["answers"] == [{"kind": first.kind, "verdict": verdict, "items": size, "right": right}]
        assert said["items"] == size
        assert asked.feedback is not None
        assert set(asked.keys[asked.with_feedback]) == set(data.keys[first.rows])


def test_no_label_is_left_and_the_most_worthwhile_are_asked_first(home: Home, data: Dataset) -> None:
    groups = known_groups(data, home.settings, BLOCKS)
    assert len(groups) > 3
    asked, said = questioned(data, BLOCKS, home.settings, 3)
    assert [answer["kind"] for answer in said["answers"]] == [group.kind for group in groups[:3]]
    assert set(asked.labels.tolist()) <= {UNLABELLED, AMBIGUOUS}, "in a home without labels words are no labels"
    assert set(asked.labels[~asked.with_feedback].tolist()) == {UNLABELLED}
    assert not {"normal", "anomaly"} & set(asked.kinds.tolist())
    none, said = questioned(data, BLOCKS, home.settings, 0)
    assert (none.feedback, said) == (None, {"answers": [], "items": 0})
    assert (none.labels == UNLABELLED).all()
    every, said = questioned(data, BLOCKS, home.settings, 1000)
    assert len(said["answers"]) == len(groups)
    assert every.feedback is not None
    assert len(every.feedback) == said["items"] == sum(len(group) for group in groups)


@pytest.mark.parametrize("groups", [0, 4])
def test_detectors_learn_the_words_alone_and_are_judged_by_labels(home: Home, groups: int) -> None:
    names = ["lifecycle", "exact_match"]
    sides = home_sides(home.store, home.settings, BLOCKS, names, "groups", groups)
    assert len(sides.learn) + len(sides.test) == 400
    assert sides.learn.time.max() <= sides.test.time.min()
    assert not (sides.learn.labels >= 0).any()
    assert set(sides.test.labels.tolist()) == {NORMAL, ANOMALY}
    found = compare(sides, BLOCKS, names, home.settings)
    entries = [entry for entry in found.entries if isinstance(entry, Judged)]
    assert [entry.detector for entry in entries] == names
    assert all(entry.evaluation.f1 > 0.9 for entry in entries)
    said = found.to_json()["data"]["groups"]
    assert len(said["answers"]) == groups
    (sentence,) = [line for line in found.conclusion if line.startswith("No label")]
    assert (f"words on {groups} groups" if groups else "no word was learned") in sentence
    assert all(f"{answer['kind']} ({answer['items']})" in sentence for answer in said["answers"])
    page = render_report(found)
    assert "simulated person" in page
    assert sentence.partition(".")[0] in page


def test_all_of_one_data_set_may_be_learned_and_another_one_judged(
    home: Home, excerpt: Excerpt, unseen: Excerpt, tmp_path: Path
) -> None:
    bare = open_home(tmp_path / "bare").settings
    given = {"logs": [str(excerpt.log)], "labels": excerpt.csv}
    other = {"test_logs": [str(unseen.log)], "test_labels": unseen.csv}
    sides = file_sides(bare, BLOCKS, ["lifecycle"], "groups", groups=2, **given, **other)
    assert (sides.split, len(sides.learn), len(sides.test)) == ("groups", 400, 60)
    assert len(sides.facts["groups"]["answers"]) == 2
    assert sides.facts["other"]["items"] == 60
    assert np.isin(sides.learn.labels, [UNLABELLED, AMBIGUOUS]).all()


def test_a_split_that_is_none_is_told(home: Home) -> None:
    with pytest.raises(UsageError, match="did you mean 'groups'"):
        home_sides(home.store, home.settings, BLOCKS, ["lifecycle"], "group")


def test_a_domain_that_knows_nothing_beforehand_has_no_groups_to_ask_about(
    home: Home, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(BLOCKS), "knowledge", lambda *_: None)
    with pytest.raises(DataError, match="nothing is known of blocks beforehand"):
        questioned(data, BLOCKS, home.settings, 1)
