"""Anomalies to read: the verdicts of detectors on items that they call anomalous, of every domain."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hdfs_pipeline.store.store import Store, dicts

_COLUMNS: Final = (
    "domain, item, entity, detector, version, score, threshold, kind, reason, first_time, last_time, records, origin, "
    "status"
)


@dataclass(frozen=True)
class WantedAnomalies:
    """Which anomalies are meant: those of a domain ('' for all) that meet every condition that is given.

    Those of a span of time ended at `since` or later, and began before `until`.
    """

    domain: str = ""
    detector: str = ""
    entity: str = ""
    since: datetime | None = None
    until: datetime | None = None


def list_anomalies(store: Store, wanted: WantedAnomalies, limit: int, offset: int) -> tuple[int, list[dict[str, Any]]]:
    """How many anomalies there are, and some of them, the latest first; times in ISO 8601."""
    given = {
        "domain = ?": wanted.domain or None,
        "detector = ?": wanted.detector or None,
        "entity = ?": wanted.entity or None,
        "last_time >= ?": wanted.since,
        "first_time < ?": wanted.until,
    }
    where = " AND ".join(["status <> 'withdrawn'", *(part for part, value in given.items() if value is not None)])
    parameters = [value for value in given.values() if value is not None]
    with store.read() as con:
        total = con.execute(f"SELECT count(*) FROM anomalies WHERE {where}", parameters).fetchall()[0][0]
        rows = dicts(
            con,
            f"""SELECT {_COLUMNS} FROM anomalies WHERE {where}
            ORDER BY first_time DESC NULLS LAST, domain, item, detector, origin LIMIT ? OFFSET ?""",
            [*parameters, limit, offset],
        )
    for row in rows:
        row |= {
            edge: row[edge] and row[edge].astimezone(UTC).isoformat(timespec="milliseconds")
            for edge in ("first_time", "last_time")
        }
    return int(total), rows
