"""Whether verdicts can be believed: a share of alarms that cannot be, or a model that knows other habits."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hdfs_pipeline.scoring.dataset import Dataset
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


def doubts(scorer: Scorer, data: Dataset, scores: np.ndarray, settings: Settings, unknown: str) -> list[Doubt]:
    """What is implausible about the `scores` (n,) of `data`; the column `unknown` counts what matched no template."""
    return list(_doubts(scorer, data, scores, settings, unknown)) if len(data) else []


def _doubts(scorer: Scorer, data: Dataset, scores: np.ndarray, settings: Settings, unknown: str) -> Iterator[Doubt]:
    card, plural = scorer.card, data.plural
    flagged = int((scores >= card.threshold).sum())
    share, limit = flagged / len(data), settings.alarm_limit
    if share > limit and flagged > 1:  # one flagged item is what somebody asks about
        yield Doubt(
            "alarms",
            share,
            limit,
            f"{flagged:,} of {len(data):,} {plural} are flagged ({share:.0%}); more than {limit:.0%} (alarm_limit) is "
            "hardly plausible: either much is wrong at once, or the model does not fit these records",
        )
    events = data.main.values.sum()
    if unknown and events:
        share = float(data.main.values[:, data.main.columns.index(unknown)].sum() / events)
        if share > (limit := settings.unknown_limit):
            yield Doubt(
                "unknown",
                share,
                limit,
                f"{share:.0%} of the events match no template of {card.source or data.main.source}, more than "
                f"{limit:.0%} (unknown_limit): the model was trained on other software or another version of it",
            )
    if card.family == data.family and not scorer.detector.ordered and len(scorer.seen):
        share = float((~scorer.knows(scorer.completed(data.main))).mean())
        if share > (limit := settings.unseen_limit):
            yield Doubt(
                "unseen",
                share,
                limit,
                f"{share:.0%} of the {plural} have counts of events that none in training had, more than {limit:.0%} "
                "(unseen_limit): the model knows the habits of another cluster; train one on records of this cluster",
            )
