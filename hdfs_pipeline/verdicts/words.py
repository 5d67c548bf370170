"""People's words on incidents: acknowledged, resolved, suppressed, reopened, and stretches of maintenance."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import NotFoundError, UsageError, unknown
from hdfs_pipeline.scoring.feedback import words_of
from hdfs_pipeline.scoring.incidents import ACKNOWLEDGED, EXPIRED, OPEN, RESOLVED, SUPPRESSED, Incident, with_words
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store, publish_into

ACTIONS: Final = ("ack", "resolve", "suppress", "reopen")
"""What a person can do with an incident."""
_LAST: Final = """SELECT incident, arg_max(action, given_at), coalesce(arg_max(action, given_at)
        FILTER (action <> 'ack'), '') = 'reopen', max(given_at) FROM incident_words GROUP BY incident"""
_AFTER: Final = {"ack": ACKNOWLEDGED, "resolve": RESOLVED, "suppress": SUPPRESSED, "reopen": OPEN}
_FOUND: Final = "SELECT id, kind, entity, status FROM incidents WHERE starts_with(id, ?) ORDER BY id LIMIT 9"


def with_people(
    con: Connection, settings: Settings, domain: Domain, incidents: Sequence[Incident], now: datetime | None = None
) -> list[Incident]:
    """The incidents of a domain, each with the status that people's words and the time give it."""
    last = {
        incident: (action, reopened, given_at.timestamp())
        for incident, action, reopened, given_at in con.execute(_LAST).fetchall()
    }
    heard_until = (now or datetime.now(UTC)).timestamp() - settings.incident_expiry_h * 3600
    return [
        replace(incident, status=_status(incident, *last.get(incident.id, ("", False, 0.0)), heard_until))
        for incident in with_words(incidents, words_of(con, domain.name, domain.item.parse), domain.item.parse)
    ]


def _status(incident: Incident, action: str, reopened: bool, given_at: float, heard_until: float) -> str:
    """The status of an incident with which a person did `action` last ('' for nothing), at a time in Unix seconds.

    What people said goes on (`reopened`) ends by their word alone; what they called over begins again with anomalies.
    """
    if action == "suppress":
        return SUPPRESSED
    if reopened:
        return ACKNOWLEDGED if action == "ack" else OPEN
    if action == "resolve" and incident.end <= given_at:
        return RESOLVED
    if incident.status != OPEN:
        return incident.status
    if incident.end < heard_until:
        return EXPIRED
    return ACKNOWLEDGED if action == "ack" else OPEN


def the_incident(con: Connection, text: str) -> tuple[str, str, str, str]:
    """Id, kind, entity and status of the incident whose id begins with `text`.

    Raises: NotFoundError where no incident or several have such an id.
    """
    found = con.execute(_FOUND, [text.strip().lower()]).fetchall() if text.strip() else []
    if len(found) != 1:
        what = f"{len(found)} incidents have ids that begin" if found else "no incident has an id that begins"
        raise NotFoundError(f"{what} with {text!r}: `hdfs-pipeline incidents list` shows the ids")
    identity, kind, entity, status = found[0]
    return identity, kind, entity, status


def say(
    store: Store, text: str, action: str, *, note: str = "", by: str = "", now: datetime | None = None
) -> dict[str, Any]:
    """Keep what a person does with the incident whose id begins with `text`, and give it the status that follows.

    Only one that is open can be acknowledged; any other stays as it is. Returns its `id`, its `kind`, its `entity`, the
    status `before` and the new `status`. Raises: NotFoundError where no incident or several have such an id; UsageError
    for an unknown action.
    """
    if action not in ACTIONS:
        raise UsageError(unknown("action", action, ACTIONS))
    with store.write() as con:
        return say_within(con, text, action, note, by, now or datetime.now(UTC))


def say_within(con: Connection, text: str, action: str, note: str, by: str, now: datetime) -> dict[str, Any]:
    """`say` as part of a transaction, with one of `ACTIONS`."""
    identity, kind, entity, before = the_incident(con, text)
    status = before if action == "ack" and before != OPEN else _AFTER[action]
    if action != "ack" or before == OPEN:
        row = {"incident": identity, "action": action, "note": note, "given_by": by, "given_at": now}
        publish_into(con, "incident_words", pa.Table.from_pylist([row]))
        con.execute("UPDATE incidents SET status = ?, changed_at = ? WHERE id = ?", [status, now, identity])
    return {"id": identity, "kind": kind, "entity": entity, "before": before, "status": status}
