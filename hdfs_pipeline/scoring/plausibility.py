"""Whether verdicts can be believed: a share of alarms that cannot be, or a model that knows other habits."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.knowledge import Knowledge, failed, worst
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings


@dataclass(frozen=True)
class Doubt:
    """A reason not to believe verdicts: `share` lies above `limit`, both 0 to 1; `text` says it to people.

    `kind`: 'alarms', 'unseen' or 'unknown' of verdicts, 'unreadable' of what they rest on.
    """

    kind: str
    share: float
    limit: float
    text: str

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def doubts(
    scorer: Scorer,
    data: Dataset,
    scores: np.ndarray,
    settings: Settings,
    unknown: str,
    knowledge: Knowledge | None = None,
) -> list[Doubt]:
    """What is implausible about the `scores` (n,) of `data`; the column `unknown` counts what matched no template.

    `knowledge` are the rules of the items' lives, which say of what kind most of too many alarms are.
    """
    return list(_doubts(scorer, data, scores, settings, unknown, knowledge)) if len(data) else []


def _doubts(
    scorer: Scorer, data: Dataset, scores: np.ndarray, settings: Settings, unknown: str, knowledge: Knowledge | None
) -> Iterator[Doubt]:
    card, plural = scorer.card, data.plural
    alarms = scores >= card.threshold
    flagged = int(alarms.sum())
    share, limit = flagged / len(data), settings.alarm_limit
    if share > limit and flagged > 1:  # one flagged item is what somebody asks about
        yield Doubt(
            "alarms",
            share,
            limit,
            f"{flagged:,} of {len(data):,} {plural} are flagged ({share:.0%}); more than {limit:.0%} (alarm_limit) is "
            f"hardly plausible: {_likely(data.main.take(alarms), plural, knowledge)}",
        )
    distinct = data.main.distinct
    events = distinct.weights @ data.main.take(distinct.first).values
    if unknown and events.sum():
        share = float(events[data.main.columns.index(unknown)] / events.sum())
        if share > (limit := settings.unknown_limit):
            yield Doubt(
                "unknown",
                share,
                limit,
                f"{share:.0%} of the events match no template of {card.source or data.main.source}, more than "
                f"{limit:.0%} (unknown_limit): the model was trained on other software or another version of it",
            )
    if card.family == data.family and not scorer.detector.ordered and len(scorer.seen):
        share = float((~scorer.has_seen(data.main)).mean())
        if share > (limit := settings.unseen_limit):
            yield Doubt(
                "unseen",
                share,
                limit,
                f"{share:.0%} of the {plural} have counts of events that none in training had, more than {limit:.0%} "
                "(unseen_limit): the model knows the habits of another cluster; train one on records of this cluster",
            )


def _likely(flagged: FeatureMatrix, plural: str, knowledge: Knowledge | None) -> str:
    """What is likely behind too many flagged items, in plain words."""
    if knowledge is None:
        return "either much is wrong at once, or the model does not fit these records"
    reasons = [
        f"another version of Hadoop than {flagged.source} knows",
        "logs of only a part of the daemons",
        "a fault of the whole cluster",
    ]
    cases = flagged.cases
    once = flagged.take(cases.first)
    grades = knowledge.grades(once.values, once.unfinished)
    breaks = failed(grades)
    share = 1 - cases.weights[breaks].sum() / len(flagged)
    if share > 0.5:
        reasons.append(
            f"or a model that does not know this cluster, for {share:.0%} of the flagged {plural} break no rule"
        )
        return f"likely are {', '.join(reasons)}"
    rules = [knowledge.rules[index] for index in worst(grades)[breaks].tolist()]
    of_kind = Counter[str]()
    for rule, items in zip(rules, cases.weights[breaks].tolist(), strict=True):
        of_kind[rule.kind] += items
    (kind, count), *_ = of_kind.most_common(1)
    names = sorted({rule.id for rule in rules if rule.kind == kind})
    reasons.append(
        f"or a rule that is a habit of this cluster: {count / len(flagged):.0%} of the flagged {plural} are of the "
        f"kind '{kind}' (rules_left_out = {json.dumps(names)} leaves it out)"
    )
    return f"likely are {', '.join(reasons)}"
