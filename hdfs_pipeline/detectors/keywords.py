"""Keywords: what an engineer does with grep. A method is worth what it adds to this baseline.

Searching for such words is the usual practice that log mining is measured against (Oprea et al., "Beehive", 2013; He
et al., "A Survey on Automated Log Analysis for Reliability Engineering", 2021, section 6).
"""

import numpy as np

from hdfs_pipeline.detectors.untaught import Untaught


class Keywords(Untaught):
    """Score n / (1 + n), n the alarm records of the item: .5 means at least one. It learns nothing.

    Its matrix is (n, 1): records with WARN, ERROR, exception or corrupt.
    """

    name = "keywords"
    features = "keywords"

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in [0, 1)."""
        alarms = values[:, 0].astype(np.float64)
        return alarms / (1 + alarms)

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """The one column has the whole score. See `Detector.explain`."""
        return (values > 0).astype(np.float64)
