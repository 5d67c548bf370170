"""Detectors of series learn a baseline, say what is unusual at each step, and come back from their files."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.detectors.series.base import Residuals, ScaledDetector
from hdfs_pipeline.detectors.series.lstm_autoencoder import LstmAutoencoder
from hdfs_pipeline.detectors.series.majority import MEMBERS, Majority
from hdfs_pipeline.detectors.series.pca_residual import PcaResidual
from hdfs_pipeline.detectors.series.static_rules import StaticRules
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.frames import Frame
from hdfs_pipeline_tests.domains.namenode.watched import noise

LEARNING = ("majority", *MEMBERS)
FAST = {name: {"epochs": 2, "most_windows": 100} for name in ("majority", "lstm_autoencoder")}


def fitted(name: str, frame: Frame, seed: int = 7) -> ScaledDetector:
    detector = detector_row(name).cls(seed=seed, **FAST.get(name, {}))
    assert isinstance(detector, ScaledDetector)
    return detector.fit(frame, None, np.ones(len(frame)))


@pytest.fixture(scope="module")
def quiet() -> Frame:
    return noise(200)


@pytest.mark.parametrize("name", LEARNING)
def test_a_metric_that_leaps_stands_out_and_idle_ones_are_not_judged(name: str, quiet: Frame) -> None:
    later = noise(60, seed=2)
    later.values[40:45, 7] += 60
    later.values[50:, 3] = np.nan
    detector = fitted(name, quiet)
    residuals, scores = detector.residuals(later), detector.score(later) ** (2 if name == "majority" else 1)
    assert np.nanmin(scores[40:45]) > 3 * np.nanmax(scores[:40])
    assert (np.nanargmax(residuals.errors[40:45], axis=1) == 7).all()
    assert np.isnan(residuals.errors[50:, 3]).all() and not np.isnan(residuals.errors[50:, 4]).any()
    assert (detector.explain(later, later.values)[50:, 3] == 0).all()
    if name != "pca_residual":  # whose projection follows what it is given
        assert np.abs(residuals.expected[40:45, 7] - 10).max() < 10, "what leaps does not become what is expected"


def test_another_seed_gives_another_network(quiet: Frame, tmp_path: Path) -> None:
    for seed in (7, 8):
        (tmp_path / str(seed)).mkdir()
        fitted("lstm_autoencoder", quiet, seed).save(tmp_path / str(seed))
    one, other = ((tmp_path / seed / "model.safetensors").read_bytes() for seed in "78")
    assert len(one) == len(other) and one != other


def test_training_leaves_the_global_generator_alone(quiet: Frame) -> None:
    import torch

    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    fitted("lstm_autoencoder", quiet)
    assert torch.equal(before, torch.random.get_rng_state())


def test_steps_after_a_gap_wait_for_a_whole_window(quiet: Frame) -> None:
    later = noise(80, seed=3).take(np.r_[0:35, 36:60])
    scores = fitted("lstm_autoencoder", quiet).score(later)
    assert not np.isnan(scores[:35]).any() and np.isnan(scores[35:]).all(), "24 steps are no window of 30"


def test_a_baseline_without_a_whole_window_teaches_nothing(quiet: Frame) -> None:
    with pytest.raises(DataError, match="needs 30 steps without a gap, has 12"):
        fitted("lstm_autoencoder", quiet.take(np.arange(12)))


@pytest.mark.parametrize("name", LEARNING)
def test_anomalous_steps_are_not_learned(name: str, quiet: Frame) -> None:
    frame, labels = noise(200), np.zeros(200, np.int64)
    frame.values[150:] += 90
    labels[150:] = 1
    detector = detector_row(name).cls(**FAST.get(name, {})).fit(frame, labels, np.ones(200))
    np.testing.assert_array_equal(detector.score(quiet), fitted(name, quiet.take(np.arange(150))).score(quiet))


def test_a_short_baseline_is_judged_by_models_of_its_other_parts(quiet: Frame) -> None:
    """Its own components would explain it too well."""
    weights = np.ones(len(quiet))
    detector = fitted("pca_residual", quiet)
    scores = detector.training_scores(quiet, None, weights)
    first = np.arange(40)
    others = fitted("pca_residual", quiet.take(np.arange(40, 200)))
    np.testing.assert_array_equal(scores[:40], others.score(quiet.take(first)))
    assert np.median(scores) > np.median(detector.score(quiet))
    few = quiet.take(np.arange(9))
    np.testing.assert_array_equal(detector.training_scores(few, None, np.ones(9)), detector.score(few))


@pytest.mark.parametrize("name", LEARNING)
def test_a_file_of_an_older_release_gives_the_same_scores(name: str, quiet: Frame, tmp_path: Path) -> None:
    """It held the same tensors, and neither the detector's name nor its parameters, which were in the card only."""
    detector = fitted(name, quiet)
    detector.save(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
        about = json.loads(file.metadata()["about"])
    assert about == {"detector": name, "seed": 7, "params": FAST.get(name, {})}
    save_file(tensors, tmp_path / "model.safetensors")
    later = noise(50, seed=5)
    before = detector_row(name).cls.load(tmp_path)
    np.testing.assert_array_equal(before.score(later), detector.score(later))
    other = PcaResidual if name != "pca_residual" else LstmAutoencoder
    with pytest.raises(NotTrainedError):
        other.load(tmp_path)


def test_the_length_of_a_window_is_kept(quiet: Frame, tmp_path: Path) -> None:
    detector = LstmAutoencoder(epochs=1, sequence_length=12, latent_dim=3, hidden=8).fit(quiet, None, np.ones(200))
    detector.save(tmp_path)
    again = LstmAutoencoder.load(tmp_path)
    later = noise(20, seed=5)
    np.testing.assert_array_equal(again.score(later), detector.score(later))
    assert not np.isnan(again.score(later)).any()


def test_two_of_three_decide_and_whoever_knows_something(quiet: Frame, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = quiet.take(np.arange(5))
    detector, nan = fitted("majority", quiet), np.nan
    assert isinstance(detector, Majority)
    detector._usual[:] = 0.8  # PCA's errors count as they are then
    told = [[1, 9, 4, nan, nan], [2, 3, nan, nan, nan], [999, 5, 8, 7, nan]]
    for at, (member, known) in enumerate(zip(detector.members.values(), told, strict=True)):
        errors = np.tile(np.array(known, np.float32)[:, None], frame.values.shape[1])
        given = Residuals(errors, np.full_like(errors, at))
        monkeypatch.setattr(member, "residuals", partial(lambda given, _: given, given))
    found = detector.residuals(frame)
    np.testing.assert_allclose(found.errors[:, 0], [2, 5, 6, 7, nan])
    assert found.expected[:4, 0].tolist() == [1, 2, 0, 2], "of the one whose error counts, the lower one of two"
    assert found.errors.dtype == found.expected.dtype == np.float32
    np.testing.assert_allclose(detector.score(frame), np.sqrt([2, 5, 6, 7, nan]))


def test_the_majority_takes_members_that_are_trained_already(quiet: Frame, tmp_path: Path) -> None:
    for name in ("fitted", "taken"):
        (tmp_path / name).mkdir()
    fitted("majority", quiet).save(tmp_path / "fitted")
    taken = Majority.of({name: fitted(name, quiet) for name in MEMBERS}, quiet)
    taken.save(tmp_path / "taken")
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("fitted", "taken"))
    assert one == other
    assert taken.facts().keys() >= {"metrics", "components", "epochs_run"}


def test_the_majority_judges_what_a_member_cannot(quiet: Frame) -> None:
    """Fewer steps than a window, and the first calls of an operation that was idle in the baseline."""
    idle = quiet.take(np.arange(200))
    rate = idle.columns.index("ConcatRate")
    idle.values[:, rate] = np.nan
    detector = fitted("majority", idle)
    few = noise(20, seed=3)
    few.values[:10, rate] = np.nan
    scores = detector.score(few)
    assert not np.isnan(scores).any() and scores[10:].min() > scores[:10].max()
    assert (np.nanargmax(detector.residuals(few).errors[10:], axis=1) == rate).all()


def test_the_majority_of_a_short_baseline_is_not_flattered_by_its_own_components(quiet: Frame) -> None:
    detector = fitted("majority", quiet)
    assert np.median(detector.training_scores(quiet, None, np.ones(200))) > np.median(detector.score(quiet))


def test_the_rules_tell_limits_that_are_passed() -> None:
    frame = noise(5)
    rules = StaticRules(limits={"RpcQueueTimeAvgTime": 10.0, "GcTotalExtraSleepTime": 100.0})
    for name, limit in rules.limits.items():
        frame.values[:, frame.columns.index(name)] = limit / 2
    frame.values[3, frame.columns.index("RpcQueueTimeAvgTime")] = 30.0
    frame.values[4] = np.nan
    assert rules.score(frame).tolist() == pytest.approx([0.5, 0.5, 0.5, 3, 0])
    assert StaticRules().score(frame).tolist() == [0] * 5


def test_what_has_not_learned_says_so(tmp_path: Path) -> None:
    for name in LEARNING:
        with pytest.raises(NotTrainedError, match=f"train --detector {name}"):
            detector_row(name).cls().save(tmp_path)
