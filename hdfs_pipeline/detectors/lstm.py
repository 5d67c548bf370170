"""LSTM on the events of an item in their order: how unlikely is each event, and the end, after what came before?

DeepLog (Du, Li, Zheng and Srikumar, 2017) predicts the next event with an LSTM (Hochreiter and Schmidhuber, 1997).
Two things differ here. The end of the item is predicted like an event, since in HDFS most anomalies are what is
missing. And the score is the surprisal of the least likely event, a number with an order, where DeepLog asks whether it
is among the k likeliest (docs/decisions/11-sequences.md has the figures of both).
"""

from typing import Any, ClassVar, Self

import numpy as np

from hdfs_pipeline.detectors.onnx_graph import Graph
from hdfs_pipeline.detectors.onnx_session import OnnxDetector
from hdfs_pipeline.scoring.contracts import row_shares
from hdfs_pipeline.scoring.normals import normal_rows
from hdfs_pipeline.scoring.repeatable import repeatable

Parameters = dict[str, np.ndarray]
"""Trained tensors by name, float32."""


class Lstm(OnnxDetector):
    """Score: the largest surprisal, in nats, among an item's events and its end (6.5 is a chance of 1 in 665).

    `params`: `steps` of learning and the learning rate `lr` of Adam (Kingma and Ba, 2015).
    """

    name = "lstm"
    learns_from = "normals"
    features = "sequences"
    sequential = True
    DEFAULTS: ClassVar[dict[str, Any]] = {"steps": 300, "lr": 0.01}
    EMBEDDING = 16
    HIDDEN = 32
    BATCH = 64
    REPLACED = 0.02
    """Share of the events that learning replaces by one never seen, so that an odd event does not spoil later ones."""
    ROWS = 128
    """Rows in one run of the session, never more or fewer, and of about one length: in float32 a row's score would
    otherwise depend on how many others are scored with it."""
    LENGTHS = 8
    """Rows are run together if their numbers of events, divided by this and rounded up, are equal."""

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn the normal sequences. See `Detector.fit`; `labels` may be None."""
        normals, items = normal_rows(values, labels, weights)
        order = np.lexsort(normals.T[::-1])  # the same set of rows gives the same model
        classes = event_classes(normals)
        sequences = classes[normals[order].astype(np.int64)]
        self._keep(_graph(classes, self._learn(sequences, items[order], int(classes[-1]) + 1)))
        return self

    def _learn(self, sequences: np.ndarray, items: np.ndarray, width: int) -> Parameters:
        """Train on distinct `sequences` (k, d) int64 of classes below `width`, drawn by the root of their `items`.

        The root lies between learning rare normal sequences not at all and giving each the weight of thousands. One
        thread, so that sums always run in the same order.
        """
        import torch

        params = {**self.DEFAULTS, **self.params}
        draw = np.random.default_rng(self.seed)
        chance = np.sqrt(items) / np.sqrt(items).sum()
        inputs, targets, alive = (torch.from_numpy(part) for part in _shifted(sequences))
        with repeatable(self.seed):
            embedding = torch.nn.Embedding(width, self.EMBEDDING)
            memory = torch.nn.LSTM(self.EMBEDDING, self.HIDDEN)
            head = torch.nn.Linear(self.HIDDEN, width)
            network = torch.nn.ModuleList([embedding, memory, head])
            optimiser = torch.optim.AdamW(network.parameters(), lr=params["lr"], fused=True)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, params["lr"], params["steps"])
            for _ in range(params["steps"]):
                rows = torch.from_numpy(draw.choice(len(sequences), self.BATCH, p=chance))
                longest = int(alive[rows].sum(1).max())
                given, wanted, kept = (part[rows, :longest].T for part in (inputs, targets, alive))
                replaced = (torch.rand(given.shape) < self.REPLACED) & (given > 0)
                states, _ = memory(embedding(given.masked_fill(replaced, width - 1)))
                loss = torch.nn.functional.cross_entropy(head(states)[kept], wanted[kept])
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
                schedule.step()
            return {name: value.numpy().copy() for name, value in network.state_dict().items()}

    def surprisals(self, values: np.ndarray) -> np.ndarray:
        """Surprisals (n, d + 1) float32 in nats of each event and then of the end; 0 after it."""
        count, width = values.shape
        surprisals = np.zeros((count, width + 1), np.float32)
        events = np.where(values.any(axis=1), width - (values[:, ::-1] != 0).argmax(axis=1), 0)
        lengths = np.minimum(-(-np.maximum(events, 1) // self.LENGTHS) * self.LENGTHS, width)
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            for start in range(0, len(rows), self.ROWS):
                part = rows[start : start + self.ROWS]
                batch = np.zeros((self.ROWS, length), np.float32)
                batch[: len(part)] = values[part, :length]
                surprisals[part, : length + 1] = self.run("surprisals", batch)[: len(part)]
        return surprisals

    def score(self, values: np.ndarray) -> np.ndarray:
        """The largest surprisal (n,) float64 of each row, in nats."""
        return self.surprisals(values).max(axis=1, initial=0).astype(np.float64)

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Each step's share in the sum of the surprisals. See `Detector.explain`.

        The surprisal of the end is in the column after the last event, or in the last column of a full row.
        """
        surprisals = self.surprisals(values).astype(np.float64)
        shares = surprisals[:, :-1].copy()
        shares[:, -1] += surprisals[:, -1]
        return row_shares(shares)


