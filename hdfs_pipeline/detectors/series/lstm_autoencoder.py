"""LSTM autoencoder: what a network that learned the baseline's windows cannot reproduce is unusual.

Encoder-decoder on multi-sensor windows: Malhotra, Ramakrishnan, Anand, Vig, Agarwal and Shroff (2016). Learning to
restore inputs that were hidden: Vincent, Larochelle, Bengio and Manzagol (2008).
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

import numpy as np

from hdfs_pipeline.detectors.series.base import FARTHEST, Residuals, ScaledDetector, Tensors, normal_steps
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.frames import Frame, Scale, ends, longest_segment
from hdfs_pipeline.scoring.repeatable import one_thread, repeatable

STRANGE: Final = 5.0
"""Spreads from the middle beyond which the encoder does not see a value: a fault must not become what is expected."""
_LEARNED: Final = 10.0  # spreads; a target beyond counts as this much in training
_AT_LEAST: Final = 0.2  # squared spreads added to a metric's usual error, which is nearly 0 for some metrics
_PRIOR: Final = 20.0  # windows
_ROWS = 1024  # windows that are scored at a time


class LstmAutoencoder(ScaledDetector):
    """Score: squared error of each window's last step, by column as a multiple of what is usual of it in the baseline.

    A window of `sequence_length` steps becomes `latent_dim` numbers, and from these the window again, last step first.
    A column that is idle stands at its middle for the encoder and takes no part in the loss or the score. In training a
    `hidden_share` of the columns is hidden from the encoder in each window, so that it learns how they are related.

    `params`: DEFAULTS. Two trainings on the same frame with the same seed are equal bit for bit.
    """

    name = "lstm_autoencoder"
    DEFAULTS: ClassVar[dict[str, Any]] = {
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

    def __init__(self, *, seed: int = 7, **params: Any) -> None:
        super().__init__(seed=seed, **params)
        self._trained: Tensors = {}  # parameters of the network
        self._usual = np.zeros(0, np.float32)  # (u,) mean squared error of each used column in the baseline
        self._history: list[tuple[float, float]] = []  # loss of training and of validation, by epoch

    def fit(self, values: Frame, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn the normal steps. See `Detector.fit`. Raises: DataError where no window of them is whole."""
        frame, params = normal_steps(values, labels), self._chosen
        length = params["sequence_length"]
        last = ends(frame.segment, length)
        if not len(last):
            raise DataError(f"the baseline needs {length} steps without a gap, has {longest_segment(frame.segment)}")
        self._scale = Scale.of(frame)
        if not self.scale.used.any():
            raise DataError("every metric of the baseline is idle: choose a window with some load")
        last = last[:: -(-len(last) // params["most_windows"])]
        rows = self.scale.standardised(frame)[:, self.scale.used]
        windows = _windows(np.clip(rows, -_LEARNED, _LEARNED), last, length)
        self._trained, self._history = _learn(windows, params, self.seed)
        errors, _ = self._errors(frame)
        # Few windows tell little of how well a column is usually reproduced: they count beside `_PRIOR` windows that
        # were as far off as the column's own spread.
        windows_seen = (~np.isnan(errors)).sum(axis=0) / length
        total = np.nansum(errors, axis=0, dtype=np.float64) / length
        self._usual = ((total + _PRIOR) / (windows_seen + _PRIOR)).astype(np.float32)
        return self

    @property
    def _chosen(self) -> dict[str, Any]:
        return {**self.DEFAULTS, **self.params}

    def residuals(self, frame: Frame) -> Residuals:
        """See `SeriesDetector.residuals`. The steps before a segment's first whole window are judged as parts of it."""
        raw, rebuilt = self._errors(frame)
        used = self.scale.used
        errors = np.full(frame.values.shape, np.nan, dtype=np.float32)
        errors[:, used] = raw / (self._usual + _AT_LEAST)
        expected = np.full(frame.values.shape, np.nan, dtype=np.float32)
        expected[:, used] = rebuilt * self.scale.spread[used] + self.scale.middle[used]
        return Residuals(errors, expected)

    def _errors(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Squared errors (n, u) float32 of the used columns, in squared spreads, and what was rebuilt, in spreads."""
        rows = self.scale.standardised(frame)[:, self.scale.used]
        length = self._chosen["sequence_length"]
        rebuilt = np.full(rows.shape, np.nan, dtype=np.float32)
        last = ends(frame.segment, length)
        plausible = np.where(np.abs(rows) <= STRANGE, rows, 0)  # NaN too
        for window, end in zip(self._rebuild(plausible, last, length), last, strict=True):
            if end - length < 0 or frame.segment[end - length] != frame.segment[end]:
                rebuilt[end - length + 1 : end] = window[:-1]
            rebuilt[end] = window[-1]
        return (np.clip(rows, -FARTHEST, FARTHEST) - rebuilt) ** 2, rebuilt

    def _rebuild(self, rows: np.ndarray, last: np.ndarray, length: int) -> Any:
        """Yields each window (length, u) as the network reproduces it."""
        import torch

        with torch.random.fork_rng(devices=[]):  # a new network draws random weights before others are put in
            network = _network(rows.shape[1], self._chosen)
        network.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in self._trained.items()})
        network.eval()
        with torch.inference_mode(), one_thread():
            for at in range(0, len(last), _ROWS):
                yield from network(torch.from_numpy(_windows(rows, last[at : at + _ROWS], length))).numpy()

    def _tensors(self) -> Tensors:
        network = {f"network.{name}": value for name, value in self._trained.items()}
        return super()._tensors() | {"usual": self._usual} | network

    def _restore(self, tensors: Tensors) -> None:
        names = [name for name in tensors if name.startswith("network.")]
        self._trained = {name.removeprefix("network."): tensors.pop(name) for name in names}
        self._usual = tensors.pop("usual")
        super()._restore(tensors)

    def facts(self) -> dict[str, Any]:
        """Columns, epochs, the validation loss of the best one, and `losses` of training and validation by epoch."""
        validation = [held for _, held in self._history]
        return {
            "metrics": int(self.scale.used.sum()),
            "epochs_run": len(self._history),
            "validation_loss": min(validation, default=None),
            "losses": {"training": [learned for learned, _ in self._history], "validation": validation},
        }


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


def _learn(windows: np.ndarray, params: Mapping[str, Any], seed: int) -> tuple[Tensors, list[tuple[float, float]]]:
    """Weights of the epoch with the least validation loss, and the losses of training and validation by epoch.

    Validation is the last in time.
    """
    import torch

    kept = max(1, round(len(windows) * params["validation_split"]))
    targets = torch.from_numpy(windows)
    known = ~torch.isnan(targets)
    targets = torch.nan_to_num(targets)
    inputs = torch.where(targets.abs() <= STRANGE, targets, 0.0)
    history: list[tuple[float, float]] = []
    with repeatable(seed):
        network = _network(windows.shape[2], params)
        best = {name: value.clone() for name, value in network.state_dict().items()}
        optimiser = torch.optim.Adam(network.parameters(), lr=params["learning_rate"])
        learn = max(1, len(windows) - kept)
        for _ in range(params["epochs"]):
            learned = []
            for rows in torch.randperm(learn).split(params["batch_size"]):
                shown = torch.rand(len(rows), 1, windows.shape[2]) >= params["hidden_share"]
                loss = _loss(network(inputs[rows] * shown), targets[rows], known[rows])
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
                learned.append(loss.item())
            with torch.no_grad():
                parts = range(len(windows) - kept, len(windows), _ROWS)
                losses = [
                    _loss(network(inputs[at : at + _ROWS]), targets[at : at + _ROWS], known[at : at + _ROWS]).item()
                    for at in parts
                ]
            loss_now = float(np.mean(losses))
            if loss_now < min((held for _, held in history), default=np.inf) - 1e-4:
                best = {name: value.clone() for name, value in network.state_dict().items()}
            history.append((float(np.mean(learned)), loss_now))
            if len(history) - int(np.argmin([held for _, held in history])) > params["patience"]:
                break
    return {name: value.detach().numpy().copy() for name, value in best.items()}, history


def _loss(rebuilt: Any, targets: Any, known: Any) -> Any:
    """Mean squared error over what is known."""
    return (((rebuilt - targets) ** 2) * known).sum() / known.sum().clamp(min=1)
