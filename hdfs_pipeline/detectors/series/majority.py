"""What most of three detectors call unusual: LSTM autoencoder, PCA residual and deviation, metric by metric.

The median is the combination of outlier scores that a single bad detector moves least: Aggarwal and Sathe, "Theoretical
Foundations and Algorithms for Outlier Ensembles" (SIGKDD Explorations 17, 2015).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np

from hdfs_pipeline.detectors.series.base import FARTHEST, Residuals, ScaledDetector, Tensors, normal_steps
from hdfs_pipeline.detectors.series.deviation import Deviation
from hdfs_pipeline.detectors.series.lstm_autoencoder import LstmAutoencoder
from hdfs_pipeline.detectors.series.pca_residual import PcaResidual
from hdfs_pipeline.scoring.frames import Frame

MEMBERS: Final = (LstmAutoencoder.name, PcaResidual.name, Deviation.name)

_AT_LEAST: Final = 0.2  # squared spreads added to a usual error, which is nearly 0 for some columns
_POWER: Final = 0.75  # of the usual error; see the class
_USUAL: Final = "usual"


class Majority(ScaledDetector):
    """Score: root of the mean over the columns of the median of its members' errors.

    A column is as unusual as two of three members find it. Where one of them knows nothing (too few steps for a window,
    an operation that was idle in the baseline), those that know decide, two of them by their mean.

    The members' errors are made comparable on the baseline. The LSTM autoencoder's are multiples of what is usual of
    it in each column, a deviation is in spreads. PCA's lie between: in spreads they are small where columns follow each
    other, as multiples of what is usual they make trifles large there.

    `params` are the LSTM autoencoder's. The members lie within, so that none is trained for it a second time.
    """

    name = "majority"

    def __init__(self, *, seed: int = 7, **params: Any) -> None:
        super().__init__(seed=seed, **params)
        self.members: dict[str, ScaledDetector] = {}  # the trained members by name
        self._usual = np.zeros(0, np.float32)  # (m,) mean squared error of PCA in each column of the baseline

    @classmethod
    def of(cls, members: Mapping[str, ScaledDetector], baseline: Frame) -> Self:
        """The majority of trained members by name (`MEMBERS`), all of which learned the steps of `baseline`."""
        lstm = members[LstmAutoencoder.name]
        detector = cls(seed=lstm.seed, **lstm.params)
        detector._take({name: members[name] for name in MEMBERS})
        pca = detector.members[PcaResidual.name]
        errors = _capped([pca.training_residuals(baseline, None, np.ones(len(baseline)))])[0]
        known = ~np.isnan(errors)
        total, count = np.where(known, errors, 0).sum(axis=0, dtype=np.float64), known.sum(axis=0)
        detector._usual = np.divide(total, count, out=np.ones(len(total)), where=count > 0).astype(np.float32)
        return detector

    def _take(self, members: dict[str, ScaledDetector]) -> None:
        self.members = members
        self._scale = members[Deviation.name].scale

    def _untrained(self) -> dict[str, ScaledDetector]:
        lstm = LstmAutoencoder(seed=self.seed, **self.params)
        others = (PcaResidual(seed=self.seed), Deviation(seed=self.seed))
        return {member.name: member for member in (lstm, *others)}

    def fit(self, values: Frame, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Train each member on the normal steps. See `Detector.fit`. Raises: DataError where a member cannot learn."""
        frame = normal_steps(values, labels)
        members = {name: member.fit(frame, None, weights) for name, member in self._untrained().items()}
        whole = self.of(members, frame)
        self._take(whole.members)
        self._usual = whole._usual
        return self

    def residuals(self, frame: Frame) -> Residuals:
        """See `SeriesDetector.residuals`."""
        return self._median([member.residuals(frame) for member in self._trained()])

    def training_residuals(self, values: Frame, labels: np.ndarray | None, weights: np.ndarray) -> Residuals:
        """See `SeriesDetector.training_residuals`."""
        return self._median([member.training_residuals(values, labels, weights) for member in self._trained()])

    def scores_of(self, residuals: Residuals) -> np.ndarray:
        """The root of the mean error of each step, in spreads: a short peak outweighs what lasts less than squared."""
        return np.sqrt(residuals.mean())

    def _median(self, given: Sequence[Residuals]) -> Residuals:
        """The median of the errors that are known of each step and column, and what its member expected."""
        errors = _capped(given)
        errors[MEMBERS.index(PcaResidual.name)] /= (self._usual + _AT_LEAST) ** _POWER
        order = np.argsort(errors, axis=0)  # NaN come last
        known = (~np.isnan(errors)).sum(axis=0, keepdims=True)
        low = np.take_along_axis(order, np.maximum(known - 1, 0) // 2, axis=0)
        high = np.take_along_axis(order, np.minimum(known // 2, len(given) - 1), axis=0)
        middle = (np.take_along_axis(errors, low, axis=0) + np.take_along_axis(errors, high, axis=0)) / 2
        expected = np.take_along_axis(np.stack([each.expected for each in given]), low, axis=0)
        return Residuals(middle[0], expected[0])

    def _trained(self) -> list[ScaledDetector]:
        assert self.scale is not None  # raises NotTrainedError before `fit`
        return list(self.members.values())

    def _tensors(self) -> Tensors:
        members = self._trained()
        inside = {f"{member.name}/{key}": value for member in members for key, value in member._tensors().items()}
        return {_USUAL: self._usual, **inside}

    def _restore(self, tensors: Tensors) -> None:
        usual, members = tensors.pop(_USUAL), self._untrained()
        for name, member in members.items():
            own = [key for key in tensors if key.startswith(f"{name}/")]
            member._restore({key.removeprefix(f"{name}/"): tensors.pop(key) for key in own})
        if tensors or usual.shape != members[Deviation.name].scale.middle.shape:
            raise ValueError("tensors of another detector")
        self._take(members)
        self._usual = usual

    def facts(self) -> dict[str, Any]:
        """Those of its members."""
        return {key: value for member in self._trained() for key, value in member.facts().items()}


def _capped(given: Sequence[Residuals]) -> np.ndarray:
    """The errors of k members, (k, n, m) float32; one beyond `FARTHEST` spreads counts as that much."""
    errors: np.ndarray = np.minimum(np.stack([each.errors for each in given]), np.float32(FARTHEST**2))
    return errors
