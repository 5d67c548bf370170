"""DETECTORS: one row per detector, its class imported when it is asked for."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.contracts import Detector
from hdfs_pipeline.scoring.thresholds import Fixed, Quantile, Threshold
from hdfs_pipeline.settings import Settings


@dataclass(frozen=True)
class Row:
    """Where a detector lives, how its threshold is fixed, and what a person should know of it.

    The `standard` ones are what the main job trains; the others learn where they are asked for by name.
    """

    path: str
    threshold: Callable[[Settings], Threshold]
    about: str
    kinds: frozenset[str] = frozenset({"numpy"})
    """What it is made with, as Dagster shows it."""
    standard: bool = False
    params: Callable[[Settings], dict[str, Any]] = lambda _: {}
    """What the settings say of how it is made."""

    @property
    def cls(self) -> type[Detector]:
        """The detector's class."""
        module, name = self.path.split(":")
        found: type[Detector] = getattr(import_module(f"{__name__}.{module}"), name)
        return found


_SKLEARN = frozenset({"scikitlearn", "onnx"})
_TORCH = frozenset({"pytorch", "onnx"})
DETECTORS: dict[str, Row] = {
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
        "reconstruction error of event counts; learns from normal blocks",
        kinds=_TORCH,
        standard=True,
    ),
    "exact_match": Row(
        "exact_match:ExactMatch",
        lambda _: Fixed(0.5),
        "distance to the nearest count vector of a normal block; the bar for every model without labels",
        standard=True,
    ),
    "combinations": Row(
        "combinations:Combinations",
        lambda _: Fixed(0.5),
        "counts of events that never come together in normal blocks, although each of them does",
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
        "100 random trees on event counts; learns from all blocks, looks at no label",
        kinds=_SKLEARN,
    ),
    "kmeans": Row(
        "kmeans:KMeans",
        lambda settings: Quantile(settings.kmeans_quantile),
        "squared distance to the nearest of 20 centres of log counts; learns from normal blocks",
        kinds=_SKLEARN,
    ),
    "pca": Row(
        "pca:Pca",
        lambda settings: Quantile(settings.pca_quantile),
        "what principal components leave of the log counts; learns from normal blocks",
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
        "surprisal of the least likely event, or end, after those before it; learns from normal blocks",
        kinds=_TORCH,
    ),
    "transformer": Row(
        "transformer:Transformer",
        lambda _: Fixed(6.5),
        "surprisal of the least likely count of an event, given all other counts; learns from normal blocks",
        kinds=_TORCH,
    ),
    "ensemble": Row(
        "ensemble:Ensemble",
        lambda _: Fixed(0.5),
        "mean opinion of the detectors in the setting ensemble_members; learns from normal blocks",
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
}

STANDARD = tuple(name for name, row in DETECTORS.items() if row.standard)
"""The detectors that the main job trains."""


def families(names: Iterable[str]) -> tuple[str, ...]:
    """The matrices that detectors read, for `load_dataset`; always the two that cost nothing."""
    return tuple(dict.fromkeys(["events", "keywords", *(detector_row(name).cls.features for name in names)]))


def named_detectors(asked: Iterable[str], trained: Collection[str] | None = None) -> list[str]:
    """The detectors of names, `standard` or `all`, each once, in the order of `DETECTORS`.

    Of `standard` and `all` only those that are `trained`, where that is given. Raises: DataError for an unknown name.
    """
    groups = {"all": tuple(DETECTORS), "standard": STANDARD}
    found: set[str] = set()
    for each in asked:
        if each in groups:
            found.update(name for name in groups[each] if trained is None or name in trained)
        else:
            detector_row(each)
            found.add(each)
    return [name for name in DETECTORS if name in found]


def detector_row(name: str) -> Row:
    """The row of a detector. Raises: DataError that suggests the near name."""
    if name in DETECTORS:
        return DETECTORS[name]
    near = get_close_matches(name, DETECTORS, n=1)
    raise DataError(
        f"no detector {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(DETECTORS)}")
    )


def make_detector(name: str, settings: Settings, **params: Any) -> Detector:
    """An untrained detector with the home's seed."""
    row = detector_row(name)
    return row.cls(seed=settings.seed, **row.params(settings), **params)
