"""What a detector is to the rest of the house."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from hdfs_pipeline.errors import NotTrainedError


class Detector(ABC):
    """Learns from vectors and gives each a score; high means anomalous. It knows no threshold and no keys.

    Matrices are (n, d) float32, never one row at a time. `fit` is given distinct vectors and how many blocks each
    stands for. After `fit` and after `load` the same engine scores, so that serving equals training.
    """

    name: ClassVar[str]
    learns_from: ClassVar[Literal["labels", "normals", "all", "nothing"]]
    """`labels`: needs both labels. `normals`: learns the vectors labelled normal (all, where there are no labels).
    `all`: learns every vector, whatever its label."""
    features: ClassVar[Literal["events", "keywords", "sequences"]] = "events"
    """Which matrix of a domain it reads: counts of events, of alarm words, or the events in their order."""
    resumes: ClassVar[bool] = False
    """Whether `resume` keeps what was learned before."""
    online: ClassVar[bool] = False
    """Whether it learns piece by piece, through `partial_fit`."""
    additive: ClassVar[bool] = False
    """Whether a row's score is a sum over the columns, told by `parts`: then shares × score are these parts exactly."""

    def __init__(self, *, seed: int = 7, **params: Any) -> None:
        self.seed = seed
        self.params = params

    @abstractmethod
    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn from `values` (n, d) float32, `labels` (n,) 0 normal, 1 anomaly, and `weights` (n,) blocks per row.

        Raises: DataError where it cannot learn from what is given (no labels, one class only, no rows).
        """

    def resume(self, before: Self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn from where `before`, a trained detector of this kind, ended; `fit` anew where the kind cannot.

        The vectors are all that there are, old and new. See `fit`.
        """
        return self.fit(values, labels, weights)

    def partial_fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn from more blocks on top of what was learned, after `fit`, `load` or nothing (`online` ones only).

        Any piece will do: one block, or blocks of one kind. What is not in a piece is not forgotten, but weighs less
        with each piece that follows. The model's file holds all that is needed to go on. See `fit`.
        """
        raise NotImplementedError(f"{self.name} does not learn online")

    @abstractmethod
    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 of `values` (n, d) float32; no rows give no scores."""

    @abstractmethod
    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Share of each column in each row's score: (n, d) float64, not negative, each row sums to 1 (or is all 0).

        `nearest` (n, d) is the nearest normal vector of each row.
        """

    def parts(self, values: np.ndarray) -> np.ndarray:
        """What each column adds to each row's score: (n, d) float64, not negative (`additive` ones only)."""
        raise NotImplementedError(f"the score of {self.name} is no sum over the columns")

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write `model.onnx` or `model.safetensors` into an existing folder. Never a pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises: NotTrainedError where the file is missing or cannot be read."""


def share_by_replacement(score: Any, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Column shares for a detector of which only scores are known: (n, d).

    A column's share is how far the score falls when that column alone takes the nearest normal vector's value
    (occlusion; Zeiler and Fergus, 2014). Where no single column matters, the columns that differ share equally.
    """
    shares = np.zeros(values.shape, np.float64)
    if not len(values):
        return shares
    base = score(values)
    for column in np.flatnonzero((values != nearest).any(axis=0)):
        changed = values.copy()
        changed[:, column] = nearest[:, column]
        shares[:, column] = np.maximum(base - score(changed), 0)
    flat = shares.sum(axis=1) <= 1e-12
    shares[flat] = (values != nearest)[flat]
    return row_shares(shares)


def row_shares(parts: np.ndarray) -> np.ndarray:
    """Each row of `parts` (n, d) float64, not negative, over its sum: what it comes to in all is 1, or 0 of zeros."""
    total = parts.sum(axis=1, keepdims=True)
    return np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)


@contextmanager
def reading(name: str, path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while `path` is read into a NotTrainedError that tells what to do next."""
    try:
        yield
    except Exception as error:  # the libraries behind raise a dozen kinds, without a base in common
        missing = isinstance(error, FileNotFoundError)
        reason = "is missing" if missing else f"cannot be read ({type(error).__name__})"
        raise NotTrainedError(
            f"no usable model of {name}: {path} {reason}; train it with `hdfs-pipeline train --detector {name}`"
        ) from error
