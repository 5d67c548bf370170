"""Detectors that learn nothing: what they know is in their code, or in the features that they read."""

from pathlib import Path
from typing import Self

import numpy as np

from hdfs_pipeline.scoring.contracts import Detector, reading


class Untaught(Detector):
    """A detector whose model's file only says whose it is, so that every detector leaves one."""

    learns_from = "nothing"

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Nothing to learn: any input will do."""
        return self

    def save(self, folder: Path) -> None:
        """Write a `model.safetensors` that holds nothing but the detector's name."""
        from safetensors.numpy import save_file

        save_file({self.name: np.ones(1, np.float32)}, folder / "model.safetensors", {"detector": self.name})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises: NotTrainedError where it is missing, damaged or another detector's."""
        from safetensors.numpy import load

        path = folder / "model.safetensors"
        with reading(cls.name, path):
            _ = load(path.read_bytes())[cls.name]
        return cls()
