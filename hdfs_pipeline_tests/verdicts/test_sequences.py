"""A detector on sequences from its training to what is said of a block, through every caller that loads the matrix."""

from dataclasses import replace

import pytest

from hdfs_pipeline.detectors import families
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.learning.holdout import evaluate_files, score_files
from hdfs_pipeline.learning.retraining import Material
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.models import save_model
from hdfs_pipeline.verdicts.score import explain_block, explain_matrix, load_scorer, publish_anomalies, score_blocks
from hdfs_pipeline_tests.homes import Excerpt, Home, copy_home


@pytest.fixture(scope="module")
def ordered(trained: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The trained home with a model of `lstm`."""
    home = copy_home(trained, tmp_path_factory.mktemp("ordered") / "home")
    data = load_dataset(home.store, home.settings, families(["lstm"]))
    save_model(fit(data, "lstm", home.settings), home.settings)
    return home


def test_verdicts_of_a_home(ordered: Home, excerpt: Excerpt) -> None:
    table = score_blocks(ordered.store, ordered.settings, "lstm")
    assert table.num_rows == len(excerpt.labels)
    count = publish_anomalies(ordered.store, ordered.settings, "lstm")
    found = ordered.rows("SELECT block_id, reason FROM anomalies WHERE detector = 'lstm'")
    assert count == len(found) == sum(table["is_anomaly"].to_pylist())
    right = [reason for block, reason in found if excerpt.labels[f"blk_{block}"] == "Anomaly"]
    assert len(right) >= 30 and all("step_" not in reason for reason in right)
    report = explain_block(ordered.store, ordered.settings, f"blk_{found[0][0]}", "lstm")
    assert report.is_anomaly and report.explanation.reason == found[0][1]
    columns = load_scorer(ordered.settings, "random_forest").card.columns
    assert {difference.event_id for difference in report.explanation.differences} <= set(columns)


def test_logs_that_are_not_kept(ordered: Home, unseen: Excerpt) -> None:
    rows = score_files(ordered.settings, [str(unseen.log)], "lstm")
    assert {row["block_id"] for row in rows} == set(unseen.labels)
    found = evaluate_files(ordered.settings, [str(unseen.log)], unseen.csv, ["lstm", "exact_match"])
    assert found.tests["lstm"].evaluation.pr_auc > 0.7


def test_what_a_retraining_learns_from_has_the_sequences(ordered: Home) -> None:
    assert Material.of(ordered.store, ordered.settings, "lstm").data.matrix("sequences").values.any()


def test_reasons_need_the_catalogue(ordered: Home) -> None:
    scorer = load_scorer(ordered.settings, "lstm")
    other = replace(scorer, card=replace(scorer.card, source="gone.v1"))
    with pytest.raises(SetupError, match=r"gone\.v1 is not in this home"):
        explain_matrix(other, ordered.settings, scorer.normals[:1])
