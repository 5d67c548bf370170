"""What principal components of the baseline do not explain is unusual (Shyu, Chen, Sarinnapakorn and Chang, 2003)."""

from typing import Any, ClassVar, Final, Self

import numpy as np

from hdfs_pipeline.detectors.series.base import Residuals, ScaledDetector, Tensors, normal_steps
from hdfs_pipeline.scoring.frames import Frame, Scale

_PARTS: Final = 5  # of the baseline, each judged by a model of the others


class PcaResidual(ScaledDetector):
    """Score: squared distance from the principal components that hold `explained` of the baseline's variance.

    Columns that are idle stand at their middle, and their own error is left out.
    """

    name = "pca_residual"
    DEFAULTS: ClassVar[dict[str, Any]] = {"explained": 0.9}

    def __init__(self, *, seed: int = 7, **params: Any) -> None:
        super().__init__(seed=seed, **params)
        self._components = np.zeros((0, 0))  # (k, u) float64, orthonormal, over the u used columns

    def fit(self, values: Frame, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn the normal steps. See `Detector.fit`."""
        frame = normal_steps(values, labels)
        self._scale = Scale.of(frame)
        rows = np.nan_to_num(self.scale.standardised(frame)[:, self.scale.used].astype(np.float64))
        variances, vectors = np.linalg.eigh(np.cov(rows, rowvar=False, ddof=0).reshape(rows.shape[1], -1))
        order = np.argsort(variances)[::-1]
        share = np.cumsum(variances[order]) / max(float(variances.sum()), 1e-12)
        explained = {**self.DEFAULTS, **self.params}["explained"]
        kept = min(int(np.searchsorted(share, explained)) + 1, len(order))
        self._components = np.ascontiguousarray(vectors[:, order[:kept]].T)
        return self

    def residuals(self, frame: Frame) -> Residuals:
        """See `SeriesDetector.residuals`."""
        used, spread, middle = self.scale.used, self.scale.spread, self.scale.middle
        rows = self.scale.standardised(frame)[:, used].astype(np.float64)
        rebuilt = (np.nan_to_num(rows) @ self._components.T) @ self._components
        errors = np.full(frame.values.shape, np.nan, dtype=np.float32)
        errors[:, used] = (rows - rebuilt) ** 2
        expected = np.full(frame.values.shape, np.nan, dtype=np.float32)
        expected[:, used] = rebuilt * spread[used] + middle[used]
        return Residuals(errors, expected)

    def training_residuals(self, values: Frame, labels: np.ndarray | None, weights: np.ndarray) -> Residuals:
        """Of each fifth by a model of the others. See `SeriesDetector.training_residuals`.

        A few dozen steps are explained by their own principal components far better than those that follow.
        """
        if len(values) < 2 * _PARTS:
            return self.residuals(values)
        steps, parts = np.arange(len(values)), []
        for part in np.array_split(steps, _PARTS):
            others = np.setdiff1d(steps, part)
            model = type(self)(seed=self.seed, **self.params)
            model.fit(values.take(others), None if labels is None else labels[others], weights[others])
            parts.append(model.residuals(values.take(part)))
        return Residuals(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("errors", "expected")))

    def _tensors(self) -> Tensors:
        return super()._tensors() | {"components": self._components}

    def _restore(self, tensors: Tensors) -> None:
        self._components = tensors.pop("components")
        super()._restore(tensors)

    def facts(self) -> dict[str, Any]:
        """Components and columns."""
        return {"components": len(self._components), "metrics": int(self.scale.used.sum())}
