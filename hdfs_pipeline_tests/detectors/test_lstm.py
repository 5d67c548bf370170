"""The LSTM on sequences: its graph against PyTorch, what it finds odd, and what its scores do not depend on."""

import numpy as np
import pytest

from hdfs_pipeline.detectors.lstm import Lstm, _shifted, event_classes
from hdfs_pipeline.errors import DataError

STEPS = 24
OPEN, WRITE, STORE, DELETE, RARE, NEVER = 3, 5, 6, 8, 9, 40
THRESHOLD = 5.0


def rows(*sequences: list[int]) -> np.ndarray:
    return np.array([sequence + [0] * (STEPS - len(sequence)) for sequence in sequences], np.float32)


def normal(rng: np.random.Generator) -> list[int]:
    """Three replicas, opened in any order among the writes, stored, and deleted more often than not."""
    begins = rng.permutation([OPEN] + [WRITE] * 3).tolist()
    return begins + [RARE] * (rng.random() < 0.1) + [STORE] * 3 + [DELETE] * 3 * (rng.random() < 0.7)


@pytest.fixture(scope="module")
def normals() -> np.ndarray:
    rng = np.random.default_rng(3)
    return rows(*(normal(rng) for _ in range(400)))


@pytest.fixture(scope="module")
def lstm(normals: np.ndarray) -> Lstm:
    return Lstm().fit(normals, None, np.ones(len(normals)))


def test_the_graph_computes_what_pytorch_learned(lstm: Lstm, normals: np.ndarray) -> None:
    import torch

    distinct, weights = np.unique(normals, axis=0, return_counts=True)
    order = np.lexsort(distinct.T[::-1])
    classes = event_classes(distinct)
    sequences = classes[distinct[order].astype(int)]
    trained = Lstm()._learn(sequences, weights[order].astype(float), int(classes[-1]) + 1)
    memory = torch.nn.LSTM(Lstm.EMBEDDING, Lstm.HIDDEN, batch_first=True)
    memory.load_state_dict({name[2:]: torch.tensor(value) for name, value in trained.items() if name[0] == "1"})
    given, wanted, alive = _shifted(sequences)
    with torch.no_grad():
        states, _ = memory(torch.tensor(trained["0.weight"][given]))
        logits = states @ torch.tensor(trained["2.weight"].T) + torch.tensor(trained["2.bias"])
        chances = torch.log_softmax(logits, -1).gather(-1, torch.tensor(wanted)[..., None])[..., 0].numpy()
    np.testing.assert_allclose(lstm.surprisals(distinct[order]), np.where(alive, -chances, 0), atol=1e-4)


def test_what_is_normal_stays_below_and_what_is_not_does_not(lstm: Lstm) -> None:
    rng = np.random.default_rng(4)
    assert (lstm.score(rows(*(normal(rng) for _ in range(50)))) < THRESHOLD).mean() > 0.95
    begins = [OPEN, WRITE, WRITE, WRITE]
    odd = {
        "ends early": begins + [STORE] * 2,
        "ends at once": [OPEN],
        "no event": [],
        "in another order": [STORE] * 3 + begins,
        "a fourth replica": begins + [STORE] * 4 + [DELETE] * 3,
        "an event never seen": [*begins, NEVER, *([STORE] * 3)],
    }
    scores = lstm.score(rows(*odd.values()))
    assert dict(zip(odd, scores > THRESHOLD, strict=True)) == dict.fromkeys(odd, True), scores


def test_shares_are_surprisals_and_the_end_stands_after_the_last_event(lstm: Lstm) -> None:
    values = rows([OPEN, WRITE, WRITE, WRITE, STORE, STORE], [OPEN, WRITE, WRITE, DELETE, WRITE] + [STORE] * 3)
    shares = lstm.explain(values, values)
    assert shares.argmax(axis=1).tolist() == [6, 3]
    found = lstm.surprisals(values)
    np.testing.assert_allclose(shares[:, :12], found[:, :12] / found.sum(axis=1, keepdims=True), rtol=1e-6)
    full = np.full((1, STEPS), WRITE, np.float32)
    np.testing.assert_allclose(lstm.explain(full, full).sum(), 1)


def test_numbers_beyond_the_catalogue_are_events_never_seen(lstm: Lstm) -> None:
    values = rows([OPEN, NEVER, WRITE], [OPEN, 10**6, WRITE], [OPEN, NEVER + 1, WRITE])
    scores = lstm.score(values)
    assert np.unique(scores).size == 1 and np.isfinite(scores).all()


def test_a_matrix_of_more_steps_scores_the_same(lstm: Lstm, normals: np.ndarray) -> None:
    """Zeros after the last event say nothing."""
    longer = np.pad(normals, ((0, 0), (0, 17)))
    np.testing.assert_array_equal(lstm.score(longer), lstm.score(normals))


def test_another_seed_is_another_network(normals: np.ndarray) -> None:
    one, other = (Lstm(seed=seed, steps=3).fit(normals, None, np.ones(len(normals))) for seed in (1, 2))
    assert (one.score(normals) != other.score(normals)).any()


def test_it_leaves_pytorch_as_it_was(normals: np.ndarray) -> None:
    import torch

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    Lstm(steps=2).fit(normals, None, np.ones(len(normals)))
    assert torch.get_num_threads() == threads and torch.equal(torch.rand(3), expected)


def test_no_normal_blocks(normals: np.ndarray) -> None:
    with pytest.raises(DataError, match="normal"):
        Lstm().fit(normals, np.ones(len(normals), np.int64), np.ones(len(normals)))
