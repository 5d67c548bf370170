"""The normal item that an anomalous one is laid beside: which it is, its records, and the steps that differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.champions import families
from hdfs_pipeline.domains.contract import Domain, Selection
from hdfs_pipeline.scoring.explain import USUAL, Explanation
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.labels import NORMAL, UNLABELLED
from hdfs_pipeline.scoring.normals import nearest_rows
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_NEAR: Final = 2000  # items of the time around that are looked at
_TRIED: Final = 8  # of the nearest distinct ones, that the detector is asked about


@dataclass(frozen=True)
class Steps:
    """A step that one of two items has more often: its name, and by how much."""

    event: str
    name: str
    count: int


@dataclass(frozen=True)
class Beside:
    """The nearest normal item, '' where none was found, with the first of its raw records in the order of time.

    `missing` are the steps that it has and the anomalous item lacks, `extra` those that only the anomalous one has.
    """

    item: str = ""
    records: int = 0
    lines: list[dict[str, Any]] = field(default_factory=list)
    missing: tuple[Steps, ...] = ()
    extra: tuple[Steps, ...] = ()


def nearest_normal(
    store: Store, settings: Settings, domain: Domain, scorer: Scorer, key: Any, explanation: Explanation, most: int
) -> Beside | None:
    """The normal item of the time around that is nearest to an anomalous one, with `most` of its records at most.

    Near is what the explanation expects in place of the item, by L1 distance of the main family's rows. Normal is what
    breaks no rule, is scored below the threshold, and was called nothing else by a label or by people. None where the
    domain's items have no life of steps.
    """
    lives = domain.lives_near(store, settings, key, _NEAR)
    if lives is None:
        return None
    at = _chosen(store, settings, domain, scorer, lives, explanation)
    if at is None:
        return Beside()
    other = lives.keys[at].item()
    describe = domain.vocabulary(settings, lives.source).describe
    more = (lives.values[at] - lives.values[0]).astype(int)
    outside = _outside(lives)
    steps = [Steps(name, describe(name), int(count)) for name, count in zip(lives.columns, more, strict=True) if count]
    return Beside(
        item=domain.item.show(other),
        records=int(lives.values[at].sum()),
        lines=domain.evidence(store, settings, other, most),
        missing=tuple(step for step in steps if step.count > 0 and step.event not in outside),
        extra=tuple(Steps(step.event, step.name, -step.count) for step in steps if step.count < 0),
    )


def surplus(lines: Sequence[Mapping[str, Any]], steps: Sequence[Steps]) -> list[bool]:
    """Which of some raw records, in the order of time, are those of `steps`: of each step the last ones."""
    left, marked = Counter({step.event: step.count for step in steps}), []
    for line in reversed(lines):
        event = line.get("event_id") or ""
        marked.append(left[event] > 0)
        left[event] -= 1
    return marked[::-1]


def _chosen(
    store: Store, settings: Settings, domain: Domain, scorer: Scorer, lives: FeatureMatrix, explanation: Explanation
) -> int | None:
    """Index of the nearest normal row among `lives`, whose first row is the item itself."""
    target = lives.values[:1].copy()
    known = {name: at for at, name in enumerate(lives.columns)}
    for difference in explanation.differences:
        if difference.kind != USUAL and difference.event_id in known:
            target[0, known[difference.event_id]] = difference.expected
    distinct = lives.distinct
    knowledge = domain.knowledge(settings, lives.source)
    first = distinct.first[distinct.first > 0]
    if knowledge is not None:
        rows = lives.take(first)
        first = first[~knowledge.grades(rows.values, rows.unfinished).any(axis=1)]
    if not len(first):
        return None
    distance = nearest_rows(lives.values[first], target)[1]
    often = np.bincount(distinct.inverse)[distinct.inverse[first]]
    ranked = first[np.lexsort((-often, distance))][:_TRIED]
    data = domain.features(
        store, settings, families(domain, [scorer.card.detector]), Selection(items=lives.keys[ranked].tolist())
    )
    scores = scorer.score(data.matrix(scorer.card.family))
    normal = {*data.keys[(scores < scorer.card.threshold) & np.isin(data.labels, (NORMAL, UNLABELLED))].tolist()}
    return next((int(at) for at in ranked if lives.keys[at].item() in normal), None)


def _outside(lives: FeatureMatrix) -> set[str]:
    """The steps of the first row that may lie where its records do not reach."""
    code = 0 if lives.unfinished is None else int(lives.unfinished.code[0])
    if lives.unfinished is None or not code:
        return set()
    return {name for name, may in zip(lives.columns, lives.unfinished.kinds[code - 1].outside, strict=True) if may}
