"""What learns from all blocks, and what learns online, in a home: trained, and retrained on what came later."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.learning.retraining import Material, retrain, waiting_items
from hdfs_pipeline.learning.tracking import publish_model
from hdfs_pipeline.learning.training import fit
from hdfs_pipeline.scoring.labels import AMBIGUOUS, UNLABELLED
from hdfs_pipeline.scoring.models import save_model
from hdfs_pipeline_tests.homes import BLOCKS, Excerpt, Home, copy_home, excerpt, fill

NEW = 300


@pytest.fixture
def grown(trained: Home, tmp_path: Path, mlflow_db: Path) -> Home:
    """A home with models of its first 400 blocks by `isolation_forest` and `sgd`, and 300 later ones."""
    settings = {"retrain_batch_size": 100, "retrain_holdout_blocks": 50}
    home = copy_home(trained, tmp_path / "home", **settings)
    shutil.copy(mlflow_db, home.settings.home)
    data = load_dataset(home.store, home.settings)
    for name in ("isolation_forest", "sgd"):
        publish_model(home.store, home.settings, save_model(fit(data, BLOCKS, name, home.settings), home.settings).card)
    more: Excerpt = excerpt(tmp_path / "more", normal=NEW - 40, anomalous=40, part=1)
    fill(home, [more.log], more.csv)
    return home


def test_all_blocks_are_learned_whatever_is_known_of_them(trained: Home) -> None:
    """Blocks without a label beside labelled ones, but no ambiguous ones; the threshold leaves out no label."""
    data = load_dataset(trained.store, trained.settings)
    labels = data.labels.copy()
    labels[::2], labels[1::40] = UNLABELLED, AMBIGUOUS
    data = replace(data, labels=labels)
    scorer = fit(data, BLOCKS, "isolation_forest", trained.settings)
    assert scorer.card.items == (labels != AMBIGUOUS).sum() > (labels >= 0).sum()
    assert fit(data, BLOCKS, "kmeans", trained.settings).card.items == (labels >= 0).sum()
    scores = scorer.score(data.matrix("events").take(labels != AMBIGUOUS))
    assert 0 < (scores >= scorer.card.threshold).mean() <= 0.03
    assert scorer.card.rule == "quantile 0.97 of all training scores"


def test_unlabelled_blocks_are_new_to_what_learns_from_all(grown: Home) -> None:
    """They wait for a retraining as much as labelled ones do."""
    with grown.store.write() as con:
        con.execute("DELETE FROM labels WHERE block_id IN (SELECT block_id FROM labels ORDER BY block_id LIMIT 50)")
    assert waiting_items(grown.store, grown.settings, BLOCKS, "isolation_forest") == NEW
    given = Material.of(grown.store, grown.settings, BLOCKS, "isolation_forest")
    assert len(given.data) == 400 + NEW
    assert given.judged_by.sum() == 350 + NEW
    assert len(Material.of(grown.store, grown.settings, BLOCKS, "sgd").data) == 350 + NEW


@pytest.mark.parametrize("name", ["isolation_forest", "sgd"])
def test_retraining(grown: Home, name: str) -> None:
    """The forest is grown anew, the online model goes on, and what it learned before is not forgotten."""
    before = load_scorer(grown.settings, BLOCKS, name)
    done = retrain(grown.store, grown.settings, BLOCKS, name)
    assert (done.status in ("promoted", "kept"), done.new, done.challenger) == (True, NEW, 2)
    assert done.judgement["by"] == "labels"
    if name == "sgd":
        assert done.judgement["challenger"]["f1"] >= 0.9
        after = load_scorer(grown.settings, BLOCKS, name, 2)
        assert after.card.after == 1
        data = load_dataset(grown.store, grown.settings).labelled()
        known = before.knows(data.matrix("events").values)
        flagged = after.score(data.matrix("events")) >= after.card.threshold
        assert np.mean(flagged[known] == (data.labels[known] == 1)) > 0.98
