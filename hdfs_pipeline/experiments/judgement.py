"""Champion and challenger on the same blocks: which blocks those are, and which of the two may serve."""

from typing import Any

import numpy as np

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.experiments.training import Tested, judge
from hdfs_pipeline.scoring.dataset import ANOMALY, NORMAL, Dataset
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings

_OF_EACH = 5
"""Blocks of each label that the held-out blocks should hold, where that can be had."""
_STILL_FLAGGED = 0.9
_MORE_FLAGGED = 0.01
_FIGURES = ("precision", "recall", "f1", "pr_auc", "false_alarms_per_10k")


def latest(data: Dataset, judged_by: np.ndarray, fresh: np.ndarray, settings: Settings) -> np.ndarray:
    """Which blocks (n,) bool are held out to judge on: the latest, first of all those that the champion never learned.

    `judged_by` (n,) bool, whose label comes from outside; `fresh` (n,) bool, new to the champion. Raises: DataError
    where there are too few blocks to keep any.
    """
    by_labels = {NORMAL, ANOMALY} <= set(data.labels[judged_by].tolist())
    rows = np.flatnonzero(judged_by) if by_labels else np.arange(len(data))
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

    The judgement: `by` "labels" or "steadiness", `blocks`, `anomalies`, `passed`, `verdict` in words, and of
    `champion` and `challenger` the figures. The evaluation ("latest") needs labels of both kinds.
    """
    test = data.take(held)
    if {NORMAL, ANOMALY} <= set(test.labels.tolist()):
        return _by_labels(champion, challenger, test, settings)
    return _by_steadiness(champion, challenger, data, held), {}


def _by_labels(
    champion: Scorer, challenger: Scorer, test: Dataset, settings: Settings
) -> tuple[dict[str, Any], dict[str, Tested]]:
    old, new = (judge(scorer, test, settings) for scorer in (champion, challenger))
    told = f"F1 {new.evaluation.f1:.3f} against {old.evaluation.f1:.3f} of version {champion.card.version}"
    passed = new.evaluation.f1 >= old.evaluation.f1 - settings.champion_margin
    if new.evaluation.f1 == old.evaluation.f1:
        mine, theirs = (round(tested.evaluation.pr_auc or 0, 3) for tested in (new, old))
        passed = mine >= theirs - settings.champion_margin
        told += f", PR-AUC {mine:.3f} against {theirs:.3f}"
    anomalies = old.evaluation.anomalies
    where = f"on the latest {len(test):,} blocks, {anomalies:,} of them anomalies"
    judgement = {
        "by": "labels",
        "blocks": len(test),
        "anomalies": anomalies,
        "passed": passed,
        "verdict": f"{'not worse' if passed else 'worse'}: {told} {where}",
        "champion": _figures(old) | {"version": champion.card.version},
        "challenger": _figures(new),
    }
    return judgement, {"latest": new}


def _figures(tested: Tested) -> dict[str, Any]:
    flagged = int((tested.scores >= tested.evaluation.threshold).sum())
    return {"flagged": flagged} | {name: getattr(tested.evaluation, name) for name in _FIGURES}


def _by_steadiness(champion: Scorer, challenger: Scorer, data: Dataset, held: np.ndarray) -> dict[str, Any]:
    """Without labels nothing shows which is better: the challenger may serve if it says about the same."""
    from scipy.stats import spearmanr

    scores = [scorer.score(data.matrix(scorer.card.family)) for scorer in (champion, challenger)]
    flags = [found >= scorer.card.threshold for found, scorer in zip(scores, (champion, challenger), strict=True)]
    blocks, flagged = int(held.sum()), [int(found[held].sum()) for found in flags]
    before, still = int(flags[0].sum()), int((flags[0] & flags[1]).sum())
    more = (flagged[1] - flagged[0]) / blocks
    passed = still >= _STILL_FLAGGED * before and more <= _MORE_FLAGGED
    varied = all(np.ptp(found[held]) > 0 for found in scores)
    version = champion.card.version
    return {
        "by": "steadiness",
        "blocks": blocks,
        "anomalies": None,
        "passed": passed,
        "verdict": f"{'steady' if passed else 'not steady'}, and without labels of both kinds that is all that can be "
        f"told: it flags {still:,} of the {before:,} blocks that version {version} flags, and of the latest {blocks:,} "
        f"{flagged[1]:,} against {flagged[0]:,}",
        "rank_correlation": float(spearmanr(*(found[held] for found in scores)).statistic) if varied else None,
        "champion": {"flagged": flagged[0], "version": version},
        "challenger": {"flagged": flagged[1]},
    }
