"""Verdicts on the items of a home, and on those of other files, which are kept beside it for questions."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from hdfs_pipeline.domains.champions import load_scorer, ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.domains.following import followers
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.learning.holdout import read_apart
from hdfs_pipeline.learning.readable import unreadable
from hdfs_pipeline.scoring.explain import FAILURE
from hdfs_pipeline.scoring.plausibility import Doubt
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.score import BATCH
from hdfs_pipeline.verdicts.update import judge_changed, score_new

_KEPT: Final = "scored"
_ROWS: Final = f"""SELECT s.item, s.detector, s.version, s.score, s.threshold, s.is_anomaly, s.unfinished,
        coalesce(a.entity, s.entity) AS entity, coalesce(a.kind, '') AS kind, a.reason,
        (a.explanation->'$.telling')::VARCHAR AS telling,
        coalesce(a.explanation->>'$.broken[0].severity', '') AS severity,
        coalesce(a.explanation->>'$.broken[0].hint', '') AS hint
    FROM scores s LEFT JOIN anomalies a ON a.domain = s.domain AND a.item = s.item AND a.detector = s.detector
        AND a.origin = '{BATCH}'
    WHERE s.domain = ? AND s.detector = ?"""
_OTHERS: Final = """SELECT o.detector, count(*) FROM scores o JOIN scores s USING (domain, item)
    WHERE domain = $domain AND s.detector = $name AND list_contains($voices, o.detector)
    AND o.is_anomaly AND NOT s.is_anomaly GROUP BY ALL ORDER BY ALL"""


@dataclass(frozen=True)
class Scored:
    """What a detector says of items: `verdicts` are dicts, one per item, the most anomalous first.

    Each holds the item's id under `domain.item.column`, detector, version, score, threshold, is_anomaly, unfinished,
    `lines` (the number of records that name it), first_time, the kind of an anomaly, the reason (None if it is none),
    entity, and time, host and path of the first record that tells of the anomaly, or of its first record. `kinds` are
    dicts, one per kind of anomaly, failures first and then the most frequent: kind, items (their number), severity,
    first_time and last_time, hosts (with numbers, that of most first) and hint. `others` says for each further voice
    how many items it flags that the detector does not. `doubts` are reasons not to believe it.
    """

    detector: str
    version: int
    verdicts: list[dict[str, Any]]
    doubts: list[Doubt] = field(default_factory=list)
    foreign: bool = False
    kinds: list[dict[str, Any]] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "detector": self.detector,
            "version": self.version,
            "items": len(self.verdicts),
            "anomalies": sum(row["is_anomaly"] for row in self.verdicts),
            "unfinished": sum(bool(row["unfinished"]) for row in self.verdicts),
            "doubts": [doubt.to_json() for doubt in self.doubts],
            "kinds": self.kinds,
            "others": self.others,
            "verdicts": self.verdicts,
        }


class Published(NamedTuple):
    """What `publish_verdicts` published: the verdicts of a detector, and of `others` beside it; `doubts` about them."""

    detector: str
    version: int
    others: list[str]
    doubts: list[Doubt]


def publish_verdicts(
    store: Store, settings: Settings, domain: Domain, name: str | None = None, *, anew: bool = False
) -> Published:
    """Bring the verdicts of a detector's champion on a store's items up to date: scores, anomalies and incidents.

    By default that is the detector that serves; then those of the domain's other voices are published as well. Items
    that have not changed since the last time are left alone, unless all are to be judged `anew`. Those of a domain that
    follows another are made first of what that has read.
    """
    domain.derive(store, settings)
    serving = name or serving_detector(settings, domain)
    version = load_scorer(settings, domain, serving).card.version
    entities = domain.latest(store)
    if entities:
        for entity in entities:
            score_new(store, settings, domain, entity)
        return Published(serving, version, [], [])
    voices = domain.voices(settings, serving) if name is None else ()
    others = [voice for voice in ready_detectors(settings, domain) if voice in voices and voice != serving]
    doubts = judge_changed(store, settings, domain, [serving, *others], anew=anew)
    return Published(serving, version, others, doubts)


def publish_for_all(store: Store, settings: Settings, domain: Domain) -> Published:
    """As `publish_verdicts`, of a domain and, before it, of those that follow it and have items."""
    for follower in followers(domain):
        if follower.last_change(store) != 0:
            publish_verdicts(store, settings, follower)
    return publish_verdicts(store, settings, domain)


def score_home(store: Store, settings: Settings, domain: Domain, name: str | None = None) -> Scored:
    """As `publish_verdicts`, and what the detector says of each item."""
    done = publish_verdicts(store, settings, domain, name)
    verdicts, kinds = _verdicts(store, domain, done.detector)
    with store.read() as con:
        own = {"domain": domain.name, "name": done.detector, "voices": done.others}
        beyond = dict(con.execute(_OTHERS, own).fetchall()) if done.others else {}
    return Scored(done.detector, done.version, verdicts, done.doubts, kinds=kinds, others=beyond)


def score_files(settings: Settings, domain: Domain, logs: Iterable[str], name: str | None = None) -> Scored:
    """Score the items of files with a detector's champion, by default with the voices of the domain: see `score_home`.

    If the home has read all of these files its own scores and anomalies are published. Otherwise the home stays as it
    is, and what was read and found is kept beside it until the next files are scored: see `scored_store`.

    Raises: NotTrainedError without a model; DataError if nothing of the files can be read.
    """
    scorer = load_scorer(settings, domain, name or serving_detector(settings, domain))
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
    return replace(found, doubts=unread + found.doubts, foreign=not own)


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


def _verdicts(store: Store, domain: Domain, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Verdicts and kinds as `Scored` has them."""
    with store.read() as con:
        rows = con.sql(_ROWS, params=[domain.name, name]).to_arrow_table().to_pylist()
    if not rows:
        raise DataError(f"there are no {domain.item.plural} to score: run `hdfs-pipeline ingest PATH`")
    by_key = {domain.item.parse(row["item"]): row for row in rows}
    facts = domain.facts(store, list(by_key))
    telling = {key: json.loads(row["telling"] or "[]") for key, row in by_key.items()}
    places = domain.places(store, telling)
    verdicts, told = [], []
    for key in sorted(by_key, key=lambda key: (-_or_least(by_key[key]["score"]), key)):
        row, place = by_key[key], places.get(key)
        verdicts.append(
            {domain.item.column: row["item"]}
            | {name: row[name] for name in ("detector", "version", "score", "threshold", "is_anomaly")}
            | {"unfinished": row["unfinished"] or "", "lines": facts[key].records}
            | {"first_time": facts[key].first_time.isoformat()}
            | {"time": (facts[key].first_time if place is None else place.time).isoformat()}
            | {"host": row["entity"] if place is None else place.host, "path": "" if place is None else place.path}
            | {name: row[name] for name in ("entity", "kind", "reason")}
        )
        if row["is_anomaly"] and row["kind"]:
            told.append({name: row[name] for name in ("kind", "severity", "hint")} | verdicts[-1])
    return verdicts, _kinds(told)


def _kinds(anomalies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The kinds of anomalies: see `Scored`. The severity and the hint of a kind are those of its first anomaly."""
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for anomaly in anomalies:
        by_kind.setdefault(anomaly["kind"], []).append(anomaly)
    kinds = [
        {
            "kind": kind,
            "items": len(own),
            "severity": own[0]["severity"],
            "first_time": min(anomaly["time"] for anomaly in own),
            "last_time": max(anomaly["time"] for anomaly in own),
            "hosts": dict(Counter(anomaly["entity"] for anomaly in own).most_common()),
            "hint": own[0]["hint"],
        }
        for kind, own in by_kind.items()
    ]
    return sorted(kinds, key=lambda kind: (kind["severity"] != FAILURE, -kind["items"], kind["kind"]))


def _or_least(score: float | None) -> float:
    return float("-inf") if score is None else score
