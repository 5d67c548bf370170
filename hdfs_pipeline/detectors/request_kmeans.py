"""k-means of requests: how far is one from the nearest of the few ways in which ordinary requests come?"""

from typing import Any

import numpy as np

from hdfs_pipeline.detectors.kmeans import KMeans
from hdfs_pipeline.scoring.normals import nearest_rows


class RequestKMeans(KMeans):
    """Score: squared distance to the nearest of 20 centres of ordinary requests. See `KMeans`.

    What it learned may hold a few odd requests, and sizes lie orders of magnitude apart: a request is explained against
    the nearest, by logarithms, of those that lie near to their centre.
    """

    name = "request_kmeans"
    features = "requests"

    def __init__(self, *, seed: int = 7, **params: Any) -> None:
        super().__init__(seed=seed, **params)
        self._typical: tuple[np.ndarray, np.ndarray] | None = None

    def nearest(self, values: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """Of the half of `normals` (k, d) nearest to their centres the one nearest to each row (n, d): (n, d)."""
        if not len(normals):
            return super().nearest(values, normals)
        if self._typical is None or self._typical[0] is not normals:
            scores = self.score(normals)
            self._typical = normals, normals[scores <= np.median(scores)]
        typical = self._typical[1]
        return np.asarray(typical[nearest_rows(np.log1p(values), np.log1p(typical))[0]])
