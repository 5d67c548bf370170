"""Random forest on event counts (Breiman, "Random Forests", Machine Learning 45, 2001)."""

import json
from typing import Any, ClassVar, Self

import numpy as np

from hdfs_pipeline.detectors.onnx_session import OPSETS, OnnxDetector
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.contracts import share_by_replacement
from hdfs_pipeline.scoring.features import distinct_rows
from hdfs_pipeline.scoring.labels import both_labels


class RandomForest(OnnxDetector):
    """Score: mean over the trees of the anomalous share of the leaf that a vector falls into.

    `params` go to scikit-learn's RandomForestClassifier. The trees are grown by scikit-learn and score through
    onnxruntime, a hundred times faster for one row.
    """

    name = "random_forest"
    learns_from = "labels"
    DEFAULTS: ClassVar[dict[str, Any]] = {"n_estimators": 100, "bootstrap": False, "max_features": 0.5, "n_jobs": 1}
    """Every tree sees every vector, and half of the columns at each split. Log data hold vectors that stand for one
    item each: a tree whose bootstrap leaves them out votes against them, which costs recall at a high threshold. The
    choice of columns alone keeps the trees apart (as in Geurts, Ernst and Wehenkel, "Extremely Randomized Trees",
    2006). Chosen by repeated splits of two data sets (HDFS_v1 and Hadoop 3.4)."""

    estimator: Any = None
    """The fitted RandomForestClassifier, on the columns that vary in training only; None after `load`."""

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Grow the trees and convert them. See `Detector.fit`.

        Columns that are constant in training are left out: they can split nothing, and only take the place of others
        among the columns drawn for a split.
        """
        from sklearn.ensemble import RandomForestClassifier

        labels = both_labels(self.name, labels)
        values, labels, weights = _distinct(values, labels, weights)
        kept = np.flatnonzero(np.ptp(values, axis=0) > 0)
        if not len(kept):
            raise DataError("random_forest has nothing to tell items apart by: all items have the same events")
        params = {**self.DEFAULTS, "random_state": self.seed, **self.params}
        if params["bootstrap"]:
            # scikit-learn would draw as many rows as there are distinct vectors, almost all of them the common ones.
            params.setdefault("max_samples", 1.0)
        self.estimator = RandomForestClassifier(**params).fit(values[:, kept], labels, sample_weight=weights)
        self._keep(_to_onnx(self.estimator, kept, values.shape[1]), columns=json.dumps(kept.tolist()))
        return self

    def score(self, values: np.ndarray) -> np.ndarray:
        """Probabilities (n,) float64 of an anomaly, to five decimals.

        onnxruntime adds the trees' votes in float32: 75 of 100 votes may come out as .7499998, below a threshold of
        .75 that scikit-learn's sum reaches.
        """
        if not len(values):
            return np.zeros(0)
        return np.round(self.run("probabilities", values)[:, 1].astype(np.float64), 5)

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Shares by replacement with the nearest normal vector. See `Detector.explain`."""
        return share_by_replacement(self.score, values, nearest)


def _distinct(values: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct pairs of vector and label with their summed weights: repeated rows then mean what weights mean."""
    distinct = distinct_rows(np.column_stack([values, labels]).astype(np.float32))
    return values[distinct.first], labels[distinct.first], np.bincount(distinct.inverse, weights)


def _to_onnx(estimator: Any, kept: np.ndarray, width: int) -> Any:
    """The forest as an onnx.ModelProto from `values` (n, width) to `probabilities` (n, 2).

    The trees' column numbers are rewritten from the kept columns to those of the whole matrix: choosing columns then
    costs nothing when scoring.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    model = convert_sklearn(
        estimator,
        name="random_forest",  # a random name would make every file differ
        initial_types=[("values", FloatTensorType([None, len(kept)]))],
        options={id(estimator): {"zipmap": False}},
        target_opset=OPSETS,
    )
    (trees,) = model.graph.node
    for attribute in trees.attribute:
        if attribute.name == "nodes_featureids":
            attribute.ints[:] = kept[np.asarray(attribute.ints)].tolist()
    del model.graph.output[0]  # the label, at p >= .5: not the threshold here
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = width
    return model
