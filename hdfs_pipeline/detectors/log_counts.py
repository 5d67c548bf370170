"""Standardised log counts: the inputs of the detectors that measure in a straight line, as the first nodes of a graph.

The inputs are log(1 + count), since counts of events spread over orders of magnitude; then the mean is subtracted, and
the rest is divided by the deviation.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from hdfs_pipeline.detectors.onnx_session import IR_VERSION, OPSETS, OnnxDetector
from hdfs_pipeline.scoring.contracts import row_shares
from hdfs_pipeline.scoring.features import distinct_rows
from hdfs_pipeline.scoring.labels import some_labels

SMALLEST_DEVIATION = 0.1
"""Least deviation that a column is divided by, in log(1 + count): as in the autoencoder, an event never seen before is
then 6.9 deviations away."""


@dataclass(frozen=True)
class Scaling:
    """Mean (d,) and deviation (d,) float64 of log(1 + count) over `items` items."""

    mean: np.ndarray
    deviation: np.ndarray
    items: float

    @classmethod
    def of(cls, values: np.ndarray, weights: np.ndarray) -> Self:
        """The scaling of `values` (n, d), each row standing for `weights` (n,) items."""
        logs = np.log1p(values.astype(np.float64))
        mean = np.average(logs, axis=0, weights=weights)
        deviation = np.sqrt(np.average((logs - mean) ** 2, axis=0, weights=weights))
        return cls(mean, deviation, float(weights.sum()))

    @property
    def divisor(self) -> np.ndarray:
        """What columns are divided by (d,)."""
        return np.maximum(self.deviation, SMALLEST_DEVIATION)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Standardised log counts (n, d) float64."""
        return (np.log1p(values.astype(np.float64)) - self.mean) / self.divisor

    def joined(self, other: "Scaling") -> "Scaling":
        """The scaling of both sets of items together (Chan, Golub and LeVeque, 1983)."""
        items = self.items + other.items
        step = (other.mean - self.mean) * (other.items / items)
        squares = self.deviation**2 * self.items + other.deviation**2 * other.items
        squares += (other.mean - self.mean) ** 2 * (self.items * other.items / items)
        return Scaling(self.mean + step, np.sqrt(squares / items), items)


def log_graph(
    name: str, scaling: Scaling, constants: dict[str, np.ndarray], nodes: list[Any], outputs: dict[str, tuple[int, int]]
) -> Any:
    """An onnx.ModelProto from `values` (n, d) float32 over `inputs`, standardised log counts, to `outputs`.

    `nodes` (onnx.NodeProto) go on from `inputs` with `constants` by name; `outputs` give by name their ONNX type and
    number of axes, (n,) or (n, d). The graph computes in float64 and rounds once at the end: see `autoencoder`.
    """
    from onnx import TensorProto, helper, numpy_helper

    width = len(scaling.mean)
    constants = {
        "one": np.ones(1),
        "mean": scaling.mean,
        "deviation": scaling.deviation,
        "least": np.array([SMALLEST_DEVIATION]),
        "columns": np.ones(1, np.int64),
        **constants,
    }
    first = [
        helper.make_node("Cast", ["values"], ["counts"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["counts", "one"], ["counts_and_one"]),
        helper.make_node("Log", ["counts_and_one"], ["logs"]),
        helper.make_node("Sub", ["logs", "mean"], ["centred"]),
        helper.make_node("Max", ["deviation", "least"], ["divisor"]),
        helper.make_node("Div", ["centred", "divisor"], ["inputs"]),
    ]
    graph = helper.make_graph(
        first + nodes,
        name,
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info(output, kind, [None, width][:axes]) for output, (kind, axes) in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), constant) for constant, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSETS[""])], ir_version=IR_VERSION)


class ResidualDetector(OnnxDetector):
    """A detector whose score is the sum of squared differences from what it expects, one per column."""

    learns_from = "normals"
    additive = True
    DECIMALS: ClassVar[int] = 9
    """Decimals of a score. A row just as expected leaves differences of 1e-16 that vary with the rows beside it."""

    def _keep_residuals(self, scaling: Scaling, constants: dict[str, np.ndarray], nodes: list[Any]) -> None:
        """Score with the graph whose `nodes` lead from `inputs` to `residuals` (n, d)."""
        from onnx import TensorProto, helper

        nodes = [
            *nodes,
            helper.make_node("Mul", ["residuals", "residuals"], ["squares"]),
            helper.make_node("ReduceSum", ["squares", "columns"], ["sums"], keepdims=0),
            helper.make_node("Cast", ["sums"], ["score"], to=TensorProto.FLOAT),
        ]
        outputs = {"score": (TensorProto.FLOAT, 1), "squares": (TensorProto.DOUBLE, 2)}
        self._keep(log_graph(self.name, scaling, constants, nodes, outputs))

    def score(self, values: np.ndarray) -> np.ndarray:
        """Sums of squares (n,) float64, in squared deviations, to nine decimals."""
        return np.round(super().score(values), self.DECIMALS)

    def parts(self, values: np.ndarray) -> np.ndarray:
        """The square of each column (n, d). See `Detector.parts`."""
        return self.run("squares", values) if len(values) else np.zeros(values.shape)

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Each column's share in the sum of squares. See `Detector.explain`."""
        parts = self.parts(values)
        parts[parts.sum(axis=1) < 0.1**self.DECIMALS] = 0
        return row_shares(parts)


class LinearDetector(OnnxDetector):
    """A detector whose score is the logistic function of a weighted sum of standardised log counts."""

    learns_from = "labels"

    def _keep_weights(self, scaling: Scaling, weight: np.ndarray, bias: float, **about: str) -> None:
        """Score with `weight` (d,) and `bias`. `about` goes into the file's metadata."""
        from onnx import TensorProto, helper

        nodes = [
            helper.make_node("Mul", ["inputs", "weight"], ["terms"]),
            helper.make_node("ReduceSum", ["terms", "columns"], ["sums"], keepdims=0),
            helper.make_node("Add", ["sums", "bias"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
            helper.make_node("Cast", ["probabilities"], ["score"], to=TensorProto.FLOAT),
        ]
        outputs = {"score": (TensorProto.FLOAT, 1), "terms": (TensorProto.DOUBLE, 2)}
        constants = {"weight": weight.astype(np.float64), "bias": np.array([bias], np.float64)}
        self._keep(log_graph(self.name, scaling, constants, nodes, outputs), **about)

    def terms(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """What each column adds to the logit of a row, compared with the row of `nearest`: (n, d) float64."""
        if not len(values):
            return np.zeros(values.shape)
        differences: np.ndarray = self.run("terms", values) - self.run("terms", nearest)
        return differences

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Shares of the terms that raise the logit over that of the nearest normal vector; exact, as it is their sum.

        Where none raises it, the columns that differ share equally. See `Detector.explain`.
        """
        shares = np.maximum(self.terms(values, nearest), 0)
        flat = shares.sum(axis=1) <= 1e-12
        shares[flat] = (values != nearest)[flat]
        return row_shares(shares)


def labelled_rows(
    name: str, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct pairs of vector (k, d) float32 and label (k,) int64 in one order, and the items (k,) behind each.

    Raises: DataError where there are no labels.
    """
    labels = some_labels(name, labels)
    pairs = np.column_stack([values, labels]).astype(np.float32)
    distinct = distinct_rows(pairs)
    pairs, items = pairs[distinct.first], np.bincount(distinct.inverse, weights)
    order = np.lexsort(pairs.T[::-1])  # one order for the same set of rows gives the same model
    return pairs[order, :-1], pairs[order, -1].astype(np.int64), items[order]
