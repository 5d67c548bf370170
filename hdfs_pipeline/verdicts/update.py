"""Verdicts as items come in: what is new is scored, and its anomalies and incidents are kept up to date.

Of domains that count the changes of their items, those that changed are judged. Of domains whose items follow each
other in time (`Domain.latest`), an entity's new ones are; items that were scored a moment ago are scored again, since
what they rest on may have come late, and so are those of incidents that may go on.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.champions import families, load_scorer, ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain, Selection
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.scoring.incidents import GOING_ON, Incident
from hdfs_pipeline.scoring.plausibility import Doubt
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store, publish_into
from hdfs_pipeline.verdicts.incidents import publish_incidents
from hdfs_pipeline.verdicts.score import BATCH, anomaly_rows, publish_anomalies, score_rows, score_with_doubts

_AGAIN_S: Final = 300.0
_FIRST_S: Final = 24 * 3600.0
_SINCE: Final = "domain = ? AND entity = ? AND time >= to_timestamp(?)"
_OF_THESE: Final = f"domain = ? AND origin = ? AND item IN (SELECT item FROM scores WHERE {_SINCE})"


@dataclass(frozen=True)
class Update:
    """What was brought up to date of an entity, from `since` to `until`, Unix seconds.

    `items` were scored; `version` is that of the serving detector; `incidents` are those that end in this time.
    """

    entity: str
    since: float
    until: float
    items: int
    version: int
    incidents: list[Incident]


def score_new(store: Store, settings: Settings, domain: Domain, entity: str) -> Update:
    """Score what came in of an entity since the last time; scores and anomalies change together, then incidents.

    At the first time the last 24 hours are scored. Raises: NotTrainedError without a model of the serving detector;
    DataError where there are no items, or where they do not fit the models.
    """
    latest = domain.latest(store).get(entity)
    if latest is None:
        raise DataError(f"no {domain.item.plural} of {entity}")
    return _score_from(store, settings, domain, entity, (_begin(store, domain, entity, latest), latest))


def judge_changed(
    store: Store, settings: Settings, domain: Domain, detectors: Sequence[str], *, anew: bool = False
) -> list[Doubt]:
    """Bring the verdicts of detectors on the items that changed up to date, of all items if `anew`, then incidents.

    Returns the reasons not to believe the scores of the first detector, if there are any.
    """
    doubts = []
    for name in detectors:
        _, found = score_with_doubts(store, settings, domain, name, anew=anew)
        doubts.append(found)
        publish_anomalies(store, settings, domain, name)
    publish_incidents(store, settings, domain, 0.0 if anew else None)
    return doubts[0]


def judge_new(store: Store, settings: Settings) -> None:
    """Judge what came in of every domain whose items go on: of each entity, and of records that were read.

    Items that no detector can judge yet wait. Raises: SetupError while the store is busy.
    """
    for domain in all_domains():
        spans: dict[str, tuple[float, float]] = {}
        for entity, latest in domain.latest(store).items():
            if latest > (_scored_until(store, domain, entity) or 0.0):
                spans[entity] = _begin(store, domain, entity, latest), latest
        changed = domain.derive(store, settings)
        if domain.follows and changed:
            with suppress(DataError, NotTrainedError):
                judge_changed(store, settings, domain, [*_scorers(settings, domain)])
        for entity, span in spans.items():
            with suppress(DataError, NotTrainedError):
                _score_from(store, settings, domain, entity, span)


def _score_from(store: Store, settings: Settings, domain: Domain, entity: str, span: tuple[float, float]) -> Update:
    """Score what began in a span of time (Unix seconds), and bring anomalies and incidents up to date with it."""
    import pyarrow.compute as pc

    scorers = _scorers(settings, domain)
    since, until = span
    began = (_time(since - _AGAIN_S), _time(until + 1e-3))
    data = domain.features(store, settings, families(domain, scorers), Selection(began=began, entity=entity))
    times = data.time / 1e6
    rows = np.flatnonzero(times >= since)
    tables, anomalies = [], []
    for scorer in scorers.values():
        scores = scorer.score(data.matrix(scorer.card.family))
        tables.append(score_rows(domain, data, scorer, scores).take(rows))
        anomalous = tables[-1].filter(pc.field("is_anomaly"))
        if len(anomalous):
            anomalies += anomaly_rows(store, settings, domain, scorer, data, anomalous)
    with store.write() as con:
        same = [domain.name, entity, since]
        publish_into(con, "scores", pa.concat_tables(tables), replace=_SINCE, parameters=same)
        publish_into(
            con,
            "anomalies",
            pa.Table.from_pylist(anomalies) if anomalies else [],
            replace=_OF_THESE,
            parameters=[domain.name, BATCH, *same],
        )
    incidents = [each for each in publish_incidents(store, settings, domain, since) if each.entity == entity]
    version = scorers[serving_detector(settings, domain)].card.version
    return Update(entity, since, until, len(rows), version, incidents)


def _scorers(settings: Settings, domain: Domain) -> dict[str, Scorer]:
    """The detectors whose verdicts count, as far as they can serve. Raises: NotTrainedError where none serves."""
    serving = serving_detector(settings, domain)
    ready = {*ready_detectors(settings, domain), serving}
    names = [name for name in domain.voices(settings, serving) if name in ready]
    return {name: load_scorer(settings, domain, name) for name in names}


def _begin(store: Store, domain: Domain, entity: str, latest: float) -> float:
    """From when on items are scored, Unix seconds: some again, and all of the incidents that end there or go on."""
    scored = _scored_until(store, domain, entity)
    with store.read() as con:
        since = max(latest - _FIRST_S, 0.0) if scored is None else scored - _AGAIN_S
        started = _one(
            con,
            f"""SELECT epoch(min(started_at)) FROM incidents WHERE domain = ? AND entity = ?
            AND (status IN {GOING_ON} OR ended_at >= to_timestamp(?))""",
            *(domain.name, entity, since),
        )
    return since if started is None else min(since, started)


def _scored_until(store: Store, domain: Domain, entity: str) -> float | None:
    with store.read() as con:
        return _one(con, "SELECT epoch(max(time)) FROM scores WHERE domain = ? AND entity = ?", domain.name, entity)


def _one(con: Connection, sql: str, *parameters: Any) -> float | None:
    value = con.execute(sql, list(parameters)).fetchall()[0][0]
    return None if value is None else float(value)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
