"""The baseline: one alarm record is enough."""

import numpy as np

from hdfs_pipeline.detectors.keywords import Keywords


def test_half_means_at_least_one() -> None:
    """0, 1 and 3 alarm records."""
    scores = Keywords().score(np.array([[0], [1], [3]], np.float32))
    assert scores.tolist() == [0, 0.5, 0.75]


def test_the_one_column_explains_all() -> None:
    """Where there is anything to explain."""
    values = np.array([[0], [2]], np.float32)
    assert Keywords().explain(values, np.zeros_like(values)).tolist() == [[0], [1]]
