"""Logistic regression on event counts (Cox, 1958); on HDFS: He, Zhu, He and Lyu, "Experience Report" (ISSRE 2016)."""

from typing import Any, ClassVar, Self

import numpy as np

from hdfs_pipeline.detectors.log_counts import LinearDetector, Scaling, labelled_rows
from hdfs_pipeline.processes.threads import one_thread
from hdfs_pipeline.scoring.labels import both_labels


class LogisticRegression(LinearDetector):
    """Score: probability of an anomaly, from a weighted sum of standardised log counts.

    `params` go to scikit-learn's LogisticRegression. The penalty is weak: labelled log data are almost separable,
    and only a few items speak for a rare kind of anomaly.
    """

    name = "logistic_regression"
    DEFAULTS: ClassVar[dict[str, Any]] = {"C": 1000.0, "max_iter": 5000}

    estimator: Any = None
    """The fitted sklearn.linear_model.LogisticRegression; None after `load`."""

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Find the weights. See `Detector.fit`."""
        from sklearn.linear_model import LogisticRegression as Estimator

        rows, known, items = labelled_rows(self.name, values, both_labels(self.name, labels), weights)
        scaling = Scaling.of(rows, items)
        params = {**self.DEFAULTS, "random_state": self.seed, **self.params}
        with one_thread():
            self.estimator = Estimator(**params).fit(scaling.apply(rows), known, sample_weight=items)
        self._keep_weights(scaling, self.estimator.coef_[0], float(self.estimator.intercept_[0]))
        return self
