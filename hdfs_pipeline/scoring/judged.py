"""How far a detector's verdicts have come (table `judged`), so that only items that changed since are judged again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hdfs_pipeline.store.store import Connection


@dataclass(frozen=True)
class Judged:
    """One row of the table `judged`: see there."""

    basis: str = ""
    revision: int = -1
    told_basis: str = ""
    told_revision: int = -1
    regroup_from: datetime | None = None


def judged(con: Connection, domain: str, detector: str) -> Judged:
    """How far a detector's verdicts on a domain's items have come."""
    rows = con.execute(
        """SELECT basis, revision, told_basis, told_revision, regroup_from FROM judged
        WHERE domain = ? AND detector = ?""",
        [domain, detector],
    ).fetchall()
    return Judged(*rows[0]) if rows else Judged()


def scored_until(con: Connection, domain: str, detector: str, version: int) -> int:
    """The change of a domain's items up to which a version of a detector has scored them; -1 before it did."""
    rows = con.execute(
        """SELECT revision FROM judged WHERE domain = $domain AND detector = $detector AND EXISTS (
            FROM scores WHERE domain = $domain AND detector = $detector AND version = $version)""",
        {"domain": domain, "detector": detector, "version": version},
    ).fetchall()
    return int(rows[0][0]) if rows else -1


def keep_judged(con: Connection, domain: str, detector: str, now: Judged) -> None:
    """Keep how far they have come, in the transaction that publishes them."""
    con.execute(
        "INSERT OR REPLACE INTO judged VALUES (?, ?, ?, ?, ?, ?, ?)",
        [domain, detector, now.basis, now.revision, now.told_basis, now.told_revision, now.regroup_from],
    )


def forget(con: Connection, domain: str, items: Sequence[str]) -> None:
    """Delete the verdicts of the batch on items that are no more, and have their incidents grouped anew."""
    if not items:
        return
    own = [domain, list(items)]
    which = "domain = ? AND item IN (SELECT unnest(?::VARCHAR[]))"
    con.execute(
        f"""UPDATE judged SET regroup_from = least(regroup_from, gone.since) FROM (
            SELECT detector, min(coalesce(told_from, first_time)) AS since FROM anomalies
            WHERE {which} AND origin = 'batch' GROUP BY detector
        ) gone WHERE judged.domain = ? AND judged.detector = gone.detector""",
        [*own, domain],
    )
    con.execute(f"DELETE FROM anomalies WHERE {which} AND origin = 'batch'", own)
    con.execute(f"DELETE FROM scores WHERE {which}", own)
