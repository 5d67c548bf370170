"""Labels: what detectors that learn from them ask for first."""

import numpy as np

from hdfs_pipeline.errors import DataError

_ADVICE = "give labels with normal and anomalous blocks, or train a detector that needs none (autoencoder, pca)"


def some_labels(name: str, labels: np.ndarray | None) -> np.ndarray:
    """The labels (n,) int64. Raises: DataError where there are none for the detector `name`."""
    if labels is None or not len(labels):
        raise DataError(f"{name} learns from labels, and there are none: {_ADVICE}")
    return labels.astype(np.int64)


def both_labels(name: str, labels: np.ndarray | None) -> np.ndarray:
    """The labels (n,) int64. Raises: DataError where there are none, or of one kind only."""
    labels = some_labels(name, labels)
    if len(np.unique(labels)) < 2:
        kind = "anomalous" if labels[0] else "normal"
        raise DataError(f"{name} needs both kinds of blocks, and all of these are {kind}: {_ADVICE}")
    return labels
