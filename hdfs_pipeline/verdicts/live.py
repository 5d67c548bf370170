"""Incidents as they come and go: what is new of every domain is grouped, and each change is told once."""

from dataclasses import dataclass
from typing import Any, Final

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.scoring.incidents import GOING_ON
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.incidents import NEW, incident_json, publish_incidents, stored

OPENED, ENDED, GREW = "opened", "ended", "grew"
_NEWS: Final = f"""SELECT (SELECT count(*) {NEW})
    + (SELECT count(*) FROM incidents WHERE domain = $domain AND status IN {GOING_ON})"""


@dataclass(frozen=True)
class Change:
    """What became of an incident: it opened, ended, or grew; `incident` is its row as plain JSON values."""

    what: str
    incident: dict[str, Any]


def update_incidents(store: Store, settings: Settings) -> list[Change]:
    """Group what is new of every domain; the changes, the earliest incident first.

    It costs a look at two counts where nothing is new and no incident goes on. Raises: SetupError while the store is
    busy.
    """
    changes = []
    for domain in all_domains():
        with store.read() as con:
            if not con.execute(_NEWS, {"domain": domain.name}).fetchall()[0][0]:
                continue
            before = {row["id"]: row for row in stored(con, domain.name)}
        publish_incidents(store, settings, domain, None)
        with store.read() as con:
            now = stored(con, domain.name)
        told = ((changed(before.get(row["id"]), row), row) for row in now)
        changes += [Change(what, incident_json(row)) for what, row in told if what]
    return sorted(changes, key=lambda change: (change.incident["started_at"], change.incident["id"]))


def changed(before: dict[str, Any] | None, row: dict[str, Any]) -> str:
    """What became of an incident since `before`, which is None where it was not there; '' for nothing."""
    goes_on = row["status"] in GOING_ON
    if before is None or before["status"] not in GOING_ON:
        return OPENED if goes_on or before is None else ""
    if not goes_on:
        return ENDED
    return GREW if row["items"] > before["items"] else ""
