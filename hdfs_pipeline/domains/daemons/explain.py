"""What is shown of a daemon's minute beside its score: the names of its records, times, where, and the records."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.contract import Facts, Place
from hdfs_pipeline.domains.daemons.catalogue import BLOCKS, CRASHED, KINDS, RESTARTED, SILENT, START, described
from hdfs_pipeline.domains.daemons.item import MINUTE, take_apart
from hdfs_pipeline.domains.daemons.minutes import OF_ITEMS, minutes_of, told_sql
from hdfs_pipeline.domains.daemons.naming import daemon_names_sql
from hdfs_pipeline.scoring.explain import SEVERITIES, Difference, Vocabulary
from hdfs_pipeline.store.store import Store, dicts

_OWN: Final = {
    BLOCKS: "record about a block",
    RESTARTED: "start after a shutdown",
    CRASHED: "start without a shutdown before",
    SILENT: "minute of silence after it",
} | {kind.upper(): f"minute of a {kind}" for kind in KINDS}
_TEXTS: Final = pa.list_(pa.string())
_ROUTINE: Final = SEVERITIES[0]


def vocabulary() -> Vocabulary:
    """The names of the catalogue's templates; of an anomaly that breaks no rule, how it differs from its baseline."""
    catalogue = described().catalogue
    return Vocabulary(
        lambda column: _OWN.get(column) or catalogue.describe(column),
        MINUTE.noun,
        MINUTE.alike,
        severity=lambda column: _ROUTINE if column in _OWN else catalogue.severity(column),
        cause=catalogue.cause,
        new=_new,
    )


def _new(first: Difference) -> str:
    if first.kind == "extra":
        return f"new pattern: {first.name}"
    return f"pattern {'stopped' if first.kind == 'missing' else 'doubled'}: {first.name}"


def facts(store: Store, keys: Sequence[str] | None = None) -> dict[str, Facts]:
    """Times and number of records of daemon minutes, of all by default."""
    told, only, parameters = told_sql(), "", {}
    if keys is not None:
        told, only = told_sql(OF_ITEMS), "WHERE key IN (SELECT unnest($keys::VARCHAR[]))"
        parameters = {"keys": list(keys), "minutes": minutes_of(keys)}
    with store.read() as con:
        rows = con.execute(
            f"""SELECT key, min(first_time), max(last_time), sum(records)::BIGINT FROM ({told}) {only}
            GROUP BY key ORDER BY key""",
            parameters,
        ).fetchall()
    return {key: Facts(*known) for key, *known in rows}


def places(store: Store, telling: Mapping[str, Sequence[str]]) -> dict[str, Place]:
    """The daemon of each minute, and file and times of its telling records, or of its last where silence tells.

    Where no record is telling, those of all of the minute.
    """
    starts = [t.event_id for t in described().catalogue.templates if t.stage == START]
    events = {
        key: [*columns, *(starts if {CRASHED, RESTARTED} & set(columns) else ())] for key, columns in telling.items()
    }
    silent = [key for key, columns in telling.items() if SILENT in columns]
    wanted = pa.table({"key": pa.array(events, pa.string()), "telling": pa.array(events.values(), _TEXTS)})
    with store.read() as con:
        con.register("wanted_minutes", wanted)
        try:
            rows = dicts(
                con,
                f"""SELECT key, any_value(entity) AS entity, coalesce(arg_min(path, first_time) FILTER (tells),
                    arg_min(path, first_time)) AS path, min(first_time) FILTER (tells) AS first,
                    max(last_time) FILTER (tells) AS last, min(first_time) AS first_time, max(last_time) AS last_time
                FROM (SELECT *, list_contains(telling, event_id) AS tells FROM ({told_sql(OF_ITEMS)})
                    JOIN wanted_minutes USING (key)) GROUP BY key""",
                {"minutes": minutes_of(telling)},
            )
        finally:
            con.unregister("wanted_minutes")
    return {row["key"]: _place(row, silent=row["key"] in silent) for row in rows}


def _place(row: Mapping[str, Any], *, silent: bool) -> Place:
    if silent:
        return Place(row["entity"], row["path"], row["last_time"], row["last_time"])
    first = row["first"] or row["first_time"]
    return Place(row["entity"], row["path"], first, row["last"] or row["last_time"])


def evidence(store: Store, timezone: str, key: str, limit: int, telling: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The records of a daemon's minute in the order of time, their stamps in the daemons' `timezone`.

    Each record has time, host, daemon, event_id, line, and whether it is `telling`. If there are more than `limit`,
    telling ones come first.
    """
    kind, entity, minute, topic = take_apart(key)
    known = described()
    starts = [t.event_id for t in known.catalogue.templates if t.stage == START]
    told = [*telling, *(starts if {CRASHED, RESTARTED} & set(telling) else ())]
    apart = [event for event, about in known.apart.items() if topic in ("", about)]
    only = f"{'' if topic else 'NOT'} list_contains($apart, e.event_id)"
    written = "(SELECT * FROM raw_logs WHERE time >= $begin AND time < $end)"
    span = {"begin": minute, "end": minute + timedelta(minutes=1)}
    with store.read() as con, known.named(con, written, span):
        return dicts(
            con,
            f"""SELECT * EXCLUDE (source_id, position) FROM (
                SELECT e.time, s.host, s.daemon, e.event_id, list_contains($telling, e.event_id) AS telling,
                    strftime(timezone($timezone, r.time), '%Y-%m-%d %H:%M:%S,%g') || r.origin || r.message
                    || CASE WHEN r.more = '' THEN '' ELSE chr(10) || r.more END AS line, source_id, position
                FROM named_records e JOIN {written} r USING (source_id, position)
                JOIN sources s USING (source_id) JOIN ({daemon_names_sql()}) d USING (source_id)
                WHERE if(e.node = '', d.kind, {known.kind_sql("e.event_id")}) = $kind
                AND if(e.node = '', d.entity, e.node) = $entity AND {only}
                ORDER BY telling DESC, e.time, source_id, position LIMIT {limit}
            ) ORDER BY time, source_id, position""",
            span
            | {
                "kind": kind,
                "entity": entity,
                "apart": apart,
                "telling": told,
                "timezone": timezone,
            },
        )
