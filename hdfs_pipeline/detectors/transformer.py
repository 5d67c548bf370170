"""Transformer on the events of an item as a set: how many of each event would one expect, given all the others?

LogBERT (Guo, Yuan and Wu, 2021) hides some events of a log sequence at random and asks a transformer (Vaswani et al.,
2017) for them. Here each event is hidden in turn, all of its occurrences at once, and what is asked for is their
number: a third replica that is missing shows, and so does an event that stands among the others for no reason. What the
chances of all columns say together is the pseudo-likelihood of the item (Besag, 1975). One pass suffices for all
columns, since an event attends to all others and never to itself (Shin, Lee, Cho and Jung, 2020).

The order of events is left out on purpose: with it the likelihood of an item measures mostly which daemon was quicker
(docs/decisions/11-sequences.md has the figures). So this detector reads counts, and serves in the stream as well.
"""

from typing import Any, ClassVar, Self

import numpy as np

from hdfs_pipeline.detectors.onnx_graph import Graph
from hdfs_pipeline.detectors.onnx_session import OnnxDetector
from hdfs_pipeline.scoring.contracts import row_shares
from hdfs_pipeline.scoring.normals import normal_rows
from hdfs_pipeline.scoring.repeatable import repeatable

Parameters = dict[str, np.ndarray]
"""Trained tensors by name, float64."""


class Transformer(OnnxDetector):
    """Score: the largest surprisal, in nats, of a column's count given those of all others (6.5: a chance of 1 in 665).

    Counts above MOST count as MOST; the columns that no normal item has are one column together.

    `params`: `steps` of learning and the learning rate `lr` of Adam (Kingma and Ba, 2015).
    """

    name = "transformer"
    learns_from = "normals"
    chunk_rows = 128
    DEFAULTS: ClassVar[dict[str, Any]] = {"steps": 1000, "lr": 0.005}
    MOST = 16
    WIDTH = 32
    HEADS = 4
    HIDDEN = 64
    BATCH = 64
    HIDES = 0.3
    """Largest share of the other columns that learning hides as well, so that the rest must suffice."""

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn the normal vectors. See `Detector.fit`; `labels` may be None."""
        normals, items = normal_rows(values, labels, weights)
        columns = known_columns(normals)
        counts = np.minimum(normals @ columns, self.MOST).astype(np.int64)
        distinct, inverse = np.unique(counts, axis=0, return_inverse=True)  # sorted: the same set, the same model
        trained = self._learn(distinct, np.bincount(inverse.reshape(-1), items))
        self._keep(_graph(columns, trained, self.HEADS))
        return self

    def _learn(self, counts: np.ndarray, items: np.ndarray) -> Parameters:
        """Train on distinct `counts` (k, v) int64, drawn by the root of the `items` (k,) that have them.

        The root lies between learning rare normal items not at all and giving each the weight of thousands. One
        thread, so that sums always run in the same order.
        """
        import torch

        params = {**self.DEFAULTS, **self.params}
        draw = np.random.default_rng(self.seed)
        chance = np.sqrt(items) / np.sqrt(items).sum()
        given = torch.from_numpy(counts)
        with repeatable(self.seed):
            network = _network(counts.shape[1], self)
            optimiser = torch.optim.AdamW(network.values(), lr=params["lr"], fused=True)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, params["lr"], params["steps"])
            for _ in range(params["steps"]):
                wanted = given[torch.from_numpy(draw.choice(len(counts), self.BATCH, p=chance))]
                hidden = torch.rand(wanted.shape) < torch.rand(len(wanted), 1) * self.HIDES
                logits = _forward(network, wanted.masked_fill(hidden, self.MOST + 1), self.HEADS)
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten()) * counts.shape[1]
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.values(), 1.0)
                optimiser.step()
                schedule.step()
            network["tokens"] = _tokens(network)
            return {name: value.detach().double().numpy() for name, value in network.items()}

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Each column's share in the sum of the surprisals. See `Detector.explain`."""
        if not len(values):
            return np.zeros(values.shape)
        surprisals = self.run("surprisals", values).astype(np.float64)
        return row_shares(surprisals)


def known_columns(normals: np.ndarray) -> np.ndarray:
    """The network's column for each column of `normals` (k, d): (d, v) float32, one 1 per row.

    The columns that no normal item has share the last one.
    """
    known = normals.any(axis=0)
    places = np.where(known, np.cumsum(known) - 1, known.sum())
    return np.eye(int(known.sum()) + 1, dtype=np.float32)[places]


def _network(columns: int, sizes: Transformer) -> dict[str, Any]:
    """Untrained tensors by name; layers as `.weight` (in, out) and `.bias`."""
    import torch

    width, hidden = sizes.WIDTH, sizes.HIDDEN
    shapes = {"token1": (2 * width, hidden), "token2": (hidden, width), "key": (width, width), "value": (width, width)}
    shapes |= {"mix": (width, width), "forward1": (width, hidden), "forward2": (hidden, width)}
    tensors = {
        "event": torch.randn(columns, width),
        "count": torch.randn(sizes.MOST + 2, width),  # the last one: hidden
        "asked": torch.randn(columns, width),
        "query": torch.randn(columns, width) * 0.5,
        "head": torch.randn(columns, width, sizes.MOST + 1) * 0.05,
        "chance": torch.zeros(columns, 1, sizes.MOST + 1),
    }
    for name in ("norm1", "norm2"):
        tensors |= {f"{name}.weight": torch.ones(width), f"{name}.bias": torch.zeros(width)}
    for name, (inputs, outputs) in shapes.items():
        tensors[f"{name}.weight"] = (torch.rand(inputs, outputs) * 2 - 1) / inputs**0.5
        tensors[f"{name}.bias"] = torch.zeros(outputs)
    return {name: value.requires_grad_() for name, value in tensors.items()}


