"""The isolation forest: the converted trees against scikit-learn's, labels left alone, blocks beyond the largest."""

import numpy as np
import pytest

from hdfs_pipeline.detectors.isolation_forest import IsolationForest, saturated
from hdfs_pipeline.errors import DataError
from hdfs_pipeline_tests.detectors.conftest import WIDTH, Blocks


@pytest.fixture(scope="module")
def forest(train: Blocks) -> IsolationForest:
    """A forest on the blocks to learn from."""
    return IsolationForest().fit(*train.distinct)


def test_onnxruntime_scores_as_sklearn_does(forest: IsolationForest, held_out: Blocks) -> None:
    """On data, on noise and on counts far beyond."""
    draw = np.random.default_rng(3)
    noise = draw.integers(0, 9, (2000, WIDTH)).astype(np.float32)
    large = draw.integers(0, 100_000, (500, WIDTH)).astype(np.float32)
    values = np.vstack([held_out.values, noise, large])
    expected = -forest.estimator.score_samples(saturated(values))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(forest.score(values), expected, atol=1e-5)


def test_paths_are_added_without_rounding(forest: IsolationForest, held_out: Blocks) -> None:
    """Leaves are whole numbers, and no sum of them reaches 2^24."""
    import onnx

    (trees, _) = onnx.load_from_string(forest.model).graph.node
    given = {each.name: onnx.helper.get_attribute_value(each) for each in trees.attribute}
    weights, tree = np.array(given["target_weights"]), np.array(given["target_treeids"])
    assert (weights == np.round(weights)).all()
    assert sum(weights[tree == number].max() for number in np.unique(tree)) < 1 << 24
    assert len(np.unique(tree)) == 100


def test_labels_are_not_looked_at(forest: IsolationForest, train: Blocks) -> None:
    """None, the other way round, or unknown ones: the same forest."""
    values, labels, weights = train.distinct
    for given in (None, 1 - labels, np.full(len(labels), -2)):
        assert IsolationForest().fit(values, given, weights).model == forest.model


def test_more_blocks_than_a_tree_takes(train: Blocks, held_out: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each vector stands for its share of them, the rarest for one."""
    from sklearn.metrics import roc_auc_score

    values, labels, weights = train.distinct
    monkeypatch.setattr(IsolationForest, "LARGEST", 3 * int(weights.sum()))
    forest = IsolationForest().fit(values, labels, weights * 1000)
    assert forest.estimator.max_samples_ < 4 * weights.sum()
    assert roc_auc_score(held_out.labels, forest.score(held_out.values)) > 0.85


def test_blocks_all_alike_and_none() -> None:
    """One vector is scored; none is said."""
    values = np.ones((3, 2), np.float32)
    scores = IsolationForest().fit(values, None, np.ones(3)).score(values)
    assert np.isfinite(scores).all()
    assert np.isfinite(IsolationForest().fit(values[:1], None, np.ones(1)).score(values)).all()
    with pytest.raises(DataError, match="no items"):
        IsolationForest().fit(values[:0], None, np.ones(0))


def test_another_seed_is_another_forest(train: Blocks, held_out: Blocks) -> None:
    one, other = (IsolationForest(seed=seed).fit(*train.distinct).score(held_out.values) for seed in (1, 2))
    assert (one != other).any()
