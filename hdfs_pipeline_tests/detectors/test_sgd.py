"""The online detector: what it keeps between pieces, and that it does not forget."""

import json
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.detectors.sgd import Sgd
from hdfs_pipeline.errors import DataError
from hdfs_pipeline_tests.detectors.conftest import CONSTANT, PLANTED, Blocks


@pytest.fixture(scope="module")
def sgd(train: Blocks) -> Sgd:
    """It has learned the blocks to learn from."""
    return Sgd().fit(*train.distinct)


def learned(detector: Sgd) -> dict[str, float]:
    """What the model file says it has learned."""
    return json.loads(detector.session.get_modelmeta().custom_metadata_map["learned"])


def logits(detector: Sgd, values: np.ndarray) -> np.ndarray:
    """Sums before the logistic function, up to the bias."""
    return detector.run("terms", values).sum(axis=1)


def test_the_file_holds_how_far_it_has_come(sgd: Sgd, train: Blocks, tmp_path: Path) -> None:
    """Steps and blocks; a loaded one goes on from there as the one in memory does."""
    before = learned(sgd)
    assert before["blocks"] == len(train.labels)
    assert before["steps"] == 1 + 1000 * len(train.distinct[0])
    sgd.save(tmp_path)
    piece = train.values[:50], train.labels[:50], np.ones(50)
    one, other = (Sgd.load(tmp_path).partial_fit(*piece) for _ in range(2))
    assert one.model == other.model
    assert learned(one)["blocks"] == before["blocks"] + 50
    assert learned(one)["steps"] > before["steps"]


def test_another_scaling_leaves_what_was_learned(sgd: Sgd, train: Blocks, held_out: Blocks) -> None:
    """With a rate of almost nothing, blocks of other counts change the scaling and not the model."""
    moved = Sgd(eta0=1e-12, alpha=0.0).resume(sgd, train.values * 3 + 1, train.labels, np.ones(len(train.labels)))
    assert moved.model != sgd.model
    np.testing.assert_allclose(moved.score(held_out.values), sgd.score(held_out.values), rtol=1e-4, atol=1e-6)


def test_going_on_learns_the_new_and_keeps_the_old(sgd: Sgd, train: Blocks) -> None:
    """Another kind of anomaly, beside all old blocks."""
    fresh = train.values[train.labels == 0][:20].copy()
    fresh[:, CONSTANT] = 1
    assert (sgd.score(fresh) < 0.5).all()
    values, labels = np.vstack([train.values, fresh]), np.r_[train.labels, np.ones(20, np.int64)]
    resumed = Sgd().resume(sgd, values, labels, np.ones(len(labels)))
    assert ((resumed.score(values) >= 0.5) == (labels == 1)).all()


def test_a_piece_alone_does_not_make_it_forget(sgd: Sgd, train: Blocks, held_out: Blocks) -> None:
    """Ten pieces of normal blocks only."""
    normal = train.values[train.labels == 0]
    later = Sgd().resume(sgd, normal[:50], np.zeros(50, np.int64), np.ones(50))
    for start in range(50, 550, 50):
        piece = normal[start : start + 50]
        later = later.partial_fit(piece, np.zeros(len(piece), np.int64), np.ones(len(piece)))
    found = later.score(held_out.values) >= 0.5
    assert (found == (held_out.labels == 1)).mean() > 0.99


def test_a_vector_with_both_labels_goes_with_the_more(train: Blocks) -> None:
    """Common normal vectors with a few wrong labels stay normal."""
    values, labels, weights = train.distinct
    common = int(np.argmax(weights))
    both = np.vstack([values, values[common : common + 1]]), np.r_[labels, 1], np.r_[weights, 3]
    detector = Sgd().fit(*both)
    assert detector.score(values[common : common + 1])[0] < 0.2


def test_other_columns_are_learned_anew(sgd: Sgd, train: Blocks) -> None:
    values, labels, weights = train.distinct
    wider = np.column_stack([values, values[:, PLANTED]])
    resumed = Sgd().resume(sgd, wider, labels, weights)
    assert resumed.model == Sgd().fit(wider, labels, weights).model


def test_labels_are_needed(train: Blocks) -> None:
    """Of both kinds to begin with; of any kind for a piece."""
    values, labels, weights = train.distinct
    with pytest.raises(DataError, match="pca"):
        Sgd().fit(values, None, weights)
    with pytest.raises(DataError, match="both kinds"):
        Sgd().fit(values, labels * 0, weights)
    with pytest.raises(DataError, match="none"):
        Sgd().partial_fit(values, None, weights)
    assert len(Sgd().partial_fit(values[:1], labels[:1], weights[:1]).score(values)) == len(values)
