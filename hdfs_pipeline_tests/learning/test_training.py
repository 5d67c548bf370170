"""Training: repeatable, thresholds fixed on what was learned from, and plain words where there are no labels."""

from dataclasses import replace

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.domain import Blocks
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning import training
from hdfs_pipeline.learning.training import fit, judge, train
from hdfs_pipeline.scoring.dataset import Dataset, joined
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.knowledge import failed
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED
from hdfs_pipeline.scoring.models import trained_detectors
from hdfs_pipeline.settings import Settings
from hdfs_pipeline_tests.homes import BLOCKS, FAST, Home, open_home

QUICK = {"autoencoder": {"steps": 30}, "random_forest": {"n_estimators": 10}}


@pytest.fixture(autouse=True)
def quick_detectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer steps and fewer trees: what is held here does not depend on how good a detector is."""
    monkeypatch.setattr(Blocks, "params", lambda self, settings, name: QUICK.get(name, {}))


@pytest.fixture(scope="module")
def data(trained: Home) -> Dataset:
    return load_dataset(trained.store, trained.settings)


@pytest.fixture
def settings(tmp_path: object) -> Settings:
    return open_home(tmp_path / "home", bootstrap_samples=0).settings


def relabelled(data: Dataset, labels: np.ndarray) -> Dataset:
    return replace(data, labels=labels.astype(np.int8))


@pytest.mark.parametrize("name", [*FAST, "autoencoder"])
def test_the_same_seed_gives_the_same_model(data: Dataset, settings: Settings, name: str) -> None:
    one, same = (fit(data, BLOCKS, name, settings) for _ in range(2))
    matrix = data.matrix(one.card.family)
    assert one.score(matrix).tolist() == same.score(matrix).tolist()
    assert one.card.threshold == same.card.threshold
    assert one.card.fingerprint == same.card.fingerprint


@pytest.mark.parametrize("name", ["random_forest", "autoencoder"])
def test_another_seed_gives_another_model(data: Dataset, settings: Settings, name: str) -> None:
    one, other = (fit(data, BLOCKS, name, settings.model_copy(update={"seed": seed})) for seed in (1, 2))
    assert one.detector.model != other.detector.model
    assert (one.card.seed, other.card.seed) == (1, 2)


@pytest.mark.parametrize("name", FAST)
def test_the_order_of_the_blocks_does_not_matter(data: Dataset, settings: Settings, name: str) -> None:
    order = np.random.default_rng(0).permutation(len(data))
    one, other = fit(data, BLOCKS, name, settings), fit(data.take(order), BLOCKS, name, settings)
    matrix = data.matrix(one.card.family)
    assert one.card.fingerprint == other.card.fingerprint
    assert one.score(matrix).tolist() == other.score(matrix).tolist()


@pytest.mark.parametrize("labels", ["the home's", "none"])
def test_a_training_never_holds_the_whole_matrix(
    data: Dataset, settings: Settings, labels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home's items share their rows, and no step makes a row for each of them."""
    matrix = data.main
    assert len(matrix.rows) < len(matrix) / 4
    made: list[int] = []

    def values(self: FeatureMatrix) -> np.ndarray:
        made.append(len(self))
        return self.rows if self.at is None else self.rows[self.at]

    monkeypatch.setattr(FeatureMatrix, "values", property(values))
    monkeypatch.setattr(training, "_PIECE", 50)
    if labels == "none":
        data = relabelled(data, np.full(len(data), UNLABELLED))
    for name in ("random_forest", "combinations"):
        scorer = train(data, BLOCKS, name, settings).scorer
        assert len(scorer.score(matrix)) == len(data)
    assert max(made) <= max(50, 3 * len(matrix.rows))


