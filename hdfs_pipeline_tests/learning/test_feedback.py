"""Verdicts of people reach every detector, keep to what they say, and are gone when they are withdrawn."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.detectors.autoencoder import Autoencoder
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.champions import load_scorer, standard_detectors
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.challenge import train_and_track
from hdfs_pipeline.learning.retraining import changed_feedback, retrain
from hdfs_pipeline.learning.tracking import start_tracking
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.learning.weak import with_weak_labels
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.feedback import feedback_sentence
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL
from hdfs_pipeline.scoring.models import known_feedback, marked_items
from hdfs_pipeline.verdicts.explain import explain_item
from hdfs_pipeline.verdicts.feedback import all_feedback, give_feedback, take_back
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home

SETTINGS = {"retrain_holdout_blocks": 60, "bootstrap_samples": 0}
LEARNING = [name for name in standard_detectors(BLOCKS) if detector_row(name).cls.learns_from != "nothing"]

WITHOUT_LABELS = [name for name in LEARNING if detector_row(name).cls.learns_from == "normals"]


@pytest.fixture
def home(trained: Home, tmp_path: Path, mlflow_db: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy of the trained home, 400 labelled blocks, with an MLflow of its own."""
    monkeypatch.setattr(Autoencoder, "DEFAULTS", {"steps": 300, "lr": 0.01})
    found = copy_home(trained, tmp_path / "home", **SETTINGS)
    shutil.copy(mlflow_db, found.settings.home)
    return found


def without_labels(home: Home) -> None:
    with home.store.write() as con:
        con.execute("DELETE FROM labels")


def flagged(home: Home, name: str) -> np.ndarray:
    """Which blocks the champion calls anomalous."""
    scorer = load_scorer(home.settings, BLOCKS, name)
    return scorer.score(load_dataset(home.store, home.settings).matrix(scorer.card.family)) >= scorer.card.threshold


def rare(data: Dataset, among: np.ndarray, at: int = 0) -> int:
    """A row among those whose counts no other block has, so that no label speaks against a verdict."""
    distinct = data.matrix("events").distinct
    return int(np.flatnonzero(among & (distinct.weights[distinct.inverse] == 1))[at])


def with_one_flagged(home: Home, name: str) -> Dataset:
    """The home's blocks, of which all but one of those that are flagged go: the others are no question of feedback.

    Without labels a detector learns them as normal, and is not steady then.
    """
    data, found = load_dataset(home.store, home.settings), flagged(home, name)
    keys = data.matrix("events").keys
    gone = keys[found & (keys != keys[rare(data, found)])].tolist()
    with home.store.write() as con:
        con.execute(f"DELETE FROM event_matrix WHERE block_id IN {(*gone, 0, 0)}")
    return load_dataset(home.store, home.settings)


def say(home: Home, data: Dataset, row: int, verdict: str) -> None:
    give_feedback(home.store, home.settings, BLOCKS, str(data.matrix("events").keys[row]), verdict, by="me")


