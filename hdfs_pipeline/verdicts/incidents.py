"""Incidents of a home: anomalies of one entity that belong together, kept up to date, and what people said of them.

Every domain's anomalies walk one path: whom their records blame, the culprits that stand out, runs of one kind and
entity, causes with their symptoms, what the domain adds, ids that stay, people's words, and what is related.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.contract import ENTITY, Domain
from hdfs_pipeline.scoring.culprits import settle
from hdfs_pipeline.scoring.incidents import (
    GOING_ON,
    OPEN,
    RESOLVED,
    SUPPRESSED,
    Flagged,
    Grouping,
    Incident,
    Scope,
    find_incidents,
    merged,
    with_lone_ones,
)
from hdfs_pipeline.scoring.runs import step_seconds
from hdfs_pipeline.scoring.severity import SEVERITIES, WARNING
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.keys import incident_id
from hdfs_pipeline.store.store import Connection, Store, dicts, publish_into
from hdfs_pipeline.verdicts.where import Told, described
from hdfs_pipeline.verdicts.words import with_people

WATCHER: Final = "watcher"
"""In the place of a domain's name, of incidents about the watcher itself. They are related to none of a cluster's."""
# A stream and a batch may both judge an item: the batch, which sees all of it, counts.
_COUNTING: Final = """FROM {} WHERE domain = $domain AND status <> 'withdrawn'
    QUALIFY row_number() OVER (PARTITION BY item, detector ORDER BY origin <> 'batch', scored_at DESC) = 1"""
COUNTED: Final = _COUNTING.format("anomalies")
"""SQL: the anomalies of `$domain` that become incidents."""
_LATE: Final = """(FROM anomalies WHERE item IN (SELECT item FROM anomalies
    WHERE domain = $domain AND coalesce(told_to, last_time) >= to_timestamp($since) - INTERVAL 1 SECOND))"""
"""Those of items of which some end at `$since` or later: so the others need not be compared."""
_UNTOLD: Final = """SELECT item,
        first(coalesce(explanation ->> '$.broken[0].rule', '') ORDER BY origin <> 'batch', scored_at DESC)
    FROM anomalies WHERE domain = $domain AND item IN (SELECT item FROM anomalies
        WHERE domain = $domain AND (told_from IS NULL
            OR origin <> 'batch' AND scored_at >= now() - INTERVAL 5 MINUTE))
    GROUP BY item"""
"""SQL: anomalies whose records were not asked yet, or may still come in, as those of a stream do; and the rule of the
verdict that counts."""
_ANOMALIES: Final = f"""SELECT coalesce(e.entity, a.entity) AS entity, a.* EXCLUDE (entity) FROM (
        SELECT entity, kind, detector, item, version, score, threshold, blamed, traits, line, reason,
            status = 'provisional' AS provisional, explanation ->> '$.severity' AS severity,
            explanation ->> '$.hint' AS hint, epoch(first_time) AS first,
            epoch(coalesce(told_from, if($steps, last_time, first_time))) AS began,
            epoch(coalesce(told_to, last_time)) AS ended
        {_COUNTING.format(_LATE)}
    ) a LEFT JOIN (SELECT alias, any_value(entity) AS entity FROM entities GROUP BY alias) e ON e.alias = a.entity
    WHERE ended >= $since ORDER BY began, item, detector"""
_SCORED: Final = """SELECT entity, list(DISTINCT epoch(time) ORDER BY epoch(time)) FROM scores
    WHERE domain = $domain AND time >= to_timestamp($since) GROUP BY entity"""
_UNTIL: Final = "SELECT epoch(max(time)) FROM scores WHERE domain = $domain AND time >= to_timestamp($since)"
_KNOWN: Final = """SELECT id, entity, kinds, epoch(started_at), epoch(ended_at) FROM incidents
    WHERE domain = ? AND ended_at >= to_timestamp(?)"""
# What is about all of a cluster has to begin with another trouble to belong to it: it often goes on for long.
_RELATED: Final = f"""UPDATE incidents SET related = coalesce(near.ids, []) FROM (
        WITH i AS (SELECT *, entity = '' OR list_contains($wide, domain || ' ' || kind) AS wide FROM incidents
            WHERE domain <> '{WATCHER}')
        SELECT a.id, list(b.id ORDER BY b.started_at, b.id) FILTER (b.id IS NOT NULL) AS ids
        FROM i a LEFT JOIN i b ON a.id <> b.id
            AND a.started_at <= b.ended_at + to_seconds($near) AND b.started_at <= a.ended_at + to_seconds($near)
            AND (a.entity = b.entity AND a.entity <> ''
                OR (a.wide OR b.wide) AND NOT (a.domain = b.domain AND '' IN (a.entity, b.entity))
                AND a.started_at <= b.started_at + to_seconds($near)
                AND b.started_at <= a.started_at + to_seconds($near))
        WHERE a.ended_at >= to_timestamp($since) GROUP BY a.id
    ) near WHERE near.id = incidents.id AND related IS DISTINCT FROM coalesce(near.ids, [])"""
_BEGAN: Final = f"""SELECT epoch(min(started_at)) FROM incidents
    WHERE domain = $domain AND (ended_at >= to_timestamp($since) OR status IN {GOING_ON})"""
NEW: Final = """FROM anomalies WHERE domain = $domain AND (
    scored_at >= (SELECT coalesce(max(changed_at), TIMESTAMPTZ 'epoch') FROM incidents WHERE domain = $domain)
    OR origin <> 'batch' AND scored_at >= now() - INTERVAL 15 MINUTE)"""
"""SQL: the anomalies of `$domain` that may be in no incident yet; those of a stream reach the store after a while."""
_FRESH: Final = f"""SELECT least((SELECT epoch(min(coalesce(told_from, first_time))) {NEW}),
    (SELECT epoch(min(regroup_from)) FROM judged WHERE domain = $domain))"""
_FIRST: Final = """SELECT epoch(min(coalesce(told_from, first_time))) FROM anomalies
    WHERE domain = ? AND item IN (SELECT unnest(?::VARCHAR[]))"""
_REGROUPED: Final = "SELECT detector, told_basis, told_revision FROM judged WHERE domain = ?"
_SAME_TOLD: Final = "domain = ? AND detector = ? AND told_basis = ? AND told_revision = ?"
_LASTING: Final = """SELECT epoch(min(least(first_time, coalesce(told_from, first_time)))) FROM anomalies
    WHERE domain = $domain AND coalesce(told_to, last_time) >= to_timestamp($since)"""
_NAMES: Final = "SELECT entity, list(DISTINCT alias ORDER BY alias) FROM entities GROUP BY entity"
_TIMES: Final = ("started_at", "ended_at", "peak_at", "opened_at", "changed_at")
_NEAR_S: Final = 60.0  # between incidents that are related


def regroup(store: Store, settings: Settings, domain: Domain, items: Sequence[str]) -> None:
    """Let the incidents of anomalous `items` follow what people said of them, and group what came since the last time.

    Incidents that had ended before, and that no pause joins with these, stay as they are.
    """
    with store.read() as con:
        grouped = con.execute("SELECT count(*) FROM incidents WHERE domain = ?", [domain.name]).fetchall()[0][0]
        ((first,),) = con.execute(_FIRST, [domain.name, items]).fetchall()
        ((fresh,),) = con.execute(_FRESH, {"domain": domain.name}).fetchall()
    if grouped and first is not None:
        publish_incidents(store, settings, domain, first if fresh is None else min(first, fresh))


def publish_incidents(store: Store, settings: Settings, domain: Domain, since: float | None = 0.0) -> list[Incident]:
    """Group a domain's anomalies from `since` (Unix seconds) on into incidents, over those that ended then or later.

    Incidents that go on, or may have been made longer, are grouped from their beginning. Without `since` only these are
    grouped, and what came since the last time. The same anomalies give the same incidents with the same ids; an
    incident that late anomalies make longer keeps its id. None for a domain whose anomalies are not grouped.
    """
    import pyarrow.compute as pc

    grouping = domain.grouping(settings)
    if grouping is None:
        return []
    _ask_records(store, settings, domain)
    usual, kinds = domain.usual(store, settings), domain.kinds(store, settings)
    with store.read() as con:
        since = _begin(con, domain, grouping, since)
        if not np.isfinite(since):
            return []
        about = {"domain": domain.name, "since": since}
        anomalies: pa.Table = con.sql(_ANOMALIES, params=about | {"steps": grouping.steps}).to_arrow_table()
        scored = dict(con.execute(_SCORED, about).fetchall()) if grouping.steps else {}
        ((until,),) = con.execute(_UNTIL, about).fetchall()
        names = dict(con.execute(_NAMES).fetchall())
        regrouped = con.execute(_REGROUPED, [domain.name]).fetchall()
    is_episode = pc.is_in(anomalies["detector"], pa.array(grouping.episodes, pa.string()))
    items, episodes = anomalies.filter(pc.invert(is_episode)), anomalies.filter(is_episode)
    found = list(_grouped(items, scored, until or 0.0, domain, grouping, usual.get(ENTITY, {})))
    if kinds:
        found = with_lone_ones(merged(found, kinds, grouping.rule.gap_s), kinds, grouping.lone_gap_s)
    found = [*domain.incidents(store, settings, found), *(_episode(domain, row) for row in episodes.to_pylist())]
    incidents = described(domain, found, _told(items), kinds, usual, names)
    with store.write() as con:
        replace_incidents(con, settings, domain, incidents, since)
        for told in regrouped:  # what was published meanwhile is grouped the next time
            con.execute(f"UPDATE judged SET regroup_from = NULL WHERE {_SAME_TOLD}", [domain.name, *told])
    return incidents


def _begin(con: Connection, domain: Domain, grouping: Grouping, since: float | None) -> float:
    """From when on anomalies are grouped, Unix seconds: from the beginning of each incident that may change.

    Infinity where nothing came, and no incident goes on.
    No anomaly lasts from before that time until after it: it could belong to an incident that is left as it is.
    """
    if since == 0.0:
        return since
    about = {"domain": domain.name}
    if since is None:
        (fresh,) = con.execute(_FRESH, about).fetchall()[0]
        since = np.inf if fresh is None else fresh
    gap_s = max(grouping.rule.gap_s, grouping.lone_gap_s)
    while True:
        looked = about | {"since": _shown(since - gap_s)}
        gap_s = grouping.rule.gap_s  # what is nearer than the longer pause to an earlier one is one with it already
        began = [con.execute(sql, looked).fetchall()[0][0] for sql in (_BEGAN, _LASTING)]
        earliest = min([since, *(each for each in began if each is not None)])
        if earliest == since:
            return since
        since = earliest


def _shown(seconds: float) -> float:
    """Seconds that are a time in SQL."""
    return min(seconds, 4e9)


def _episode(domain: Domain, row: Mapping[str, Any]) -> Incident:
    """The incident of an anomaly that is one by itself."""
    seen = {"score": row["score"], "threshold": row["threshold"], "version": row["version"], "opened": True}
    return Incident(
        id=incident_id(domain.name, row["entity"], row["kind"], row["first"]),
        domain=domain.name,
        entity=row["entity"],
        kind=row["kind"],
        start=row["first"],
        end=row["ended"],
        peak=row["ended"],
        opened=row["first"],
        duration_s=row["ended"] - row["first"],
        status=OPEN if row["provisional"] else RESOLVED,
        severity=row["severity"] if row["severity"] in SEVERITIES else WARNING,
        items=(row["item"],),
        detectors={row["detector"]: seen},
        evidence=row["reason"],
        kinds={row["kind"]: 1},
        next_steps=(row["hint"],) if row["hint"] else (),
    )


def _ask_records(store: Store, settings: Settings, domain: Domain) -> None:
    """Find out when the records of new anomalies tell of the trouble, and whom they blame."""
    if type(domain).suspects is Domain.suspects:  # it has no records to ask
        return
    with store.read() as con:
        untold = con.execute(_UNTOLD, {"domain": domain.name}).fetchall()
    rules = {domain.item.parse(item): rule for item, rule in untold}
    told = domain.suspects(store, settings, rules) if rules else None
    if told is None:
        return
    items = pa.array([domain.item.show(key) for key in told["key"].to_pylist()], pa.string())
    with store.write() as con:
        con.register("told", told.append_column("told_item", items))
        con.execute(
            """UPDATE anomalies SET told_from = told.told_from, told_to = told.told_to, blamed = told.blamed,
                traits = told.traits, line = told.line FROM told
            WHERE domain = ? AND item = told_item""",
            [domain.name],
        )
        con.unregister("told")


def _told(anomalies: pa.Table) -> dict[str, Told]:
    """What is told of each item: why it is anomalous, and what its records say where they were asked."""
    columns = (anomalies[name].to_pylist() for name in ("item", "kind", "reason", "blamed", "traits", "line"))
    return {
        item: Told(kind, reason, blamed or (), dict(traits or ()), line or "")
        for item, kind, reason, blamed, traits, line in zip(*columns, strict=True)
    }


def _grouped(
    anomalies: pa.Table,
    scored: Mapping[str, Sequence[float]],
    until: float,
    domain: Domain,
    grouping: Grouping,
    usual: Mapping[str, float],
) -> Iterable[Incident]:
    """Runs of anomalies of one entity and kind.

    `scored` are the times of each entity's scored items, in order, where items are steps; `until` is the last of all.
    """
    plain = ("entity", "kind", "detector", "item", "version", "score", "threshold", "began", "ended")
    columns = {name: anomalies[name].to_numpy(zero_copy_only=False) for name in plain}
    if anomalies["blamed"].null_count < len(anomalies):
        columns["entity"] = _culprits(columns, anomalies["blamed"].to_pylist(), grouping.rule.gap_s, usual)
    until = max([until, *columns["ended"].tolist()])
    for (entity, kind), rows in _by(columns, "entity", "kind"):
        part = {name: values[rows] for name, values in columns.items()}
        flagged = [_flagged(part, own) for _, own in _by(part, "detector")]
        times = np.array(scored.get(entity, [until]) if grouping.steps else [until])
        step_s = step_seconds(times) if grouping.steps else 0.0
        last = max(float(times[-1]), float(part["began"].max()))
        yield from find_incidents(flagged, Scope(domain.name, entity, kind, grouping, last, step_s))


def _culprits(
    columns: Mapping[str, np.ndarray], blamed: Sequence[Sequence[str] | None], gap_s: float, usual: Mapping[str, float]
) -> np.ndarray:
    """The entity of each anomaly whose records were asked: its culprit. The others keep theirs."""
    entities = columns["entity"].astype(object)
    for _, rows in _by(columns, "kind"):
        asked = rows[[blamed[row] is not None for row in rows]]
        own = [blamed[row] or () for row in asked.tolist()]
        if len(asked):
            entities[asked] = settle(columns["began"][asked], own, gap_s, usual)
    return entities


def _by(columns: Mapping[str, np.ndarray], *names: str) -> Iterable[tuple[tuple[str, ...], np.ndarray]]:
    """The rows of each combination of the columns `names`, in their order."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, values in enumerate(zip(*(columns[name].tolist() for name in names), strict=True)):
        groups.setdefault(values, []).append(row)
    return [(values, np.array(rows)) for values, rows in groups.items()]


