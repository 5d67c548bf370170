"""The detectors on real blocks of HDFS_v1, where the shared data are at hand: trained on some, judged on others."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.scoring.features import distinct_rows
from hdfs_pipeline.settings import load_settings


@pytest.fixture(scope="module")
def matrix(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """Counts (5806, 30) float32 and labels (5806,), 1 for a failed block."""
    path = shared / "hdfs" / "Event_occurrence_matrix.csv.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with gzip.open(path, "rt") as file:
        _, *rows = csv.reader(file)
    return np.array([row[2:] for row in rows], np.float32), np.array([row[1] == "Fail" for row in rows], np.int64)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("random_forest", 0.985),
        ("autoencoder", 0.97),
        ("exact_match", 0.93),
        ("isolation_forest", 0.77),
        ("kmeans", 0.94),
        ("pca", 0.88),
        ("logistic_regression", 0.97),
        ("sgd", 0.96),
    ],
)
def test_f1_on_blocks_not_trained_on(matrix: tuple[np.ndarray, np.ndarray], name: str, least: float) -> None:
    """With the threshold that the home's settings give, over three random splits into half and half."""
    from sklearn.metrics import f1_score
    from sklearn.model_selection import StratifiedShuffleSplit

    values, labels = matrix
    row, found = detector_row(name), []
    for train, test in StratifiedShuffleSplit(3, test_size=0.5, random_state=1).split(values, labels):
        distinct = distinct_rows(values[train])
        seen = values[train][distinct.first], labels[train][distinct.first], distinct.weights
        detector = row.cls().fit(*seen)
        threshold, _ = row.threshold(load_settings()).fit(detector.score(seen[0]), *seen[1:])
        found.append(f1_score(labels[test], detector.score(values[test]) >= threshold))
    assert np.mean(found) >= least, found
