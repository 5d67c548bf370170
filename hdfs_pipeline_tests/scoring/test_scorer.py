"""The scorer: one way to score, bound to its columns and its catalogue."""

from dataclasses import replace

import numpy as np
import pytest

from hdfs_pipeline.detectors.lstm import Lstm
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.scoring.explain import Explanation, Vocabulary
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.labels import ANOMALY, NORMAL
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline_tests.homes import BLOCKS, Home


@pytest.fixture
def forest(trained: Home) -> Scorer:
    return load_scorer(trained.settings, BLOCKS, "random_forest")


@pytest.fixture
def events(trained: Home) -> FeatureMatrix:
    return load_dataset(trained.store, trained.settings).matrix("events")


def test_repeated_rows_score_like_each_row_for_itself(forest: Scorer, events: FeatureMatrix) -> None:
    scores = forest.score(events)
    assert scores.dtype == np.float64
    alone = [forest.score(events.take(np.array([row])))[0] for row in range(0, len(events), 40)]
    assert scores[::40].tolist() == alone
    twice = forest.score(events.take(np.r_[np.arange(len(events)), 3, 3]))
    assert twice[-2:].tolist() == [scores[3]] * 2


def test_no_rows_no_scores(forest: Scorer, events: FeatureMatrix) -> None:
    assert forest.score(events.take(np.arange(0))).shape == (0,)


def test_other_columns_are_refused_by_name(forest: Scorer, events: FeatureMatrix) -> None:
    last = events.columns[-1]
    fewer = FeatureMatrix(events.values[:, :-1], events.keys, events.columns[:-1], events.source)
    with pytest.raises(DataError, match=rf"missing \['{last}'\], unexpected none"):
        forest.score(fewer)
    more = np.column_stack([events.values, np.zeros(len(events), np.float32)])
    with pytest.raises(DataError, match=r"missing none, unexpected \['E99'\]"):
        forest.score(FeatureMatrix(more, events.keys, (*events.columns, "E99"), events.source))
    renamed = (*events.columns[:-1], "E99")
    with pytest.raises(DataError, match=rf"missing \['{last}'\], unexpected \['E99'\]"):
        forest.score(FeatureMatrix(events.values, events.keys, renamed, events.source))


def test_columns_in_another_order_are_refused(forest: Scorer, events: FeatureMatrix) -> None:
    turned = FeatureMatrix(events.values[:, ::-1], events.keys, events.columns[::-1], events.source)
    with pytest.raises(DataError, match="another order"):
        forest.score(turned)


def test_another_catalogue_is_refused(forest: Scorer, events: FeatureMatrix) -> None:
    other = FeatureMatrix(events.values, events.keys, events.columns, "hdfs_v1.v2")
    with pytest.raises(DataError, match=r"'hdfs_v1\.v2'.*'hdfs_v1\.v1'"):
        forest.score(other)


def test_it_knows_the_vectors_of_training(forest: Scorer, events: FeatureMatrix) -> None:
    assert forest.knows(events.values).all()
    strange = events.values[:2] + 1000
    assert forest.knows(np.vstack([strange, events.values[:1]])).tolist() == [False, False, True]
    assert forest.knows(events.values[:0]).shape == (0,)


def test_normals_stand_with_the_most_frequent_first(trained: Home, forest: Scorer) -> None:
    data = load_dataset(trained.store, trained.settings)
    rows = [row.tobytes() for row in data.matrix("events").values[data.labels == 0]]
    counts = [rows.count(row.tobytes()) for row in forest.normals]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == 360
    assert len({row.tobytes() for row in forest.normals}) == len(forest.normals)


def test_an_explanation_is_against_the_nearest_normal_vector(
    trained: Home, forest: Scorer, events: FeatureMatrix
) -> None:
    flagged = events.values[forest.score(events) >= forest.card.threshold]
    explanations = forest.explain(flagged, BLOCKS.vocabulary(trained.settings, forest.card.source))
    nearest = flagged.copy()
    for row, explanation in zip(nearest, explanations, strict=True):
        for difference in explanation.differences:
            column = events.columns.index(difference.event_id)
            assert row[column] == difference.count
            row[column] = difference.expected
    distances = np.abs(flagged[:, None, :] - forest.normals[None]).sum(axis=2)
    np.testing.assert_array_equal(np.abs(flagged - nearest).sum(axis=1), distances.min(axis=1))
    np.testing.assert_array_equal(nearest, forest.normals[distances.argmin(axis=1)])
    np.testing.assert_allclose(sums_of_shares(explanations), 1)


def sums_of_shares(explanations: list[Explanation]) -> list[float]:
    return [sum(difference.share for difference in explanation.differences) for explanation in explanations]


def test_a_model_without_normal_vectors_explains_too(trained: Home, forest: Scorer, events: FeatureMatrix) -> None:
    bare = replace(forest, normals=forest.normals[:0])
    explanations = bare.explain(events.values[:5], BLOCKS.vocabulary(trained.settings, forest.card.source))
    for row, explanation in zip(events.values[:5], explanations, strict=True):
        assert {difference.expected for difference in explanation.differences} == {0}
        assert {difference.event_id: difference.count for difference in explanation.differences} == {
            column: count for column, count in zip(events.columns, row.tolist(), strict=True) if count
        }
    np.testing.assert_allclose(sums_of_shares(explanations), 1)


def test_rows_that_repeat_are_explained_once(forest: Scorer, events: FeatureMatrix) -> None:
    """And each has the explanation that it would have alone."""
    asked: list[str] = []
    vocabulary = Vocabulary(lambda column: asked.append(column) or column, "block", "the same events")
    once = forest.explain(events.values[:3], vocabulary)
    first = len(asked)
    again = forest.explain(np.vstack([events.values[:3]] * 50), vocabulary)
    assert again == once * 50
    assert len(asked) == 2 * first
    assert forest.explain(events.values[:0], vocabulary) == []


def test_rows_that_people_ruled_are_explained_with_their_word(forest: Scorer, events: FeatureMatrix) -> None:
    ruled = replace(forest, ruled=events.values[:2], ruled_labels=np.array([ANOMALY, NORMAL], np.int8))
    vocabulary = Vocabulary(str, "block", "the same events")
    plain = [explanation.reason for explanation in forest.explain(events.values[:3], vocabulary)]
    reasons = [explanation.reason for explanation in ruled.explain(events.values[:3], vocabulary)]
    assert reasons[0] == f"people called a block with the same events a real anomaly; {plain[0]}"
    if (events.values[1] != events.values[0]).any():
        assert reasons[1] == f"people called a block with the same events a false alarm; {plain[1]}"


def test_sequences_need_the_names_of_their_codes(forest: Scorer, events: FeatureMatrix) -> None:
    """As where the catalogue that a model was trained on has gone."""
    sequences = replace(forest, detector=Lstm())
    with pytest.raises(SetupError, match=r"source hdfs_v1\.v1 is not in this home: put it back, or train again"):
        sequences.explain(events.values[:1], Vocabulary(str))
