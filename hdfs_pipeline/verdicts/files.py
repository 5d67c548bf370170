"""Verdicts on the items of a home, and on those of other files, which are kept beside it for questions."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hdfs_pipeline.domains.champions import load_scorer
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.holdout import read_apart
from hdfs_pipeline.learning.readable import unreadable
from hdfs_pipeline.scoring.plausibility import Doubt
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline.verdicts.score import BATCH, publish_anomalies, score_with_doubts
from hdfs_pipeline.verdicts.update import score_new

_KEPT: Final = "scored"
_ROWS: Final = f"""SELECT s.item, s.detector, s.version, s.score, s.threshold, s.is_anomaly, s.unfinished, s.entity,
        a.reason, (a.explanation->'$.telling')::VARCHAR AS telling
    FROM scores s LEFT JOIN anomalies a ON a.domain = s.domain AND a.item = s.item AND a.detector = s.detector
        AND a.origin = '{BATCH}'
    WHERE s.domain = ? AND s.detector = ?"""


@dataclass(frozen=True)
class Scored:
    """What a detector says of items: `verdicts` are dicts, one per item, the most anomalous first.

    Each holds the item's id under `domain.item.column`, detector, version, score, threshold, is_anomaly, unfinished,
    `lines` (the number of records that name it), first_time, the reason (None if it is no anomaly), and time, host and
    path of the first record that tells of the anomaly, or of its first record. `doubts` are reasons not to believe it.
    """

    detector: str
    version: int
    verdicts: list[dict[str, Any]]
    doubts: list[Doubt] = field(default_factory=list)
    foreign: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "detector": self.detector,
            "version": self.version,
            "items": len(self.verdicts),
            "anomalies": sum(row["is_anomaly"] for row in self.verdicts),
            "unfinished": sum(bool(row["unfinished"]) for row in self.verdicts),
            "doubts": [doubt.to_json() for doubt in self.doubts],
            "verdicts": self.verdicts,
        }


def score_home(store: Store, settings: Settings, domain: Domain, name: str) -> Scored:
    """Score every item of a store with a detector's champion, and publish its scores, anomalies and incidents."""
    scorer = load_scorer(settings, domain, name)
    doubts: list[Doubt] = []
    entities = domain.latest(store)
    for entity in entities:
        score_new(store, settings, domain, entity)
    if not entities:
        doubts = score_with_doubts(store, settings, domain, name)[1]
        publish_anomalies(store, settings, domain, name)
        publish_incidents(store, settings, domain)
    return Scored(name, scorer.card.version, _verdicts(store, domain, name), doubts)


def score_files(settings: Settings, domain: Domain, logs: Iterable[str], name: str) -> Scored:
    """Score the items of files with a detector's champion.

    If the home has read all of these files its own scores and anomalies are published. Otherwise the home stays as it
    is, and what was read and found is kept beside it until the next files are scored: see `scored_store`.

    Raises: NotTrainedError without a model; DataError if nothing of the files can be read.
    """
    scorer = load_scorer(settings, domain, name)
    with read_apart(settings, domain, logs, [scorer]) as (store, _, read):
        unread = unreadable(store, domain, read)
        own = settings.store_path.is_file() and bool(files := _contents(store))
        own = own and files <= _contents(Store.open(settings))
        found = score_home(store, settings, domain, name)
        if own:
            score_home(Store.open(settings), settings, domain, name)
        else:
            kept = _kept(settings)
            kept.parent.mkdir(exist_ok=True)
            os.replace(store.path, kept)
    return Scored(name, found.version, found.verdicts, unread + found.doubts, foreign=not own)


def scored_store(settings: Settings) -> Store | None:
    """The store with the files that were scored last and are not the home's own; None where there are none."""
    path = _kept(settings)
    if not path.is_file():
        return None
    return Store(path, lock_timeout_s=settings.lock_timeout_s, memory_limit=settings.memory_limit)


def _kept(settings: Settings) -> Path:
    return settings.home / _KEPT / settings.store_path.name


def _contents(store: Store) -> set[str]:
    with store.read() as con:
        return {digest for (digest,) in con.execute("SELECT sha256 FROM sources WHERE source_id > 0").fetchall()}


def _verdicts(store: Store, domain: Domain, name: str) -> list[dict[str, Any]]:
    with store.read() as con:
        rows = con.sql(_ROWS, params=[domain.name, name]).to_arrow_table().to_pylist()
    if not rows:
        raise DataError(f"there are no {domain.item.plural} to score: run `hdfs-pipeline ingest PATH`")
    by_key = {domain.item.parse(row["item"]): row for row in rows}
    facts = domain.facts(store, list(by_key))
    telling = {key: json.loads(row["telling"] or "[]") for key, row in by_key.items()}
    places = domain.places(store, telling)
    verdicts = []
    for key in sorted(by_key, key=lambda key: (-_or_least(by_key[key]["score"]), key)):
        row, place = by_key[key], places.get(key)
        verdicts.append(
            {domain.item.column: row["item"]}
            | {name: row[name] for name in ("detector", "version", "score", "threshold", "is_anomaly")}
            | {"unfinished": row["unfinished"] or "", "lines": facts[key].records}
            | {"first_time": facts[key].first_time.isoformat()}
            | {"time": (facts[key].first_time if place is None else place.time).isoformat()}
            | {"host": row["entity"] if place is None else place.host, "path": "" if place is None else place.path}
            | {"reason": row["reason"]}
        )
    return verdicts


def _or_least(score: float | None) -> float:
    return float("-inf") if score is None else score
