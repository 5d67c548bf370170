"""Keywords: what an engineer does with grep. A method is worth what it adds to this baseline.

Searching for such words is the usual practice that log mining is measured against (Oprea et al., "Beehive", 2013; He
et al., "A Survey on Automated Log Analysis for Reliability Engineering", 2021, section 6).
"""

from pathlib import Path
from typing import Self

import numpy as np

from hdfs_pipeline.scoring.contracts import Detector, reading


class Keywords(Detector):
    """Score n / (1 + n), n the alarm records of the item: .5 means at least one. It learns nothing.

    Its matrix is (n, 1): records with WARN, ERROR, exception or corrupt.
    """

    name = "keywords"
    learns_from = "nothing"
    features = "keywords"

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Nothing to learn: any input will do."""
        return self

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in [0, 1)."""
        alarms = values[:, 0].astype(np.float64)
        return alarms / (1 + alarms)

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """The one column has the whole score. See `Detector.explain`."""
        return (values > 0).astype(np.float64)

    def save(self, folder: Path) -> None:
        """Write a `model.safetensors` that only says whose it is, so that every detector leaves a model file."""
        from safetensors.numpy import save_file

        save_file({"keywords": np.ones(1, np.float32)}, folder / "model.safetensors", {"detector": self.name})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises: NotTrainedError where it is missing, damaged or another detector's."""
        from safetensors.numpy import load

        path = folder / "model.safetensors"
        with reading(cls.name, path):
            _ = load(path.read_bytes())["keywords"]
        return cls()
