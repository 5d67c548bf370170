"""Verdicts on the items of a home: scores of every item, the anomalies with their reasons, and their incidents."""

import json
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.champions import families, load_scorer
from hdfs_pipeline.domains.contract import EVERYTHING, Domain, Facts, Place, Selection
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Explanation
from hdfs_pipeline.scoring.plausibility import Doubt, doubts
from hdfs_pipeline.scoring.reasons import reasons
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into

BATCH: Final = "batch"
"""Origin of anomalies among the items of the store; that of a stream's anomalies is a topic."""
_TIME: Final = pa.timestamp("us", "UTC")


def score_items(store: Store, settings: Settings, domain: Domain, name: str) -> pa.Table:
    """Score every item of the home with one detector and publish its rows of `scores`, which are returned."""
    return score_with_doubts(store, settings, domain, name)[0]


def score_with_doubts(store: Store, settings: Settings, domain: Domain, name: str) -> tuple[pa.Table, list[Doubt]]:
    """As `score_items`, and the reasons not to believe the scores, if there are any."""
    scorer = load_scorer(settings, domain, name)
    data, scores = score_selection(store, settings, domain, scorer)
    table = score_rows(domain, data, scorer, scores)
    with store.write() as con:
        publish_into(con, "scores", table, replace="domain = ? AND detector = ?", parameters=[domain.name, name])
    knowledge = domain.knowledge(settings, data.main.source)
    return table, doubts(scorer, data, scores, settings, domain.unknown, knowledge)


def score_selection(
    store: Store, settings: Settings, domain: Domain, scorer: Scorer, where: Selection = EVERYTHING
) -> tuple[Dataset, np.ndarray]:
    """Items of the home and their scores (n,); no items outside the selection are read."""
    data = domain.features(store, settings, families(domain, [scorer.card.detector]), where)
    return data, scorer.score(data.matrix(scorer.card.family))


def score_rows(domain: Domain, data: Dataset, scorer: Scorer, scores: np.ndarray) -> pa.Table:
    """Scores (n,) of the items of `data` as rows of `scores`; a score that is NaN becomes NULL."""
    card, count = scorer.card, len(scores)
    return pa.table(
        {
            "domain": _same(domain.name, count),
            "entity": _same(data.entity, count),
            "item": pa.array([domain.item.show(key) for key in data.keys.tolist()], pa.string()),
            "time": pa.array(data.time, pa.int64()).cast(_TIME),
            "detector": _same(card.detector, count),
            "version": np.full(count, card.version, np.int32),
            "score": pa.array(scores, mask=np.isnan(scores)),
            "threshold": np.full(count, card.threshold),
            "is_anomaly": np.nan_to_num(scores, nan=-np.inf) >= card.threshold,
            "scored_at": pa.array([datetime.now(UTC)] * count, _TIME),
            "unfinished": pa.array(data.unfinished.tolist(), pa.string()),
        }
    )


def _same(text: str, count: int) -> pa.Array:
    """The same text in every row; a dictionary, which costs one code a row."""
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), pa.array([text])).cast(pa.string())


def publish_anomalies(store: Store, settings: Settings, domain: Domain, name: str) -> int:
    """Explain the items that a detector's `scores` call anomalous and publish them as `anomalies`; how many."""
    scorer = load_scorer(settings, domain, name)
    with store.read() as con:
        flagged: pa.Table = con.sql(
            """SELECT domain, entity, item, detector, version, score, threshold, scored_at, unfinished FROM scores
            WHERE domain = ? AND detector = ? AND is_anomaly""",
            params=[domain.name, name],
        ).to_arrow_table()
    rows: list[dict[str, Any]] = []
    if len(flagged):
        items = sorted(domain.item.parse(item) for item in flagged["item"].to_pylist())
        data = domain.features(store, settings, families(domain, [name]), Selection(items=items))
        rows = anomaly_rows(store, settings, domain, scorer, data, flagged)
    with store.write() as con:
        publish_into(
            con,
            "anomalies",
            pa.Table.from_pylist(rows) if rows else [],
            replace="domain = ? AND detector = ? AND origin = ?",
            parameters=[domain.name, name, BATCH],
        )
    return len(rows)


def anomaly_rows(
    store: Store, settings: Settings, domain: Domain, scorer: Scorer, data: Dataset, flagged: pa.Table
) -> list[dict[str, Any]]:
    """Rows of `anomalies`, with the reasons, for `flagged` rows of `scores`, whose items are all in `data`.

    The entity of an item that stands for itself is the host of the record that tells of the anomaly. Its times are the
    item's, or those of the records that tell where its domain says them.
    """
    by_key = {domain.item.parse(row["item"]): row for row in flagged.to_pylist()}
    rows = np.flatnonzero(np.isin(data.keys, list(by_key)))
    explanations = explain_rows_of(settings, domain, scorer, data, rows, np.ones(len(rows), bool))
    facts = domain.facts(store, list(by_key))
    keys = data.keys[rows].tolist()
    places = domain.places(store, {key: each.telling for key, each in zip(keys, explanations, strict=True)})
    hosts = {key: places[key].host if key in places else row["entity"] for key, row in by_key.items()}
    fields = ("domain", "item", "detector", "version", "score", "threshold", "scored_at", "unfinished")
    return [
        {name: by_key[key][name] for name in fields}
        | {"kind": explanation.kind, "reason": explanation.reason, "explanation": json.dumps(explanation.to_json())}
        | dict(zip(("first_time", "last_time"), _times(facts[key], places.get(key)), strict=True))
        | {"records": facts[key].records}
        | {"origin": BATCH, "status": "final", "part": -1, "first_offset": -1, "last_offset": -1}
        | {"host": hosts[key], "entity": by_key[key]["entity"] or hosts[key]}
        | {"path": places[key].path if key in places else ""}
        for key, explanation in zip(keys, explanations, strict=True)
    ]


def _times(facts: Facts, place: Place | None) -> tuple[datetime, datetime]:
    """When an anomaly began and ended."""
    if place is None or place.until is None:
        return facts.first_time, facts.last_time
    return place.time, place.until


def explain_rows_of(
    settings: Settings, domain: Domain, scorer: Scorer, data: Dataset, rows: np.ndarray, flagged: np.ndarray
) -> list[Explanation]:
    """Explanations of the items at `rows` (k,) of `data`, of which those `flagged` (k,) bool are anomalous."""
    vocabulary = domain.vocabulary(settings, scorer.card.source or data.main.source)
    return reasons(scorer, data.matrices, vocabulary, domain.knowledge(settings, data.main.source), rows, flagged)
