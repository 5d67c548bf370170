"""A linear model that learns online, by stochastic gradient descent (Bottou, "Online Learning and SGD", 1998)."""

import json
from typing import Any, ClassVar, Self

import numpy as np

from hdfs_pipeline.detectors.log_counts import LinearDetector, Scaling, labelled_rows
from hdfs_pipeline.scoring.labels import both_labels


class Sgd(LinearDetector):
    """Score: probability of an anomaly, from a weighted sum of standardised log counts, learned piece by piece.

    A vector weighs the square root of its items, shared between its labels in proportion: common vectors do not drown
    rare ones, and a vector that is normal a thousand times and anomalous twice stays normal. The scaling follows
    all items seen so far; when it moves, the weights are rewritten so that the model computes what it did.

    `params`: `passes` over the first items; all others go to scikit-learn's SGDClassifier. The model file holds the
    weights, the scaling and the count of steps and items: all that is needed to go on.
    """

    name = "sgd"
    online = True
    resumes = True
    DEFAULTS: ClassVar[dict[str, Any]] = {
        "passes": 1000,
        "loss": "log_loss",
        "learning_rate": "constant",
        "eta0": 0.03,
        "alpha": 1e-5,
    }

    def fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn from nothing. See `Detector.fit`."""
        both_labels(self.name, labels)
        self.model, self._session = b"", None
        return self.partial_fit(values, labels, weights)

    def resume(self, before: Self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Go on from `before` with what is given. See `Detector.resume`."""
        if before.session.get_inputs()[0].shape[1] != values.shape[1]:
            return self.fit(values, labels, weights)
        self.model, self._session = before.model, None
        return self.partial_fit(values, labels, weights)

    def partial_fit(self, values: np.ndarray, labels: np.ndarray | None, weights: np.ndarray) -> Self:
        """Learn from more items, with passes in proportion to their share in all items seen. See `Detector`."""
        from sklearn.linear_model import SGDClassifier

        rows, known, items = labelled_rows(self.name, values, labels, weights)
        params = {**self.DEFAULTS, "shuffle": False, **self.params}
        passes = params.pop("passes")
        estimator = SGDClassifier(**params)
        scaling = Scaling.of(rows, items)
        if self.model:
            scaling = self._continue(estimator, scaling)
        steps = int(getattr(estimator, "t_", 1.0))
        draw = np.random.default_rng([self.seed, steps])
        count = max(1, round(passes * items.sum() / scaling.items))
        order = np.concatenate([draw.permutation(len(rows)) for _ in range(count)])
        pull = _pull(rows, items)
        estimator.partial_fit(scaling.apply(rows)[order], known[order], classes=[0, 1], sample_weight=pull[order])
        learned = json.dumps({"blocks": scaling.items, "steps": int(estimator.t_)})
        self._keep_weights(scaling, estimator.coef_[0], float(estimator.intercept_[0]), learned=learned)
        return self

    def _continue(self, estimator: Any, new: Scaling) -> Scaling:
        """Put what was learned into `estimator`, in the scaling of old and new items together; return that scaling."""
        import onnx

        arrays = {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in onnx.load_from_string(self.model).graph.initializer
        }
        learned = json.loads(self.session.get_modelmeta().custom_metadata_map["learned"])
        old = Scaling(arrays["mean"], arrays["deviation"], learned["blocks"])
        scaling = old.joined(new)
        weight, bias = arrays["weight"], arrays["bias"]
        estimator.classes_ = np.array([0, 1])
        estimator.n_features_in_ = len(weight)
        estimator.coef_ = (weight * scaling.divisor / old.divisor)[None]
        estimator.intercept_ = bias + weight @ ((scaling.mean - old.mean) / old.divisor)
        estimator.t_ = float(learned["steps"])
        return scaling


def _pull(rows: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Weights (k,) of pairs of vector and label, where equal vectors of `rows` (k, d) lie together."""
    starts = np.r_[True, (rows[1:] != rows[:-1]).any(axis=1)]
    vector = np.cumsum(starts) - 1
    total = np.bincount(vector, items)[vector]
    return items / np.sqrt(total)
