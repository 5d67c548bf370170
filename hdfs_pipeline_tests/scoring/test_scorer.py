"""The scorer: one way to score, bound to its columns and its catalogue."""

from dataclasses import replace

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.verdicts.score import load_scorer
from hdfs_pipeline_tests.homes import Home


@pytest.fixture
def forest(trained: Home) -> Scorer:
    return load_scorer(trained.settings, "random_forest")


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


def test_an_explanation_is_against_the_nearest_normal_vector(forest: Scorer, events: FeatureMatrix) -> None:
    flagged = events.values[forest.score(events) >= forest.card.threshold]
    nearest, shares = forest.explain(flagged)
    distances = np.abs(flagged[:, None, :] - forest.normals[None]).sum(axis=2)
    np.testing.assert_array_equal(np.abs(flagged - nearest).sum(axis=1), distances.min(axis=1))
    np.testing.assert_array_equal(nearest, forest.normals[distances.argmin(axis=1)])
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_a_model_without_normal_vectors_explains_too(forest: Scorer, events: FeatureMatrix) -> None:
    bare = replace(forest, normals=forest.normals[:0])
    nearest, shares = bare.explain(events.values[:5])
    assert not nearest.any()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
