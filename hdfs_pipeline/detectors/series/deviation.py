"""Each metric for itself: how far is it from what is usual of it in the baseline?"""

from typing import Any, Self

import numpy as np

from hdfs_pipeline.detectors.series.base import FARTHEST, Residuals, ScaledDetector, normal_steps
from hdfs_pipeline.scoring.frames import Frame, Scale


class Deviation(ScaledDetector):
    """Score: mean squared distance of the columns from their baseline; a rate that was idle there counts too."""

    name = "deviation"

    def fit(self, values: Frame, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn the normal steps. See `Detector.fit`."""
        self._scale = Scale.of(normal_steps(values, labels))
        return self

    def residuals(self, frame: Frame) -> Residuals:
        """See `SeriesDetector.residuals`."""
        errors = np.clip(self.scale.standardised(frame), -FARTHEST, FARTHEST) ** 2
        errors[:, ~self.scale.watched] = np.nan
        return Residuals(errors, np.broadcast_to(self.scale.middle.astype(np.float32), errors.shape))

    def facts(self) -> dict[str, Any]:
        """Columns that are watched."""
        return {"metrics": int(self.scale.watched.sum())}