def _flagged(part: Mapping[str, np.ndarray], rows: np.ndarray) -> Flagged:
    own = {name: values[rows] for name, values in part.items()}
    return Flagged(
        own["detector"][0],
        own["began"],
        own["score"],
        float(own["threshold"][-1]),
        int(own["version"][-1]),
        own["item"].tolist(),
        own["ended"],
    )


def replace_incidents(
    con: Connection, settings: Settings, domain: Domain, incidents: Sequence[Incident], since: float
) -> None:
    """Put incidents into the store, in place of the domain's that ended at `since` or later.

    They keep the ids that they had, and get the status that people's words give them. One that people said a word on
    stays, resolved or suppressed, also where its anomalies are told otherwise now: its address and words are theirs.
    """
    incidents = with_people(con, settings, domain, _with_kept_ids(con, domain, incidents, since))
    rows = [_row(incident) for incident in incidents]
    before = {row["id"]: row for row in stored(con, domain.name, since)}
    now = datetime.now(UTC)
    for row in rows:
        same = (old := before.get(row["id"])) and all(old[name] == row[name] for name in row)
        row["changed_at"], row["related"] = (old["changed_at"], old["related"]) if old and same else (now, [])
    spoken = {identity for (identity,) in con.execute("SELECT DISTINCT incident FROM incident_words").fetchall()}
    for identity in spoken & before.keys() - {row["id"] for row in rows}:
        gone = before[identity]
        over = {} if gone["status"] in (RESOLVED, SUPPRESSED) else {"status": RESOLVED, "changed_at": now}
        rows.append(gone | over)
    publish_into(
        con,
        "incidents",
        pa.Table.from_pylist(rows) if rows else [],
        replace="domain = ? AND (ended_at >= to_timestamp(?) OR list_contains(?::VARCHAR[], id))",
        parameters=[domain.name, since, [row["id"] for row in rows]],
    )
    wide = [f"{each.name} {kind}" for each in all_domains() for kind in each.wide_kinds()]
    con.execute(_RELATED, {"near": _NEAR_S, "since": since - _NEAR_S, "wide": wide})


