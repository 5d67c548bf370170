"""The judgement of champion and challenger on the same items: which items they are, and which model may serve."""

from typing import Any

import numpy as np

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.training import Tested, judge
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings

_OF_EACH = 5
"""How many items of each label the held-out items should hold, if there are so many."""
_STILL_FLAGGED = 0.9
_MORE_FLAGGED = 0.01
METRICS = {"f1": "F1", "pr_auc": "PR-AUC", "precision": "precision", "recall": "recall"}
"""The figures that the setting `champion_metric` can name, and how they are written."""
_FIGURES = ("precision", "recall", "f1", "pr_auc", "false_alarms_per_10k")


def latest(data: Dataset, judged_by: np.ndarray, fresh: np.ndarray, settings: Settings) -> np.ndarray:
    """Which items (n,) bool are held out to judge on: those new to the champion first, then the latest ones.

    `judged_by` (n,) bool marks items whose label comes from outside, `fresh` (n,) bool items that the champion has not
    learned. Items with feedback are never held out: the challenger learns from them. Raises: DataError if there are too
    few items to hold any out.
    """
    free = ~data.with_feedback & (data.labels != AMBIGUOUS)
    by_labels = {NORMAL, ANOMALY} <= set(data.labels[judged_by & free].tolist())
    rows = np.flatnonzero(judged_by & free) if by_labels else np.flatnonzero(free)
    keys = data.keys
    rows = rows[np.lexsort((keys[rows], data.time[rows], fresh[rows]))[::-1]]
    least, new = settings.retrain_holdout_blocks, int(fresh[rows].sum())
    count = max(least, round(settings.retrain_holdout_share * new))
    if by_labels:
        reached = [np.cumsum(data.labels[rows] == label) for label in (NORMAL, ANOMALY)]
        count = max(count, *(int(np.searchsorted(sums, min(_OF_EACH, sums[-1]))) + 1 for sums in reached))
    # At least half of the new items, and half of all items, are left to learn from.
    count = min(count, max(least, new // 2), len(rows) // 2)
    if not count:
        raise DataError(f"{len(rows)} {data.plural} are too few to judge a challenger on: read more")
    held = np.zeros(len(data), bool)
    held[rows[:count]] = True
    return held


def compare(
    champion: Scorer, challenger: Scorer, data: Dataset, held: np.ndarray, settings: Settings
) -> tuple[dict[str, Any], dict[str, Tested]]:
    """The judgement on the items `held` (n,) bool of `data`, and the challenger's evaluation there, if any.

    The judgement holds `by` ("labels", "steadiness" or, for a series, "false alarms"), `policy`, `items`, `anomalies`,
    `passed`, `verdict` (a sentence), and the figures of `champion` and `challenger`. The evaluation ("latest") needs
    labels of both kinds, and as many as the policy asks for.
    """
    test = data.take(held)
    both = {NORMAL, ANOMALY} <= set(test.labels.tolist())
    if challenger.detector.ordered and not both:
        return _by_false_alarms(champion, challenger, data, held) | {"policy": policy(settings)}, {}
    few = too_few(test, settings) if both else "without labels of both kinds"
    if not few:
        return _by_labels(champion, challenger, test, settings)
    return _by_steadiness(champion, challenger, data, held, few) | {"policy": policy(settings)}, {}


def policy(settings: Settings) -> dict[str, Any]:
    """How this home chooses: the settings `champion_*`."""
    return {
        "metric": settings.champion_metric,
        "margin": settings.champion_margin,
        "min_blocks": settings.champion_min_blocks,
        "min_anomalies": settings.champion_min_anomalies,
    }


def policy_sentence(settings: Settings, plural: str) -> str:
    """The policy in words, for items that are called `plural`."""
    return (
        f"by {METRICS[settings.champion_metric]} with a margin of {settings.champion_margin:g}, on at least "
        f"{settings.champion_min_blocks:,} {plural} with {settings.champion_min_anomalies:,} anomalies"
    )


def policy_of(settings: Settings, domain: Domain) -> str:
    """How a domain's champions are chosen, in words: a series has no labels to be judged by."""
    if all(domain.row(name).cls.ordered for name in domain.detectors):
        return (
            f"by false alarms on the latest {domain.item.plural} outside incidents and marked stretches, at most "
            f"{_MORE_FLAGGED:.0%} of them more"
        )
    return policy_sentence(settings, domain.item.plural)


def too_few(test: Dataset, settings: Settings) -> str:
    """What the labelled items lack for a judgement, in words; '' if they are enough."""
    known = test.labels >= 0
    labelled, anomalies = int(known.sum()), int((test.labels == ANOMALY).sum())
    if labelled >= settings.champion_min_blocks and anomalies >= settings.champion_min_anomalies:
        return ""
    return (
        f"with {labelled:,} labelled {test.plural} and {anomalies:,} anomalies among them, where "
        f"`champion_min_blocks` asks for {settings.champion_min_blocks:,} and `champion_min_anomalies` for "
        f"{settings.champion_min_anomalies:,},"
    )


def figure(tested: Tested, metric: str) -> float:
    """A figure of an evaluation; PR-AUC to three decimals, below which it is noise."""
    value = float(getattr(tested.evaluation, metric) or 0)
    return round(value, 3) if metric == "pr_auc" else value


def _by_labels(
    champion: Scorer, challenger: Scorer, test: Dataset, settings: Settings
) -> tuple[dict[str, Any], dict[str, Tested]]:
    old, new = (judge(scorer, test, settings) for scorer in (champion, challenger))
    metric, margin = settings.champion_metric, settings.champion_margin
    mine, theirs = figure(new, metric), figure(old, metric)
    compared = f"{METRICS[metric]} {mine:.3f} against {theirs:.3f} of version {champion.card.version}"
    passed = mine >= theirs - margin
    if mine == theirs:  # F1 and PR-AUC both count both kinds of error: the other one decides
        second = "f1" if metric == "pr_auc" else "pr_auc"
        mine, theirs = figure(new, second), figure(old, second)
        passed = mine >= theirs - margin
        compared += f", {METRICS[second]} {mine:.3f} against {theirs:.3f}"
    anomalies = old.evaluation.anomalies
    where = f"on the latest {len(test):,} {test.plural}, {anomalies:,} of them anomalies"
    judgement = {
        "by": "labels",
        "policy": policy(settings),
        "items": len(test),
        "anomalies": anomalies,
        "passed": passed,
        "verdict": f"{'not worse' if passed else 'worse'}: {compared} {where} "
        f"(policy: {policy_sentence(settings, test.plural)})",
        "champion": _figures(old) | {"version": champion.card.version},
        "challenger": _figures(new),
    }
    return judgement, {"latest": new}


def _figures(tested: Tested) -> dict[str, Any]:
    flagged = int((tested.scores >= tested.evaluation.threshold).sum())
    return {"flagged": flagged} | {name: getattr(tested.evaluation, name) for name in _FIGURES}


def _by_steadiness(champion: Scorer, challenger: Scorer, data: Dataset, held: np.ndarray, few: str) -> dict[str, Any]:
    """The judgement without enough labels, which cannot show the better model: the challenger must flag about the same.

    `few` says what is missing. Items that feedback rules in either model are left out: for them a change is wanted.
    """
    from scipy.stats import spearmanr

    rulings = [scorer.ruling(data.matrix(scorer.card.family).values) for scorer in (champion, challenger)]
    free = (rulings[0] == UNLABELLED) & (rulings[1] == UNLABELLED)
    data, held = data.take(free), held[free]
    scores = [scorer.score(data.matrix(scorer.card.family)) for scorer in (champion, challenger)]
    flags = [values >= scorer.card.threshold for values, scorer in zip(scores, (champion, challenger), strict=True)]
    items, flagged = int(held.sum()), [int(flag[held].sum()) for flag in flags]
    before, still = int(flags[0].sum()), int((flags[0] & flags[1]).sum())
    more = (flagged[1] - flagged[0]) / max(items, 1)
    passed = still >= _STILL_FLAGGED * before and more <= _MORE_FLAGGED
    varied = items > 1 and all(np.ptp(values[held]) > 0 for values in scores)
    version = champion.card.version
    return {
        "by": "steadiness",
        "items": items,
        "anomalies": None,
        "passed": passed,
        "verdict": f"{'steady' if passed else 'not steady'}, and {few} that is all that can be told: it "
        f"flags {still:,} of the {before:,} {data.plural} that version {version} flags, and of the latest {items:,} "
        f"{flagged[1]:,} against {flagged[0]:,}",
        "rank_correlation": float(spearmanr(*(values[held] for values in scores)).statistic) if varied else None,
        "champion": {"flagged": flagged[0], "version": version},
        "challenger": {"flagged": flagged[1]},
    }


def _by_false_alarms(champion: Scorer, challenger: Scorer, data: Dataset, held: np.ndarray) -> dict[str, Any]:
    """The judgement of a series, whose steps have no labels: incidents are not in `held`, so all flags there are false.

    The challenger may serve if it can flag anything at all, and flags at most one in a hundred of these steps more than
    the champion. The judgement also reports how many of the other steps each flags. That decides nothing: a champion
    that learned too little flags too much.
    """
    flags = [
        scorer.score(data.matrix(scorer.card.family)) >= scorer.card.threshold for scorer in (champion, challenger)
    ]
    items, flagged = int(held.sum()), [int(flag[held].sum()) for flag in flags]
    left_out = data.labels == AMBIGUOUS
    before, still = int(flags[0][left_out].sum()), int((flags[0] & flags[1])[left_out].sum())
    passed = bool(np.isfinite(challenger.card.threshold)) and flagged[1] - flagged[0] <= _MORE_FLAGGED * items
    version = champion.card.version
    return {
        "by": "false alarms",
        "items": items,
        "anomalies": None,
        "passed": passed,
        "verdict": f"{'as quiet' if passed else 'not as quiet'}, and without labels false alarms are all that can be "
        f"told: of the latest {items:,} {data.plural} outside incidents and marked stretches it flags {flagged[1]:,} "
        f"against {flagged[0]:,} of version {version}; in these stretches it flags {still:,} of the {before:,} that "
        f"version {version} flags",
        "champion": {"flagged": flagged[0], "version": version},
        "challenger": {"flagged": flagged[1]},
    }
