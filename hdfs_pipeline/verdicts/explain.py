"""A report on one item of a home: its verdict and the reason, what people said of it, its raw records."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.contract import Domain, Facts, Selection
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.explain import Explanation
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.feedback import words
from hdfs_pipeline.verdicts.files import scored_store
from hdfs_pipeline.verdicts.score import score_selection

_LINES: Final = 200  # raw records that `explain` shows


@dataclass(frozen=True)
class ItemReport:
    """What a home knows of one item. `lines` are its raw records in the order of time, at most 200 of `records`.

    `telling` of them is true of those that tell why. `time`, `host` and `path` are those of the first of these, or of
    the item's last record if it is what is missing that tells. `about` is what the records say of the item (an HDFS
    file, a pipeline). `unfinished` is what of its life the records do not show. `feedback` is the item's row of that
    table, None without one. `scored` is true of an item of files that were scored and are not the home's own, and
    `also_scored` of one of the home's whose id these files have too.
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
    version: int = 0
    time: datetime | None = None
    host: str = ""
    path: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    unfinished: str = ""
    scored: bool = False
    also_scored: bool = False


def explain_item(
    store: Store, settings: Settings, domain: Domain, text: str, name: str, *, scored: bool = False
) -> ItemReport:
    """Score and explain one item with a detector's champion, by reading that item and what its features rest on.

    An item that the home does not have, or any item if `scored`, is looked for among the files that were scored last.
    Raises: DataError for an item that neither has.
    """
    key = domain.item.parse(text)
    item = domain.item.show(key)
    scorer = load_scorer(settings, domain, name)
    store, facts, elsewhere = _place_of(store, settings, domain, key, scored=scored)
    if facts is None:
        raise DataError(
            f"no log {'that was scored' if scored else 'of this home'} names {item}; "
            f"`hdfs-pipeline {'score' if scored else 'ingest'} PATH` reads more"
        )
    data, scores = score_selection(store, settings, domain, scorer, Selection(items=[key]))
    row = np.flatnonzero(data.keys == key)
    score, matrix = float(scores[row][0]), data.matrix(scorer.card.family)
    explanation = scorer.explain(matrix, domain.vocabulary(settings, scorer.card.source), row)[0]
    lines = domain.evidence(store, settings, key, _LINES, explanation.telling)
    if score >= scorer.card.threshold and lines and not any(line.get("telling") for line in lines):
        lines[-1] = lines[-1] | {"telling": True}  # after it something should have happened
    place = domain.places(store, {key: explanation.telling}).get(key)
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
        lines=lines,
        feedback=next(iter(words(store, domain, item)), None),
        version=scorer.card.version,
        time=place.time if place else facts.first_time,
        host=place.host if place else data.entity,
        path=place.path if place else "",
        about=domain.about(store, key),
        unfinished=str(data.unfinished[row][0]),
        scored=elsewhere,
        also_scored=not elsewhere and _has(scored_store(settings), domain, key),
    )


def _place_of(
    home: Store, settings: Settings, domain: Domain, key: Any, *, scored: bool
) -> tuple[Store, Facts | None, bool]:
    """The store that has an item, what it knows of it, and whether that is the store of files scored last."""
    other = scored_store(settings)
    own = None
    if not scored and (other is None or settings.store_path.is_file()):
        own = domain.facts(home, [key]).get(key)
    if own is not None or other is None:
        return home, own, False
    return other, domain.facts(other, [key]).get(key), True


def _has(store: Store | None, domain: Domain, key: Any) -> bool:
    return store is not None and key in domain.facts(store, [key])
