"""A NameNode's training by the common functions: thresholds, cards, files, false alarms, rollback, the gate."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.namenode.baseline import require
from hdfs_pipeline.domains.namenode.detectors import LEARNING, MAIN, RULES, params_of
from hdfs_pipeline.domains.namenode.explain import judge
from hdfs_pipeline.domains.namenode.features import FAMILY, dataset
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.learning.judgement import compare
from hdfs_pipeline.learning.retraining import roll_back_all
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.labels import AMBIGUOUS, FALSE_ALARM
from hdfs_pipeline.scoring.models import cards, champion_version, promote_model, save_model
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings, load_settings
from hdfs_pipeline_tests.domains.namenode.watched import NAMENODES, QUICK, noise, noise_series
from hdfs_pipeline_tests.homes import Home

Scorers = dict[str, Scorer]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings(tmp_path_factory.mktemp("home")).model_copy(update=QUICK)


@pytest.fixture(scope="module")
def quiet(quick: Settings) -> Dataset:
    return dataset(noise_series(200), quick)


@pytest.fixture(scope="module")
def learned(quiet: Dataset, quick: Settings) -> Scorers:
    return {name: fit(quiet, NAMENODES, name, quick) for name in LEARNING}


def test_too_little_data_is_told_in_numbers(quiet: Dataset) -> None:
    with pytest.raises(DataError, match="needs 30 steps without a gap, has 12; at 5 s a step that is 90 s more"):
        require(quiet.take(np.arange(12)).main.inputs, 30)


def test_a_quiet_baseline_stays_quiet_by_its_own_thresholds(learned: Scorers, quiet: Dataset, quick: Settings) -> None:
    rules = load_scorer(quick, NAMENODES, RULES)
    for answer in judge(quiet.main.inputs, learned | {RULES: rules}):
        assert answer.over.mean() < 0.02 or answer.name == RULES, answer.name
        assert answer.threshold > 0 and (answer.rule == "a limit is reached" or "quantile" in answer.rule)


def test_a_card_remembers_the_baseline(learned: Scorers, quiet: Dataset) -> None:
    for name, scorer in learned.items():
        card = scorer.card
        assert (card.domain, card.detector, card.family, card.items) == ("namenode", name, FAMILY, 200)
        assert (card.columns, card.source, card.anomalies) == (quiet.main.columns, quiet.main.source, None)
        assert card.facts["role"] == "active" and card.facts["left_out"] == [] and card.facts["seconds"] >= 0
        assert card.facts["trained_from"] == "2023-11-14T22:13:20.000+00:00"
        assert card.facts["trained_to"] == "2023-11-14T22:29:55.000+00:00"
        assert card.facts["facts"] == scorer.detector.facts() and json.dumps(card.to_json())


def test_false_alarms_raise_the_threshold(learned: Scorers, quick: Settings) -> None:
    """Nothing is learned from them, and they stay below the threshold next time, which rises threefold at most."""
    series = noise_series(200)
    series.values[100:110] += 9
    stretch = (series.times[100], series.times[109])
    marked = dataset(series, quick, [(stretch, FALSE_ALARM)])
    without = dataset(series, quick, [(stretch, "maintenance")])
    assert (marked.labels == AMBIGUOUS).sum() == (marked.kinds == FALSE_ALARM).sum() == 10
    for name in LEARNING:
        plain, raised = (fit(data, NAMENODES, name, quick).card for data in (without, marked))
        assert plain.threshold < raised.threshold <= 3.001 * plain.threshold
        assert "false" in raised.rule and "false" not in plain.rule


def saved(home: Home, learned: Scorers) -> None:
    for scorer in learned.values():
        save_model(scorer, home.settings)


def test_models_come_back_from_their_files(learned: Scorers, new_home: Callable[..., Home]) -> None:
    home = new_home(bare=True)
    saved(home, learned)
    later = noise(50, seed=5)
    for name, scorer in learned.items():
        back = load_scorer(home.settings, NAMENODES, name)
        assert np.array_equal(scorer.score(later), back.score(later), equal_nan=True)
        assert back.card == replace(scorer.card, version=1, files=back.card.files)
        assert (back.detector.params, back.detector.seed) == (scorer.detector.params, scorer.detector.seed)
        files = {path.name for path in (home.settings.models / "namenode" / name / "0001").iterdir()}
        assert files == {"model.safetensors", "card.json", "blocks.safetensors"}


def test_versions_are_kept_and_rolled_back(learned: Scorers, new_home: Callable[..., Home], mlflow_db: Any) -> None:
    settings = (home := new_home(bare=True)).settings
    with pytest.raises(NotTrainedError, match="namenode train"):
        roll_back_all(settings, NAMENODES)
    saved(home, learned)
    (settings.home / "mlflow.db").write_bytes(mlflow_db.read_bytes())
    with pytest.raises(DataError, match="has served before version 1"):
        roll_back_all(settings, NAMENODES)
    saved(home, learned)
    saved(home, learned)
    assert {(done.before, done.now) for done in roll_back_all(settings, NAMENODES)} == {(3, 2)}
    assert {(done.before, done.now) for done in roll_back_all(settings, NAMENODES)} == {(2, 1)}
    assert all(champion_version(settings, "namenode", name) == 1 for name in LEARNING)
    assert [card.version for card in cards(settings, "namenode", MAIN)] == [1, 2, 3]
    saved(home, learned)
    assert {(done.before, done.now) for done in roll_back_all(settings, NAMENODES)} == {(4, 1)}, "3 is forgotten"
    promote_model(settings, "namenode", "deviation", 2)
    assert [(done.detector, done.now) for done in roll_back_all(settings, NAMENODES)] == [("deviation", 1)]


def test_a_damaged_model_is_refused(learned: Scorers, new_home: Callable[..., Home]) -> None:
    home = new_home(bare=True)
    saved(home, learned)
    folder = home.settings.models / "namenode" / "pca_residual" / "0001"
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(NotTrainedError, match="not the file that was saved"):
        load_scorer(home.settings, NAMENODES, "pca_residual")
    card = json.loads((folder / "card.json").read_text())
    del card["threshold"]
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(NotTrainedError, match="card is missing or damaged"):
        load_scorer(home.settings, NAMENODES, "pca_residual")


def test_the_rules_serve_without_a_training(home: Home) -> None:
    settings, frame = home.settings, noise(5)
    for name, limit in params_of(settings, RULES)["limits"].items():
        frame.values[:, frame.columns.index(name)] = limit / 2
    frame.values[3, frame.columns.index("RpcQueueTimeAvgTime")] = 3 * settings.namenode_queue_limit_ms
    frame.values[4] = np.nan
    rules = load_scorer(settings, NAMENODES, RULES)
    assert (rules.card.version, rules.card.threshold, rules.card.rule) == (0, 1.0, "a limit is reached")
    assert rules.score(frame).tolist() == pytest.approx([0.5, 0.5, 0.5, 3, 0])


def test_a_challenger_is_judged_by_its_false_alarms(learned: Scorers, quick: Settings) -> None:
    """On later steps outside incidents: there are no labels."""
    series = noise_series(400, seed=3)
    series.values[350:360] += 50
    stretch = (series.times[350], series.times[359])
    data = dataset(series, quick, [(stretch, "incident")])
    held = (np.arange(400) >= 200) & (data.labels != AMBIGUOUS)
    champion = learned["deviation"]
    low, high = (replace(champion, card=replace(champion.card, threshold=level)) for level in (1e-3, np.inf))
    for challenger, passed in ((champion, True), (low, False), (high, False)):
        judgement, tests = compare(champion, challenger, data, held, quick)
        assert (judgement["by"], judgement["passed"], judgement["items"], tests) == ("false alarms", passed, 190, {})
    judgement, _ = compare(low, champion, data, held, quick)
    assert judgement["passed"] and judgement["champion"]["flagged"] == 190 > judgement["challenger"]["flagged"]
    assert "in these stretches it flags 10 of the 10" in judgement["verdict"]
