"""DETECTORS: one row per detector, its class imported when it is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from hdfs_pipeline.errors import UsageError, unknown
from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.thresholds import Fixed, Quantile, Quiet, Threshold
from hdfs_pipeline.settings import Settings


@dataclass(frozen=True)
class Row:
    """Where a detector lives, how its threshold is fixed, and what a person should know of it.

    The main job trains the `standard` ones; the others are trained only by name.
    """

    path: str
    threshold: Callable[[Settings], Threshold]
    about: str
    kinds: frozenset[str] = frozenset({"numpy"})
    """The libraries that it is made with, as Dagster shows them."""
    standard: bool = False
    params: Callable[[Settings], dict[str, Any]] = lambda _: {}
    """The parameters that the settings give it."""

    @property
    def cls(self) -> type[Detector]:
        """The detector's class."""
        module, name = self.path.split(":")
        cls: type[Detector] = getattr(import_module(f"{__name__}.{module}"), name)
        return cls


_SKLEARN = frozenset({"scikitlearn", "onnx"})
_TORCH = frozenset({"pytorch", "onnx"})
DETECTORS: dict[str, Row] = {
    "lifecycle": Row(
        "lifecycle:Lifecycle",
        lambda _: Fixed(0.5, "a rule of an item's life is broken, and that is a failure"),
        "rules of an item's life, written by people who know the system; learns nothing, serves at once",
        standard=True,
    ),
    "random_forest": Row(
        "random_forest:RandomForest",
        lambda settings: Fixed(settings.random_forest_threshold),
        "100 trees on event counts; learns from labels",
        kinds=_SKLEARN,
        standard=True,
    ),
    "autoencoder": Row(
        "autoencoder:Autoencoder",
        lambda settings: Quantile(settings.autoencoder_quantile),
        "reconstruction error of event counts; learns from normal items",
        kinds=_TORCH,
        standard=True,
    ),
    "exact_match": Row(
        "exact_match:ExactMatch",
        lambda _: Fixed(0.5),
        "distance to the nearest count vector of a normal item; the bar for every model without labels",
        standard=True,
    ),
    "combinations": Row(
        "combinations:Combinations",
        lambda _: Fixed(0.5),
        "counts of events that never come together in normal items, although each of them does",
        standard=True,
    ),
    "keywords": Row(
        "keywords:Keywords",
        lambda _: Fixed(0.5),
        "baseline: any record with WARN, ERROR, exception or corrupt",
        standard=True,
    ),
    "isolation_forest": Row(
        "isolation_forest:IsolationForest",
        lambda settings: Quantile(1 - settings.isolation_forest_contamination, among="all"),
        "100 random trees on event counts; learns from all items, looks at no label",
        kinds=_SKLEARN,
    ),
    "message_forest": Row(
        "message_forest:MessageForest",
        lambda settings: Quantile(1 - settings.app_contamination, among="all"),
        "isolation forest on how rare what a message says is for its service; learns from all, looks at no label",
        kinds=_SKLEARN,
        standard=True,
    ),
    "kmeans": Row(
        "kmeans:KMeans",
        lambda settings: Quantile(settings.kmeans_quantile),
        "squared distance to the nearest of 20 centres of log counts; learns from normal items",
        kinds=_SKLEARN,
    ),
    "pca": Row(
        "pca:Pca",
        lambda settings: Quantile(settings.pca_quantile),
        "what principal components leave of the log counts; learns from normal items",
        kinds=_SKLEARN,
    ),
    "logistic_regression": Row(
        "logistic_regression:LogisticRegression",
        lambda settings: Fixed(settings.logistic_regression_threshold),
        "weighted sum of log counts; learns from labels",
        kinds=_SKLEARN,
    ),
    "sgd": Row(
        "sgd:Sgd",
        lambda settings: Fixed(settings.sgd_threshold),
        "weighted sum of log counts, learned online; learns from labels",
        kinds=_SKLEARN,
    ),
    "lstm": Row(
        "lstm:Lstm",
        lambda _: Fixed(6.5),
        "surprisal of the least likely event, or end, after those before it; learns from normal items",
        kinds=_TORCH,
    ),
    "transformer": Row(
        "transformer:Transformer",
        lambda _: Fixed(6.5),
        "surprisal of the least likely count of an event, given all other counts; learns from normal items",
        kinds=_TORCH,
    ),
    "ensemble": Row(
        "ensemble:Ensemble",
        lambda _: Fixed(0.5),
        "mean opinion of the detectors in the setting ensemble_members; learns from normal items",
        kinds=_TORCH,
        params=lambda settings: {
            "rules": {name: detector_row(name).threshold(settings) for name in settings.ensemble_members}
        },
    ),
    "hybrid": Row(
        "hybrid:Hybrid",
        lambda settings: Fixed(settings.hybrid_threshold),
        "random forest and combinations in one, for few labelled anomalies; learns from labels",
        kinds=_SKLEARN,
    ),
    "rhythm": Row(
        "rhythm:Rhythm",
        lambda settings: Quantile(settings.rhythm_quantile),
        "counts per minute against how many there usually are: what is new, has stopped, or comes twice as often",
        standard=True,
    ),
    "request_kmeans": Row(
        "request_kmeans:RequestKMeans",
        lambda settings: Quantile(settings.request_kmeans_quantile),
        "squared distance of a request to the nearest of 20 centres: time, size, status, address, path, client",
        kinds=_SKLEARN,
        standard=True,
    ),
    "seasonal": Row(
        "seasonal:Seasonal",
        lambda settings: Fixed(settings.seasonal_deviations),
        "requests, errors and response times of each group against the same hour of other days; needs two days",
        standard=True,
    ),
    "majority": Row(
        "series.majority:Majority",
        lambda _: Quiet(power=2.0),
        "median of the errors of LSTM autoencoder, PCA residual and deviation, metric by metric",
        kinds=frozenset({"pytorch"}),
        standard=True,
    ),
    "lstm_autoencoder": Row(
        "series.lstm_autoencoder:LstmAutoencoder",
        lambda _: Quiet(),
        "squared error of an LSTM network that learned to reproduce the baseline's windows",
        kinds=frozenset({"pytorch"}),
    ),
    "pca_residual": Row(
        "series.pca_residual:PcaResidual",
        lambda _: Quiet(),
        "squared distance from the principal components that hold 90 % of the baseline's variance",
        standard=True,
    ),
    "deviation": Row(
        "series.deviation:Deviation",
        lambda _: Quiet(),
        "each metric's own distance from its baseline; calls of operations that were idle before",
        standard=True,
    ),
    "static_rules": Row(
        "series.static_rules:StaticRules",
        lambda _: Fixed(1.0, "a limit is reached"),
        "limits on the RPC queue time, the RPC processing time and the time that the process slept",
    ),
}


def detector_row(name: str) -> Row:
    """The row of a detector. Raises: UsageError that suggests the near name."""
    if name in DETECTORS:
        return DETECTORS[name]
    raise UsageError(unknown("detector", name, DETECTORS))


def make_detector(name: str, settings: Settings, **params: Any) -> Detector:
    """An untrained detector with the home's seed."""
    row = detector_row(name)
    return row.cls(seed=settings.seed, **row.params(settings), **params)
