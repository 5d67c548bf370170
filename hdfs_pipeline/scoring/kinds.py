"""Kinds of anomalies against labels: whether the kind that was named fits the label's, and what can be found at all."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.knowledge import Knowledge, worst
from hdfs_pipeline.scoring.labels import ANOMALY, NORMAL
from hdfs_pipeline.scoring.reasons import NEW_HERE

_NO_KIND: Final = "anomaly"  # the kind of an anomaly whose label names none


@dataclass(frozen=True)
class KindFit:
    """Of how many `found` anomalies, by their labels, the kind that was named `fits` the label's kind.

    `table` counts them by the kind that was named and the label's kind; `fitting` are those label's kinds that each
    named kind fits.
    """

    found: int
    fits: int
    table: dict[str, dict[str, int]]
    fitting: dict[str, list[str]]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        share = f" ({self.fits / self.found:.1%})" if self.found else ""
        return f"kind fits: {self.fits:,} of {self.found:,} found anomalies{share}"


def kinds_of(knowledge: Knowledge, matrix: FeatureMatrix) -> np.ndarray:
    """The kind (n,) object that each row of counts has if it is an anomaly: see `reasons`."""
    kinds = np.array([*(rule.kind for rule in knowledge.rules), NEW_HERE], object)
    return kinds[matrix.by_case(lambda once: worst(knowledge.grades(once.values, once.unfinished)))]


def kind_fit(knowledge: Knowledge, matrix: FeatureMatrix, found: np.ndarray, labelled: np.ndarray) -> KindFit | None:
    """Whether the kinds of the anomalies `found` (n,) bool fit the kinds of their labels, `labelled` (n,) str.

    A kind fits if any rule of that kind names the label's kind among its `faults`. None where no rule names any of the
    labels' kinds: then labels have kinds of another sort, or none.
    """
    fitting: dict[str, set[str]] = {}
    for rule in knowledge.rules:
        fitting.setdefault(rule.kind, set()).update(rule.faults)
    if not set().union(*fitting.values()) & set(labelled.tolist()):
        return None
    pairs = Counter(zip(kinds_of(knowledge, matrix)[found].tolist(), labelled[found].tolist(), strict=True))
    table: dict[str, dict[str, int]] = {}
    for (kind, label), count in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0])):
        table.setdefault(kind, {})[label] = count
    fits = sum(count for (kind, label), count in pairs.items() if label in fitting.get(kind, ()))
    return KindFit(int(found.sum()), fits, table, {kind: sorted(fitting.get(kind, ())) for kind in table})


@dataclass(frozen=True)
class Reach:
    """The most that can be found of `anomalies` by what is counted of each item.

    `f1` is the highest that any choice of vectors reaches. `hidden` anomalies have exactly the vector of normal items,
    and most items with that vector are normal; by the label's kind `hidden_by_kind`. `plural` is what people call the
    items.
    """

    anomalies: int
    hidden: int
    f1: float
    hidden_by_kind: dict[str, int]
    plural: str = "items"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        named = [f"{count:,} {kind}" for kind, count in self.hidden_by_kind.items() if kind not in ("", _NO_KIND)]
        told = f": {', '.join(named)}" if named else ""
        return (
            f"most that can be reached on these labels: F1 {self.f1:.3f} ({self.hidden:,} of {self.anomalies:,} "
            f"anomalies have exactly the events of normal {self.plural}{told})"
        )


def reach(matrix: FeatureMatrix, labels: np.ndarray, kinds: np.ndarray, plural: str = "items") -> Reach:
    """What the vectors of n items and their `labels` (n,), `NORMAL` or `ANOMALY`, allow; `kinds` (n,) of the labels.

    Items that the records show only in part count as alike where they are unfinished in the same way. The F1 is that of
    the best set of vectors: those with the largest shares of anomalies, which is the best order for any F measure.
    """
    vector = matrix.cases.inverse
    anomalous = np.bincount(vector, weights=labels == ANOMALY)
    normal = np.bincount(vector, weights=labels == NORMAL)
    order = np.argsort(-anomalous / np.maximum(anomalous + normal, 1), kind="stable")
    hits, flagged = anomalous[order].cumsum(), (anomalous + normal)[order].cumsum()
    total = int((labels == ANOMALY).sum())
    hidden = (labels == ANOMALY) & (normal > anomalous)[vector]
    by_kind = Counter(kinds[hidden].tolist())
    most = float((2 * hits / np.maximum(flagged + total, 1)).max(initial=0.0))
    return Reach(total, int(hidden.sum()), most, dict(by_kind.most_common()), plural)
