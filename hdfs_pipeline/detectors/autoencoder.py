"""Autoencoder on event counts of normal items: what it cannot reproduce is unlike what it has learned.

Replicator networks as outlier detectors: Hawkins, He, Williams and Baxter (2002); Sakurada and Yairi (2014). On counts
of log events: Farzad and Gulliver (2020).
"""

from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from hdfs_pipeline.detectors.onnx_session import IR_VERSION, OPSETS, OnnxDetector
from hdfs_pipeline.scoring.contracts import row_shares
from hdfs_pipeline.scoring.normals import normal_rows
from hdfs_pipeline.scoring.repeatable import repeatable

Layers = list[tuple[np.ndarray, np.ndarray]]
"""Weights (out, in) and biases (out,) of each layer, float64."""
Checkpoint = tuple[Layers, np.ndarray, np.ndarray]
"""Layers, and the mean (d,) and deviation (d,) of the scaling that they were learned in."""


class Autoencoder(OnnxDetector):
    """Score: mean squared error of a network d-16-8-16-d that learned to reproduce normal vectors.

    Counts become log(1 + count), standardised with the mean and deviation of the training normals; that is part of the
    ONNX graph. The network learns in PyTorch and scores through onnxruntime.

    `params`: `steps` of learning; all others go to PyTorch's Adam (Kingma and Ba, 2015).
    """

    name = "autoencoder"
    learns_from = "normals"
    resumes = True
    DEFAULTS: ClassVar[dict[str, Any]] = {"steps": 1500, "lr": 0.01}
    HIDDEN: ClassVar[tuple[int, ...]] = (16, 8, 16)
    SMALLEST_DEVIATION = 0.1
    """Least deviation that a column is divided by, in log(1 + count): columns that never or hardly ever change among
    normals need some. An event never seen before then is 6.9 deviations away."""
    BATCH = 2048
    """Most vectors in one step, so that the time to learn does not grow with the cluster."""
    RESUMED = 0.25
    """Share of the steps for which a network that has learned before goes on."""

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn the normal vectors. See `Detector.fit`; `labels` may be None."""
        return self._fit(values, labels, weights, None)

    def resume(self, before: Self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Go on from the layers of `before` for a quarter of the steps, in the scaling of all normal vectors of now.

        Its ONNX graph is the checkpoint: it holds the weights as they were. Adam's averages begin anew, and with them
        the cycle of the learning rate (a warm restart; Loshchilov and Hutter, 2017). See `Detector.resume`.
        """
        checkpoint = _read_graph(before.model, len(self.HIDDEN) + 1)
        if len(checkpoint[1]) != values.shape[1]:
            return self.fit(values, labels, weights)
        return self._fit(values, labels, weights, checkpoint)

    def _fit(
        self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray, checkpoint: "Checkpoint | None"
    ) -> Self:
        normals, items = normal_rows(values, labels, weights)
        logs = np.log1p(normals.astype(np.float64))
        mean = np.average(logs, axis=0, weights=items)
        deviation = np.sqrt(np.average((logs - mean) ** 2, axis=0, weights=items))
        deviation = np.maximum(deviation, self.SMALLEST_DEVIATION)
        params = {**self.DEFAULTS, **self.params}
        start = None
        if checkpoint is not None:
            start = _rescaled(*checkpoint, mean, deviation)
            params["steps"] = max(1, round(params["steps"] * self.RESUMED))
        layers = _learn((logs - mean) / deviation, self.HIDDEN, self.BATCH, self.seed, params, start)
        self._keep(_graph(layers, mean, deviation))
        return self

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Each column's share in the squared error. See `Detector.explain`."""
        if not len(values):
            return np.zeros(values.shape)
        errors = self.run("errors", values).astype(np.float64)
        return row_shares(errors)


def _rescaled(
    layers: Layers, mean: np.ndarray, deviation: np.ndarray, new_mean: np.ndarray, new_deviation: np.ndarray
) -> Layers:
    """The same function of log counts, written for inputs and outputs in another scaling."""
    stretch, shift = new_deviation / deviation, (new_mean - mean) / deviation
    weight, bias = layers[0]
    first = (weight * stretch, bias + weight @ shift)
    weight, bias = layers[-1]
    return [first, *layers[1:-1], (weight / stretch[:, None], (bias - shift) / stretch)]


