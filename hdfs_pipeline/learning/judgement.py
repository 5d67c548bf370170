"""The judgement of champion and challenger on the same items: which items they are, and which model may serve."""

from typing import Any

import numpy as np

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.training import Tested, judge
from hdfs_pipeline.learning.weak import WEAK
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED
from hdfs_pipeline.scoring.paired import Lead, lead
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings

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
    by_labels = {NORMAL, ANOMALY} <= set(np.unique(data.labels[judged_by & free]).tolist())
    rows = np.flatnonzero(judged_by & free) if by_labels else np.flatnonzero(free)
    keys = data.keys
    rows = rows[np.lexsort((keys[rows], data.time[rows], fresh[rows]))[::-1]]
    least, new = settings.retrain_holdout_blocks, int(fresh[rows].sum())
    count = max(least, round(settings.retrain_holdout_share * new))
    if by_labels:
        reached = [np.cumsum(data.labels[rows] == label) for label in (NORMAL, ANOMALY)]
        count = max(
            count, *(int(np.searchsorted(sums, min(settings.champion_min_anomalies, sums[-1]))) + 1 for sums in reached)
        )
    # At least half of the new items, and half of all items, are left to learn from.
    count = min(count, max(least, new // 2), len(rows) // 2)
    if not count:
        raise DataError(f"{len(rows)} {data.plural} are too few to judge a challenger on: read more")
    held = np.zeros(len(data), bool)
    held[rows[:count]] = True
    return held


def compare(
    champion: Scorer, challenger: Scorer, data: Dataset, held: np.ndarray, settings: Settings, words: int = 0
) -> tuple[dict[str, Any], dict[str, Tested]]:
    """The judgement on the items `held` (n,) bool of `data`, and the challenger's evaluation there, if any.

    This is the one gate through which a version takes another one's place. `words` counts what people said or took back
    since the champion learned: where they did, a challenger serves that is not shown to be worse.

    The judgement holds `by` ("labels", "steadiness" or, for a series, "false alarms"), `policy`, `items`, `anomalies`,
    `words`, `passed`, `verdict` (a sentence), and the figures of `champion` and `challenger`. The evaluation ("latest")
    needs labels of both kinds.
    """
    test = data.take(held)
    both = test.has_both and WEAK not in data.facts
    tests: dict[str, Tested] = {}
    if challenger.detector.ordered and not both:
        judgement = _by_false_alarms(champion, challenger, data, held)
    elif both:
        judgement, tests = _by_labels(champion, challenger, test, settings, words)
    else:
        judgement = _by_steadiness(champion, challenger, data, held, settings, words)
    return judgement | {"policy": policy(settings), "words": words}, tests


def policy(settings: Settings) -> dict[str, Any]:
    """How this home chooses: the settings `champion_*`."""
    return {
        "metric": settings.champion_metric,
        "margin": settings.champion_margin,
        "confidence": settings.champion_confidence,
        "min_blocks": settings.champion_min_blocks,
        "min_anomalies": settings.champion_min_anomalies,
    }


def policy_sentence(settings: Settings, plural: str) -> str:
    """The policy in words, for items that are called `plural`."""
    return (
        f"by {METRICS[settings.champion_metric]}, a lead of more than {settings.champion_margin:g} with a confidence "
        f"of {settings.champion_confidence:g}, on at least {settings.champion_min_blocks:,} {plural} with "
        f"{settings.champion_min_anomalies:,} anomalies and as many normal ones"
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
    labelled, least = int((test.labels >= 0).sum()), settings.champion_min_anomalies
    anomalies = int((test.labels == ANOMALY).sum())
    if labelled >= settings.champion_min_blocks and min(anomalies, labelled - anomalies) >= least:
        return ""
    return (
        f"{labelled:,} labelled {test.plural} with {anomalies:,} anomalies, where `champion_min_blocks` asks for "
        f"{settings.champion_min_blocks:,} and `champion_min_anomalies` for {least:,} anomalies and as many normal ones"
    )


def leads(mine: tuple[Tested, float], theirs: tuple[Tested, float], settings: Settings) -> Lead:
    """The lead in `champion_metric` of one model over another, each with its threshold, on the same items."""
    metric = settings.champion_metric
    answers = [
        tested.scores if metric == "pr_auc" else tested.scores >= threshold for tested, threshold in (mine, theirs)
    ]
    return lead(mine[0].labels, answers[0], answers[1], metric, settings.seed)


def beyond_chance(found: Lead, settings: Settings) -> bool:
    """Whether a lead is larger than `champion_margin` and, with `champion_confidence`, no chance."""
    return found.value > settings.champion_margin and found.p <= 1 - settings.champion_confidence + 1e-9


def figure(tested: Tested, metric: str) -> float:
    """A figure of an evaluation; PR-AUC to three decimals, below which it is noise."""
    value = float(getattr(tested.evaluation, metric) or 0)
    return round(value, 3) if metric == "pr_auc" else value


def _by_labels(
    champion: Scorer, challenger: Scorer, test: Dataset, settings: Settings, words: int
) -> tuple[dict[str, Any], dict[str, Tested]]:
    old, new = (judge(scorer, test, settings) for scorer in (champion, challenger))
    sides = ((new, challenger.card.threshold), (old, champion.card.threshold))
    found = leads(*sides, settings)
    worse = beyond_chance(leads(sides[1], sides[0], settings), settings)
    few = too_few(test, settings) or _learned_too_little(challenger, settings)
    passed = (not worse) if words else not few and beyond_chance(found, settings)
    if words:
        answer = (
            f"{'worse' if worse else 'not shown to be worse'}, and it knows what people have said on {words:,} since"
        )
    elif few:
        answer = f"too little to tell ({few})"
    elif passed:
        answer = "better beyond chance"
    else:
        answer = "better, but not beyond chance" if found.value > settings.champion_margin else "not better"
        answer = "worse beyond chance" if worse else answer
    metric, version = settings.champion_metric, champion.card.version
    serves_on = "" if passed else f", so version {version} serves on"
    anomalies = old.evaluation.anomalies
    judgement = {
        "by": "labels",
        "items": len(test),
        "anomalies": anomalies,
        "passed": passed,
        "lead": found.value,
        "p": found.p,
        "verdict": f"{answer}{serves_on}: {METRICS[metric]} {figure(new, metric):.3f} against {figure(old, metric):.3f}"
        f" of version {version} on the latest {len(test):,} {test.plural}, {anomalies:,} of them anomalies; between "
        f"equals, chance leads as far in {found.p:.1%} of cases (policy: {policy_sentence(settings, test.plural)})",
        "champion": _figures(old) | {"version": version},
        "challenger": _figures(new),
    }
    return judgement, {"latest": new}


def _learned_too_little(challenger: Scorer, settings: Settings) -> str:
    """What the challenger lacks on its own side of the comparison, in words; '' if it has learned enough."""
    learned, least = challenger.card.anomalies or 0, settings.champion_min_anomalies
    if challenger.detector.learns_from != "labels" or learned >= least:
        return ""
    return f"it learned from {learned:,} anomalies, where `champion_min_anomalies` asks for {least:,}"


def _figures(tested: Tested) -> dict[str, Any]:
    flagged = int((tested.scores >= tested.evaluation.threshold).sum())
    return {"flagged": flagged} | {name: getattr(tested.evaluation, name) for name in _FIGURES}


def _by_steadiness(
    champion: Scorer, challenger: Scorer, data: Dataset, held: np.ndarray, settings: Settings, words: int
) -> dict[str, Any]:
    """The judgement without labels, which cannot show the better model: the challenger must flag about the same.

    Both must flag enough for that to say anything, unless `words` of people are what changes. Items that feedback rules
    in either model are left out: for them a change is wanted.
    """
    from scipy.stats import spearmanr

    free = data.matrix(champion.card.family).by_case(
        lambda once: (champion.ruling(once.values) == UNLABELLED) & (challenger.ruling(once.values) == UNLABELLED)
    )
    held = held & free
    scores = [scorer.score(data.matrix(scorer.card.family)) for scorer in (champion, challenger)]
    flags = [
        (values >= scorer.card.threshold) & free for values, scorer in zip(scores, (champion, challenger), strict=True)
    ]
    items, flagged = int(held.sum()), [int(flag[held].sum()) for flag in flags]
    before, after, still = (int(each.sum()) for each in (*flags, flags[0] & flags[1]))
    least = settings.champion_min_anomalies
    few = not words and min(before, after) < least
    more = (flagged[1] - flagged[0]) / max(items, 1)
    steady = still >= _STILL_FLAGGED * before and more <= _MORE_FLAGGED
    passed = steady and not few
    varied = items > 1 and all(np.ptp(values[held]) > 0 for values in scores)
    version = champion.card.version
    answer = "not steady" if not steady else "too little to tell" if few else "steady"
    why = f" (both must flag {least:,}: `champion_min_anomalies`)" if few else ""
    return {
        "by": "steadiness",
        "items": items,
        "anomalies": None,
        "passed": passed,
        "verdict": f"{answer}{'' if passed else f', so version {version} serves on'}: without labels of both kinds "
        "nothing shows which one is better, only whether it flags about the same. It flags "
        f"{still:,} of the {before:,} {data.plural} that version {version} flags, {after:,} in all{why}, and of the "
        f"latest {items:,} {flagged[1]:,} against {flagged[0]:,}",
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
        "verdict": f"{'as quiet' if passed else f'not as quiet, so version {version} serves on'}, and without labels "
        f"false alarms are all that can be told, not which one finds more: of the latest {items:,} {data.plural} "
        f"outside incidents and marked stretches it flags {flagged[1]:,} "
        f"against {flagged[0]:,} of version {version}; in these stretches it flags {still:,} of the {before:,} that "
        f"version {version} flags",
        "champion": {"flagged": flagged[0], "version": version},
        "challenger": {"flagged": flagged[1]},
    }
