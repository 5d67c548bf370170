"""Champion and challenger on the same blocks: which blocks those are, and which of the two may serve."""

from typing import Any

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.training import Tested, judge
from hdfs_pipeline.scoring.dataset import ANOMALY, NORMAL, UNLABELLED, Dataset
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings

_OF_EACH = 5
"""Blocks of each label that the held-out blocks should hold, where that can be had."""
_STILL_FLAGGED = 0.9
_MORE_FLAGGED = 0.01
METRICS = {"f1": "F1", "pr_auc": "PR-AUC", "precision": "precision", "recall": "recall"}
"""The figures that the setting `champion_metric` can name, and how they are written."""
_FIGURES = ("precision", "recall", "f1", "pr_auc", "false_alarms_per_10k")


def latest(data: Dataset, judged_by: np.ndarray, fresh: np.ndarray, settings: Settings) -> np.ndarray:
    """Which blocks (n,) bool are held out to judge on: the latest, first of all those that the champion never learned.

    `judged_by` (n,) bool, whose label comes from outside; `fresh` (n,) bool, new to the champion. Raises: DataError
    where there are too few blocks to keep any. Blocks with a verdict of people are learned from, always.
    """
    free = ~data.said
    by_labels = {NORMAL, ANOMALY} <= set(data.labels[judged_by & free].tolist())
    rows = np.flatnonzero(judged_by & free) if by_labels else np.flatnonzero(free)
    keys = data.matrix("events").keys
    rows = rows[np.lexsort((keys[rows], data.time[rows], fresh[rows]))[::-1]]
    least, new = settings.retrain_holdout_blocks, int(fresh[rows].sum())
    count = max(least, round(settings.retrain_holdout_share * new))
    if by_labels:
        reached = [np.cumsum(data.labels[rows] == label) for label in (NORMAL, ANOMALY)]
        count = max(count, *(int(np.searchsorted(found, min(_OF_EACH, found[-1]))) + 1 for found in reached))
    # Half of what is new is left to learn from, and half of all there is.
    count = min(count, max(least, new // 2), len(rows) // 2)
    if not count:
        raise DataError(f"{len(rows)} blocks are too few to judge a challenger on: read more logs")
    held = np.zeros(len(data), bool)
    held[rows[:count]] = True
    return held


def compare(
    champion: Scorer, challenger: Scorer, data: Dataset, held: np.ndarray, settings: Settings
) -> tuple[dict[str, Any], dict[str, Tested]]:
    """The judgement on the blocks `held` (n,) bool of `data`, and the challenger's evaluation there, if any.

    The judgement: `by` "labels" or "steadiness", `policy`, `blocks`, `anomalies`, `passed`, `verdict` in words, and of
    `champion` and `challenger` the figures. The evaluation ("latest") needs labels of both kinds, and as many as the
    policy asks for.
    """
    test = data.take(held)
    both = {NORMAL, ANOMALY} <= set(test.labels.tolist())
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


def policy_sentence(settings: Settings) -> str:
    """The same in words."""
    return (
        f"by {METRICS[settings.champion_metric]} with a margin of {settings.champion_margin:g}, on at least "
        f"{settings.champion_min_blocks:,} blocks with {settings.champion_min_anomalies:,} anomalies"
    )


def too_few(test: Dataset, settings: Settings) -> str:
    """What labelled blocks lack to be judged on, in words; '' where they are enough."""
    known = test.labels >= 0
    blocks, anomalies = int(known.sum()), int((test.labels == ANOMALY).sum())
    if blocks >= settings.champion_min_blocks and anomalies >= settings.champion_min_anomalies:
        return ""
    return (
        f"with {blocks:,} labelled blocks and {anomalies:,} anomalies among them, where `champion_min_blocks` asks for "
        f"{settings.champion_min_blocks:,} and `champion_min_anomalies` for {settings.champion_min_anomalies:,},"
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
    told = f"{METRICS[metric]} {mine:.3f} against {theirs:.3f} of version {champion.card.version}"
    passed = mine >= theirs - margin
    if mine == theirs:  # then the other of the two figures that take both kinds of error in
        second = "f1" if metric == "pr_auc" else "pr_auc"
        mine, theirs = figure(new, second), figure(old, second)
        passed = mine >= theirs - margin
        told += f", {METRICS[second]} {mine:.3f} against {theirs:.3f}"
    anomalies = old.evaluation.anomalies
    where = f"on the latest {len(test):,} blocks, {anomalies:,} of them anomalies"
    judgement = {
        "by": "labels",
        "policy": policy(settings),
        "blocks": len(test),
        "anomalies": anomalies,
        "passed": passed,
        "verdict": f"{'not worse' if passed else 'worse'}: {told} {where} (policy: {policy_sentence(settings)})",
        "champion": _figures(old) | {"version": champion.card.version},
        "challenger": _figures(new),
    }
    return judgement, {"latest": new}


def _figures(tested: Tested) -> dict[str, Any]:
    flagged = int((tested.scores >= tested.evaluation.threshold).sum())
    return {"flagged": flagged} | {name: getattr(tested.evaluation, name) for name in _FIGURES}


def _by_steadiness(champion: Scorer, challenger: Scorer, data: Dataset, held: np.ndarray, few: str) -> dict[str, Any]:
    """Without (enough) labels nothing shows which is better: the challenger may serve if it says about the same.

    `few` says what is missing. Blocks that verdicts of people rule in either are left out: there a change is wanted.
    """
    from scipy.stats import spearmanr

    rules = [scorer.said(data.matrix(scorer.card.family).values) for scorer in (champion, challenger)]
    free = (rules[0] == UNLABELLED) & (rules[1] == UNLABELLED)
    data, held = data.take(free), held[free]
    scores = [scorer.score(data.matrix(scorer.card.family)) for scorer in (champion, challenger)]
    flags = [found >= scorer.card.threshold for found, scorer in zip(scores, (champion, challenger), strict=True)]
    blocks, flagged = int(held.sum()), [int(found[held].sum()) for found in flags]
    before, still = int(flags[0].sum()), int((flags[0] & flags[1]).sum())
    more = (flagged[1] - flagged[0]) / max(blocks, 1)
    passed = still >= _STILL_FLAGGED * before and more <= _MORE_FLAGGED
    varied = blocks > 1 and all(np.ptp(found[held]) > 0 for found in scores)
    version = champion.card.version
    return {
        "by": "steadiness",
        "blocks": blocks,
        "anomalies": None,
        "passed": passed,
        "verdict": f"{'steady' if passed else 'not steady'}, and {few} that is all that can be told: it "
        f"flags {still:,} of the {before:,} blocks that version {version} flags, and of the latest {blocks:,} "
        f"{flagged[1]:,} against {flagged[0]:,}",
        "rank_correlation": float(spearmanr(*(found[held] for found in scores)).statistic) if varied else None,
        "champion": {"flagged": flagged[0], "version": version},
        "challenger": {"flagged": flagged[1]},
    }
