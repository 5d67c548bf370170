"""Weak labels: what detectors learn from in a home without labels, so that they do not learn failures as normal.

An item that breaks a rule of its life is an anomaly, unless people said otherwise of it or of its kind. All others are
normal where they are common, or where each of their counts is common; rare ones are neither, and nothing is learned
from them. Where hardly two items are the same (a family that is not `countable`), none counts as rare. Training on the
verdicts of rules that people write is known as weak supervision (Ratner et al., "Snorkel: Rapid Training Data Creation
with Weak Supervision", 2017).
"""

import math
from dataclasses import replace
from typing import Final

import numpy as np

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.knowledge import Knowledge, failed, heeded, worst
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, FALSE_ALARM, NORMAL, UNLABELLED
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings

WEAK: Final = "weak"
"""Under this name the facts of a dataset say how its labels came about, if the rules made them."""
_COMMON: Final = 0.0005  # share of the items that have a row which is common, and at least
_LEAST: Final = 3  # items
_FEW: Final = 0.1  # share of the items with a label, up to which the others get weak ones
_WORDS: Final = 3  # on items of a rule, without which it is not dismissed
_DAY_US: Final = 86_400_000_000


def with_weak_labels(data: Dataset, domain: Domain, settings: Settings) -> Dataset:
    """Items of a home without labels, or with a few, with weak ones; any others as they are.

    Labels and people's words stand above the rules. Without rules there are no weak labels.
    The facts of the result hold `WEAK`: how many items the rules call anomalous, people's words on items, how many rare
    ones nothing is learned from, how many items people called real `beyond` the rules, the rules that they dismissed,
    and the days that the items span, at least one.
    """
    knowledge = domain.knowledge(settings, data.main.source)
    told = data.labels >= 0
    if knowledge is None or WEAK in data.facts or told.sum() > _FEW * len(data):
        return data
    grades = _grades(data, knowledge)
    gone = _dismissed(data, knowledge, grades)
    broken = failed(heeded(grades, knowledge.ids, gone))[data.main.cases.inverse]
    labels = np.where(broken, ANOMALY, NORMAL).astype(np.int8)
    labels[data.kinds == FALSE_ALARM] = NORMAL
    labels[told | (data.labels == AMBIGUOUS)] = data.labels[told | (data.labels == AMBIGUOUS)]
    if data.feedback is not None:
        labels[np.searchsorted(data.keys, data.feedback.keys)] = data.feedback.labels
    normal = labels == NORMAL
    rare = normal & ~told & ~data.with_feedback & (data.kinds != FALSE_ALARM)
    if data.family in domain.countable:
        labels[rare & _rare(data.main, normal)] = UNLABELLED
    facts = {
        "anomalies": int((labels == ANOMALY).sum()),
        "rare": int((labels == UNLABELLED).sum()),
        "words": len(data.feedback) if data.feedback is not None else 0,
        "beyond": int(((labels == ANOMALY) & ~broken).sum()),
        "labels": int(told.sum()),
        "dismissed": gone,
        "days": max(1.0, float(np.ptp(data.time)) / _DAY_US) if len(data) else 1.0,
    }
    return replace(data, labels=labels, facts=data.facts | {WEAK: facts})


def dismissed(data: Dataset, domain: Domain, settings: Settings) -> dict[str, list[str]]:
    """Rules that say nothing here: people called most of the items false or expected that break them.

    A rule is judged by the items of which it is the first of the gravest, and only where people spoke of at least half
    of these, and of three: a word on one item is about that item. By the rule's id stand all rules that the items break
    which people spoke of: nothing else is said to be harmless.
    """
    knowledge = domain.knowledge(settings, data.main.source)
    if knowledge is None:
        return {}
    return _dismissed(data, knowledge, _grades(data, knowledge))


def _grades(data: Dataset, knowledge: Knowledge) -> np.ndarray:
    """The grades (k, r) of the distinct cases of the main family."""
    once = data.main.take(data.main.cases.first)
    return knowledge.grades(once.values, once.unfinished)


def _dismissed(data: Dataset, knowledge: Knowledge, grades: np.ndarray) -> dict[str, list[str]]:
    if data.feedback is None:
        return {}
    cases = data.main.cases
    first, rows = worst(grades), cases.inverse[np.searchsorted(data.keys, data.feedback.keys)]
    gone = {}
    for index, rule in enumerate(knowledge.rules):
        own = first[rows] == index
        words = data.feedback.labels[own]
        enough = len(words) >= max(_WORDS, cases.weights[first == index].sum() / 2)
        if enough and 2 * (words == ANOMALY).sum() < len(words):
            beside = grades[rows[own]].any(axis=0)
            gone[rule.id] = [other for other, there in zip(knowledge.ids, beside, strict=True) if there]
    return gone


def _rare(matrix: FeatureMatrix, normal: np.ndarray) -> np.ndarray:
    """Which items are rare, and have a count that no item with a common row among the `normal` ones (n,) has."""
    distinct = matrix.distinct
    support = np.bincount(distinct.inverse, weights=normal, minlength=len(distinct.first))
    common = support >= max(_LEAST, _COMMON * normal.sum())
    rows = matrix.take(distinct.first).values
    known = rows[common]
    explained = np.ones(len(rows), bool)
    for column in range(rows.shape[1]):
        explained &= np.isin(rows[:, column], known[:, column])
    return (~(common | explained))[distinct.inverse]


def within_budget(scorer: Scorer, taught: Dataset, settings: Settings) -> Scorer:
    """A scorer trained on weak labels, with its threshold raised until it calls no more than allowed new here.

    `taught` are all items of the training, the rare ones too. If k of them in d days are new here, (k + 1) / d a day
    are to be expected (Laplace's rule of succession): that must not be above the budget. So a short recording allows
    none at all, and `allowed` in the card's `weak` is -1: nobody can know from it what is new.
    """
    allowed = math.floor(settings.new_here_a_day * taught.facts[WEAK]["days"]) - 1
    if allowed < 0:
        return replace(scorer, card=replace(scorer.card, weak=scorer.card.weak | {"allowed": -1, "new_here": 0}))
    free = (taught.labels != ANOMALY) & (taught.labels != AMBIGUOUS) & ~taught.with_feedback
    scores = scorer.score(taught.matrix(scorer.card.family))[free]
    over = np.sort(scores[scores >= scorer.card.threshold])[::-1]
    threshold, rule = scorer.card.threshold, scorer.card.rule
    if len(over) > allowed:
        threshold = float(np.nextafter(over[allowed], np.inf))
        rule = f"{rule}, raised so that no more than {allowed:,} {taught.plural} of the training are new here"
    weak = scorer.card.weak | {"allowed": allowed, "new_here": int((over >= threshold).sum())}
    return replace(scorer, card=replace(scorer.card, threshold=threshold, rule=rule, weak=weak))
