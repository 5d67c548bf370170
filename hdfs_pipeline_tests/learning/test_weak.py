"""Training without labels: what the rules teach, what people say above them, and the budget for what is new here."""

from dataclasses import replace

import numpy as np
import pytest

from hdfs_pipeline.learning.training import fit, judge
from hdfs_pipeline.learning.weak import dismissed, with_weak_labels
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.feedback import Word, overlay
from hdfs_pipeline.scoring.knowledge import failed, worst
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.homes import BLOCKS, Home

LEARNING = ("random_forest", "autoencoder", "exact_match", "combinations")


@pytest.fixture
def labelled(trained: Home) -> Dataset:
    """Blocks of the sample with their labels."""
    return BLOCKS.features(trained.store, trained.settings)


@pytest.fixture
def settings(trained: Home) -> Settings:
    return trained.settings


@pytest.fixture
def data(labelled: Dataset) -> Dataset:
    """The same blocks, whose labels nobody knows."""
    nobody = np.full(len(labelled), UNLABELLED, np.int8)
    return replace(labelled, labels=nobody, kinds=np.full(len(labelled), "", object))


def grades(data: Dataset, settings: Settings) -> np.ndarray:
    knowledge = BLOCKS.knowledge(settings, data.main.source)
    assert knowledge is not None
    return knowledge.grades(data.main.values, data.main.unfinished)


def days(data: Dataset, count: float) -> Dataset:
    """The blocks, spread over so many days."""
    return replace(data, time=np.linspace(0, count * 86.4e9, len(data)).astype(np.int64))


def test_labels_are_the_verdicts_of_the_rules(data: Dataset, settings: Settings) -> None:
    weak = with_weak_labels(data, BLOCKS, settings)
    assert ((weak.labels == ANOMALY) == failed(grades(data, settings))).all()
    assert set(weak.labels.tolist()) <= {ANOMALY, NORMAL, UNLABELLED}
    assert weak.facts["weak"]["anomalies"] == (weak.labels == ANOMALY).sum() > 0
    assert with_weak_labels(weak, BLOCKS, settings) is weak, "once is enough"


def test_labels_of_people_leave_no_room_for_weak_ones(labelled: Dataset, settings: Settings) -> None:
    assert with_weak_labels(labelled, BLOCKS, settings) is labelled


def test_a_few_labels_stand_above_the_rules_and_do_not_end_them(data: Dataset, settings: Settings) -> None:
    """One label must not be all that is known: a model of one normal block would flag all others."""
    broken = np.flatnonzero(failed(grades(data, settings)))
    labels = data.labels.copy()
    labels[broken[0]] = NORMAL
    weak = with_weak_labels(replace(data, labels=labels), BLOCKS, settings)
    assert weak.labels[broken[0]] == NORMAL
    assert (weak.labels[broken[1:]] == ANOMALY).all()
    assert weak.facts["weak"]["labels"] == 1
    scorer = fit(replace(data, labels=labels), BLOCKS, "exact_match", settings)
    assert (scorer.score(data.main) >= scorer.card.threshold).mean() < 0.2


def test_a_stretch_of_false_alarms_is_normal(data: Dataset, settings: Settings) -> None:
    begin, end = int(data.time.min()), int(np.median(data.time))
    told = overlay(data, [Word("false", None, "", begin, end)])
    weak = with_weak_labels(told, BLOCKS, settings)
    inside = (data.time >= begin) & (data.time <= end)
    assert (weak.labels[inside] == NORMAL).all()
    assert (weak.labels[~inside & failed(grades(data, settings))] == ANOMALY).all()


def test_a_word_on_one_block_is_about_that_block(data: Dataset, settings: Settings) -> None:
    """Even where no other block breaks its rule."""
    first = worst(grades(data, settings))
    sizes = np.bincount(first[first >= 0])
    (lonely, *_) = np.flatnonzero((sizes > 0) & (sizes < 3))
    assert dismissed(spoken(data, np.flatnonzero(first == lonely), "expected"), BLOCKS, settings) == {}


def test_what_is_rare_and_unlike_the_common_is_not_learned(data: Dataset, settings: Settings) -> None:
    """A count that no common block has, of an event that breaks no rule."""
    usual = np.flatnonzero(with_weak_labels(data, BLOCKS, settings).labels == NORMAL)[0]
    values = data.main.values.copy()
    values[usual, data.main.columns.index("E3")] = 77
    odd = replace(data, matrices=data.matrices | {"events": replace(data.main, rows=values, at=None)})
    weak = with_weak_labels(odd, BLOCKS, settings)
    assert weak.labels[usual] == UNLABELLED
    assert weak.facts["weak"]["rare"] >= 1