def _with_kept_ids(con: Connection, domain: Domain, incidents: Sequence[Incident], since: float) -> list[Incident]:
    """The incidents with the ids that they had: one that meets a stored one of its kind and entity is the same.

    None of them begins before `since`, so that stored ones that had ended by then are not looked at.

    A culprit that becomes known later, or no longer stands out, changes no id. No id is taken from another incident
    that has it by itself.
    """
    own_ids = {incident.id for incident in incidents}
    stored = [(id_, entity, set(json.loads(kinds or "{}")), *span) for id_, entity, kinds, *span in
              con.execute(_KNOWN, [domain.name, since]).fetchall()]  # fmt: skip
    taken: set[str] = set()
    kept = []
    begins, ends = (np.array([row[at] for row in stored], np.float64) for at in (3, 4))
    for incident in incidents:
        kinds = set(incident.kinds)
        near = np.flatnonzero((begins <= incident.end) & (incident.start <= ends)).tolist()
        same = [
            (id_ != incident.id, entity != incident.entity, start, id_)
            for id_, entity, own, start, _ in map(stored.__getitem__, near)
            if id_ not in taken
            and (id_ == incident.id or (id_ not in own_ids
                 and (kinds & own or not kinds | own) and entity in ("", incident.entity)))
        ]  # fmt: skip
        identity = min(same)[-1] if same else incident.id
        if identity in taken:  # two causes of one kind at once, one of them known by its symptom alone
            identity = incident_id(
                incident.domain, incident.entity, f"{incident.kind} {incident.items[0]}", incident.start
            )
        taken.add(identity)
        kept.append(replace(incident, id=identity))
    return kept


