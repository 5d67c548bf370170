"""The detectors on standardised log counts: their graphs against scikit-learn, their parts against their scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdfs_pipeline.detectors.kmeans import KMeans
from hdfs_pipeline.detectors.log_counts import Scaling
from hdfs_pipeline.detectors.logistic_regression import LogisticRegression
from hdfs_pipeline.detectors.pca import Pca
from hdfs_pipeline.errors import DataError
from hdfs_pipeline_tests.detectors.conftest import CONSTANT, PLANTED, WIDTH, Blocks


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """Counts (2000, WIDTH) that no block has."""
    return np.random.default_rng(3).integers(0, 30, (2000, WIDTH)).astype(np.float32)


def scaling_of(blocks: Blocks, *, normal: bool) -> Scaling:
    """The scaling of normal blocks, or of all."""
    values = blocks.values[blocks.labels == 0] if normal else blocks.values
    return Scaling.of(values, np.ones(len(values)))


def test_kmeans_scores_as_sklearn_does(train: Blocks, held_out: Blocks, noise: np.ndarray) -> None:
    """Squared distance to the nearest centre."""
    detector, values = KMeans().fit(*train.distinct), np.vstack([held_out.values, noise])
    distances = detector.estimator.transform(scaling_of(train, normal=True).apply(values)).min(axis=1)
    assert len(detector.estimator.cluster_centers_) == 20
    np.testing.assert_allclose(detector.score(values), distances**2, rtol=1e-5, atol=1e-8)


def test_fewer_vectors_than_centres() -> None:
    """Then each is one."""
    values = np.array([[1, 2], [3, 4], [1, 2]], np.float32)
    assert KMeans().fit(values, None, np.ones(3)).score(values).tolist() == [0, 0, 0]


def test_pca_scores_as_sklearn_does(train: Blocks, held_out: Blocks, noise: np.ndarray) -> None:
    """Squared error of what the components give back, of which there are some and not all."""
    detector, values = Pca().fit(*train.distinct), np.vstack([held_out.values, noise])
    inputs = scaling_of(train, normal=True).apply(values)
    assert 0 < len(detector.estimator.components_) < WIDTH
    back = detector.estimator.inverse_transform(detector.estimator.transform(inputs))
    np.testing.assert_allclose(detector.score(values), ((inputs - back) ** 2).sum(axis=1), rtol=1e-5, atol=1e-8)


def test_pca_of_blocks_all_alike() -> None:
    """Nothing varies, so that every difference is left over."""
    values = np.ones((3, 4), np.float32)
    detector = Pca().fit(values, None, np.ones(3))
    assert detector.score(values).tolist() == [0, 0, 0]
    changed = values.copy()
    changed[:, 1] = 0
    assert (detector.score(changed) > 1).all()
    np.testing.assert_array_equal(detector.explain(changed, values), np.eye(4)[[1, 1, 1]])


def test_logistic_regression_scores_as_sklearn_does(train: Blocks, held_out: Blocks, noise: np.ndarray) -> None:
    """Probabilities of the second class."""
    detector, values = LogisticRegression(C=1.0).fit(*train.distinct), np.vstack([held_out.values, noise])
    expected = detector.estimator.predict_proba(scaling_of(train, normal=False).apply(values))[:, 1]
    assert np.ptp(expected) > 0.9
    np.testing.assert_allclose(detector.score(values), expected, rtol=1e-5, atol=1e-12)


def test_terms_are_the_difference_of_the_logits(train: Blocks, held_out: Blocks) -> None:
    """What columns add up to is what lies between a block and its nearest normal one."""
    detector = LogisticRegression(C=0.01).fit(*train.distinct)
    values = held_out.values[held_out.labels == 1]
    nearest = np.tile(train.normals[:1], (len(values), 1))
    logits = [np.log(p / (1 - p)) for p in (detector.score(values), detector.score(nearest))]
    terms = detector.terms(values, nearest)
    np.testing.assert_allclose(terms.sum(axis=1), logits[0] - logits[1], rtol=1e-4, atol=1e-5)
    assert (terms.argmax(axis=1) == PLANTED).all()
    shares = detector.explain(values, nearest)
    positive = np.maximum(terms, 0)
    np.testing.assert_allclose(shares, positive / positive.sum(axis=1, keepdims=True))


def test_columns_that_differ_share_what_no_term_explains(train: Blocks) -> None:
    """An event that no block of training had carries no weight, and is what differs all the same."""
    nearest = train.normals[:1]
    values = nearest.copy()
    values[0, CONSTANT] = 2
    shares = LogisticRegression().fit(*train.distinct).explain(values, nearest)
    assert shares[0].tolist() == np.eye(WIDTH)[CONSTANT].tolist()


@pytest.mark.parametrize("labels", [None, 0, 1], ids=["none", "all normal", "all anomalous"])
def test_labels_that_will_not_do(train: Blocks, labels: int | None) -> None:
    """Both kinds are needed, and the message names a detector that needs none."""
    values = train.distinct[0]
    given = None if labels is None else np.full(len(values), labels)
    with pytest.raises(DataError, match="pca"):
        LogisticRegression().fit(values, given, np.ones(len(values)))


@pytest.mark.parametrize("cls", [KMeans, Pca])
def test_no_normal_blocks(cls: type) -> None:
    """It says what it needs."""
    with pytest.raises(DataError, match="no normal items"):
        cls().fit(np.ones((2, 3), np.float32), np.ones(2, np.int64), np.ones(2))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_scalings_join_to_that_of_all(first: int, second: int, seed: int) -> None:
    """Mean and deviation of two sets of blocks are those of both together."""
    draw = np.random.default_rng(seed)
    values, weights = draw.integers(0, 50, (first + second, 3)).astype(np.float32), draw.integers(1, 9, first + second)
    whole, one, other = (
        Scaling.of(values[rows], weights[rows]) for rows in (slice(None), slice(first), slice(first, None))
    )
    joined = one.joined(other)
    np.testing.assert_allclose(joined.mean, whole.mean)
    np.testing.assert_allclose(joined.deviation, whole.deviation, atol=1e-7)
    assert joined.items == whole.items
