"""Incidents to read: those that meet some conditions, and one in full. Plain JSON values, for every front door."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from hdfs_pipeline.domains import DOMAINS, domain_named
from hdfs_pipeline.errors import UsageError, unknown
from hdfs_pipeline.scoring.incidents import STATUSES
from hdfs_pipeline.scoring.severity import SEVERITIES
from hdfs_pipeline.store.store import Connection, Store, dicts
from hdfs_pipeline.verdicts.incidents import incident_json
from hdfs_pipeline.verdicts.members import members_of, peers_of, timeline_of
from hdfs_pipeline.verdicts.words import the_incident

SHORT: Final = 8
"""Hexadecimal digits of an incident's id that people are shown; any unique beginning is understood."""
BY_GRAVITY: Final = f"list_position([{', '.join(repr(name) for name in SEVERITIES)}], severity) DESC, started_at, id"
"""SQL: the order of incidents, the gravest first, then by their beginning."""
_EXAMPLES: Final = 3
_EXAMPLE: Final = ("item", "kind", "score", "reason")
_WORD: Final = ("action", "note", "given_by", "given_at")
_WORDS: Final = "SELECT action, note, given_by, given_at FROM incident_words WHERE incident = ? ORDER BY given_at"


@dataclass(frozen=True)
class Wanted:
    """Which incidents are meant: those that meet every condition that is given.

    Those of a span of time ended at `since` or later, and began at `until` or earlier.

    Raises: UsageError for a status that there is not.
    """

    status: Sequence[str] = ()
    domain: str = ""
    entity: str = ""
    kind: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for status in self.status:
            if status not in STATUSES:
                raise UsageError(unknown("status", status, STATUSES))

    def condition(self) -> tuple[str, list[Any]]:
        """The condition as SQL, and its parameters. An entity goes by its other names too, and a kind by part of it."""
        given: dict[str, Any] = {
            "list_contains(?::VARCHAR[], status)": [*self.status] or None,
            "domain = ?": self.domain or None,
            "entity IN (SELECT entity FROM entities WHERE alias = ?1 UNION SELECT ?1)": self.entity or None,
            "contains(lower(kind || json_keys(kinds)::VARCHAR), lower(?))": self.kind or None,
            "ended_at >= ?": self.since,
            "started_at <= ?": self.until,
        }
        parts, parameters = ["true"], []
        for part, value in given.items():
            if value is not None:
                parameters.append(value)
                parts.append(part.replace("?1", "?").replace("?", f"${len(parameters)}"))
        return " AND ".join(parts), parameters


def list_incidents(
    store: Store, wanted: Wanted, limit: int | None = None, offset: int = 0
) -> tuple[int, list[dict[str, Any]]]:
    """The number of incidents that are meant, and `limit` of them after the `offset` latest, the latest first.

    Raises: UsageError for a domain of which there are none and never will be.
    """
    where, parameters = wanted.condition()
    with store.read() as con:
        known = {*DOMAINS, *(name for (name,) in con.execute("SELECT DISTINCT domain FROM incidents").fetchall())}
        if wanted.domain and wanted.domain not in known:
            raise UsageError(unknown("domain", wanted.domain, sorted(known)))
        number = con.execute(f"SELECT count(*) FROM incidents WHERE {where}", parameters).fetchall()[0][0]
        order = f"WHERE {where} ORDER BY started_at DESC, id"
        return int(number), rows(con, order, parameters, limit, offset)


def changed_since(store: Store, since: datetime) -> list[dict[str, Any]]:
    """The incidents that changed at a time or later, those that changed first before the others."""
    with store.read() as con:
        return rows(con, "WHERE changed_at >= ? ORDER BY changed_at, id", [since])


def rows(
    con: Connection, clauses: str, parameters: Sequence[Any] = (), limit: int | None = None, offset: int = 0
) -> list[dict[str, Any]]:
    """The incidents that a query gives, as plain values; a title stands in where the domain gave none."""
    most = "" if limit is None else f" LIMIT {int(limit)} OFFSET {int(offset)}"
    found = (incident_json(row) for row in dicts(con, f"FROM incidents {clauses}{most}", parameters))
    return [row | {"title": row["title"] or _title(row)} for row in found]


def _title(row: Mapping[str, Any]) -> str:
    return " · ".join(filter(None, (row["kind"] or "anomalous", row["entity"], counted(row["domain"], row["items"]))))


def counted(domain: str, count: int) -> str:
    """A number of items of a domain, by their name; incidents may also be of what is no domain, as of the watcher."""
    noun, plural = "item", "items"
    if domain in DOMAINS:
        item = domain_named(domain).item
        noun, plural = item.noun, item.plural
    return f"{count:,} {noun if count == 1 else plural}"


def whole_incident(store: Store, text: str) -> dict[str, Any]:
    """The incident whose id begins with `text`, with what belongs to it.

    Beside the columns of the table: `words` (action, note, given_by, given_at), `related` as id, title, status and
    started_at each, `examples` (item, kind, score, reason) among its items, `timeline` and `peers` as
    `verdicts.members` has them.
    Raises: NotFoundError where no incident or several have such an id.
    """
    with store.read() as con:
        identity = the_incident(con, text)[0]
        (found,) = rows(con, "WHERE id = ?", [identity])
        words = [dict(zip(_WORD, word, strict=True)) for word in con.execute(_WORDS, [identity]).fetchall()]
        near = rows(con, "WHERE list_contains(?::VARCHAR[], id) ORDER BY started_at, id", [found["related"]])
        examples = [{name: row[name] for name in _EXAMPLE} for row in members_of(con, found, _EXAMPLES)]
        pictures = {"timeline": timeline_of(con, found), "peers": peers_of(con, found)}
    for word in words:
        word["given_at"] = word["given_at"].astimezone(UTC).isoformat(timespec="seconds")
    short = ("id", "title", "status", "started_at")
    return (
        found
        | pictures
        | {
            "words": words,
            "related": [{name: row[name] for name in short} for row in near],
            "examples": examples,
        }
    )
