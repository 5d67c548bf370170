"""A small world of blocks like HDFS's: few vectors that repeat, rare normal ones, and anomalies of a known cause."""

from dataclasses import dataclass

import numpy as np
import pytest

WIDTH = 12
CONSTANT = 10
"""A column that is 0 in every block."""
PLANTED = 11
"""The column that is 0 in normal blocks and 3 to 6 in anomalous ones."""
SEED = 20260


@dataclass(frozen=True)
class Blocks:
    """Event counts (n, d) float32 and labels (n,) of blocks; `distinct` ones with the number of blocks behind each."""

    values: np.ndarray
    labels: np.ndarray

    @property
    def distinct(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distinct vectors, their labels and their weights."""
        both = np.column_stack([self.values, self.labels])
        rows, weights = np.unique(both, axis=0, return_counts=True)
        return rows[:, :-1].astype(np.float32), rows[:, -1].astype(np.int64), weights

    @property
    def normals(self) -> np.ndarray:
        """The distinct normal vectors."""
        values, labels, _ = self.distinct
        return values[labels == 0]


def make_blocks(seed: int, normal: int = 600, anomalous: int = 20) -> Blocks:
    """Blocks of three replicas: five columns that follow the number of replicas, four that vary, and the two above."""
    rng = np.random.default_rng(seed)
    count = normal + anomalous
    values = np.zeros((count, WIDTH), np.float32)
    values[:, :5] = np.array([1, 3, 3, 3, 3]) * rng.choice([1, 2], (count, 1), p=[0.95, 0.05])
    values[:, 5:9] = rng.choice([0, 1, 2], (count, 4), p=[0.9, 0.08, 0.02])
    values[:, 9] = 3 - (rng.random(count) < 0.05)
    labels = np.r_[np.zeros(normal, np.int64), np.ones(anomalous, np.int64)]
    values[labels == 1, PLANTED] = rng.integers(3, 7, anomalous)
    return Blocks(values, labels)


@pytest.fixture(scope="session")
def seed() -> int:
    """The seed of all data here; pytest shows what is printed where a test fails."""
    print(f"data from seed {SEED}")
    return SEED


@pytest.fixture(scope="session")
def train(seed: int) -> Blocks:
    """Blocks to learn from."""
    return make_blocks(seed)


@pytest.fixture(scope="session")
def held_out(seed: int) -> Blocks:
    """Blocks to judge on."""
    return make_blocks(seed + 1)
