"""Labels: their values, the label that a person's word stands for, and checks for detectors that need labels."""

from typing import Final

import numpy as np

from hdfs_pipeline.errors import DataError

NORMAL, ANOMALY, AMBIGUOUS, UNLABELLED = 0, 1, -1, -2
LABELS: Final = {"normal": NORMAL, "anomaly": ANOMALY, "ambiguous": AMBIGUOUS}
"""Labels as tables and files write them."""
WORDS: Final = {"real": ANOMALY, "false": NORMAL, "expected": AMBIGUOUS}
"""The label that a person's word gives an item: anomaly, normal, or ambiguous, which nothing is learned from."""
STRETCHES: Final = {"real": AMBIGUOUS, "false": NORMAL, "expected": AMBIGUOUS, "maintenance": AMBIGUOUS}
"""The label that a word on a stretch of time gives the items in it. Not every item of a real incident is an anomaly."""
FALSE_ALARM: Final = "false"
"""Kind of a step of a series in a false alarm: nothing is learned from it, and thresholds lie above its score."""
_ADVICE: Final = "give labels of both kinds, normal and anomaly, or train a detector that needs none (autoencoder, pca)"


def some_labels(name: str, labels: np.ndarray | None) -> np.ndarray:
    """The labels (n,) int64. Raises: DataError if there are none for the detector `name`."""
    if labels is None or not len(labels):
        raise DataError(f"{name} learns from labels, and there are none: {_ADVICE}")
    return labels.astype(np.int64)


def both_labels(name: str, labels: np.ndarray | None) -> np.ndarray:
    """The labels (n,) int64. Raises: DataError if there are none, or only one kind."""
    labels = some_labels(name, labels)
    if len(np.unique(labels)) < 2:
        kind = "anomalous" if labels[0] else "normal"
        raise DataError(f"{name} needs labels of both kinds, and all of these are {kind}: {_ADVICE}")
    return labels