@pytest.mark.parametrize("name", LEARNING)
def test_failures_are_not_learned_as_normal(data: Dataset, labelled: Dataset, settings: Settings, name: str) -> None:
    """Trained on blocks that nobody labelled, a detector finds what the rules find."""
    scorer = fit(data, BLOCKS, name, settings)
    lifecycle = fit(data, BLOCKS, "lifecycle", settings)
    one, other = (judge(each, labelled, settings).evaluation for each in (scorer, lifecycle))
    assert one.f1 >= other.f1 > 0.9


@pytest.mark.parametrize("name", LEARNING)
def test_a_short_recording_allows_nothing_to_be_new(data: Dataset, settings: Settings, name: str) -> None:
    scorer = fit(days(data, 1), BLOCKS, name, settings)
    assert scorer.card.weak["allowed"] < 0
    matrix = data.matrix(scorer.card.family)
    wild = replace(matrix, rows=np.where(matrix.rows > 0, matrix.rows * 9 + 70, 0).astype(np.float32))
    broken = failed(grades(replace(data, matrices=data.matrices | {scorer.card.family: wild}), settings))
    assert ((scorer.score(wild) >= scorer.card.threshold) == broken).all()


def test_the_budget_bounds_what_is_new_in_training(data: Dataset, settings: Settings) -> None:
    """With a month of logs a few may be new: no more than the budget allows, and never what came together before."""
    month = days(data, 30)
    for a_day in (0.1, 0.5, 2.0):
        told = settings.model_copy(update={"new_here_a_day": a_day})
        scorer = fit(month, BLOCKS, "exact_match", told)
        flagged = scorer.score(data.main) >= scorer.card.threshold
        new = flagged & ~failed(grades(data, settings))
        assert new.sum() == scorer.card.weak["new_here"] <= scorer.card.weak["allowed"] + 1 <= a_day * 30


def test_events_that_never_came_together_are_new_here(data: Dataset, settings: Settings) -> None:
    scorer = fit(days(data, 30), BLOCKS, "exact_match", settings)
    normal = np.flatnonzero(with_weak_labels(data, BLOCKS, settings).labels == NORMAL)[:1]
    odd = data.main.values[normal].copy()
    odd[:, data.main.columns.index("E24")] = 40  # notable, and no rule speaks of it
    matrix = replace(data.main.take(normal), rows=odd, at=None)
    assert (scorer.score(matrix) >= scorer.card.threshold).all()
    often = data.main.values[normal] * 40
    assert (scorer.score(replace(matrix, rows=often, at=None)) < scorer.card.threshold).all(), "only more of the same"


def spoken(data: Dataset, rows: np.ndarray, verdict: str) -> Dataset:
    return overlay(data, [Word(verdict, int(key)) for key in data.keys[rows]])


def first_rule(data: Dataset, settings: Settings) -> tuple[str, np.ndarray]:
    """The rule that is first in most blocks, and these blocks."""
    knowledge = BLOCKS.knowledge(settings, data.main.source)
    assert knowledge is not None
    first = worst(grades(data, settings))
    failing = first[failed(grades(data, settings))]
    index = int(np.bincount(failing).argmax())
    return knowledge.rules[index].id, np.flatnonzero(first == index)


def test_words_on_a_whole_kind_dismiss_its_rule(data: Dataset, settings: Settings) -> None:
    rule, rows = first_rule(data, settings)
    told = spoken(data, rows, "false")
    gone = dismissed(told, BLOCKS, settings)
    assert gone.keys() == {rule}
    assert rule in gone[rule]
    for name in ("lifecycle", "exact_match"):
        scorer = fit(told, BLOCKS, name, settings)
        assert scorer.card.weak["dismissed"] == gone
        assert not (scorer.score(data.matrix(scorer.card.family))[rows] >= scorer.card.threshold).any()


@pytest.mark.parametrize(("share", "verdict"), [(1.0, "real"), (0.3, "false")])
def test_a_rule_stands_where_people_agree_or_few_spoke(
    data: Dataset, settings: Settings, share: float, verdict: str
) -> None:
    _, rows = first_rule(data, settings)
    told = spoken(data, rows[: max(1, int(share * len(rows)))], verdict)
    assert dismissed(told, BLOCKS, settings) == {}


def test_expected_blocks_are_neither(data: Dataset, settings: Settings) -> None:
    _, rows = first_rule(data, settings)
    weak = with_weak_labels(spoken(data, rows[:1], "expected"), BLOCKS, settings)
    assert weak.labels[rows[0]] == AMBIGUOUS


def test_what_people_called_real_beyond_the_rules_is_learned(data: Dataset, settings: Settings) -> None:
    """By a detector that learns from labels; it may find its like without a budget."""
    normal = np.flatnonzero(with_weak_labels(data, BLOCKS, settings).labels == NORMAL)
    distinct = data.main.take(normal).distinct
    rare = normal[distinct.inverse == np.argmin(distinct.weights)]
    told = spoken(data, rare, "real")
    scorer = fit(told, BLOCKS, "random_forest", settings)
    assert scorer.card.weak["beyond"] == len(rare)
    assert (scorer.score(data.main)[rare] >= scorer.card.threshold).all()