def _read_graph(model: bytes, layers: int) -> Checkpoint:
    """The layers and the scaling that `_graph` put into `model`."""
    import onnx

    arrays = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(model).graph.initializer
    }
    return [(arrays[f"weight{at}"], arrays[f"bias{at}"]) for at in range(layers)], arrays["mean"], arrays["deviation"]


def _learn(
    inputs: np.ndarray,
    hidden: tuple[int, ...],
    batch: int,
    seed: int,
    params: dict[str, Any],
    start: Layers | None = None,
) -> Layers:
    """Train on `inputs` (k, d) float64, one row per distinct vector, from `start` or at random; the layers.

    Each distinct vector counts once, however many items have it: weighted by items, the network would learn the
    common vectors and give rare normal ones large errors. One thread, so that sums always run in the same order.
    """
    import torch

    params = dict(params)
    steps, width = params.pop("steps"), inputs.shape[1]
    with repeatable(seed):
        layers = [torch.nn.Linear(*sizes) for sizes in pairwise((width, *hidden, width))]
        hidden_parts = [part for layer in layers[:-1] for part in (layer, torch.nn.ReLU())]
        # A column that never changes in training moves no weight: those that start at random would stay so, and
        # an event never seen before would spoil how all others are reproduced, and its own share in the score.
        layers[0].weight.data[:, np.ptp(inputs, axis=0) == 0] = 0
        if start is not None:
            for layer, (weight, bias) in zip(layers, start, strict=True):
                layer.weight.data = torch.tensor(weight, dtype=torch.float32)
                layer.bias.data = torch.tensor(bias, dtype=torch.float32)
        network = torch.nn.Sequential(*hidden_parts, layers[-1])
        _descend(network, torch.tensor(inputs, dtype=torch.float32), batch, steps, params)
    return [(layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()) for layer in layers]


def _descend(network: Any, inputs: Any, batch: int, steps: int, params: dict[str, Any]) -> None:
    """Adam with one cycle of the learning rate (Smith and Topin, 2019).

    Beyond 1 the loss grows linearly (Huber, 1964), so that one odd normal vector cannot take the few hidden units.
    """
    import torch

    optimiser = torch.optim.Adam(network.parameters(), **params)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, params["lr"], steps)
    for _ in range(steps):
        rows = inputs if len(inputs) <= batch else inputs[torch.randint(len(inputs), (batch,))]
        optimiser.zero_grad()
        torch.nn.functional.smooth_l1_loss(network(rows), rows).backward()
        optimiser.step()
        schedule.step()


def _graph(layers: Layers, mean: np.ndarray, deviation: np.ndarray) -> Any:
    """The whole detector as an onnx.ModelProto, from `values` (n, d) to `score` (n,) and `errors` (n, d) float32.

    Inside it computes in float64 and rounds once at the end. In float32 a vector's score would depend on how many
    others are scored with it (sums run in another order), and a vector right below the threshold, which training sets
    next to the score of one, could pass it.
    """
    from onnx import TensorProto, helper, numpy_helper

    width = len(mean)
    constants = {"one": np.ones(1), "mean": mean, "deviation": deviation}
    nodes = [
        helper.make_node("Cast", ["values"], ["counts"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["counts", "one"], ["counts_and_one"]),
        helper.make_node("Log", ["counts_and_one"], ["logs"]),
        helper.make_node("Sub", ["logs", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["inputs"]),
    ]
    last = "inputs"
    for place, (weight, bias) in enumerate(layers):
        constants |= {f"weight{place}": weight, f"bias{place}": bias}
        nodes.append(helper.make_node("Gemm", [last, f"weight{place}", f"bias{place}"], [f"layer{place}"], transB=1))
        last = f"layer{place}"
        if place < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [last], [f"active{place}"]))
            last = f"active{place}"
    nodes += [
        helper.make_node("Sub", [last, "inputs"], ["differences"]),
        helper.make_node("Mul", ["differences", "differences"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["means"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["means"], ["score"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["squares"], ["errors"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "autoencoder",
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, [None, width])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, [None]),
            helper.make_tensor_value_info("errors", TensorProto.FLOAT, [None, width]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", OPSETS[""])
    return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
