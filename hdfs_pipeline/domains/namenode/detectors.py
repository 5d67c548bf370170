"""What the detectors of NameNode metrics share: how they are asked, what they answer, and PCA and plain deviation.

A detector says of each step and metric what it expected and how far the metric was from that, squared, in spreads of
the baseline. One number per step, a threshold and a verdict come after it (runs.py, incidents.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, Self

import numpy as np

from hdfs_pipeline.domains.namenode.windows import Frame, Scale

Tensors = dict[str, np.ndarray]

FARTHEST: Final = 20.0
"""Spreads; an error beyond counts as this much, so that no metric outweighs all others together."""


@dataclass(frozen=True)
class Residuals:
    """What is unusual at n steps of m metrics.

    `errors`: (n, m) float32, squared distance from what was expected, in spreads; NaN where the metric is idle,
    unknown, or not judged. `expected`: (n, m) float32, in the metric's own unit.
    """

    errors: np.ndarray
    expected: np.ndarray

    def mean(self) -> np.ndarray:
        """The mean error over the metrics of each step, (n,) float64; NaN where none is known."""
        known = ~np.isnan(self.errors)
        count = known.sum(axis=1)
        total = np.where(known, self.errors, 0).sum(axis=1, dtype=np.float64)
        return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


class Detector(Protocol):
    """A detector of unusual metrics."""

    name: ClassVar[str]
    about: ClassVar[str]

    @property
    def scale(self) -> Scale:
        """What is usual of each metric in the baseline."""

    @classmethod
    def fit(cls, frame: Frame, params: Mapping[str, Any], seed: int) -> Self:
        """Learn the baseline `frame`. Raises: DataError where it is too short."""

    def residuals(self, frame: Frame) -> Residuals:
        """What is unusual at each step of `frame`, whose columns are those of the baseline."""

    def tensors(self) -> Tensors:
        """What was learned, for a safetensors file."""

    @classmethod
    def of(cls, tensors: Tensors, params: Mapping[str, Any]) -> Self:
        """The detector that had these `tensors`."""

    def facts(self) -> dict[str, Any]:
        """What the training has to tell, for the card."""


def pack(scale: Scale) -> Tensors:
    """A scale as tensors."""
    return {
        "scale.middle": scale.middle,
        "scale.spread": scale.spread,
        "scale.used": scale.used.astype(np.uint8),
        "scale.watched": scale.watched.astype(np.uint8),
    }


def unpack(tensors: Tensors) -> Scale:
    """The scale among `tensors`."""
    names = ("middle", "spread", "used", "watched")
    middle, spread, used, watched = (tensors[f"scale.{name}"] for name in names)
    return Scale(middle, spread, used.astype(bool), watched.astype(bool))


@dataclass(frozen=True)
class PcaResidual:
    """What principal components of the baseline do not explain (Shyu, Chen, Sarinnapakorn and Chang, 2003).

    Metrics that are idle stand at their middle, and their own error is left out.
    """

    name: ClassVar[str] = "pca_residual"
    about: ClassVar[str] = "squared distance from the principal components that hold 90 % of the baseline's variance"

    scale: Scale
    components: np.ndarray  # (k, u) float64, orthonormal, over the u used metrics

    @classmethod
    def fit(cls, frame: Frame, params: Mapping[str, Any], seed: int) -> Self:
        """Learn the baseline. See `Detector.fit`; `params`: `explained`, the share of the variance to keep."""
        scale = Scale.of(frame)
        rows = np.nan_to_num(scale.standardised(frame)[:, scale.used].astype(np.float64))
        values, vectors = np.linalg.eigh(np.cov(rows, rowvar=False, ddof=0).reshape(rows.shape[1], -1))
        order = np.argsort(values)[::-1]
        share = np.cumsum(values[order]) / max(float(values.sum()), 1e-12)
        kept = min(int(np.searchsorted(share, params.get("explained", 0.9))) + 1, len(order))
        return cls(scale, np.ascontiguousarray(vectors[:, order[:kept]].T))

    def residuals(self, frame: Frame) -> Residuals:
        """See `Detector.residuals`."""
        rows = self.scale.standardised(frame)[:, self.scale.used].astype(np.float64)
        filled = np.nan_to_num(rows)
        return _spread_out(frame, self.scale, rows, (filled @ self.components.T) @ self.components)

    def tensors(self) -> Tensors:
        """See `Detector.tensors`."""
        return pack(self.scale) | {"components": self.components}

    @classmethod
    def of(cls, tensors: Tensors, params: Mapping[str, Any]) -> Self:
        """See `Detector.of`."""
        return cls(unpack(tensors), tensors["components"])

    def facts(self) -> dict[str, Any]:
        """Components and metrics."""
        return {"components": len(self.components), "metrics": int(self.scale.used.sum())}


@dataclass(frozen=True)
class Deviation:
    """Each metric for itself against what is usual of it, and operations that were idle in the baseline and begin."""

    name: ClassVar[str] = "deviation"
    about: ClassVar[str] = "each metric's own distance from its baseline; calls of operations that were idle before"

    scale: Scale

    @classmethod
    def fit(cls, frame: Frame, params: Mapping[str, Any], seed: int) -> Self:
        """Learn the baseline. See `Detector.fit`."""
        return cls(Scale.of(frame))

    def residuals(self, frame: Frame) -> Residuals:
        """See `Detector.residuals`."""
        errors = np.clip(self.scale.standardised(frame), -FARTHEST, FARTHEST) ** 2
        errors[:, ~self.scale.watched] = np.nan
        return Residuals(errors, np.broadcast_to(self.scale.middle.astype(np.float32), errors.shape))

    def tensors(self) -> Tensors:
        """See `Detector.tensors`."""
        return pack(self.scale)

    @classmethod
    def of(cls, tensors: Tensors, params: Mapping[str, Any]) -> Self:
        """See `Detector.of`."""
        return cls(unpack(tensors))

    def facts(self) -> dict[str, Any]:
        """Metrics that are watched."""
        return {"metrics": int(self.scale.watched.sum())}


def _spread_out(frame: Frame, scale: Scale, rows: np.ndarray, rebuilt: np.ndarray) -> Residuals:
    """Residuals over all metrics from standardised `rows` and what was `rebuilt` of them, (n, u) over the used ones."""
    errors = np.full(frame.values.shape, np.nan, dtype=np.float32)
    errors[:, scale.used] = (rows - rebuilt) ** 2
    expected = np.full(frame.values.shape, np.nan, dtype=np.float32)
    expected[:, scale.used] = rebuilt * scale.spread[scale.used] + scale.middle[scale.used]
    return Residuals(errors, expected)