@pytest.mark.parametrize(
    ("labelled", "name"), [(True, name) for name in LEARNING] + [(False, name) for name in WITHOUT_LABELS]
)
def test_verdicts_are_honoured_and_forgotten_when_withdrawn(home: Home, name: str, labelled: bool) -> None:
    data = load_dataset(home.store, home.settings)
    if not labelled:
        early = np.argsort(data.time)[:250]  # so that something of the rest is flagged
        without_labels(home)
        train_and_track(home.store, load_dataset(home.store, home.settings).take(early), BLOCKS, name, home.settings)
        data = with_one_flagged(home, name)
    else:
        train_and_track(home.store, data, BLOCKS, name, home.settings)
    before = flagged(home, name)
    false, real = rare(data, before), rare(data, ~before)
    say(home, data, false, "false")
    say(home, data, real, "real")
    assert changed_feedback(home.store, home.settings, BLOCKS, name) == 2
    done = retrain(home.store, home.settings, BLOCKS, name, at_least=0)
    assert done.status == "promoted", done.verdict
    after = flagged(home, name)
    assert (after[false], after[real]) == (False, True)
    assert (done.feedback["judged"], done.feedback["agrees"], done.feedback["before"]["agrees"]) == (2, 2, 0)
    assert feedback_sentence(done.feedback) == (
        "2 verdicts used (1 real, 1 false, 0 expected); the new model agrees with 2 of 2, the one before with 0"
    )
    assert load_scorer(home.settings, BLOCKS, name).card.feedback == done.feedback
    assert changed_feedback(home.store, home.settings, BLOCKS, name) == 0
    for row in (false, real):
        take_back(home.store, home.settings, BLOCKS, str(data.matrix("events").keys[row]))
    assert changed_feedback(home.store, home.settings, BLOCKS, name) == 2
    done = retrain(home.store, home.settings, BLOCKS, name, at_least=0)
    assert done.status == "promoted", done.verdict
    assert done.feedback == {}
    scorer = load_scorer(home.settings, BLOCKS, name)
    assert scorer.card.after is None, "what was learned from a verdict is not gone on from"
    if labelled:
        assert flagged(home, name)[[false, real]].tolist() == [True, False]
    else:  # the block that was flagged is by now learned as normal, as it would have been without a verdict
        assert not flagged(home, name)[real]
        assert scorer.ruled is None or not len(scorer.ruled)


def test_a_file_of_labels_is_never_overwritten(home: Home) -> None:
    before = home.rows("SELECT * FROM labels ORDER BY block_id")
    data = load_dataset(home.store, home.settings)
    say(home, data, rare(data, data.labels == ANOMALY), "false")
    retrain(home.store, home.settings, BLOCKS, "exact_match", at_least=0)
    assert home.rows("SELECT * FROM labels ORDER BY block_id") == before


def test_the_baseline_learns_nothing_and_says_so(home: Home) -> None:
    data = load_dataset(home.store, home.settings)
    say(home, data, rare(data, flagged(home, "keywords")), "false")
    done = retrain(home.store, home.settings, BLOCKS, "keywords", at_least=0)
    assert done.status == "nothing to learn"
    card, _ = train_and_track(home.store, load_dataset(home.store, home.settings), BLOCKS, "keywords", home.settings)
    assert card.feedback["agrees"] == 0
    assert "still flagged: keywords learns nothing" in feedback_sentence(card.feedback)


def test_what_cannot_be_honoured_is_told(home: Home) -> None:
    """Two blocks with the same events cannot be told apart: the labels of the many stand against one verdict."""
    data = load_dataset(home.store, home.settings)
    distinct = data.matrix("events").distinct
    common = int(np.flatnonzero(distinct.inverse == distinct.weights.argmax())[0])
    say(home, data, common, "real")
    done = retrain(home.store, home.settings, BLOCKS, "exact_match", at_least=0)
    assert not flagged(home, "exact_match")[common]
    told = feedback_sentence(done.feedback)
    assert "agrees with 0 of 1" in told
    assert f"{distinct.weights.max() - 1:,} blocks with the same events known to be normal" in told
    (row,) = all_feedback(home.store, home.settings, BLOCKS)
    assert row["now"]["agrees"] is False


def test_in_an_unlabelled_home_words_stand_above_the_rules(home: Home) -> None:
    without_labels(home)
    data = load_dataset(home.store, home.settings)
    before = fit(data, BLOCKS, "random_forest", home.settings).card
    normal = np.flatnonzero(data.labels != ANOMALY)[:3]
    for row, verdict in zip(normal, ("real", "false", "expected"), strict=True):
        say(home, data, int(row), verdict)
    told = load_dataset(home.store, home.settings)
    card = fit(told, BLOCKS, "random_forest", home.settings).card
    assert (card.weak["words"], card.weak["dismissed"]) == (3, {})
    assert card.items == before.items - 1, "but for the expected one"
    labels = with_weak_labels(told, BLOCKS, home.settings).labels
    assert labels[normal].tolist() == [ANOMALY, NORMAL, AMBIGUOUS]


