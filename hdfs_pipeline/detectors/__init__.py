"""DETECTORS: one row per detector, its class imported when it is asked for."""

from collections.abc import Callable
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
    """Where a detector lives, how its threshold is fixed, and what a person should know of it."""

    path: str
    threshold: Callable[[Settings], Threshold]
    about: str

    @property
    def cls(self) -> type[Detector]:
        """The detector's class."""
        module, name = self.path.split(":")
        found: type[Detector] = getattr(import_module(f"{__name__}.{module}"), name)
        return found


DETECTORS: dict[str, Row] = {
    "random_forest": Row(
        "random_forest:RandomForest",
        lambda settings: Fixed(settings.random_forest_threshold),
        "100 trees on event counts; learns from labels",
    ),
    "autoencoder": Row(
        "autoencoder:Autoencoder",
        lambda settings: Quantile(settings.autoencoder_quantile),
        "reconstruction error of event counts; learns from normal blocks",
    ),
    "exact_match": Row(
        "exact_match:ExactMatch",
        lambda _: Fixed(0.5),
        "distance to the nearest count vector of a normal block; the bar for every model without labels",
    ),
    "keywords": Row(
        "keywords:Keywords",
        lambda _: Fixed(0.5),
        "baseline: any record with WARN, ERROR, exception or corrupt",
    ),
}


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
    return detector_row(name).cls(seed=settings.seed, **params)