def _row(incident: Incident) -> dict[str, Any]:
    times = {
        "started_at": incident.start,
        "ended_at": incident.end,
        "peak_at": incident.peak,
        "opened_at": incident.opened,
    }
    same = ("id", "domain", "entity", "kind", "title", "duration_s", "status", "severity", "evidence")
    return (
        {name: getattr(incident, name) for name in same}
        | {name: datetime.fromtimestamp(at, UTC) for name, at in times.items()}
        | {"items": len(incident.items), "next_steps": list(incident.next_steps)}
        | {name: json.dumps(getattr(incident, name)) for name in ("detectors", "details", "kinds")}
    )


def stored(con: Connection, domain: str, since: float = 0.0) -> list[dict[str, Any]]:
    """A domain's rows of `incidents` that ended at `since` (Unix seconds) or later, the latest first."""
    where = "domain = ? AND ended_at >= to_timestamp(?)"
    return dicts(con, f"FROM incidents WHERE {where} ORDER BY started_at DESC, id", [domain, since])


def incident_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `incidents` as plain JSON values, times in ISO 8601, UTC."""
    return (
        dict(row)
        | {name: json.loads(row[name] or "{}") for name in ("detectors", "details", "kinds")}
        | {name: [*(row[name] or [])] for name in ("next_steps", "related")}
        | {name: _iso(row[name]) for name in _TIMES}
    )


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds")