def test_a_domain_without_rules_needs_enough_real_verdicts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take the place of labels for a detector that needs some."""
    monkeypatch.setattr(type(BLOCKS), "knowledge", lambda *_: None)
    labelled = load_dataset(home.store, home.settings)
    without_labels(home)
    for row in np.flatnonzero(labelled.labels == ANOMALY)[:20]:
        say(home, labelled, int(row), "real")
    shutil.rmtree(home.settings.models / "blocks" / "random_forest")
    card, _ = train_and_track(
        home.store, load_dataset(home.store, home.settings), BLOCKS, "random_forest", home.settings
    )
    assert (card.items, card.anomalies, card.metrics) == (400, 20, {}), "learned from, and nothing to be judged on"
    done = retrain(home.store, home.settings, BLOCKS, "random_forest", at_least=0)
    assert (done.status, done.judgement["by"]) == ("kept", "steadiness"), done.verdict
    assert flagged(home, "random_forest")[labelled.labels == NORMAL].mean() < 0.02
    few = home.settings.model_copy(update={"feedback_labels": 21})
    with pytest.raises(DataError, match="call 21 blocks real"):
        fit(load_dataset(home.store, home.settings), BLOCKS, "random_forest", few)


def test_verdicts_do_not_leak_into_the_figures(home: Home) -> None:
    """A verdict in the test half of a split is a label there, and nothing that the model was told."""
    data = load_dataset(home.store, home.settings)
    say(home, data, rare(data, data.labels == ANOMALY), "false")
    told = load_dataset(home.store, home.settings)
    row = np.flatnonzero(told.with_feedback)
    others = np.setdiff1d(np.arange(len(told)), row)
    scorer = fit(told.take(others), BLOCKS, "exact_match", home.settings)
    assert scorer.score(told.take(row).matrix("events"))[0] >= scorer.card.threshold
    assert known_feedback(home.settings, "blocks", "exact_match", 1) == {}


def test_a_verdict_on_a_late_block_is_learned_and_not_held_out(home: Home) -> None:
    data = load_dataset(home.store, home.settings)
    latest = int(np.argmax(np.where(data.labels == ANOMALY, data.time, 0)))
    say(home, data, latest, "false")
    retrain(home.store, home.settings, BLOCKS, "exact_match", at_least=0)
    key = int(data.matrix("events").keys[latest])
    assert known_feedback(home.settings, "blocks", "exact_match", 2) == {key: NORMAL}
    mark = load_dataset(home.store, home.settings).marks("events")[latest]
    learned, judged = marked_items(home.settings, "blocks", "exact_match", 2) or ([], [])
    assert mark in learned
    assert mark not in judged


def test_verdicts_alone_start_a_retraining(home: Home) -> None:
    settings = home.settings.model_copy(update={"retrain_feedback": 2})
    data = load_dataset(home.store, home.settings)
    say(home, data, rare(data, data.labels == ANOMALY), "false")
    waits = retrain(home.store, settings, BLOCKS, "exact_match")
    assert (waits.status, waits.new) == ("waiting", 1), "a changed label is new"
    assert "1 changed verdicts of the 2" in waits.verdict
    say(home, data, rare(data, data.labels == ANOMALY, 1), "expected")
    assert retrain(home.store, settings, BLOCKS, "exact_match").challenger == 2
    assert retrain(home.store, settings, BLOCKS, "exact_match").status == "waiting"


def test_what_people_said_stands_in_reasons_and_in_mlflow(home: Home) -> None:
    data = load_dataset(home.store, home.settings)
    false, real = rare(data, data.labels == ANOMALY), rare(data, data.labels == NORMAL)
    say(home, data, false, "false")
    say(home, data, real, "real")
    done = retrain(home.store, home.settings, BLOCKS, "exact_match", at_least=0)
    for row, told in ((false, "a false alarm; "), (real, "a real anomaly; ")):
        report = explain_item(home.store, home.settings, BLOCKS, str(data.matrix("events").keys[row]), "exact_match")
        assert report.explanation.reason.startswith(f"people called a block with the same events {told}")
        assert report.feedback is not None
        assert report.feedback["given_by"] == "me"
    import mlflow

    start_tracking(home.settings, "blocks")
    tags = mlflow.get_run(done.run_id).data.tags
    assert (tags["feedback_verdicts"], tags["feedback_agrees"], tags["feedback_real"]) == ("2", "2", "1")
