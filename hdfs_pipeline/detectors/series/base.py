"""What the detectors of series share: what they say of each step and column, and the file that keeps what was learned.

A detector says of each step and column what it expected and how far the value was from that, squared, in spreads of the
baseline. A step's score is the mean of these errors.
"""

import json
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from hdfs_pipeline.errors import NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector, reading, row_shares
from hdfs_pipeline.scoring.frames import Frame, Scale

Tensors = dict[str, np.ndarray]

FARTHEST: Final = 20.0
"""Spreads; an error beyond counts as this much, so that no column outweighs all others together."""

_FILE = "model.safetensors"
_ABOUT = "about"
"""The one entry of the file's metadata: safetensors writes several in random order."""


@dataclass(frozen=True)
class Residuals:
    """What is unusual at n steps of m columns.

    `errors`: (n, m) float32, squared distance from what was expected, in spreads; NaN where the column is idle,
    unknown, or not judged. `expected`: (n, m) float32, in the column's own unit.
    """

    errors: np.ndarray
    expected: np.ndarray

    def mean(self) -> np.ndarray:
        """The mean error over the columns of each step, (n,) float64; NaN where none is known."""
        known = ~np.isnan(self.errors)
        count = known.sum(axis=1)
        total = np.where(known, self.errors, 0).sum(axis=1, dtype=np.float64)
        return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


class SeriesDetector(Detector):
    """A detector that takes a `Frame`. The score of a step is NaN if no whole window ends there."""

    features = "series"
    ordered = True

    @abstractmethod
    def residuals(self, frame: Frame) -> Residuals:
        """What is unusual at each step of `frame`, whose columns are those of the baseline."""

    def scores_of(self, residuals: Residuals) -> np.ndarray:
        """The score of each step by what is unusual at it: the mean error."""
        return residuals.mean()

    def score(self, values: Frame) -> np.ndarray:
        """See `scores_of` and `Detector.score`."""
        return self.scores_of(self.residuals(values))

    def training_residuals(self, values: Frame, labels: np.ndarray | None, weights: np.ndarray) -> Residuals:
        """What is unusual at the steps that it has learned; see `Detector.training_scores`."""
        return self.residuals(values)

    def training_scores(self, values: Frame, labels: np.ndarray | None, weights: np.ndarray) -> np.ndarray:
        """See `Detector.training_scores`."""
        return self.scores_of(self.training_residuals(values, labels, weights))

    def explain(self, values: Frame, nearest: np.ndarray) -> np.ndarray:
        """Each column's share in the step's error; what was expected stands for `nearest`. See `Detector.explain`."""
        return self.explain_steps(values)[1]

    def explain_steps(self, values: Frame) -> tuple[np.ndarray, np.ndarray]:
        """See `Detector.explain_steps`."""
        residuals = self.residuals(values)
        return residuals.expected, row_shares(np.nan_to_num(residuals.errors.astype(np.float64)))

    @abstractmethod
    def _tensors(self) -> Tensors:
        """What was learned. Raises: NotTrainedError before `fit`."""

    @abstractmethod
    def _restore(self, tensors: Tensors) -> None:
        """Take over what `_tensors` gave. Raises: KeyError or ValueError for tensors of another detector."""

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`. Raises: NotTrainedError before `fit`."""
        from safetensors.numpy import save_file

        tensors = {name: np.ascontiguousarray(value) for name, value in self._tensors().items()}
        about = json.dumps({"detector": self.name, "seed": self.seed, "params": self.params}, sort_keys=True)
        save_file(tensors, folder / _FILE, {_ABOUT: about})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `model.safetensors`. Raises: NotTrainedError where it is missing, damaged or another detector's.

        A file of an older release has neither seed nor parameters: the caller takes the parameters from the model's
        card and puts them into `params`.
        """
        from safetensors import safe_open

        path = folder / _FILE
        with reading(cls.name, path):
            if not path.is_file():
                raise FileNotFoundError(path)
            with safe_open(path, framework="numpy") as file:
                about = json.loads((file.metadata() or {}).get(_ABOUT, "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            if about.get("detector", cls.name) != cls.name:
                raise ValueError("not a model of this detector")
            detector = cls(seed=about["seed"], **about["params"]) if about else cls()
            detector._restore(tensors)
        return detector


class ScaledDetector(SeriesDetector):
    """A detector that learns what is usual of each column in a baseline, and measures the column in spreads of that."""

    learns_from = "normals"
    _scale: Scale | None = None

    @property
    def scale(self) -> Scale:
        """What is usual of each column in the baseline. Raises: NotTrainedError before `fit`."""
        if self._scale is None:
            raise NotTrainedError(f"{self.name} has not learned yet: `hdfs-pipeline train --detector {self.name}`")
        return self._scale

    def _tensors(self) -> Tensors:
        scale = self.scale
        return {
            "scale.middle": scale.middle,
            "scale.spread": scale.spread,
            "scale.used": scale.used.astype(np.uint8),
            "scale.watched": scale.watched.astype(np.uint8),
        }

    def _restore(self, tensors: Tensors) -> None:
        middle, spread, used, watched = (
            tensors.pop(f"scale.{name}") for name in ("middle", "spread", "used", "watched")
        )
        if tensors:
            raise ValueError(f"tensors of another detector: {', '.join(sorted(tensors))}")
        self._scale = Scale(middle, spread, used.astype(bool), watched.astype(bool))


def normal_steps(frame: Frame, labels: np.ndarray | None) -> Frame:
    """The steps labelled 0; all of them, where there are no labels (n,)."""
    return frame if labels is None else frame.take(labels == 0)
