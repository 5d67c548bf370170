"""Detectors made of others: members that read the same matrix, learn the same items, and are saved in one file."""

import tempfile
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.contracts import Detector, reading


class Composed(Detector):
    """A detector whose score comes from its members' scores of the same counts of events."""

    members: dict[str, Detector]
    """The trained members by name; empty before `fit`."""

    def __init__(self, *, seed: int = 7, **params: Any) -> None:
        super().__init__(seed=seed, **params)
        self.members = {}

    @abstractmethod
    def _names(self) -> Iterable[str]:
        """The members' names."""

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Train each member. See `Detector.fit`. Raises: DataError also for a member that cannot be one."""
        names = list(self._names())
        for name in names:
            cls = detector_row(name).cls
            if cls.features != self.features or issubclass(cls, Composed):
                raise DataError(f"{self.name} is made of detectors on counts of events, and {name} is none")
        self.members = {name: detector_row(name).cls(seed=self.seed).fit(values, labels, weights) for name in names}
        return self

    def _trained(self) -> dict[str, Detector]:
        if not self.members:
            raise NotTrainedError(f"{self.name} has not learned yet: `hdfs-pipeline train --detector {self.name}`")
        return self.members

    def save(self, folder: Path) -> None:
        """Write the members' files as bytes into one `model.safetensors`. Raises: NotTrainedError before `fit`."""
        from safetensors.numpy import save_file

        packed = {}
        for name, member in self._trained().items():
            with tempfile.TemporaryDirectory() as scratch:
                member.save(Path(scratch))
                for path in Path(scratch).iterdir():
                    packed[f"{name}/{path.name}"] = np.frombuffer(path.read_bytes(), np.uint8)
        save_file({**packed, **self._numbers()}, folder / "model.safetensors", {"detector": self.name})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read `model.safetensors`. Raises: NotTrainedError where it is missing, damaged or another detector's."""
        from safetensors.numpy import load

        path = folder / "model.safetensors"
        with reading(cls.name, path), tempfile.TemporaryDirectory() as scratch:
            arrays = load(path.read_bytes())
            names = sorted({key.split("/")[0] for key in arrays if "/" in key})
            for key in arrays:
                if "/" in key:
                    target = Path(scratch) / detector_row(key.split("/")[0]).cls.name / Path(key).name
                    target.parent.mkdir(exist_ok=True)
                    target.write_bytes(arrays[key].tobytes())
            detector = cls._of({name: array for name, array in arrays.items() if "/" not in name})
            detector.members = {name: detector_row(name).cls.load(Path(scratch) / name) for name in names}
            if not detector.members or set(detector.members) != set(detector._names()):
                raise ValueError("not a model of this detector")
        return detector

    def _numbers(self) -> dict[str, np.ndarray]:
        """What is to be saved beside the members."""
        return {}

    @classmethod
    def _of(cls, numbers: dict[str, np.ndarray]) -> Self:
        """An instance without members, from what `_numbers` gave."""
        return cls()

    def _weighed(self, values: np.ndarray, nearest: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
        """The members' shares (n, d), each by its weight (n,) in the row's score."""
        total = np.maximum(sum(weights.values()), 1e-300)
        shares = np.zeros(values.shape)
        for name, weight in weights.items():
            shares += self.members[name].explain(values, nearest) * (weight / total)[:, None]
        return shares