def test_a_model_is_the_same_whether_items_share_rows_or_not(data: Dataset, settings: Settings) -> None:
    def apart(matrix: FeatureMatrix) -> FeatureMatrix:
        return replace(matrix, rows=matrix.values, at=None)

    plain = replace(data, matrices={family: apart(matrix) for family, matrix in data.matrices.items()})
    one, other = (fit(each, BLOCKS, "random_forest", settings) for each in (data, plain))
    assert one.card.fingerprint == other.card.fingerprint and one.card.threshold == other.card.threshold
    assert one.learned.tolist() == other.learned.tolist()
    assert one.score(data.main).tolist() == other.score(plain.main).tolist()
    assert one.has_seen(data.main).tolist() == other.has_seen(plain.main).tolist()


def test_a_fingerprint_is_that_of_the_items_wherever_they_stand(data: Dataset) -> None:
    """Also where their ids are texts, and longer ones stand beside them."""

    def named(width: int) -> Dataset:
        events = data.matrix("events")
        keys = events.keys.astype(f"<U{width}")
        return replace(data, matrices={"events": replace(events, keys=keys)})

    assert training.fingerprint(named(30), "events") == training.fingerprint(named(40), "events")
    other = replace(data, labels=np.roll(data.labels, 1))
    assert training.fingerprint(other, "events") != training.fingerprint(data, "events")


