"""LSTM autoencoder: what a network that learned the baseline's windows cannot reproduce is unusual.

Encoder-decoder on multi-sensor windows: Malhotra, Ramakrishnan, Anand, Vig, Agarwal and Shroff (2016). Learning to
restore inputs that were hidden: Vincent, Larochelle, Bengio and Manzagol (2008).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self

import numpy as np

from hdfs_pipeline.domains.namenode.detectors import FARTHEST, Residuals, Tensors, pack, unpack
from hdfs_pipeline.domains.namenode.windows import Frame, Scale, ends
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.repeatable import one_thread, repeatable

DEFAULTS: Final[dict[str, Any]] = {
    "sequence_length": 30,
    "latent_dim": 10,
    "epochs": 50,
    "batch_size": 32,
    "validation_split": 0.2,
    "hidden": 64,
    "hidden_share": 0.2,
    "learning_rate": 5e-3,
    "patience": 10,
    "most_windows": 4000,
}
STRANGE: Final = 5.0
"""Spreads from the middle beyond which the encoder does not see a value: a fault must not become what is expected."""
_LEARNED: Final = 10.0  # spreads; a target beyond counts as this much in training
_AT_LEAST: Final = 0.2  # squared spreads added to a metric's usual error: what is reproduced perfectly is not judged so
_PRIOR: Final = 20.0  # windows
_ROWS = 1024  # windows that are scored at a time


@dataclass
class LstmAutoencoder:
    """Score: squared error of each window's last step, by metric as a multiple of what is usual of it in the baseline.

    A window of `sequence_length` steps becomes `latent_dim` numbers, and from these the window again, last step first.
    A metric that is idle stands at its middle for the encoder and takes no part in the loss or the score. In training a
    `hidden_share` of the metrics is hidden from the encoder in each window, so that it learns how they hang together.

    `params`: DEFAULTS. Two trainings on the same frame with the same seed are equal bit for bit.
    """

    name: ClassVar[str] = "lstm_autoencoder"
    about: ClassVar[str] = "squared error of an LSTM network that learned to reproduce the baseline's windows"

    scale: Scale
    params: dict[str, Any]
    weights: Tensors
    usual: np.ndarray  # (u,) float32, mean squared error of each used metric in the baseline
    history: list[float] = field(default_factory=list)  # validation loss of each epoch

    @classmethod
    def fit(cls, frame: Frame, params: Mapping[str, Any], seed: int) -> Self:
        """Learn the baseline. See `Detector.fit`. Raises: DataError where no window of it is whole."""
        params = {**DEFAULTS, **params}
        length = params["sequence_length"]
        last = ends(frame.segment, length)
        if not len(last):
            longest = int(np.unique(frame.segment, return_counts=True)[1].max()) if len(frame) else 0
            raise DataError(f"the baseline needs {length} steps without a gap, has {longest}")
        scale = Scale.of(frame)
        if not scale.used.any():
            raise DataError("every metric of the baseline is idle: choose a window with some load")
        last = last[:: -(-len(last) // params["most_windows"])]
        rows = scale.standardised(frame)[:, scale.used]
        windows = _windows(np.clip(rows, -_LEARNED, _LEARNED), last, length)
        weights, history = _learn(windows, params, seed)
        found = cls(scale, params, weights, np.zeros(windows.shape[2], np.float32), history)
        errors, _ = found._errors(frame)
        # Few windows tell little of how well a metric is usually reproduced: they count beside `_PRIOR` windows that
        # were as far off as the metric's own spread.
        windows_seen = (~np.isnan(errors)).sum(axis=0) / params["sequence_length"]
        total = np.nansum(errors, axis=0, dtype=np.float64) / params["sequence_length"]
        found.usual = ((total + _PRIOR) / (windows_seen + _PRIOR)).astype(np.float32)
        return found

    def residuals(self, frame: Frame) -> Residuals:
        """See `Detector.residuals`. The steps before a segment's first whole window are judged as parts of it."""
        found, rebuilt = self._errors(frame)
        used = self.scale.used
        errors = np.full(frame.values.shape, np.nan, dtype=np.float32)
        errors[:, used] = found / (self.usual + _AT_LEAST)
        expected = np.full(frame.values.shape, np.nan, dtype=np.float32)
        expected[:, used] = rebuilt * self.scale.spread[used] + self.scale.middle[used]
        return Residuals(errors, expected)

    def _errors(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Squared errors (n, u) float32 of the used metrics, in squared spreads, and what was rebuilt, in spreads."""
        rows = self.scale.standardised(frame)[:, self.scale.used]
        length = self.params["sequence_length"]
        rebuilt = np.full(rows.shape, np.nan, dtype=np.float32)
        last = ends(frame.segment, length)
        seen = np.where(np.abs(rows) <= STRANGE, rows, 0)  # NaN too
        for window, end in zip(self._rebuild(seen, last, length), last, strict=True):
            if end - length < 0 or frame.segment[end - length] != frame.segment[end]:
                rebuilt[end - length + 1 : end] = window[:-1]
            rebuilt[end] = window[-1]
        return (np.clip(rows, -FARTHEST, FARTHEST) - rebuilt) ** 2, rebuilt

    def _rebuild(self, rows: np.ndarray, last: np.ndarray, length: int) -> Any:
        """Yields each window (length, u) as the network reproduces it."""
        import torch

        with torch.random.fork_rng(devices=[]):  # a fresh network draws its weights, though others are put in
            network = _network(rows.shape[1], self.params)
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in self.weights.items()})
        network.eval()
        with torch.inference_mode(), one_thread():
            for at in range(0, len(last), _ROWS):
                yield from network(torch.from_numpy(_windows(rows, last[at : at + _ROWS], length))).numpy()

    def tensors(self) -> Tensors:
        """See `Detector.tensors`."""
        network = {f"network.{name}": value for name, value in self.weights.items()}
        return pack(self.scale) | {"usual": self.usual} | network

    @classmethod
    def of(cls, tensors: Tensors, params: Mapping[str, Any]) -> Self:
        """See `Detector.of`."""
        weights = {name.removeprefix("network."): tensors[name] for name in tensors if name.startswith("network.")}
        return cls(unpack(tensors), {**DEFAULTS, **params}, weights, tensors["usual"])

    def facts(self) -> dict[str, Any]:
        """Metrics, epochs, and the validation loss of the best one."""
        best = min(self.history, default=None)
        return {"metrics": int(self.scale.used.sum()), "epochs_run": len(self.history), "validation_loss": best}


def _windows(rows: np.ndarray, last: np.ndarray, length: int) -> np.ndarray:
    """The windows (k, length, u) float32 that end at `last`."""
    views = np.lib.stride_tricks.sliding_window_view(rows, length, axis=0)
    return np.ascontiguousarray(views[last - length + 1].transpose(0, 2, 1), dtype=np.float32)


def _network(metrics: int, params: Mapping[str, Any]) -> Any:
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = torch.nn.LSTM(metrics, params["hidden"], batch_first=True)
            self.latent = torch.nn.Linear(params["hidden"], params["latent_dim"])
            self.decoder = torch.nn.LSTM(params["latent_dim"], params["hidden"], batch_first=True)
            self.out = torch.nn.Linear(params["hidden"], metrics)

        def forward(self, windows: Any) -> Any:
            state = self.encoder(windows)[1][0][-1]
            repeated = self.latent(state)[:, None].expand(-1, windows.shape[1], -1)
            return self.out(self.decoder(repeated)[0]).flip(1)

    return Network()


def _learn(windows: np.ndarray, params: Mapping[str, Any], seed: int) -> tuple[Tensors, list[float]]:
    """Weights of the epoch with the least validation loss, and the loss of each; validation is the last in time."""
    import torch

    kept = max(1, round(len(windows) * params["validation_split"]))
    targets = torch.from_numpy(windows)
    known = ~torch.isnan(targets)
    targets = torch.nan_to_num(targets)
    inputs = torch.where(targets.abs() <= STRANGE, targets, 0.0)
    history: list[float] = []
    with repeatable(seed):
        network = _network(windows.shape[2], params)
        best = {name: value.clone() for name, value in network.state_dict().items()}
        optimiser = torch.optim.Adam(network.parameters(), lr=params["learning_rate"])
        learn = max(1, len(windows) - kept)
        for _ in range(params["epochs"]):
            for rows in torch.randperm(learn).split(params["batch_size"]):
                shown = torch.rand(len(rows), 1, windows.shape[2]) >= params["hidden_share"]
                loss = _loss(network(inputs[rows] * shown), targets[rows], known[rows])
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
            with torch.no_grad():
                parts = range(len(windows) - kept, len(windows), _ROWS)
                losses = [
                    _loss(network(inputs[at : at + _ROWS]), targets[at : at + _ROWS], known[at : at + _ROWS]).item()
                    for at in parts
                ]
            loss_now = float(np.mean(losses))
            if loss_now < min(history, default=np.inf) - 1e-4:
                best = {name: value.clone() for name, value in network.state_dict().items()}
            history.append(loss_now)
            if len(history) - int(np.argmin(history)) > params["patience"]:
                break
    return {name: value.detach().numpy().copy() for name, value in best.items()}, history


def _loss(rebuilt: Any, targets: Any, known: Any) -> Any:
    """Mean squared error over what is known."""
    return (((rebuilt - targets) ** 2) * known).sum() / known.sum().clamp(min=1)
