"""Verdicts as items come in: what is new of an entity is scored, and its anomalies and incidents are kept up to date.

For domains whose items follow each other in time. Items that were scored a moment ago are scored again, since what they
rest on may have come late, and so are those of incidents that may go on.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hdfs_pipeline.domains.champions import families, load_scorer, ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain, Selection
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.incidents import Flagged, Incident
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store, publish_into
from hdfs_pipeline.verdicts.incidents import incidents_of, replace_incidents, with_feedback
from hdfs_pipeline.verdicts.score import BATCH, anomaly_rows, score_rows

_AGAIN_S: Final = 300.0
_FIRST_S: Final = 24 * 3600.0
_SINCE: Final = "domain = ? AND entity = ? AND {} >= to_timestamp(?)"


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
    """Score what came in of an entity since the last time; scores, anomalies and incidents change together.

    At the first time the last 24 hours are scored. Raises: NotTrainedError without a model of the serving detector;
    DataError where there are no items, or where they do not fit the models.
    """
    latest = domain.latest(store).get(entity)
    if latest is None:
        raise DataError(f"no {domain.item.plural} of {entity}")
    scorers = _scorers(settings, domain)
    since, until = _begin(store, domain, entity, latest), latest
    began = (_time(since - _AGAIN_S), _time(until + 1e-3))
    data = domain.features(store, settings, families(domain, scorers), Selection(began=began, entity=entity))
    times = data.time / 1e6
    rows = np.flatnonzero(times >= since)
    tables, anomalies, flagged = [], [], []
    for scorer in scorers.values():
        scores = scorer.score(data.matrix(scorer.card.family))
        table = score_rows(domain, data, scorer, scores)
        flagged.append(_flagged(scorer, table, times, scores))
        tables.append(table.take(rows))
        anomalous = tables[-1].filter(pc.field("is_anomaly"))
        if len(anomalous):
            anomalies += anomaly_rows(store, settings, domain, scorer, data, anomalous)
    grouping = domain.grouping(settings)
    grouped = [] if grouping is None else incidents_of(flagged, grouping, times, domain, entity)
    incidents = [incident for incident in grouped if incident.end >= since]
    incidents = domain.incidents(store, settings, incidents)
    with store.write() as con:
        incidents = with_feedback(con, domain, incidents)
        same = [domain.name, entity, since]
        publish_into(con, "scores", pa.concat_tables(tables), replace=_SINCE.format("time"), parameters=same)
        publish_into(
            con,
            "anomalies",
            pa.Table.from_pylist(anomalies) if anomalies else [],
            replace=f"{_SINCE.format('last_time')} AND origin = ?",
            parameters=[*same, BATCH],
        )
        replace_incidents(con, domain, incidents, since, entity)
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
    with store.read() as con:
        scored = _one(con, "SELECT epoch(max(time)) FROM scores WHERE domain = ? AND entity = ?", domain.name, entity)
        since = max(latest - _FIRST_S, 0.0) if scored is None else scored - _AGAIN_S
        started = _one(
            con,
            """SELECT epoch(min(started_at)) FROM incidents WHERE domain = ? AND entity = ?
            AND (status = 'ongoing' OR ended_at >= to_timestamp(?))""",
            *(domain.name, entity, since),
        )
    return since if started is None else min(since, started)


def _one(con: Connection, sql: str, *parameters: Any) -> float | None:
    value = con.execute(sql, list(parameters)).fetchall()[0][0]
    return None if value is None else float(value)


def _flagged(scorer: Scorer, table: pa.Table, times: np.ndarray, scores: np.ndarray) -> Flagged:
    over = table["is_anomaly"].to_numpy()
    items = table["item"].filter(table["is_anomaly"]).to_pylist()
    card = scorer.card
    return Flagged(card.detector, times[over], scores[over], card.threshold, card.version, items)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