def event_classes(normals: np.ndarray) -> np.ndarray:
    """The class of each number in a matrix of sequences: 0 the end (and the beginning), then those of `normals`.

    (m,) int64, the last entry for all that no normal sequence holds, larger numbers included.
    """
    known = np.unique(normals[normals > 0].astype(np.int64))
    classes = np.full(int(known.max(initial=0)) + 2, len(known) + 1, np.int64)
    classes[known] = np.arange(1, len(known) + 1)
    classes[0] = 0
    return classes


def _shifted(sequences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is given at each step, what follows it, and whether the item has not ended: (k, d + 1) each."""
    edge = np.zeros((len(sequences), 1), np.int64)
    given, wanted = np.concatenate([edge, sequences], axis=1), np.concatenate([sequences, edge], axis=1)
    alive = given > 0
    alive[:, 0] = True
    return given, wanted, alive


def _graph(classes: np.ndarray, trained: Parameters) -> Any:
    """The detector as an onnx.ModelProto, from `values` (n, d), any d, to `surprisals` (n, d + 1) float32."""
    from onnx import TensorProto

    graph, index = Graph(), np.array
    limits = np.float32(0), np.float32(len(classes) - 1)
    codes = graph.add("Cast", graph.add("Clip", "values", *map(index, limits)), to=TensorProto.INT64)
    steps = graph.add("Transpose", graph.add("Gather", classes, codes), perm=[1, 0])
    given = graph.add("Pad", steps, index([1, 0, 0, 0]), index(0))
    wanted = graph.add("Pad", steps, index([0, 0, 1, 0]), index(0))
    ended = graph.add("Cast", graph.add("Equal", steps, index(0)), to=TensorProto.FLOAT)
    alive = graph.add("Sub", index(np.float32(1)), graph.add("Pad", ended, index([1, 0, 0, 0]), index(np.float32(0))))
    states = graph.add(
        "LSTM",
        graph.add("Gather", trained["0.weight"], given),
        _gates(trained["1.weight_ih_l0"])[None],
        _gates(trained["1.weight_hh_l0"])[None],
        np.concatenate([_gates(trained["1.bias_ih_l0"]), _gates(trained["1.bias_hh_l0"])])[None],
        hidden_size=trained["1.weight_hh_l0"].shape[1],
    )
    logits = graph.add("MatMul", graph.add("Squeeze", states, index([1])), trained["2.weight"].T)
    chances = graph.add("LogSoftmax", graph.add("Add", logits, trained["2.bias"]), axis=-1)
    surprisals = graph.add("GatherElements", chances, graph.add("Unsqueeze", wanted, index([2])), axis=2)
    surprisals = graph.add("Mul", graph.add("Neg", graph.add("Squeeze", surprisals, index([2]))), alive)
    return graph.model("lstm", None, {"surprisals": (graph.add("Transpose", surprisals, perm=[1, 0]), 2)})


def _gates(torch_order: np.ndarray) -> np.ndarray:
    """Rows of PyTorch's gates (input, forget, cell, output) in ONNX's order (input, output, forget, cell)."""
    entry, forget, cell, output = np.split(torch_order, 4)
    return np.concatenate([entry, output, forget, cell])
