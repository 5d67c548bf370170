"""The contract of a detector: what the rest of the code may ask of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from hdfs_pipeline.errors import NotTrainedError
from hdfs_pipeline.scoring.explain import nearest_normals

Inputs = Any
"""What a matrix gives to a detector (`FeatureMatrix.inputs`): its values (n, d) float32, or the `Frame` of a series."""


class Detector(ABC):
    """Learns from vectors and gives each a score; high means anomalous. It knows neither threshold nor keys.

    Matrices are (n, d) float32, never one row at a time. `fit` takes distinct vectors and how many items each stands
    for. The same engine scores after `fit` and after `load`, so that serving equals training.
    """

    name: ClassVar[str]
    learns_from: ClassVar[Literal["labels", "normals", "all", "nothing"]]
    """`labels`: needs both labels. `normals`: learns the vectors labelled normal (all, where there are no labels).
    `all`: learns every vector, whatever its label."""
    features: ClassVar[str] = "events"
    """The family of the domain's matrix that it reads; by default counts of events."""
    sequential: ClassVar[bool] = False
    """Whether a row holds codes of events in their order (1 + the index of an event, 0 after the last one)."""
    ordered: ClassVar[bool] = False
    """Whether rows are steps that follow each other in time. Equal steps are all kept."""
    resumes: ClassVar[bool] = False
    """Whether `resume` keeps what was learned before."""
    online: ClassVar[bool] = False
    """Whether it learns piece by piece, through `partial_fit`."""
    expects: ClassVar[bool] = False
    """Whether it knows what was expected of each row, and is explained by that (`explain_steps`)."""
    additive: ClassVar[bool] = False
    """Whether a row's score is a sum over the columns, which `parts` gives: share × score is then exactly that part."""

    any_columns: ClassVar[bool] = False
    """Whether it scores whatever columns its family has: its model is bound to none."""

    def __init__(self, *, seed: int = 7, **params: Any) -> None:
        self.seed = seed
        self.params = params

    @abstractmethod
    def fit(self, values: Inputs, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn from `values` (n, d) float32, `labels` (n,) 0 normal, 1 anomaly, and `weights` (n,) items per row.

        Raises: DataError if it cannot learn from these rows (no labels, one class only, no rows).
        """

    def resume(self, before: Self, values: Inputs, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Go on learning where `before`, a trained detector of this kind, ended; `fit` anew if the kind cannot resume.

        The vectors are all, old and new. See `fit`.
        """
        return self.fit(values, labels, weights)

    def partial_fit(self, values: Inputs, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn from more items on top of what was learned, after `fit`, `load` or nothing (`online` ones only).

        A piece may be a single item, or items of one kind. Earlier pieces are not forgotten, but weigh less with each
        new piece. The model's file holds all that is needed to go on. See `fit`.
        """
        raise NotImplementedError(f"{self.name} does not learn online")

    @abstractmethod
    def score(self, values: Inputs) -> np.ndarray:
        """Scores (n,) float64 of `values` (n, d) float32; no rows give no scores."""

    def training_scores(self, values: Inputs, labels: np.ndarray | None, weights: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 of the rows that it has learned; its threshold is fixed on them.

        A detector that remembers its training rows gives the scores that they would have if it had not learned them.
        """
        return self.score(values)

    def facts(self) -> dict[str, Any]:
        """Facts of its training for the model's card."""
        return {}

    @abstractmethod
    def explain(self, values: Inputs, nearest: np.ndarray) -> np.ndarray:
        """Share of each column in each row's score: (n, d) float64, not negative, each row sums to 1 (or is all 0).

        `nearest` (n, d) is the nearest normal vector of each row.
        """

    def known_by(self, values: np.ndarray) -> np.ndarray:
        """What of rows (n, d) must repeat for a row to be one that training had: (n, k); by default all of them."""
        return values

    def nearest(self, values: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """For each row of `values` (n, d) the row of `normals` (k, d) that it is explained against: (n, d)."""
        return nearest_normals(values, normals)

    def explain_steps(self, values: Inputs) -> tuple[np.ndarray, np.ndarray]:
        """What was expected of each step, in the columns' units, and each column's share in its score: (n, d) both.

        NaN and 0 stand where a column was not judged (only those that are `ordered`, or have `expects`).
        """
        raise NotImplementedError(f"{self.name} reads no steps in time")

    def parts(self, values: Inputs) -> np.ndarray:
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
    """Column shares (n, d) for a detector that gives nothing but scores.

    A column's share is how far the score falls when that column alone takes the nearest normal vector's value
    (occlusion; Zeiler and Fergus, 2014). If no single column matters, the columns that differ share equally.
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
    """Each row of `parts` (n, d) float64, not negative, divided by its sum; rows of zeros stay zero."""
    total = parts.sum(axis=1, keepdims=True)
    return np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)


@contextmanager
def reading(name: str, path: Path) -> Iterator[None]:
    """Turn any error while `path` is read into a NotTrainedError that says what to do next."""
    try:
        yield
    except Exception as error:  # the libraries raise a dozen types without a common base
        missing = isinstance(error, FileNotFoundError)
        reason = "is missing" if missing else f"cannot be read ({type(error).__name__})"
        raise NotTrainedError(
            f"no usable model of {name}: {path} {reason}; train it with `hdfs-pipeline train --detector {name}`"
        ) from error
