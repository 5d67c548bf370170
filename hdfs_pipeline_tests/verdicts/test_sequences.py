"""A detector on sequences from its training to what is said of a block, through every caller that loads the matrix."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.domains.champions import families, load_scorer
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.learning.holdout import evaluate_files
from hdfs_pipeline.learning.retraining import Material
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.models import save_model
from hdfs_pipeline.verdicts.explain import explain_item
from hdfs_pipeline.verdicts.files import score_files
from hdfs_pipeline.verdicts.score import publish_anomalies, score_items
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home
from hdfs_pipeline_tests.verdicts.test_verdicts import without_the_others


@pytest.fixture(scope="module")
def ordered(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The trained home with a model of `lstm`."""
    home = copy_home(trained, tmp_path_factory.mktemp("ordered") / "home")
    data = BLOCKS.features(home.store, home.settings, families(BLOCKS, ["lstm"]))
    save_model(fit(data, BLOCKS, "lstm", home.settings), home.settings)
    return home


def test_verdicts_of_a_home(ordered: Home, excerpt: Excerpt) -> None:
    table = score_items(ordered.store, ordered.settings, BLOCKS, "lstm")
    assert table.num_rows == len(excerpt.labels)
    count = publish_anomalies(ordered.store, ordered.settings, BLOCKS, "lstm")
    found = ordered.rows("SELECT item, reason FROM anomalies WHERE detector = 'lstm'")
    assert count == len(found) == sum(table["is_anomaly"].to_pylist())
    right = [reason for block, reason in found if excerpt.labels[block] == "Anomaly"]
    assert len(right) >= 30 and all("step_" not in reason for reason in right)
    report = explain_item(ordered.store, ordered.settings, BLOCKS, found[0][0], "lstm")
    assert report.is_anomaly and report.explanation.reason == found[0][1]
    columns = load_scorer(ordered.settings, BLOCKS, "random_forest").card.columns
    assert {difference.event_id for difference in report.explanation.differences} <= set(columns)


def test_one_block_is_explained_by_reading_the_events_of_that_block_alone(
    ordered: Home, excerpt: Excerpt, tmp_path: Path
) -> None:
    block = next(block for block, label in excerpt.labels.items() if label == "Anomaly")
    expected = explain_item(ordered.store, ordered.settings, BLOCKS, block, "lstm")
    home = without_the_others(copy_home(ordered, tmp_path / "home"), block)
    assert explain_item(home.store, home.settings, BLOCKS, block, "lstm") == expected


def test_logs_that_are_not_kept(ordered: Home, unseen: Excerpt) -> None:
    rows = score_files(ordered.settings, BLOCKS, [str(unseen.log)], "lstm").verdicts
    assert {row["block_id"] for row in rows} == set(unseen.labels)
    found = evaluate_files(ordered.settings, BLOCKS, [str(unseen.log)], unseen.csv, ["lstm", "exact_match"])
    assert found.tests["lstm"].evaluation.pr_auc > 0.7


def test_what_a_retraining_learns_from_has_the_sequences(ordered: Home) -> None:
    assert Material.of(ordered.store, ordered.settings, BLOCKS, "lstm").data.matrix("sequences").values.any()


def test_distinct_sequences_make_the_model_that_those_of_every_block_make(ordered: Home) -> None:
    """The same seed gives the same model and the same scores, whether blocks share their rows or not."""
    data = BLOCKS.features(ordered.store, ordered.settings, families(BLOCKS, ["lstm"]))
    matrix = data.matrix("sequences")
    assert len(matrix.rows) < len(matrix), "blocks of the excerpt repeat each other"
    every = replace(matrix, rows=matrix.values, at=None)
    one, other = (
        fit(replace(data, matrices=data.matrices | {"sequences": each}), BLOCKS, "lstm", ordered.settings)
        for each in (matrix, every)
    )
    assert one.card.fingerprint == other.card.fingerprint
    assert np.array_equal(one.seen, other.seen) and np.array_equal(one.normals, other.normals)
    assert one.learned is not None and other.learned is not None and np.array_equal(one.learned, other.learned)
    assert np.array_equal(one.score(matrix), other.score(every))


def test_reasons_need_the_catalogue(ordered: Home) -> None:
    scorer = load_scorer(ordered.settings, BLOCKS, "lstm")
    other = replace(scorer, card=replace(scorer.card, source="gone.v1"))
    with pytest.raises(SetupError, match=r"gone\.v1 is not in this home"):
        other.explain(scorer.normals[:1], BLOCKS.vocabulary(ordered.settings, other.card.source))
