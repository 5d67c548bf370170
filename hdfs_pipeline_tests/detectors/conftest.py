"""A small world of blocks like HDFS's: few vectors that repeat, rare normal ones, and anomalies of a known cause."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pytest

from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.frames import Frame, frame_of_matrix

WIDTH = 12
CONSTANT = 10
"""A column that is 0 in every block."""
PLANTED = 11
"""The column that is 0 in normal blocks and 3 to 6 in anomalous ones."""
SEED = 20260

Change = Callable[[np.ndarray], np.ndarray]
"""Makes other values (n, d) of values."""


def _as_they_are(values: np.ndarray) -> np.ndarray:
    return values


def _read_only(array: np.ndarray) -> np.ndarray:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


@dataclass(frozen=True)
class Blocks:
    """Event counts (n, d) float32 and labels (n,) of blocks; `distinct` ones with the number of blocks behind each."""

    values: np.ndarray
    labels: np.ndarray

    READ: ClassVar[str] = "inputs = numpy.load('inputs.npz')['values']"
    """Python that reads back what `write` wrote into the working directory."""

    @property
    def inputs(self) -> np.ndarray:
        """What a detector is handed."""
        return self.values

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

    def take(self, rows: np.ndarray) -> Self:
        """Some blocks."""
        return replace(self, values=self.values[rows], labels=self.labels[rows])

    def followed_by(self, other: Self) -> Self:
        """These blocks and those of another world."""
        values, labels = ([getattr(world, name) for world in (self, other)] for name in ("values", "labels"))
        return replace(self, values=np.concatenate(values), labels=np.concatenate(labels))

    def changed(self, change: Change) -> Self:
        """With other values, or the same in another layout."""
        return replace(self, values=change(self.values))

    def frozen(self) -> Self:
        """A copy that cannot be written to, as memory that is shared."""
        return self.changed(_read_only)

    def matrix(self, columns: tuple[str, ...], source: str, change: Change = _as_they_are) -> FeatureMatrix:
        """The matrix that a scorer is given, of changed values."""
        return FeatureMatrix(change(self.values), np.arange(len(self.values)), columns, source)

    def write(self, folder: Path) -> None:
        """Write what a detector is handed, for `READ`."""
        np.savez(folder / "inputs.npz", values=self.values)


@dataclass(frozen=True)
class Steps:
    """Steps in time with the values of blocks, and their labels: the normal ones come first.

    Every seventh value of one column is unknown, and there is a break after `BREAK` steps.
    """

    frame: Frame
    labels: np.ndarray

    BREAK: ClassVar[int] = 300
    UNKNOWN: ClassVar[int] = 8
    READ: ClassVar[str] = (
        "from hdfs_pipeline.scoring.frames import Frame; arrays = dict(numpy.load('inputs.npz'))\n"
        "inputs = Frame(columns=tuple(arrays.pop('columns')), **arrays)"
    )
    """See `Blocks.READ`."""

    @classmethod
    def of(cls, blocks: Blocks) -> Self:
        """Blocks, one after the other."""
        values = blocks.values.copy()
        values[::7, cls.UNKNOWN] = np.nan
        frame = frame_of_matrix(values, [f"c{at}" for at in range(values.shape[1])])
        segment = (np.arange(len(values)) >= cls.BREAK).astype(np.int64)
        return cls(replace(frame, segment=segment), blocks.labels)

    @property
    def inputs(self) -> Frame:
        """What a detector is handed."""
        return self.frame

    @property
    def values(self) -> np.ndarray:
        """The values (n, d) of the steps."""
        return self.frame.values

    @property
    def distinct(self) -> tuple[Frame, np.ndarray, np.ndarray]:
        """What a detector learns from. No step is left out for being like another one."""
        return self.frame, self.labels, np.ones(len(self.labels))

    @property
    def normals(self) -> Frame:
        """The normal steps."""
        return self.frame.take(self.labels == 0)

    def take(self, rows: np.ndarray) -> Self:
        """Some steps."""
        return replace(self, frame=self.frame.take(rows), labels=self.labels[rows])

    def followed_by(self, other: Self) -> Self:
        """These steps, and without a break those of another world."""
        frames = self.frame, other.frame
        values, weight = (np.concatenate([getattr(frame, name) for frame in frames]) for name in ("rows", "weight"))
        frame = replace(
            self.frame,
            rows=values,
            weight=weight,
            keys=np.arange(len(values)),
            times=np.arange(len(values)) * 60.0,
            segment=np.concatenate([frames[0].segment, frames[1].segment + frames[0].segment[-1]]),
        )
        return replace(self, frame=frame, labels=np.concatenate([self.labels, other.labels]))

    def changed(self, change: Change) -> Self:
        """With other values, or the same in another layout."""
        return replace(self, frame=replace(self.frame, rows=change(self.frame.rows)))

    def frozen(self) -> Self:
        """A copy that cannot be written to."""
        arrays = {name: _read_only(array) for name, array in self._arrays().items() if name != "columns"}
        return replace(self, frame=replace(self.frame, **arrays))

    def matrix(self, columns: tuple[str, ...], source: str, change: Change = _as_they_are) -> FeatureMatrix:
        """The matrix that a scorer is given, of changed values."""
        return replace(self.frame, rows=change(self.frame.rows), columns=columns, source=source)

    def write(self, folder: Path) -> None:
        """Write what a detector is handed, for `READ`."""
        np.savez(folder / "inputs.npz", **self._arrays())

    def _arrays(self) -> dict[str, np.ndarray]:
        names = ("rows", "keys", "columns", "times", "segment", "smallest", "appears", "weight")
        return {name: np.asarray(getattr(self.frame, name)) for name in names}


World = Blocks | Steps


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
