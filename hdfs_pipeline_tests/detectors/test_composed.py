"""Detectors made of others: the ensemble and the hybrid."""

from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.detectors import make_detector
from hdfs_pipeline.detectors.combinations import Combinations
from hdfs_pipeline.detectors.exact_match import ExactMatch
from hdfs_pipeline.detectors.hybrid import Hybrid
from hdfs_pipeline.detectors.random_forest import RandomForest
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline_tests.detectors.conftest import Blocks

QUICK = {"ensemble_members": ("exact_match", "combinations")}


def test_the_ensemble_is_the_mean_of_scores_on_their_thresholds(train: Blocks, held_out: Blocks) -> None:
    ensemble = make_detector("ensemble", load_settings().model_copy(update=QUICK)).fit(*train.distinct)
    scores = [each().fit(*train.distinct).score(held_out.values) for each in (ExactMatch, Combinations)]
    np.testing.assert_allclose(ensemble.score(held_out.values), np.mean([s / (s + 0.5) for s in scores], axis=0))
    assert ensemble.params == {"members": ["combinations", "exact_match"]}


def test_a_score_at_every_threshold_is_a_half(train: Blocks) -> None:
    ensemble = make_detector("ensemble", load_settings()).fit(*train.distinct)
    ensemble.thresholds = {name: float(each.score(train.values[:1])[0]) for name, each in ensemble.members.items()}
    if all(ensemble.thresholds.values()):
        assert ensemble.score(train.values[:1])[0] == 0.5


def test_members_come_back_with_their_thresholds(train: Blocks, held_out: Blocks, tmp_path: Path) -> None:
    ensemble = make_detector("ensemble", load_settings()).fit(*train.distinct)
    ensemble.save(tmp_path)
    again = type(ensemble).load(tmp_path)
    assert again.thresholds == ensemble.thresholds
    np.testing.assert_array_equal(again.score(held_out.values), ensemble.score(held_out.values))


@pytest.mark.parametrize("member", ["keywords", "ensemble"])
def test_a_member_that_cannot_be_one_is_refused(member: str, train: Blocks) -> None:
    settings = load_settings().model_copy(update={"ensemble_members": ("exact_match", member)})
    with pytest.raises(DataError, match=f"{member} is none"):
        make_detector("ensemble", settings).fit(*train.distinct)


def test_the_hybrid_is_sure_where_one_of_its_members_is(train: Blocks, held_out: Blocks) -> None:
    hybrid = Hybrid().fit(*train.distinct)
    scores = hybrid.score(held_out.values)
    bad = RandomForest().fit(*train.distinct).score(held_out.values)
    new = Combinations().fit(*train.distinct).score(held_out.values)
    np.testing.assert_allclose(scores, 1 - (1 - bad) * (1 - new), atol=1e-6)
    assert (scores >= np.maximum(bad, new) - 1e-6).all()
    assert (scores[bad >= 0.75] >= 0.75).all()


def test_a_file_without_a_member_is_refused(train: Blocks, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    Hybrid().fit(*train.distinct).save(tmp_path)
    kept = {name: rows for name, rows in load_file(tmp_path / "model.safetensors").items() if "forest" not in name}
    save_file(kept, tmp_path / "model.safetensors")
    with pytest.raises(NotTrainedError, match="cannot be read"):
        Hybrid.load(tmp_path)
