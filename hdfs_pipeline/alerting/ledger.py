"""The ledger: what each target was told of each incident, in the table `deliveries`.

A message is written down before it is sent and marked after it was taken. So a process that is killed between the two
sends the same message with the same key again, and nothing else is ever sent twice. One row for each target and
incident holds the latest message: while it waits, no later one is written, which keeps an incident's messages in order,
and what happens meanwhile is told in one by the next.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.alerting.messages import WITHDRAWN, Letter, News, event_of
from hdfs_pipeline.alerting.target import Target
from hdfs_pipeline.scoring.incidents import GOING_ON
from hdfs_pipeline.store.store import Connection, Store, count, dicts, publish_into
from hdfs_pipeline.verdicts.incidents import incident_json

WAITING, DELIVERED, REFUSED = "waiting", "delivered", "refused"
MOST: Final = 100
"""Messages that are written down at once."""
_ENDED_S: Final = 900.0  # for which a target that forgets hears of an end, as Prometheus has it
_LETTERS: Final = "SELECT incident, number, event, delivery, body FROM deliveries WHERE target = $target"
_WAITING: Final = f"{_LETTERS} AND state = '{WAITING}' ORDER BY tries, begun_at, incident LIMIT {MOST}"
_AGAIN: Final = f"""{_LETTERS} AND state = '{DELIVERED}' AND body <> '' AND told_at < $before
    AND (status IN {GOING_ON} OR begun_at > $before - to_seconds({_ENDED_S})) ORDER BY told_at, incident"""
# Not of the whole row: every look reads all rows, and the end of an incident that goes on moves with each poll: that is
# no news. Whatever changes of one that is over changes `changed_at` too.
_NAMED: Final = "i.status, i.severity, i.entity, i.kind, i.items, i.started_at"
_DIGEST: Final = f"""md5(CASE WHEN i.status IN {GOING_ON}
    THEN concat_ws('|', {_NAMED}, i.related, i.kinds, i.title, i.evidence)
    ELSE concat_ws('|', i.changed_at, {_NAMED}, i.ended_at, i.related) END)"""
_CHANGED: Final = f"""SELECT i.*, {_DIGEST} AS _digest,
    d.number AS _number, d.body AS _body, d.told_at AS _told_at,
    CASE d.state WHEN '{DELIVERED}' THEN d.status ELSE '' END AS _status
    FROM incidents i LEFT JOIN (FROM deliveries WHERE target = $target) d ON d.incident = i.id
    WHERE d.incident IS NULL OR (d.state <> '{WAITING}' AND d.digest <> _digest AND (
        _status NOT IN ('', i.status) OR d.severity <> i.severity OR d.begun_at < $before))
    ORDER BY i.changed_at, i.id LIMIT {MOST}"""
_GONE: Final = f"""SELECT incident, number, body, told_at FROM deliveries
    WHERE target = $target AND state <> '{WAITING}' AND event <> '{WITHDRAWN}'
    AND incident NOT IN (SELECT id FROM incidents) ORDER BY incident LIMIT {MOST}"""
_OTHER_LIVES: Final = "DELETE FROM deliveries WHERE starts_with(target, ? || '/') AND target <> ?"
_WAS_TAKEN: Final = f"state = '{DELIVERED}', trouble = '', told_at = $now"
_WAS_REFUSED: Final = f"state = '{REFUSED}', tries = tries + 1, trouble = $why"
_MET_OUTAGE: Final = "tries = tries + 1, trouble = $why"
_TROUBLES: Final = f"""SELECT split_part(target, '/', 1) AS name, state, count(*) AS incidents, min(begun_at) AS since,
    arg_max(trouble, begun_at) AS trouble FROM deliveries WHERE state IN ('{WAITING}', '{REFUSED}') AND trouble <> ''
    GROUP BY ALL ORDER BY ALL"""


def due(store: Store, target: Target, place: str, before: datetime) -> list[Letter]:
    """The messages to send now, of different incidents; those that are new are written down first.

    What has changed of an incident whose status and severity are the same is due where the message before was written
    down `before` that time, and what a target that forgets must hear again where it was last told before it.
    Raises: SetupError where the store is not to be had.
    """
    about = {"target": place}
    with store.read() as con:
        letters = [Letter(*row) for row in con.execute(_WAITING, about).fetchall()]
    # First those that were never tried: one that fails every time holds up no other.
    letters = [*_written_down(store, target, place, before), *letters]
    if target.forgets and not letters:
        with store.read() as con:
            again = con.execute(_AGAIN, about | {"before": before}).fetchall()
        letters = [replace(Letter(*row), again=True) for row in again]
    return letters


def _written_down(store: Store, target: Target, place: str, before: datetime) -> list[Letter]:
    """What is new for a target, once it is in the ledger; what it need not be told is written down as well."""
    while True:
        with store.read() as con:
            rows = [*_changed(con, target, place, before), *_gone(con, target, place)]
        if rows:
            with store.write() as con:
                con.execute(_OTHER_LIVES, [target.name, place])
                same = "target = ? AND incident IN (SELECT incident FROM publish_source)"
                publish_into(con, "deliveries", pa.Table.from_pylist(rows), replace=same, parameters=[place])
        letters = [_letter(row) for row in rows if row["state"] == WAITING]
        if letters or not rows:
            return letters


def settle(store: Store, place: str, letters: Sequence[Letter], refusals: Sequence[str], outage: str = "") -> None:
    """Mark what became of messages: for each a refusal, '' for none; or the outage that they all met."""
    if not letters:
        return
    now = datetime.now(UTC)
    with store.write() as con:
        for letter, refusal in zip(letters, refusals or [outage] * len(letters), strict=True):
            change = _MET_OUTAGE if outage else _WAS_REFUSED if refusal else _WAS_TAKEN
            given: dict[str, Any] = {"place": place, "incident": letter.incident}
            given |= {"why": refusal} if refusal else {"now": now}
            con.execute(f"UPDATE deliveries SET {change} WHERE target = $place AND incident = $incident", given)


def try_refused_again(store: Store) -> int:
    """Let all that was refused wait to be sent once more; how many messages these are."""
    with store.write() as con:
        con.execute(f"UPDATE deliveries SET state = '{WAITING}' WHERE state = '{REFUSED}'")
        return count(con)


def troubles(store: Store) -> list[dict[str, Any]]:
    """What did not reach its target: `name`, `state` (waiting or refused), `incidents`, `since` and `trouble`."""
    with store.read() as con:
        return dicts(con, _TROUBLES, {})


def _changed(con: Connection, target: Target, place: str, before: datetime) -> list[dict[str, Any]]:
    found = []
    for row in dicts(con, _CHANGED, {"target": place, "before": before}):
        incident = incident_json({name: value for name, value in row.items() if not name.startswith("_")})
        news = News(event_of(row["_status"], incident["status"]), (row["_number"] or 0) + 1, incident)
        found.append(_row(target, place, news, row["_body"] or "", row["_digest"], row["_told_at"]))
    return found


def _gone(con: Connection, target: Target, place: str) -> list[dict[str, Any]]:
    rows = con.execute(_GONE, {"target": place}).fetchall()
    return [
        _row(target, place, News(WITHDRAWN, number + 1, {"id": incident}), last, "", told_at)
        for incident, number, last, told_at in rows
    ]


def _row(target: Target, place: str, news: News, last: str, digest: str, told_at: datetime | None) -> dict[str, Any]:
    body, now = target.body(news, last), datetime.now(UTC)
    return {
        "target": place,
        "incident": news.incident["id"],
        "number": news.number,
        "event": news.event,
        "delivery": news.key,
        "digest": digest,
        "status": news.incident.get("status", WITHDRAWN),
        "severity": news.incident.get("severity", ""),
        "body": body,
        "state": WAITING if body else DELIVERED,
        "tries": 0,
        "trouble": "",
        "begun_at": now,
        "told_at": told_at,
    }


def _letter(row: dict[str, Any]) -> Letter:
    return Letter(row["incident"], row["number"], row["event"], row["delivery"], row["body"])
