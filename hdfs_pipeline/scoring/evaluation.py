"""How good scores are: figures at a threshold fixed beforehand, figures over all thresholds, and intervals."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

_Z = (2.5, 97.5)  # percentiles of a 95 % interval


@dataclass(frozen=True)
class Evaluation:
    """Figures of one detector on one set of labelled items.

    Shares are 0 to 1. `false_alarms_per_10k` counts normal items flagged among 10,000 items. `intervals` hold 95 %
    bootstrap intervals by figure. `unseen` holds the same counts on items whose vector does not occur in training,
    where memory does not help. `recall_by_kind` and `false_alarm_rate_by_kind` have one entry per kind of the labels.
    """

    items: int
    anomalies: int
    threshold: float
    precision: float
    recall: float
    f1: float
    pr_auc: float | None
    roc_auc: float | None
    confusion: dict[str, int]
    false_alarms_per_10k: float
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    unseen: dict[str, Any] = field(default_factory=dict)
    recall_by_kind: dict[str, dict[str, float]] = field(default_factory=dict)
    false_alarm_rate_by_kind: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def evaluate(
    scores: np.ndarray,
    labels: np.ndarray,
    threshold: float,
    *,
    kinds: np.ndarray | None = None,
    seen: np.ndarray | None = None,
    samples: int = 0,
    seed: int = 7,
) -> Evaluation:
    """Figures of `scores` (n,) against `labels` (n,) of 0 and 1.

    `kinds` (n,) str; `seen` (n,) bool, whether the item's vector occurs in training; `samples` bootstrap resamples.
    """
    flagged, anomaly = scores >= threshold, labels == 1
    result = evaluate_steps(Steps.of(scores, anomaly), threshold, samples=samples, seed=seed)
    if seen is not None:
        fresh = _confusion(flagged[~seen], anomaly[~seen])
        result.unseen.update({"items": int((~seen).sum()), **fresh, **_figures(fresh)})
    if kinds is not None:
        result.recall_by_kind.update(_by_kind(flagged, kinds, anomaly))
        result.false_alarm_rate_by_kind.update(_by_kind(flagged, kinds, ~anomaly))
    return result


def evaluate_steps(steps: "Steps", threshold: float, *, samples: int = 0, seed: int = 7) -> Evaluation:
    """Figures of items whose scores and labels `steps` tell; without those by kind and of unseen ones."""
    flagged = steps.scores >= threshold
    hits, false = int(steps.positives[flagged].sum()), int(steps.negatives[flagged].sum())
    anomalies, normal = int(steps.positives.sum()), int(steps.negatives.sum())
    counts = {
        "true_positives": hits,
        "false_positives": false,
        "false_negatives": anomalies - hits,
        "true_negatives": normal - false,
    }
    both = bool(anomalies and normal)
    figures: dict[str, Any] = _figures(counts)
    return Evaluation(
        items=anomalies + normal,
        anomalies=anomalies,
        threshold=float(threshold),
        **figures,
        pr_auc=float(_average_precision(steps.positives, steps.negatives)) if both else None,
        roc_auc=float(_roc_auc(steps.positives, steps.negatives)) if both else None,
        confusion=counts,
        false_alarms_per_10k=false / max(anomalies + normal, 1) * 10_000,
        intervals=_bootstrap(steps, threshold, samples, seed) if both and samples else {},
    )


def _confusion(flagged: np.ndarray, anomaly: np.ndarray) -> dict[str, int]:
    return {
        "true_positives": int((flagged & anomaly).sum()),
        "false_positives": int((flagged & ~anomaly).sum()),
        "false_negatives": int((~flagged & anomaly).sum()),
        "true_negatives": int((~flagged & ~anomaly).sum()),
    }


def _figures(counts: dict[str, int]) -> dict[str, float]:
    hits, false, missed = counts["true_positives"], counts["false_positives"], counts["false_negatives"]
    return {
        "precision": hits / (hits + false) if hits + false else 0.0,
        "recall": hits / (hits + missed) if hits + missed else 0.0,
        "f1": 2 * hits / (2 * hits + false + missed) if hits + false + missed else 0.0,
    }


def _by_kind(flagged: np.ndarray, kinds: np.ndarray, rows: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        kind: {"items": int((rows & (kinds == kind)).sum()), "flagged": float(flagged[rows & (kinds == kind)].mean())}
        for kind in sorted(set(kinds[rows].tolist()))
    }


@dataclass(frozen=True)
class Steps:
    """Anomalous and normal items at each distinct score, highest first: (k,) each.

    Items whose scores lie next to each other may stand together, at the least of these.
    """

    scores: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, anomaly: np.ndarray) -> "Steps":
        """Those of items with `scores` (n,), of which some are an `anomaly` (n,) bool."""
        distinct, place = np.unique(-scores, return_inverse=True)
        positives = np.bincount(place, weights=anomaly, minlength=len(distinct))
        return cls(-distinct, positives, np.bincount(place, minlength=len(distinct)) - positives)

    def curve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Precision, recall and share of normal items flagged, (k + 1,) each: of nothing, then from each score on."""
        hits, false = self.positives.cumsum(), self.negatives.cumsum()
        precision = hits / np.maximum(hits + false, 1)
        recall, share = (part / max(int(part[-1]) if len(part) else 0, 1) for part in (hits, false))
        return np.append(1, precision), np.append(0, recall), np.append(0, share)


def _average_precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Area under the precision-recall steps (without interpolation) over the last axis."""
    hits, false = positives.cumsum(-1), negatives.cumsum(-1)
    precision = hits / np.maximum(hits + false, 1e-12)
    return (positives * precision).sum(-1) / np.maximum(hits[..., -1], 1e-12)


def _roc_auc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Chance that an anomalous item scores above a normal one, ties counted half."""
    above = positives.cumsum(-1) - positives / 2
    return (negatives * above).sum(-1) / (positives.sum(-1) * negatives.sum(-1))


def _bootstrap(steps: Steps, threshold: float, samples: int, seed: int) -> dict[str, tuple[float, float]]:
    """95 % intervals by resampling items; items of one score and label are alike, so their counts are drawn."""
    cells = np.concatenate([steps.positives, steps.negatives])
    drawn = np.random.default_rng(seed).multinomial(int(cells.sum()), cells / cells.sum(), samples)
    positives, negatives = np.split(drawn.astype(np.float64), 2, axis=1)
    values_by_figure = figures_of_draws(positives, negatives, steps.scores >= threshold)
    return {name: tuple(np.percentile(values, _Z).tolist()) for name, values in values_by_figure.items()}


def figures_of_draws(positives: np.ndarray, negatives: np.ndarray, flagged: np.ndarray) -> dict[str, np.ndarray]:
    """Figures (s,) of s draws of anomalous and normal items (s, k), by score, highest first; `flagged` (k,) bool."""
    hits, false = positives[:, flagged].sum(1), negatives[:, flagged].sum(1)
    total = np.maximum(positives.sum(1), 1)
    return {
        "precision": hits / np.maximum(hits + false, 1),
        "recall": hits / total,
        "f1": 2 * hits / np.maximum(hits + false + total, 1),
        "pr_auc": _average_precision(positives, negatives),
    }
