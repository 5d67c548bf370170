"""A report on one item of a home: its verdict and the reason, what people said of it, its raw records."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.contract import Domain, Selection
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.explain import Explanation
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.feedback import words
from hdfs_pipeline.verdicts.score import score_selection

_LINES: Final = 200  # raw records that `explain` shows


@dataclass(frozen=True)
class ItemReport:
    """What a home knows of one item. `lines` are its raw records in the order of time, the first 200 of `records`.

    `feedback` is the item's row of that table, None without one.
    """

    item: str
    detector: str
    score: float
    threshold: float
    is_anomaly: bool
    explanation: Explanation
    first_time: datetime
    last_time: datetime
    label: str | None
    records: int
    lines: list[dict[str, Any]]
    feedback: dict[str, Any] | None = None


def explain_item(store: Store, settings: Settings, domain: Domain, text: str, name: str) -> ItemReport:
    """Score and explain one item with a detector's champion, by reading that item and what its features rest on.

    Raises: DataError for an item that the home does not have.
    """
    key = domain.item.parse(text)
    item = domain.item.show(key)
    scorer = load_scorer(settings, domain, name)
    facts = domain.facts(store, [key]).get(key)
    if facts is None:
        raise DataError(f"no log of this home names {item}; `hdfs-pipeline ingest PATH` reads more")
    data, scores = score_selection(store, settings, domain, scorer, Selection(items=[key]))
    row = np.flatnonzero(data.keys == key)
    score, matrix = float(scores[row][0]), data.matrix(scorer.card.family)
    explanation = scorer.explain(matrix, domain.vocabulary(settings, scorer.card.source), row)[0]
    return ItemReport(
        item=item,
        detector=name,
        score=score,
        threshold=scorer.card.threshold,
        is_anomaly=score >= scorer.card.threshold,
        explanation=explanation,
        first_time=facts.first_time,
        last_time=facts.last_time,
        label=facts.label,
        records=facts.records,
        lines=domain.evidence(store, settings, key, _LINES),
        feedback=next(iter(words(store, domain, item)), None),
    )
