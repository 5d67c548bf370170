"""k-means: how far is an item from the nearest of the few ways in which normal items live?

Lloyd, "Least Squares Quantization in PCM" (1982), started as Arthur and Vassilvitskii (k-means++, 2007). Clusters of
log count vectors: Lin et al., "Log Clustering Based Problem Identification for Online Service Systems" (2016).
"""

from typing import Any, ClassVar, Self

import numpy as np

from hdfs_pipeline.detectors.log_counts import ResidualDetector, Scaling
from hdfs_pipeline.processes.threads import one_thread
from hdfs_pipeline.scoring.normals import normal_rows


class KMeans(ResidualDetector):
    """Score: squared distance to the nearest of 20 centres of the normal vectors' standardised log counts.

    A vector weighs as many items as it stands for. `params` go to scikit-learn's KMeans.
    """

    name = "kmeans"
    DEFAULTS: ClassVar[dict[str, Any]] = {"n_clusters": 20, "n_init": 10}

    estimator: Any = None
    """The fitted sklearn.cluster.KMeans on standardised log counts; None after `load`."""

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Find the centres. See `Detector.fit`; `labels` may be None."""
        from onnx import helper
        from sklearn.cluster import KMeans as Estimator

        normals, items = normal_rows(values, labels, weights)
        order = np.lexsort(normals.T[::-1])
        normals, items = normals[order], items[order]
        params = {**self.DEFAULTS, "random_state": self.seed, **self.params}
        params["n_clusters"] = min(params["n_clusters"], len(normals))
        scaling = Scaling.of(normals, items)
        with one_thread():
            self.estimator = Estimator(**params).fit(scaling.apply(normals), sample_weight=items)
        centres = self.estimator.cluster_centers_
        # Products find the nearest centre; the distance to it is then taken column by column, as products alone lose
        # half of the digits near a centre. A row's own square is the same for all centres.
        nodes = [
            helper.make_node("Gemm", ["inputs", "centres", "halves"], ["closeness"], transB=1),
            helper.make_node("ArgMax", ["closeness"], ["nearest"], axis=1, keepdims=0),
            helper.make_node("Gather", ["centres", "nearest"], ["centre"], axis=0),
            helper.make_node("Sub", ["inputs", "centre"], ["residuals"]),
        ]
        self._keep_residuals(scaling, {"centres": centres, "halves": -(centres**2).sum(axis=1) / 2}, nodes)
        return self
