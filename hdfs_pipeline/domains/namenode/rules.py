"""Static rules: limits that an operator sets, whatever the baseline was."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from hdfs_pipeline.domains.namenode.detectors import Residuals
from hdfs_pipeline.domains.namenode.windows import Frame
from hdfs_pipeline.settings import Settings

UNITS: Final = {
    "RpcQueueTimeAvgTime": "ms",
    "RpcProcessingTimeAvgTime": "ms",
    "GcTotalExtraSleepTime": "ms/s",
}


@dataclass(frozen=True)
class StaticRules:
    """Score: the highest of the values, each as a multiple of its limit. It needs no baseline."""

    name: ClassVar[str] = "static_rules"
    about: ClassVar[str] = "limits on the RPC queue time, the RPC processing time and the time that the process slept"

    limits: dict[str, float]

    @classmethod
    def of_settings(cls, settings: Settings) -> "StaticRules":
        """The rules with the limits of `settings`."""
        return cls(
            {
                "RpcQueueTimeAvgTime": settings.namenode_queue_limit_ms,
                "RpcProcessingTimeAvgTime": settings.namenode_processing_limit_ms,
                "GcTotalExtraSleepTime": settings.namenode_sleep_limit_ms,
            }
        )

    def residuals(self, frame: Frame) -> Residuals:
        """Multiples of the limits in place of errors, and the limits in place of what was expected."""
        errors = np.full(frame.values.shape, np.nan, dtype=np.float32)
        expected = np.full(frame.values.shape, np.nan, dtype=np.float32)
        for name, limit in self.limits.items():
            if name in frame.columns:
                at = frame.columns.index(name)
                errors[:, at] = frame.values[:, at] / limit
                expected[:, at] = limit
        return Residuals(errors, expected)

    def score(self, frame: Frame) -> np.ndarray:
        """The highest multiple of each step, (n,) float64; 0 where nothing is known. From 1 on a limit is passed."""
        errors = np.nan_to_num(self.residuals(frame).errors)
        return errors.max(axis=1, initial=0.0).astype(np.float64)