@pytest.mark.parametrize("name", ["autoencoder", "random_forest", "exact_match"])
def test_a_threshold_is_fixed_before_the_test_labels_are_seen(
    data: Dataset, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """With the labels of the later half turned round, the model of the earlier half and its threshold stay."""
    fitted = []
    monkeypatch.setattr(training, "fit", lambda rows, *rest: fitted.append(fit(rows, *rest)) or fitted[-1])
    later = data.time > np.median(data.time)
    turned = relabelled(data, np.where(later, 1 - data.labels, data.labels))
    found = []
    for blocks in (data, turned):
        fitted.clear()
        tests = train(blocks, BLOCKS, name, settings).tests
        _, chronological, _ = fitted  # of the random split, of the chronological one, of all blocks
        found.append((tests["chronological"], chronological.card))
    (one, card), (other, again) = found
    assert one.evaluation.threshold == other.evaluation.threshold == card.threshold == again.threshold
    assert one.scores.tolist() == other.scores.tolist()
    assert one.labels.tolist() != other.labels.tolist()
    assert one.evaluation.confusion != other.evaluation.confusion
    assert card.items == 200


def test_a_quantile_is_one_of_normal_training_scores(data: Dataset, settings: Settings) -> None:
    scorer = fit(data, BLOCKS, "autoencoder", settings.model_copy(update={"autoencoder_quantile": 0.9}))
    scores = scorer.score(data.matrix("events").take(data.labels == NORMAL))
    highest = scores[scores < scorer.card.threshold].max()
    assert np.nextafter(highest, np.inf) == scorer.card.threshold
    assert (scores < highest).mean() < 0.9 <= (scores <= highest).mean()
    assert scorer.card.rule == "quantile 0.9 of the training scores"


@pytest.mark.parametrize("name", ["lifecycle", "random_forest", "autoencoder", "exact_match"])
def test_without_labels_there_is_a_model_and_no_figure(data: Dataset, settings: Settings, name: str) -> None:
    """It learned the verdicts of the rules, keeps them, and comes back from its files as it was."""
    trained = train(relabelled(data, np.full(len(data), UNLABELLED)), BLOCKS, name, settings)
    card = trained.scorer.card
    assert trained.tests == {}
    assert card.metrics == {}
    assert card.weak["anomalies"] == card.anomalies
    scores = load_scorer(settings, BLOCKS, name).score(data.matrix(card.family))
    assert scores.tolist() == trained.scorer.score(data.matrix(card.family)).tolist()
    assert (scores >= card.threshold).tolist() == broken(data, settings).tolist()


def broken(data: Dataset, settings: Settings) -> np.ndarray:
    """Which blocks break a rule that is a failure: (n,) bool."""
    knowledge = BLOCKS.knowledge(settings, data.main.source)
    assert knowledge is not None
    return failed(knowledge.grades(data.main.values, data.main.unfinished))


def test_a_baseline_is_not_trained_without_labels(data: Dataset, settings: Settings) -> None:
    with pytest.raises(DataError, match="keywords is there to be compared with.*lifecycle says more"):
        train(relabelled(data, np.full(len(data), UNLABELLED)), BLOCKS, "keywords", settings)


def test_a_forest_of_one_kind_says_what_to_do(data: Dataset, settings: Settings) -> None:
    with pytest.raises(DataError, match=r"both kinds.*autoencoder"):
        train(relabelled(data, np.full(len(data), NORMAL)), BLOCKS, "random_forest", settings)
    assert trained_detectors(settings, "blocks") == []


@pytest.mark.parametrize("name", [*FAST, "autoencoder"])
def test_ambiguous_blocks_are_never_used(data: Dataset, settings: Settings, name: str) -> None:
    """Ambiguous blocks of wild counts change nothing, with labels and without."""
    strange = data.take(np.arange(30))
    wild = {family: replace(m, rows=m.rows * 50 + 7) for family, m in strange.matrices.items()}
    strange = replace(strange, matrices=wild, labels=np.full(30, AMBIGUOUS, np.int8))
    for labels in (data.labels, np.full(len(data), UNLABELLED)):
        if name == "keywords" and labels[0] == UNLABELLED:
            continue
        known = relabelled(data, labels)
        both = joined(known, strange)
        others = {family: replace(m, keys=m.keys + (np.arange(len(m)) >= 400)) for family, m in both.matrices.items()}
        both = replace(both, matrices=others)
        one, other = train(known, BLOCKS, name, settings), train(both, BLOCKS, name, settings)
        matrix = data.matrix(one.scorer.card.family)
        assert one.scorer.score(matrix).tolist() == other.scorer.score(matrix).tolist()
        assert one.scorer.seen.shape == other.scorer.seen.shape
        for card in (one.scorer.card, other.scorer.card):
            assert (card.threshold, card.fingerprint, card.items) == (
                one.scorer.card.threshold,
                one.scorer.card.fingerprint,
                one.scorer.card.items,
            )
        assert [test.evaluation for test in one.tests.values()] == [test.evaluation for test in other.tests.values()]


def test_blocks_without_a_label_are_left_out_where_others_have_one(data: Dataset, settings: Settings) -> None:
    labels = data.labels.copy()
    labels[::2] = UNLABELLED
    scorer = fit(relabelled(data, labels), BLOCKS, "exact_match", settings)
    assert scorer.card.items == 200
    assert len(scorer.seen) == len(np.unique(data.matrix("events").values[1::2], axis=0))


def test_too_few_anomalies_for_a_split_still_give_a_model(data: Dataset, settings: Settings) -> None:
    rows = np.r_[np.flatnonzero(data.labels == NORMAL)[:50], np.flatnonzero(data.labels == ANOMALY)[:1]]
    trained = train(data.take(rows), BLOCKS, "random_forest", settings)
    assert trained.tests == {}
    assert trained.scorer.card.anomalies == 1


def test_the_final_model_learns_from_all_blocks(data: Dataset, settings: Settings) -> None:
    trained = train(data, BLOCKS, "exact_match", settings)
    assert set(trained.tests) == {"random", "chronological"}
    assert (trained.scorer.card.items, trained.scorer.card.anomalies) == (400, 40)
    normals = data.matrix("events").take(data.labels == NORMAL)
    assert not trained.scorer.score(normals).any()
    for split, test in trained.tests.items():
        assert trained.scorer.card.metrics[split] == test.evaluation.to_json()
        assert test.evaluation.items == len(test.scores) == len(test.labels) == 200
    assert trained.tests["random"].evaluation.anomalies == 20


def test_judging_needs_both_kinds(data: Dataset, settings: Settings) -> None:
    scorer = fit(data, BLOCKS, "exact_match", settings)
    with pytest.raises(DataError, match="both kinds"):
        judge(scorer, data.take(data.labels == NORMAL), settings)


def test_no_blocks_to_learn_from(data: Dataset, settings: Settings) -> None:
    for name in ("exact_match", "autoencoder", "random_forest"):
        with pytest.raises(DataError):
            train(data.take(np.arange(0)), BLOCKS, name, settings)
