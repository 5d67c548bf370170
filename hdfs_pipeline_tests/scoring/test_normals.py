"""The nearest normal row: as scipy measures it, however few distances there are."""

import numpy as np
import pytest

from hdfs_pipeline.scoring import normals
from hdfs_pipeline.scoring.normals import nearest_rows


@pytest.mark.parametrize("few", [0, 1 << 30])
def test_few_distances_are_those_of_many(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    from scipy.spatial.distance import cdist

    draw = np.random.default_rng(7)
    values, known = (draw.exponential(3, (count, 29)).astype(np.float32) for count in (40, 90))
    monkeypatch.setattr(normals, "_FEW", few)
    table = cdist(values, known, "cityblock")
    index, distance = nearest_rows(values, known)
    assert index.tolist() == table.argmin(axis=1).tolist()
    assert distance.tolist() == table.min(axis=1).tolist(), "to the last bit"
