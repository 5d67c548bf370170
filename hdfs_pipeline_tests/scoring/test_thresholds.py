"""Thresholds: what share of the training normals they leave as normal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.thresholds import Fixed, Quantile, Quiet

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
    threshold, _ = Quantile(quantile).fit(scores, labels, weights)
    normal = labels == 0
    flagged = weights[normal & (scores >= threshold)].sum() / weights[normal].sum()
    assert flagged <= 1 - quantile + 1e-9


@given(blocks, quantiles)
def test_no_lower_score_would_do(rows: list[tuple[float, int, int]], quantile: float) -> None:
    """The next lower normal score as threshold would flag more than 1 - q: it is not set higher than needed."""
    scores, labels, weights = arrays(rows)
    threshold, _ = Quantile(quantile).fit(scores, labels, weights)
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
    assert rule.fit(scores, labels, weights)[0] == Quantile(quantile).fit(scores, None, weights)[0]


def test_among_all_blocks_anomalies_alone_will_do() -> None:
    """A threshold that asks for no label needs no normal block."""
    assert Quantile(0.5, among="all").fit(np.ones(2), np.ones(2), np.ones(2))[0] > 1


def test_no_normals() -> None:
    """It says that labels with normal blocks are needed."""
    with pytest.raises(DataError, match="no normal items"):
        Quantile(0.9).fit(np.ones(2), np.ones(2), np.ones(2))


def test_fixed_stays() -> None:
    """Whatever the scores are."""
    assert Fixed(0.75).fit(np.array([9.0]), None, np.ones(1)) == (0.75, "fixed 0.75")


def test_both_say_what_they_are() -> None:
    """In words that a report can print."""
    assert str(Fixed(0.75)) == "fixed 0.75"
    assert str(Quantile(0.999)) == "quantile 0.999 of the training scores"
    assert str(Quantile(0.97, among="all")) == "quantile 0.97 of all training scores"


def test_a_threshold_keeps_its_baseline_quiet() -> None:
    times, draw = np.arange(200) * 5.0, np.random.default_rng(1)
    scores, rule = draw.exponential(1, 200), Quiet(few=0)
    plain, words = rule.calibrate(scores, times)
    assert plain == pytest.approx(2 * np.percentile(scores, 95)) and "2 times the 95 %" in words
    few, _ = Quiet(few=30).calibrate(scores, times)
    assert few == pytest.approx(plain * (1 + 30 / 200))
    scores[50:55] = 3 * plain
    raised, words = rule.calibrate(scores, times)
    assert raised > scores[50] and "raised" in words
    scores[50:55] = 100 * plain
    held, _ = rule.calibrate(scores, times)
    assert held < 8 * plain, "an incident in the baseline does not blind the detector"
    assert str(rule) == "2 times the 95 % quantile of the baseline's scores, or until it is quiet"


def test_roots_get_the_threshold_that_their_squares_would_get() -> None:
    times, squares = np.arange(200) * 5.0, np.random.default_rng(1).exponential(1, 200)
    squares[50:55] = 30
    level, _ = Quiet().fit(squares, None, np.ones(200), times)
    root, words = Quiet(power=2.0).fit(np.sqrt(squares), None, np.ones(200), times)
    assert root == pytest.approx(np.sqrt(level)) and "to the power of 2" in words


def test_steps_without_a_score_are_left_out_and_so_are_anomalous_ones() -> None:
    times, scores = np.arange(200) * 5.0, np.random.default_rng(1).exponential(1, 200)
    labels, weights, rule = np.zeros(200, np.int64), np.ones(200), Quiet()
    labels[150:] = 1
    some = np.where(np.arange(200) < 20, np.nan, scores)
    assert rule.fit(some, labels, weights, times) == rule.fit(scores[20:150], None, weights[20:150], times[20:150])
    assert rule.calibrate(np.full(200, np.nan), times) == (np.inf, "no score in the baseline")
    with pytest.raises(DataError, match="times"):
        rule.fit(scores, labels, weights)
