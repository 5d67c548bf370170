"""Detectors learn a baseline, say what is unusual, are the same with the same seed, and come back from their files."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hdfs_pipeline.domains.namenode import models
from hdfs_pipeline.domains.namenode.detectors import Detector
from hdfs_pipeline.domains.namenode.lstm import LstmAutoencoder
from hdfs_pipeline.domains.namenode.models import DETECTORS
from hdfs_pipeline.domains.namenode.rules import StaticRules
from hdfs_pipeline.domains.namenode.training import Training, judge, train
from hdfs_pipeline.domains.namenode.windows import Frame
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline_tests.domains.namenode.watched import QUICK, noise
from hdfs_pipeline_tests.homes import Home

FAST = {"epochs": 2, "most_windows": 100}


def fitted(cls: type[Detector], frame: Frame, seed: int = 7) -> Detector:
    return cls.fit(frame, FAST if cls is LstmAutoencoder else {}, seed)


@pytest.fixture(scope="module")
def quiet() -> Frame:
    return noise(200)


@pytest.mark.parametrize("cls", DETECTORS.values(), ids=DETECTORS)
def test_a_metric_that_leaps_stands_out_and_idle_ones_are_not_judged(cls: type[Detector], quiet: Frame) -> None:
    later = noise(60, seed=2)
    later.values[40:45, 7] += 60
    later.values[50:, 3] = np.nan
    found = fitted(cls, quiet).residuals(later)
    assert np.nanmin(found.mean()[40:45]) > 3 * np.nanmax(found.mean()[:40])
    assert (np.nanargmax(found.errors[40:45], axis=1) == 7).all()
    assert np.isnan(found.errors[50:, 3]).all() and not np.isnan(found.errors[50:, 4]).any()
    if cls.name != "pca_residual":  # whose projection follows what it is given
        assert np.abs(found.expected[40:45, 7] - 10).max() < 10, "what leaps does not become what is expected"


@pytest.mark.parametrize("cls", DETECTORS.values(), ids=DETECTORS)
def test_same_seed_same_model(cls: type[Detector], quiet: Frame) -> None:
    first, again = (fitted(cls, quiet).tensors() for _ in range(2))
    assert first.keys() == again.keys() and all(np.array_equal(first[name], again[name]) for name in first)
    if cls is LstmAutoencoder:
        other = fitted(cls, quiet, seed=8).tensors()
        assert any(not np.array_equal(first[name], other[name]) for name in first if name.startswith("network"))


def test_training_leaves_the_global_generator_alone(quiet: Frame) -> None:
    import torch

    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    fitted(LstmAutoencoder, quiet)
    assert torch.equal(before, torch.random.get_rng_state())


def test_steps_after_a_gap_wait_for_a_whole_window(quiet: Frame) -> None:
    later = noise(80, seed=3)
    later = later.rows(np.r_[0:35, 36:60])
    scores = fitted(LstmAutoencoder, quiet).residuals(later).mean()
    assert not np.isnan(scores[:35]).any() and np.isnan(scores[35:]).all(), "24 steps are no window of 30"


def test_too_little_data_is_told_in_numbers(quiet: Frame, home: Home) -> None:
    with pytest.raises(DataError, match="needs 30 steps without a gap, has 12"):
        train(quiet.rows(np.arange(12)), home.settings)


@pytest.fixture(scope="module")
def training(quiet: Frame, tmp_path_factory: pytest.TempPathFactory) -> Training:
    from hdfs_pipeline.settings import load_settings

    return train(quiet, load_settings(tmp_path_factory.mktemp("home")).model_copy(update=QUICK), namenode="nn:1")


def test_a_quiet_baseline_stays_quiet_by_its_own_thresholds(training: Training, quiet: Frame, home: Home) -> None:
    for each in judge(quiet, training, home.settings):
        assert each.over.mean() < 0.02 or each.name == "static_rules", each.name
        assert each.threshold > 0 and (each.rule == "a limit is reached" or "quantile" in each.rule)


def test_false_alarms_raise_the_threshold(training: Training, quiet: Frame, home: Home) -> None:
    loud = replace(quiet, values=quiet.values.copy())
    loud.values[100:110] += 9
    marked = np.zeros(len(loud), bool)
    marked[100:110] = True
    settings = home.settings.model_copy(update=QUICK)
    again = train(quiet, settings, false_alarms=(loud, marked))
    for name, model in again.models.items():
        before = training.models[name].card.threshold
        assert before < model.card.threshold <= 3.001 * before and "false" in model.card.rule


def saved(home: Home, training: Training, version: int) -> None:
    cards = {name: replace(m, card=replace(m.card, version=version)) for name, m in training.models.items()}
    models.save(home.settings, cards)


def test_models_come_back_from_their_files(training: Training, new_home: Callable[..., Home]) -> None:
    home = new_home(bare=True)
    saved(home, training, models.next_version(home.settings))
    later = noise(50, seed=5)
    for name, model in training.models.items():
        back = models.load(home.settings, name)
        ours, theirs = (each.detector.residuals(later) for each in (model, back))
        assert np.array_equal(ours.errors, theirs.errors, equal_nan=True)
        assert back.card.columns == later.columns and back.card.threshold == model.card.threshold
        files = {path.name for path in (home.settings.models / f"namenode_{name}" / "0001").iterdir()}
        assert files == {"model.safetensors", "card.json"}


def test_versions_are_kept_and_rolled_back(training: Training, new_home: Callable[..., Home]) -> None:
    settings = (home := new_home(bare=True)).settings
    with pytest.raises(NotTrainedError, match="namenode train"):
        models.roll_back(settings)
    saved(home, training, 1)
    with pytest.raises(DataError, match="nothing to go back to"):
        models.roll_back(settings)
    saved(home, training, 2)
    saved(home, training, 3)
    assert models.next_version(settings) == 4 and models.serving(settings) == 3
    assert models.roll_back(settings) == (3, 2) and models.roll_back(settings) == (2, 1)
    assert all(models.serving(settings, name) == 1 for name in DETECTORS)
    assert models.versions(settings, LstmAutoencoder.name) == [1, 2, 3]
    saved(home, training, 4)
    assert models.roll_back(settings) == (4, 1), "what was rolled back is forgotten"


def test_a_damaged_model_is_refused(training: Training, new_home: Callable[..., Home]) -> None:
    home = new_home(bare=True)
    saved(home, training, 1)
    folder = home.settings.models / "namenode_pca_residual" / "0001"
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(NotTrainedError, match="not the file that was saved"):
        models.load(home.settings, "pca_residual")
    card = json.loads((folder / "card.json").read_text())
    del card["threshold"]
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(NotTrainedError, match="card"):
        models.load(home.settings, "pca_residual")


def test_the_rules_tell_limits_that_are_passed(home: Home) -> None:
    frame = noise(5)
    for name, limit in (rules := StaticRules.of_settings(home.settings)).limits.items():
        frame.values[:, frame.columns.index(name)] = limit / 2
    frame.values[3, frame.columns.index("RpcQueueTimeAvgTime")] = 3 * home.settings.namenode_queue_limit_ms
    frame.values[4] = np.nan
    assert rules.score(frame).tolist() == pytest.approx([0.5, 0.5, 0.5, 3, 0])
