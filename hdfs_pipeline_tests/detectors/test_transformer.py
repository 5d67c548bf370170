"""The transformer on counts: its graph against PyTorch, that no count tells itself, and what it finds odd."""

import numpy as np
import pytest

from hdfs_pipeline.detectors.transformer import Transformer, _forward, known_columns
from hdfs_pipeline.errors import DataError
from hdfs_pipeline_tests.detectors.conftest import CONSTANT, PLANTED, Blocks

THRESHOLD = 4.0


@pytest.fixture(scope="module")
def transformer(train: Blocks) -> Transformer:
    return Transformer(steps=600).fit(*train.distinct)


def learned(train: Blocks, steps: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What PyTorch learns of the normal blocks, and their counts (k, v) as the network reads them."""
    values, labels, weights = train.distinct
    normals = values[labels == 0]
    counts = np.minimum(normals @ known_columns(normals), Transformer.MOST).astype(np.int64)
    distinct, inverse = np.unique(counts, axis=0, return_inverse=True)
    blocks = np.bincount(inverse.reshape(-1), weights[labels == 0].astype(float))
    return Transformer(steps=steps)._learn(distinct, blocks), counts


def test_the_graph_computes_what_pytorch_learned(train: Blocks) -> None:
    import torch

    trained, counts = learned(train, 60)
    network = {name: torch.tensor(value) for name, value in trained.items()}
    given = torch.tensor(counts)
    chances = torch.log_softmax(_forward(network, given, Transformer.HEADS), -1).gather(-1, given[..., None])[..., 0]
    scores = Transformer(steps=60).fit(*train.distinct).score(train.normals)
    np.testing.assert_allclose(scores, (-chances).max(dim=1).values.numpy(), atol=1e-5)


def test_no_count_tells_itself(train: Blocks) -> None:
    """What is expected of a column is the same whatever it holds; what is expected of the others is not."""
    import torch

    trained, counts = learned(train, 60)
    network = {name: torch.tensor(value) for name, value in trained.items()}
    row = torch.tensor(counts[:1])
    before = _forward(network, row, Transformer.HEADS)
    for column in range(counts.shape[1]):
        changed = row.clone()
        changed[0, column] = 5
        after = _forward(network, changed, Transformer.HEADS)
        same = torch.isclose(before, after, atol=1e-12).all(dim=-1)[0]
        assert same[column] and not same.all()


def test_counts_that_do_not_fit_together_are_odd(transformer: Transformer, train: Blocks) -> None:
    """Each of them occurs in normal blocks: 3 with one replica set, 6 with two."""
    usual = np.array([[1, 3, 3, 3, 3, 0, 0, 0, 0, 3, 0, 0], [2, 6, 6, 6, 6, 0, 0, 0, 0, 3, 0, 0]], np.float32)
    assert (transformer.score(usual) < THRESHOLD).all()
    mixed = usual[[0, 0, 0]].copy()
    mixed[0, 2] = 6
    mixed[1, 3] = 2
    mixed[2, CONSTANT] = 1
    assert (transformer.score(mixed) > THRESHOLD).all()
    assert transformer.explain(mixed, usual[[0, 0, 0]]).argmax(axis=1).tolist() == [2, 3, CONSTANT]


def test_columns_that_no_normal_block_has_share_what_is_said_of_them(transformer: Transformer, train: Blocks) -> None:
    usual = train.normals[:1]
    both = usual.copy()
    both[:, [CONSTANT, PLANTED]] = 2
    shares = transformer.explain(both, usual)[0]
    assert shares[CONSTANT] == shares[PLANTED] > 0.2
    assert transformer.explain(usual, usual)[0, [CONSTANT, PLANTED]].tolist() == [0, 0]


def test_counts_above_the_most_are_alike(transformer: Transformer, train: Blocks) -> None:
    values = np.repeat(train.normals[:1], 2, axis=0)
    values[:, PLANTED] = Transformer.MOST, 1e6
    one, other = transformer.score(values)
    assert one == other > THRESHOLD


def test_another_seed_is_another_network(train: Blocks, held_out: Blocks) -> None:
    one, other = (Transformer(seed=seed, steps=3).fit(*train.distinct).score(held_out.values) for seed in (1, 2))
    assert (one != other).any()


def test_it_leaves_pytorch_as_it_was(train: Blocks) -> None:
    import torch

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    Transformer(steps=2).fit(*train.distinct)
    assert torch.get_num_threads() == threads and torch.equal(torch.rand(3), expected)


def test_no_normal_blocks(train: Blocks) -> None:
    with pytest.raises(DataError, match="normal"):
        Transformer().fit(train.values, np.ones(len(train.values), np.int64), np.ones(len(train.values)))
