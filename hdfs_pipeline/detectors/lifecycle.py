"""Lifecycle: what people who know the system say of an item's life, with nothing learned.

The domain's rules are judged before (`scoring.knowledge`); this detector grades what they found. Knowledge of a system
finds what no data can show on the first day: faults that are as common as the ordinary (compare Lou et al., "Mining
Invariants from Console Logs for System Problem Detection", 2010).
"""

from typing import Final

import numpy as np

from hdfs_pipeline.detectors.untaught import Untaught
from hdfs_pipeline.scoring.contracts import row_shares
from hdfs_pipeline.scoring.explain import FAILURE, SEVERITIES

_FAILURE: Final = SEVERITIES.index(FAILURE)
_MOST: Final = 50  # notable rules that are told apart: with more the score would be rounded to .5


class Lifecycle(Untaught):
    """Score 1 - .5^f for f broken rules that are failures: .5 means at least one. It learns nothing.

    Without such a rule the score is .5 - .5^(n + 1) for n notable ones: 0 for none, and always below .5. Its matrix is
    (n, k): the severity of each of k rules that an item breaks, as an index into `SEVERITIES`, and 0 for the others.
    """

    name = "lifecycle"
    features = "rules"
    any_columns = True

    def score(self, values: np.ndarray) -> np.ndarray:
        """Scores (n,) float64 in [0, 1)."""
        failures = (values >= _FAILURE).sum(axis=1)
        notable = np.minimum(((values > 0) & (values < _FAILURE)).sum(axis=1), _MOST)
        return np.where(failures, 1 - 0.5**failures, 0.5 - 0.5 ** (notable + 1.0))

    def explain(self, values: np.ndarray, nearest: np.ndarray) -> np.ndarray:
        """Equal shares for the rules that the score counts: failures, or notable ones without any. See `Detector`."""
        failures = values >= _FAILURE
        return row_shares(np.where(failures.any(axis=1, keepdims=True), failures, values > 0).astype(np.float64))
