"""The autoencoder: its graph against PyTorch-free arithmetic, its randomness, what it learns from."""

import numpy as np
import pytest

from hdfs_pipeline.detectors.autoencoder import Autoencoder
from hdfs_pipeline.errors import DataError
from hdfs_pipeline_tests.detectors.conftest import CONSTANT, WIDTH, Blocks


@pytest.fixture(scope="module")
def autoencoder(train: Blocks) -> Autoencoder:
    """An autoencoder on the blocks to learn from."""
    return Autoencoder().fit(*train.distinct)


def constants_of(model: bytes) -> dict[str, np.ndarray]:
    """The constants of a graph by name."""
    import onnx

    return {item.name: onnx.numpy_helper.to_array(item) for item in onnx.load_from_string(model).graph.initializer}


def average_precision(blocks: Blocks, scores: np.ndarray) -> float:
    """PR-AUC of scores of the blocks."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(blocks.labels, scores))


def by_hand(model: bytes, values: np.ndarray) -> np.ndarray:
    """Squared errors (n, d) float64, computed with numpy from the constants of the graph."""
    constants = constants_of(model)
    inputs = (np.log1p(values.astype(np.float64)) - constants["mean"]) / constants["deviation"]
    layer = inputs
    for place in range(4):
        layer = layer @ constants[f"weight{place}"].T + constants[f"bias{place}"]
        layer = np.maximum(layer, 0) if place < 3 else layer
    return (layer - inputs) ** 2


def test_the_graph_computes_what_it_should(autoencoder: Autoencoder, held_out: Blocks) -> None:
    """Scores are means over the columns, shares are parts of the sum."""
    errors = by_hand(autoencoder.model, held_out.values)
    np.testing.assert_allclose(autoencoder.score(held_out.values), errors.mean(axis=1), rtol=1e-6)
    shares = autoencoder.explain(held_out.values, held_out.values)
    np.testing.assert_allclose(shares, errors / errors.sum(axis=1, keepdims=True), atol=1e-6)


def test_layers_are_as_published(autoencoder: Autoencoder) -> None:
    """d-16-8-16-d."""
    constants = constants_of(autoencoder.model)
    shapes = [constants[f"weight{place}"].shape for place in range(4)]
    assert shapes == [(16, WIDTH), (8, 16), (16, 8), (WIDTH, 16)]


def test_an_event_never_seen_is_an_error_of_its_own_column(autoencoder: Autoencoder, train: Blocks) -> None:
    """A column that training never moved does not disturb what the others are reproduced as."""
    normals = train.normals
    changed = normals.copy()
    changed[:, CONSTANT] = 1
    before, after = (by_hand(autoencoder.model, values) for values in (normals, changed))
    others = np.arange(WIDTH) != CONSTANT
    np.testing.assert_allclose(after[:, others], before[:, others], atol=1e-9)
    assert (autoencoder.score(changed) > autoencoder.score(normals) + 0.1).all()


def test_it_leaves_pytorch_as_it_was(train: Blocks) -> None:
    """Neither the process's random numbers nor its number of threads change."""
    import torch

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    Autoencoder(steps=3).fit(*train.distinct)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), expected)


def test_another_seed_is_another_network(train: Blocks, held_out: Blocks) -> None:
    """The seed is used at all, and what is anomalous does not hang on it."""
    one, other = (Autoencoder(seed=seed, steps=500).fit(*train.distinct).score(held_out.values) for seed in (1, 2))
    assert (one != other).any()
    for scores in (one, other):
        assert average_precision(held_out, scores) > 0.95


def test_without_labels_it_learns_from_all(train: Blocks) -> None:
    """Then anomalies are reproduced as well."""
    values, labels, weights = train.distinct
    of_all = Autoencoder(steps=300).fit(values, None, weights).score(values)[labels == 1]
    of_normals = Autoencoder(steps=300).fit(values, labels, weights).score(values)[labels == 1]
    assert np.median(of_all) < np.median(of_normals) / 10


def test_more_vectors_than_one_step_takes(train: Blocks, held_out: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then each step draws some of them."""
    monkeypatch.setattr(Autoencoder, "BATCH", 16)
    scores = Autoencoder(steps=500).fit(*train.distinct).score(held_out.values)
    assert average_precision(held_out, scores) > 0.95


def test_no_normal_blocks() -> None:
    """It says what it needs."""
    with pytest.raises(DataError, match="normal"):
        Autoencoder().fit(np.ones((2, 3), np.float32), np.ones(2, np.int64), np.ones(2))


def log_counts(autoencoder: Autoencoder, values: np.ndarray) -> np.ndarray:
    """What the network makes of rows, as log counts (n, d) float64."""
    constants = constants_of(autoencoder.model)
    layer = (np.log1p(values.astype(np.float64)) - constants["mean"]) / constants["deviation"]
    for place in range(4):
        layer = layer @ constants[f"weight{place}"].T + constants[f"bias{place}"]
        layer = np.maximum(layer, 0) if place < 3 else layer
    return layer * constants["deviation"] + constants["mean"]


def test_going_on_begins_with_what_was_learned(autoencoder: Autoencoder, train: Blocks, held_out: Blocks) -> None:
    """In another scaling, before a step has changed anything, the network computes what it did."""
    wider = Blocks(train.values * 3 + 1, train.labels)
    moved = Autoencoder(steps=4, lr=1e-12).resume(autoencoder, *wider.distinct)
    before, after = constants_of(autoencoder.model), constants_of(moved.model)
    assert not np.allclose(before["mean"], after["mean"])
    np.testing.assert_allclose(
        log_counts(moved, held_out.values), log_counts(autoencoder, held_out.values), rtol=1e-4, atol=1e-4
    )


def test_going_on_takes_fewer_steps(train: Blocks, autoencoder: Autoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    from hdfs_pipeline.detectors import autoencoder as module

    steps = []
    monkeypatch.setattr(module, "_descend", lambda network, inputs, batch, count, params: steps.append(count))
    Autoencoder().fit(*train.distinct)
    Autoencoder().resume(autoencoder, *train.distinct)
    assert steps[1] <= steps[0] / 2


def test_going_on_learns_the_new_and_keeps_the_old(train: Blocks, autoencoder: Autoencoder) -> None:
    """Blocks of an event that no normal block had before, beside the old ones."""
    fresh = train.normals.copy()
    fresh[:, CONSTANT] = 2
    both = np.concatenate([train.normals, fresh])
    resumed = Autoencoder().resume(autoencoder, both, None, np.ones(len(both)))
    assert np.median(resumed.score(fresh)) < np.median(autoencoder.score(fresh)) / 100
    assert np.median(resumed.score(train.normals)) < 0.05
    _, labels, _ = train.distinct
    anomalies = train.distinct[0][labels == 1]
    assert np.median(resumed.score(anomalies)) > 20 * np.quantile(resumed.score(both), 0.95)


def test_a_network_of_other_columns_is_no_beginning(train: Blocks, autoencoder: Autoencoder) -> None:
    values, labels, weights = train.distinct
    wider = np.column_stack([values, values[:, :1]])
    resumed, fitted = Autoencoder(steps=20).resume(autoencoder, wider, labels, weights), Autoencoder(steps=20)
    assert resumed.model == fitted.fit(wider, labels, weights).model
