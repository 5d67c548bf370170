"""Isolation forest: an item that few random cuts separate from all others is odd.

Liu, Ting and Zhou, "Isolation Forest" (ICDM 2008).
"""

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from hdfs_pipeline.detectors.onnx_session import IR_VERSION, OPSETS, OnnxDetector
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.contracts import share_by_replacement
from hdfs_pipeline.scoring.features import distinct_rows

Trees = list[dict[str, np.ndarray]]
"""Of each tree's nodes (k,): `feature` (-1 for a leaf), `threshold` in counts, `left`, `right`, and `path`, the
expected length of the path on which a row that ends there is isolated."""


class IsolationForest(OnnxDetector):
    """Score 2^(-h / c): h the mean length of the paths that isolate a row, c that of an unsuccessful search.

    It learns from all items, normal or not: among normal items alone the events of failures never vary, and what
    does not vary cannot be cut. Cuts are made in count / (1 + count), in which the step from none to one event is the
    widest. `params` go to scikit-learn's IsolationForest; the trees score through onnxruntime.
    """

    name = "isolation_forest"
    learns_from = "all"
    DEFAULTS: ClassVar[dict[str, Any]] = {"n_estimators": 100, "max_samples": 1.0, "n_jobs": 1}
    LARGEST: ClassVar[int] = 200_000
    """Items that a tree is grown on. Of more, each vector takes its share, but at least one."""

    estimator: Any = None
    """The fitted sklearn.ensemble.IsolationForest on saturated counts; None after `load`."""

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Grow the trees and convert them. See `Detector.fit`; `labels` are not looked at."""
        from sklearn.ensemble import IsolationForest as Estimator

        if not len(values):
            raise DataError("no items to learn from: read more logs")
        distinct = distinct_rows(values)
        rows, items = values[distinct.first], np.bincount(distinct.inverse, weights)
        order = np.lexsort(rows.T[::-1])  # one order for the same set of rows gives the same trees
        rows, items = rows[order], items[order]
        share = min(1.0, self.LARGEST / items.sum())
        # scikit-learn's trees measure their nodes in rows, so that weights have to be rows.
        repeated = np.repeat(self.scaled(rows), np.maximum(1, np.round(items * share)).astype(np.int64), axis=0)
        params = {**self.DEFAULTS, "random_state": self.seed, **self.params}
        self.estimator = Estimator(**params).fit(repeated)
        trees = _trees(self.estimator, self.unscaled)
        self._keep(_graph(trees, _search(self.estimator.max_samples_), values.shape[1]), **self._about())
        return self

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Values (n, d) on the scale on which cuts are made, float32."""
        return saturated(values)

    def unscaled(self, cuts: np.ndarray) -> np.ndarray:
        """Cuts (k,) on that scale as thresholds of values: between two whole numbers, where no rounding moves them."""
        return np.floor(cuts / np.maximum(1 - cuts, 1e-9)) + 0.5

    def _about(self) -> dict[str, str]:
        """What the file holds beside the trees."""
        return {}

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in (0, 1]."""
        if not len(values):
            return np.zeros(0)
        return np.exp2(-self.run("paths", values)[:, 0].astype(np.float64))

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Shares by replacement with the nearest normal vector. See `Detector.explain`."""
        return share_by_replacement(self.score, values, nearest)


def saturated(values: np.ndarray) -> np.ndarray:
    """Count / (1 + count) of each count (n, d), float32."""
    counts = values.astype(np.float64)
    return (counts / (1 + counts)).astype(np.float32)


def _search(rows: np.ndarray | int) -> np.ndarray:
    """Mean length of an unsuccessful search among `rows` rows: what a tree not grown to its end still lacks."""
    rows = np.asarray(rows, np.float64)
    many = np.maximum(rows, 3)
    length = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.where(rows <= 1, 0.0, np.where(rows == 2, 1.0, length))


def _trees(estimator: Any, unscaled: Callable[[np.ndarray], np.ndarray]) -> Trees:
    """The trees with thresholds of values: the way to the scale of the cuts and back keeps their order."""
    trees = []
    for member, columns in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
        tree = member.tree_
        depth = np.zeros(tree.node_count)
        inner = np.flatnonzero(tree.children_left >= 0)
        for node in inner:  # parents stand before their children
            depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
        feature = np.full(tree.node_count, -1)
        feature[inner] = columns[tree.feature[inner]]
        threshold = np.zeros(tree.node_count)
        threshold[inner] = unscaled(tree.threshold[inner])
        path = depth + _search(tree.n_node_samples)
        trees.append(
            {
                "feature": feature,
                "threshold": threshold,
                "left": tree.children_left,
                "right": tree.children_right,
                "path": path,
            }
        )
    return trees


def _graph(trees: Trees, search: np.ndarray, width: int) -> Any:
    """The forest as an onnx.ModelProto from `values` (n, width) to `paths` (n, 1), mean paths as shares of `search`.

    Paths are summed as whole numbers below 2^24, which float32 adds without rounding: in whatever order a runtime adds
    the trees, the sum is the same.
    """
    from onnx import TensorProto, helper, numpy_helper

    longest = sum(float(tree["path"].max()) for tree in trees)
    unit = 2.0 ** np.floor(np.log2((1 << 24) / (longest + len(trees))))
    sizes = [len(tree["feature"]) for tree in trees]
    joined = {key: np.concatenate([tree[key] for tree in trees]) for key in trees[0]}
    number, node = np.repeat(np.arange(len(trees)), sizes), np.concatenate([np.arange(size) for size in sizes])
    leaf = joined["feature"] < 0
    forest = helper.make_node(
        "TreeEnsembleRegressor",
        ["values"],
        ["sums"],
        domain="ai.onnx.ml",
        aggregate_function="SUM",
        n_targets=1,
        nodes_treeids=number.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_featureids=np.maximum(joined["feature"], 0).tolist(),
        nodes_values=joined["threshold"].tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_truenodeids=np.where(leaf, 0, joined["left"]).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, joined["right"]).tolist(),
        target_treeids=number[leaf].tolist(),
        target_nodeids=node[leaf].tolist(),
        target_ids=np.zeros(int(leaf.sum()), np.int64).tolist(),
        target_weights=np.round(joined["path"][leaf] * unit).tolist(),
    )
    whole = np.array([max(float(search), 1e-9) * len(trees) * unit], np.float32)
    graph = helper.make_graph(
        [forest, helper.make_node("Div", ["sums", "whole"], ["paths"])],
        "isolation_forest",
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("paths", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(whole, "whole")],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
