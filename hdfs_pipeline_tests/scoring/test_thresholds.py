"""Thresholds: what share of the training normals they leave as normal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.thresholds import Fixed, Quantile

blocks = st.lists(
    st.tuples(st.floats(0, 1e6), st.integers(1, 1000), st.sampled_from([0, 1])), min_size=1, max_size=60
).filter(lambda rows: any(label == 0 for *_, label in rows))
quantiles = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]) | st.floats(0.01, 0.999)


def arrays(rows: list[tuple[float, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels and weights."""
    scores, weights, labels = (np.array(column) for column in zip(*rows, strict=True))
    return scores.astype(np.float64), labels, weights


@given(blocks, quantiles)
def test_at_most_the_rest_of_the_normals_is_flagged(rows: list[tuple[float, int, int]], quantile: float) -> None:
    """The share of training normals at or above the threshold is at most 1 - q."""
    scores, labels, weights = arrays(rows)
    threshold = Quantile(quantile).fit(scores, labels, weights)
    normal = labels == 0
    flagged = weights[normal & (scores >= threshold)].sum() / weights[normal].sum()
    assert flagged <= 1 - quantile + 1e-9


@given(blocks, quantiles)
def test_no_lower_score_would_do(rows: list[tuple[float, int, int]], quantile: float) -> None:
    """The next lower normal score as threshold would flag more than 1 - q: it is not set higher than needed."""
    scores, labels, weights = arrays(rows)
    threshold = Quantile(quantile).fit(scores, labels, weights)
    normal = labels == 0
    lower = scores[normal & (scores < threshold)].max()
    assert threshold == np.nextafter(lower, np.inf)
    flagged = weights[normal & (scores >= lower)].sum() / weights[normal].sum()
    assert flagged > 1 - quantile - 1e-9


@given(blocks, quantiles)
def test_weights_mean_repetition(rows: list[tuple[float, int, int]], quantile: float) -> None:
    """Scores with weights and scores repeated give one threshold."""
    scores, labels, weights = arrays(rows)
    repeated = Quantile(quantile).fit(np.repeat(scores, weights), np.repeat(labels, weights), np.ones(weights.sum()))
    assert Quantile(quantile).fit(scores, labels, weights) == repeated


@given(blocks, quantiles)
def test_anomalies_have_no_say(rows: list[tuple[float, int, int]], quantile: float) -> None:
    """The threshold is that of the normals alone, given without labels."""
    scores, labels, weights = arrays(rows)
    normal = labels == 0
    alone = Quantile(quantile).fit(scores[normal], None, weights[normal])
    assert Quantile(quantile).fit(scores, labels, weights) == alone


@given(blocks, quantiles)
def test_among_all_blocks_labels_have_no_say(rows: list[tuple[float, int, int]], quantile: float) -> None:
    """The threshold is that of all scores, as if there were no labels."""
    scores, labels, weights = arrays(rows)
    rule = Quantile(quantile, among="all")
    assert rule.fit(scores, labels, weights) == rule.fit(scores, None, weights)
    assert rule.fit(scores, labels, weights) == Quantile(quantile).fit(scores, None, weights)


def test_among_all_blocks_anomalies_alone_will_do() -> None:
    """A threshold that asks for no label needs no normal block."""
    assert Quantile(0.5, among="all").fit(np.ones(2), np.ones(2), np.ones(2)) > 1


def test_no_normals() -> None:
    """It says that labels with normal blocks are needed."""
    with pytest.raises(DataError, match="no normal blocks"):
        Quantile(0.9).fit(np.ones(2), np.ones(2), np.ones(2))


def test_fixed_stays() -> None:
    """Whatever the scores are."""
    assert Fixed(0.75).fit(np.array([9.0]), None, np.ones(1)) == 0.75


def test_both_say_what_they_are() -> None:
    """In words that a report can print."""
    assert str(Fixed(0.75)) == "fixed 0.75"
    assert str(Quantile(0.999)) == "quantile 0.999 of the training scores"
    assert str(Quantile(0.97, among="all")) == "quantile 0.97 of all training scores"