def _linear(network: dict[str, Any], name: str, inputs: Any) -> Any:
    return inputs @ network[f"{name}.weight"] + network[f"{name}.bias"]


def _tokens(network: dict[str, Any]) -> Any:
    """What each event with each count is to the others: (v, MOST + 2, WIDTH)."""
    import torch

    event, count = network["event"], network["count"]
    size = len(event), len(count), event.shape[1]
    pairs = torch.cat([event[:, None].expand(size), count[None].expand(size)], dim=-1)
    return _linear(network, "token2", torch.relu(_linear(network, "token1", pairs)))


def _forward(network: dict[str, Any], counts: Any, heads: int) -> Any:
    """Logits (n, v, MOST + 1) of each column's count, given those `counts` (n, v) of all other columns."""
    import torch

    rows, columns = counts.shape
    tokens = _tokens(network)[torch.arange(columns), counts]
    width = tokens.shape[-1]
    key, value = (_linear(network, name, tokens).view(rows, columns, heads, -1) for name in ("key", "value"))
    query = network["query"].view(columns, heads, -1).transpose(0, 1)
    match = query @ key.permute(0, 2, 3, 1) / (width / heads) ** 0.5
    match = match.masked_fill(torch.eye(columns, dtype=torch.bool), -1e9)  # a count must not predict itself
    attended = (match.softmax(-1) @ value.transpose(1, 2)).transpose(1, 2).reshape(rows, columns, width)
    state = network["asked"] + _linear(network, "mix", attended)

    def norm(name: str, inputs: Any) -> Any:
        return torch.nn.functional.layer_norm(inputs, (width,), network[f"{name}.weight"], network[f"{name}.bias"])

    state = state + _linear(network, "forward2", torch.relu(_linear(network, "forward1", norm("norm1", state))))
    logits = norm("norm2", state).transpose(0, 1) @ network["head"] + network["chance"]
    return logits.transpose(0, 1)


def _graph(known: np.ndarray, trained: Parameters, heads: int) -> Any:
    """The detector as an onnx.ModelProto, from `values` (n, d) to `score` (n,) and `surprisals` (n, d) float32.

    It computes in float64 and rounds once at the end, for the reason that the autoencoder's graph gives.
    """
    from onnx import TensorProto

    graph, index = Graph(), np.array
    columns, choices, width = trained["tokens"].shape
    most = choices - 2
    tokens = trained["tokens"].reshape(-1, width)

    def linear(name: str, inputs: str) -> str:
        return graph.add("Add", graph.add("MatMul", inputs, trained[f"{name}.weight"]), trained[f"{name}.bias"])

    def norm(name: str, inputs: str) -> str:
        weight, bias = trained[f"{name}.weight"], trained[f"{name}.bias"]
        return graph.add("LayerNormalization", inputs, weight, bias, axis=-1, epsilon=1e-5)

    counts = graph.add("Clip", graph.add("MatMul", "values", known), index(np.float32(0)), index(np.float32(most)))
    counts = graph.add("Cast", counts, to=TensorProto.INT64)
    places = graph.add("Add", counts, np.arange(columns) * choices)
    split = index([0, columns, heads, width // heads])
    key, value = (
        graph.add(
            "Reshape", graph.add("Gather", tokens @ trained[f"{name}.weight"] + trained[f"{name}.bias"], places), split
        )
        for name in ("key", "value")
    )
    query = trained["query"].reshape(columns, heads, -1).transpose(1, 0, 2) / (width / heads) ** 0.5
    match = graph.add("MatMul", query, graph.add("Transpose", key, perm=[0, 2, 3, 1]))
    weights = graph.add("Softmax", graph.add("Add", match, np.eye(columns) * -1e9), axis=-1)
    attended = graph.add("MatMul", weights, graph.add("Transpose", value, perm=[0, 2, 1, 3]))
    attended = graph.add("Reshape", graph.add("Transpose", attended, perm=[0, 2, 1, 3]), index([0, columns, width]))
    state = graph.add("Add", linear("mix", attended), trained["asked"])
    activated = graph.add("Relu", linear("forward1", norm("norm1", state)))
    state = graph.add("Add", state, linear("forward2", activated))
    by_column = graph.add("Transpose", norm("norm2", state), perm=[1, 0, 2])
    logits = graph.add("Add", graph.add("MatMul", by_column, trained["head"]), trained["chance"])
    asked = graph.add("Unsqueeze", graph.add("Transpose", counts, perm=[1, 0]), index([2]))
    chances = graph.add("GatherElements", graph.add("LogSoftmax", logits, axis=-1), asked, axis=2)
    surprisals = graph.add("Transpose", graph.add("Neg", graph.add("Squeeze", chances, index([2]))), perm=[1, 0])
    score = graph.add("ReduceMax", surprisals, axes=[1], keepdims=0)
    # The columns that no normal item has share one surprisal: it goes to those of them that the item has.
    unknown = known[:, -1].astype(np.float64)
    present = graph.add("Cast", graph.add("Greater", "values", index(np.float32(0))), to=TensorProto.DOUBLE)
    shown = graph.add("Max", graph.add("Mul", present, unknown), 1 - unknown)
    by_event = graph.add("Mul", graph.add("MatMul", surprisals, known.T.astype(np.float64)), shown)
    return graph.model("transformer", len(known), {"score": (score, 1), "surprisals": (by_event, 2)})
