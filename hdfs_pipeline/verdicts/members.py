"""The anomalies of an incident: which they are, when they came, and which servers they blame beside its peers."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hdfs_pipeline.domains.contract import ENTITY
from hdfs_pipeline.store.store import Connection, dicts

_BARS: Final = 48  # of a timeline, at most
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
_MARGIN: Final = 0.15  # of an incident's length, before and after it in its timeline
_LEAST_MARGIN_S: Final = 15.0
_PEERS: Final = 12
# Told are an incident's own anomalies where its entity is known by them, and else all of its kinds and its time.
_MEMBERS: Final = """WITH names AS (SELECT alias FROM entities WHERE entity = $entity UNION SELECT $entity),
    near AS (
        SELECT item, kind, detector, version, score, threshold, coalesce(reason, '') AS reason, blamed, host, line,
            coalesce(told_from, last_time) AS told_at, first_time, last_time,
            entity IN (FROM names) OR coalesce(list_contains(blamed, $entity), false) AS own
        FROM anomalies WHERE domain = $domain AND status <> 'withdrawn'
            AND (len($kinds) = 0 OR list_contains($kinds, kind))
            AND coalesce(told_from, last_time) >= $begin::TIMESTAMPTZ
            AND coalesce(told_from, last_time) <= $end::TIMESTAMPTZ + INTERVAL 1 MILLISECOND
        QUALIFY row_number() OVER (PARTITION BY item ORDER BY score DESC, detector) = 1
    ),
    members AS (FROM near WHERE own OR NOT (SELECT coalesce(bool_or(own), false) FROM near))"""
_ORDER: Final = "FROM members ORDER BY list_position($kinds, kind), score DESC, item"
_LISTED: Final = "item, kind, detector, version, score, threshold, told_at, first_time, last_time, host, blamed, reason"
_COUNTED: Final = """SELECT floor((epoch(coalesce(a.told_from, a.last_time)) - epoch($from::TIMESTAMPTZ)) / $step)::INT,
        count(DISTINCT a.item) FILTER (m.item IS NOT NULL), count(DISTINCT a.item) FILTER (m.item IS NULL)
    FROM anomalies a LEFT JOIN members m ON m.item = a.item AND m.kind IS NOT DISTINCT FROM a.kind
    WHERE a.domain = $domain AND a.status <> 'withdrawn'
        AND coalesce(a.told_from, a.last_time) BETWEEN $from::TIMESTAMPTZ AND $until::TIMESTAMPTZ
    GROUP BY 1 ORDER BY 1"""
_BLAMED: Final = """SELECT name, count(*) FROM (SELECT unnest(blamed) AS name FROM members) GROUP BY name
    UNION ALL SELECT DISTINCT entity, 0 FROM entities WHERE domain = $domain"""


def members_of(con: Connection, incident: Mapping[str, Any], limit: int | None = None) -> list[dict[str, Any]]:
    """The anomalies of an incident (as `verdicts.listing` has it), one of each item, those of its leading kind first.

    Each has item, kind, detector, version, score, threshold, told_at, first_time, last_time, host, blamed and reason,
    times in ISO 8601, UTC. No more than `limit` where one is given.
    """
    most = "" if limit is None else f"LIMIT {int(limit)}"
    found = dicts(con, f"{_MEMBERS} SELECT {_LISTED} {_ORDER} {most}", _about(incident))
    times = ("told_at", "first_time", "last_time")
    return [row | {name: _iso(row[name]) for name in times} | {"blamed": row["blamed"] or []} for row in found]


def timeline_of(con: Connection, incident: Mapping[str, Any]) -> dict[str, Any]:
    """How many anomalies came in each step of time, from a little before an incident until a little after it.

    `begin` and `end` (ISO 8601), `step_s`, and one count a step: `own` of the incident's, `others` of its domain's.
    """
    begin, end = (datetime.fromisoformat(incident[name]) for name in ("started_at", "ended_at"))
    margin = max(_MARGIN * (end - begin).total_seconds(), _LEAST_MARGIN_S)
    span = (end - begin).total_seconds() + 2 * margin
    step = next((step for step in _STEPS_S if span / step <= _BARS), 86_400 * -(-span // (86_400 * _BARS)))
    first = datetime.fromtimestamp((begin.timestamp() - margin) // step * step, UTC)
    steps = int((end.timestamp() + margin - first.timestamp()) // step) + 1
    until = first + timedelta(seconds=steps * step)
    about = _about(incident) | {"from": first, "until": until - timedelta(microseconds=1), "step": step}
    own, others = [0] * steps, [0] * steps
    for at, mine, other in con.execute(f"{_MEMBERS} {_COUNTED}", about).fetchall():
        own[at], others[at] = mine, other
    return {"begin": _iso(first), "end": _iso(until), "step_s": float(step), "own": own, "others": others}


def peers_of(con: Connection, incident: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Servers that an incident's anomalies blame, and its entity's peers that none blames; the most blamed first.

    Each has name, items, share (0 to 1) and the usual share, None where that is not known.
    """
    counts: dict[str, int] = {}
    for name, items in con.execute(f"{_MEMBERS} {_BLAMED}", _about(incident)).fetchall():
        counts[name] = max(counts.get(name, 0), items)
    if not any(counts.values()):
        return []
    told: Sequence[Mapping[str, Any]] = (incident["details"].get("where") or {}).get(ENTITY) or ()
    usual = dict(incident["details"].get("peers") or {}) | {row["name"]: row["usual"] for row in told}
    counts = dict.fromkeys(usual, 0) | counts
    total = max(incident["items"], *counts.values())
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_PEERS]
    return [{"name": name, "items": n, "share": n / total, "usual": usual.get(name)} for name, n in ranked]


def _about(incident: Mapping[str, Any]) -> dict[str, Any]:
    return {name: incident[name] for name in ("domain", "entity")} | {
        "kinds": [*incident["kinds"]],
        "begin": incident["started_at"],
        "end": incident["ended_at"],
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds")
