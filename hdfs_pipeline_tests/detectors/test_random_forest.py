"""The forest: the converted trees against scikit-learn's, columns left out, repeated vectors, unfit labels."""

import json
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.detectors.random_forest import RandomForest
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline_tests.detectors.conftest import CONSTANT, PLANTED, WIDTH, Blocks, make_blocks


@pytest.fixture(scope="module")
def forest(train: Blocks) -> RandomForest:
    """A forest on the blocks to learn from."""
    return RandomForest().fit(*train.distinct)


def columns(forest: RandomForest) -> list[int]:
    """The columns that the model file says it uses."""
    return json.loads(forest.session.get_modelmeta().custom_metadata_map["columns"])


def test_onnxruntime_scores_as_sklearn_does(forest: RandomForest, held_out: Blocks) -> None:
    """On data and on noise, less than 1e-5 apart."""
    noise = np.random.default_rng(3).integers(0, 9, (2000, WIDTH)).astype(np.float32)
    values = np.vstack([held_out.values, noise])
    expected = forest.estimator.predict_proba(values[:, columns(forest)])[:, 1]
    assert len(np.unique(expected)) > 10, "the comparison is worth little with all votes equal"
    assert np.abs(forest.score(values) - expected).max() < 1e-5


def test_a_score_of_whole_votes_reaches_its_threshold(forest: RandomForest) -> None:
    """75 of 100 votes are .75, and not .7499998."""
    noise = np.random.default_rng(4).integers(0, 9, (5000, WIDTH)).astype(np.float32)
    expected = forest.estimator.predict_proba(noise[:, columns(forest)])[:, 1]
    for votes in range(1, 101):
        np.testing.assert_array_equal(
            forest.score(noise) >= votes / 100, expected >= votes / 100 - 1e-9, err_msg=f"{votes} votes"
        )


def test_constant_columns_are_left_out(forest: RandomForest, held_out: Blocks) -> None:
    """They are not in the model, and what they hold later changes nothing."""
    assert CONSTANT not in columns(forest)
    assert PLANTED in columns(forest)
    assert forest.estimator.n_features_in_ == WIDTH - 1
    changed = held_out.values.copy()
    changed[:, CONSTANT] = 7
    np.testing.assert_array_equal(forest.score(changed), forest.score(held_out.values))


def test_all_blocks_count_in_a_bootstrap_of_distinct_vectors(train: Blocks, held_out: Blocks) -> None:
    """With bootstrap=True scikit-learn draws as many rows as there are blocks, not as there are vectors."""
    from sklearn.metrics import f1_score

    forest = RandomForest(bootstrap=True).fit(*train.distinct)
    assert forest.estimator.max_samples == 1.0
    assert f1_score(held_out.labels, forest.score(held_out.values) >= 0.75) > 0.9


def test_parameters_go_to_sklearn(train: Blocks) -> None:
    """Those of the constructor, over the defaults, with the detector's seed."""
    estimator = RandomForest(seed=3, n_estimators=5, max_depth=2).fit(*train.distinct).estimator
    assert len(estimator.estimators_) == 5
    assert max(tree.get_depth() for tree in estimator.estimators_) <= 2
    assert estimator.random_state == 3
    assert estimator.bootstrap is False


def test_the_seed_is_kept(train: Blocks, tmp_path: Path) -> None:
    """A loaded detector knows the seed, and has no scikit-learn estimator."""
    RandomForest(seed=3, n_estimators=5).fit(*train.distinct).save(tmp_path)
    loaded = RandomForest.load(tmp_path)
    assert loaded.seed == 3
    assert loaded.estimator is None


def test_the_model_has_one_output_and_no_zipmap(forest: RandomForest) -> None:
    """Probabilities as a matrix, from the whole matrix of counts."""
    import onnx

    model = onnx.load_from_string(forest.model)
    assert [node.op_type for node in model.graph.node] == ["TreeEnsembleClassifier"]
    assert [output.name for output in model.graph.output] == ["probabilities"]
    assert model.graph.input[0].type.tensor_type.shape.dim[1].dim_value == WIDTH


@pytest.mark.parametrize("labels", [None, 0, 1], ids=["none", "all normal", "all anomalous"])
def test_labels_that_will_not_do(train: Blocks, labels: int | None) -> None:
    """Both kinds are needed, and the message names a detector that needs none."""
    values = train.distinct[0]
    given = None if labels is None else np.full(len(values), labels)
    with pytest.raises(DataError, match="autoencoder"):
        RandomForest().fit(values, given, np.ones(len(values)))


def test_blocks_all_alike() -> None:
    """Nothing to split on is said, not met."""
    with pytest.raises(DataError, match="same events"):
        RandomForest().fit(np.ones((4, 3), np.float32), np.array([0, 1, 0, 1]), np.ones(4))


def test_nothing_learned_yet(tmp_path: Path) -> None:
    """Neither scored nor saved before fit."""
    with pytest.raises(NotTrainedError, match="train --detector random_forest"):
        RandomForest().score(np.ones((1, 3), np.float32))
    with pytest.raises(NotTrainedError):
        RandomForest().save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_seed_is_another_forest() -> None:
    """The seed is used at all."""
    blocks = make_blocks(5)
    values = np.random.default_rng(6).integers(0, 6, (500, WIDTH)).astype(np.float32)
    one, other = (RandomForest(seed=seed, n_estimators=10).fit(*blocks.distinct).score(values) for seed in (1, 2))
    assert (one != other).any()
