"""Principal components: how much of an item lies outside the space of the normal items?

Xu, Huang, Fox, Patterson and Jordan, "Detecting Large-Scale System Problems by Mining Console Logs" (SOSP 2009), on
this very data; the statistic is that of Jackson and Mudholkar, "Control Procedures for Residuals" (1979).
"""

from typing import Any, ClassVar, Self

import numpy as np

from hdfs_pipeline.detectors.log_counts import ResidualDetector, Scaling
from hdfs_pipeline.processes.threads import one_thread
from hdfs_pipeline.scoring.normals import normal_rows


class Pca(ResidualDetector):
    """Score: squared prediction error (Q statistic), what the components leave of the standardised log counts.

    The components explain 90 % of how the distinct normal vectors vary. Each vector counts once: weighted by items, the
    few common ones would take all components. `params` go to scikit-learn's PCA.
    """

    name = "pca"
    DEFAULTS: ClassVar[dict[str, Any]] = {"n_components": 0.9, "svd_solver": "full"}

    estimator: Any = None
    """The fitted sklearn.decomposition.PCA; None after `load`, and where all normal vectors are the same."""

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Find the components. See `Detector.fit`; `labels` may be None."""
        from onnx import helper
        from sklearn.decomposition import PCA

        normals, items = normal_rows(values, labels, weights)
        order = np.lexsort(normals.T[::-1])
        normals, items = normals[order], items[order]
        scaling = Scaling.of(normals, items)
        inputs = scaling.apply(normals)
        centre, outside = inputs.mean(axis=0), np.eye(inputs.shape[1])
        if len(inputs) > 1:
            params = {**self.DEFAULTS, "random_state": self.seed, **self.params}
            with one_thread():
                self.estimator = PCA(**params).fit(inputs)
            centre = self.estimator.mean_
            outside = outside - self.estimator.components_.T @ self.estimator.components_
        nodes = [
            helper.make_node("Sub", ["inputs", "centre"], ["differences"]),
            helper.make_node("MatMul", ["differences", "outside"], ["residuals"]),
        ]
        self._keep_residuals(scaling, {"centre": centre, "outside": outside}, nodes)
        return self
