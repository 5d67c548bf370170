"""Verdicts on the items of a home: scores of every item, the anomalies with their reasons, and their incidents."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.champions import families, load_scorer
from hdfs_pipeline.domains.contract import EVERYTHING, Domain, Facts, Place, Selection
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Explanation
from hdfs_pipeline.scoring.judged import Judged, judged, keep_judged
from hdfs_pipeline.scoring.plausibility import Doubt, doubts
from hdfs_pipeline.scoring.reasons import reasons
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store, publish_into

BATCH: Final = "batch"
"""Origin of anomalies among the items of the store; that of a stream's anomalies is a topic."""
_OWN: Final = "domain = ? AND detector = ?"
_TIME: Final = pa.timestamp("us", "UTC")


def score_items(store: Store, settings: Settings, domain: Domain, name: str, *, anew: bool = False) -> pa.Table:
    """As `score_with_doubts`, without the doubts."""
    return score_with_doubts(store, settings, domain, name, anew=anew)[0]


def score_with_doubts(
    store: Store, settings: Settings, domain: Domain, name: str, *, anew: bool = False
) -> tuple[pa.Table, list[Doubt]]:
    """Score the items that changed since a detector scored last, and publish their rows of `scores`.

    All items are scored `anew`, and where the model, its threshold or the rules are others than the last time. Returns
    the rows, and the reasons not to believe the scores, if there are any.
    """
    scorer = load_scorer(settings, domain, name)
    with store.read() as con:
        before = judged(con, domain.name, name)
    basis = _basis(settings, domain, scorer)
    where, revision = _to_judge(store, domain, before.revision if basis == before.basis and not anew else None)
    data, scores = score_selection(store, settings, domain, scorer, where)
    table = score_rows(domain, data, scorer, scores)
    which = _OWN if where is EVERYTHING else f"{_OWN} AND item IN (SELECT item FROM publish_source)"
    with store.write() as con:
        publish_into(con, "scores", table, replace=which, parameters=[domain.name, name])
        now = replace(judged(con, domain.name, name), basis=basis, revision=revision)
        keep_judged(con, domain.name, name, now)
    knowledge = domain.knowledge(settings, data.main.source)
    return table, doubts(scorer, data, scores, settings, domain.unknown, knowledge)


def _basis(settings: Settings, domain: Domain, scorer: Scorer) -> str:
    """Digest of what scores rest on beside the items: the release, the model, its threshold, the rules."""
    card = scorer.card
    trained = (card.created_at, card.fingerprint) if card.version else ()
    knowledge = domain.knowledge(settings, card.source)
    facts = (version("hdfs-pipeline"), card.version, card.threshold, card.source, card.source_fingerprint, *trained)
    return hashlib.sha256(repr((*facts, knowledge)).encode()).hexdigest()[:16]


def _to_judge(store: Store, domain: Domain, revision: int | None) -> tuple[Selection, int]:
    """The items that changed after a revision, all where it is None, and the last revision."""
    last = domain.last_change(store)  # what changes from now on is judged now as well, and once more the next time
    if last is None:
        return EVERYTHING, -1
    if revision is None or revision < 0:
        return EVERYTHING, last
    return Selection(items=domain.changed(store, revision)), last


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
    """Explain the items that a detector's `scores` call anomalous and publish them as `anomalies`; how many.

    Only items that were scored since the last time are looked at, where the domain counts changes.
    """
    scorer = load_scorer(settings, domain, name)
    with store.read() as con:
        now = judged(con, domain.name, name)
    where, _ = _to_judge(store, domain, now.told_revision if now.told_basis == now.basis else None)
    only = "" if where is EVERYTHING else "AND item IN (SELECT unnest(?::VARCHAR[]))"
    parameters: list[Any] = [domain.name, name]
    if where.items is not None:
        parameters.append([domain.item.show(key) for key in where.items])
    with store.read() as con:
        flagged: pa.Table = con.sql(
            f"""SELECT domain, entity, item, detector, version, score, threshold, scored_at, unfinished FROM scores
            WHERE {_OWN} AND is_anomaly {only}""",
            params=parameters,
        ).to_arrow_table()
    rows: list[dict[str, Any]] = []
    if len(flagged):
        items = sorted(domain.item.parse(item) for item in flagged["item"].to_pylist())
        data = domain.features(store, settings, families(domain, [name]), Selection(items=items))
        rows = anomaly_rows(store, settings, domain, scorer, data, flagged)
    which = f"{_OWN} AND origin = '{BATCH}' {only}"
    with store.write() as con:
        told = con.execute(f"SELECT min(coalesce(told_from, first_time)) FROM anomalies WHERE {which}", parameters)
        since = [time for (time,) in told.fetchall() if time is not None] + [row["first_time"] for row in rows]
        table = pa.Table.from_pylist(rows) if rows else []
        publish_into(con, "anomalies", table, replace=which, parameters=parameters)
        if now.basis:
            keep_judged(con, domain.name, name, _told(con, domain, name, now, since))
    return len(rows)


def _told(con: Connection, domain: Domain, name: str, scored: Judged, since: Sequence[datetime]) -> Judged:
    """How far a detector has come whose anomalies follow the scores of `scored`, and changed from `since` on."""
    now = judged(con, domain.name, name)
    waiting = [*since, *([now.regroup_from] if now.regroup_from else [])]
    return replace(now, told_basis=scored.basis, told_revision=scored.revision, regroup_from=min(waiting, default=None))


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
