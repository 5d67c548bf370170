"""Whose records the counted minutes are, and when a daemon was silent or started again."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.daemons.catalogue import START, described
from hdfs_pipeline.domains.daemons.item import FORM, take_apart
from hdfs_pipeline.store.quoting import quoted
from hdfs_pipeline.store.store import Connection

_HISTORY: Final = 10
"""Minutes with records that a daemon must have had before its silence means anything."""
_LONGER: Final = 3
"""Times its longest silence before, and minutes, from which on a silence is unusual."""

_UNKNOWN: Final = "unknown"
"""The entity of records that came without a host and tell no address: of any number of daemons."""
_ANY: Final = "daemon"
"""The kind of daemon where none is known."""
_DAEMONS: Final = rf"""
    named AS (SELECT source_id, path, regexp_replace(host, '\s+', '_', 'g') AS host,
        if(regexp_full_match(lower(daemon), '[a-z_]\w*'), lower(daemon), '{_ANY}') AS kind,
        if(host = '', source_id::VARCHAR, daemon || ' ' || host) AS daemon FROM sources),
    votes AS (SELECT daemon, address, sum(records) AS records
        FROM daemon_addresses JOIN named USING (source_id) GROUP BY ALL),
    addresses AS (SELECT daemon, arg_max(address, ROW(records, address)) AS address,
            max(records) / sum(records) AS share FROM votes GROUP BY daemon),
    daemons AS (SELECT source_id, path, kind, coalesce(if(share > .5, address, NULL), nullif(host, ''),
            if(source_id < 0, NULL, nullif(regexp_extract(path, '([^/\s.]+)[^/\s]*$', 1), '')), '{_UNKNOWN}') AS entity
        FROM named LEFT JOIN addresses USING (daemon))"""
"""The kind and the entity of each source's daemon: the address that most of its records tell, else its host or file."""


def told_sql() -> str:
    """SELECT of the rows of `daemon_minutes` with `kind` and `entity` of the daemon that they speak of, and `own`.

    `own` says whether that is the daemon that wrote them; `key` is the id of the item, and `topic` its topic.
    """
    known = described()
    kinds = " ".join(f"WHEN {quoted(event)} THEN {quoted(kind)}" for event, (kind, _) in known.nodes.items())
    topics = " ".join(f"WHEN {quoted(event)} THEN {quoted(topic)}" for event, topic in known.apart.items())
    return f"""WITH {_DAEMONS},
        spoken AS (SELECT m.* EXCLUDE (node), path, node = '' AS own, CASE event_id {topics} ELSE '' END AS topic,
            if(own, kind, CASE event_id {kinds} END) AS kind, if(own, entity, node) AS entity
            FROM daemon_minutes m JOIN daemons USING (source_id))
        SELECT *, rtrim(kind || ' ' || entity || ' ' || strftime(minute, '{FORM}') || ' ' || topic) AS key
        FROM spoken"""


def within(keys: Iterable[str]) -> tuple[datetime, datetime]:
    """The first and the last minute of some items, between which their records lie; of none the same minute twice."""
    minutes = [take_apart(key).minute for key in keys] or [datetime.fromtimestamp(0, UTC)]
    return min(minutes), max(minutes)


def daemon_names_sql() -> str:
    """SELECT of source_id, path, kind and entity of every source's daemon."""
    return f"WITH {_DAEMONS} SELECT source_id, path, kind, entity FROM daemons"


def lives(con: Connection, keys: Sequence[str] | None = None) -> pa.Table:
    """What happened around each minute of a daemon's own records: `restarted`, `crashed` and `silent`.

    `start_key` is the item of the minute's starts, `last_key` that of its last record. `silent` counts the minutes
    after it in which others wrote and the daemon did not, where that is more than three and more than three times as
    long as ever before. With `keys` only the daemons of these items are looked at.
    """
    topics = described().catalogue.templates
    starts = [t.event_id for t in topics if t.stage == START]
    stops = [t.event_id for t in topics if t.stage == "stop"]
    named = None if keys is None else sorted({" ".join(key.split()[:2]) for key in keys})
    rows = con.sql(
        f"""WITH told AS ({told_sql()}), own AS (SELECT kind || ' ' || entity AS daemon, minute,
            min(first_time) AS first_time, arg_max(key, last_time) AS last_key,
            any_value(key) FILTER (list_contains($starts, event_id)) AS start_key,
            sum(records) FILTER (list_contains($starts, event_id)) AS starts,
            min(first_time) FILTER (list_contains($starts, event_id)) AS started,
            max(last_time) FILTER (list_contains($stops, event_id)) AS stopped
            FROM told WHERE own AND entity <> '{_UNKNOWN}' AND (kind <> '{_ANY}' OR contains(entity, ':'))
                AND ($named IS NULL OR list_contains($named::VARCHAR[], daemon)) GROUP BY ALL),
        active AS (SELECT minute, row_number() OVER (ORDER BY minute) AS place
            FROM (SELECT DISTINCT minute FROM daemon_minutes WHERE node = ''))
        SELECT last_key, start_key, daemon, place, (SELECT count(*) FROM active) AS places,
            coalesce(starts, 0) AS starts,
            epoch_us(started) AS started, epoch_us(stopped) AS stopped, epoch_us(first_time) AS first_time
        FROM own JOIN active USING (minute) ORDER BY daemon, minute""",
        params={"starts": starts, "stops": stops, "named": named},
    ).to_arrow_table()
    daemon = rows["daemon"].combine_chunks().dictionary_encode().indices.to_numpy()  # rows are in their order
    first, starts_of = rows["first_time"].to_numpy(), rows["starts"].to_numpy().astype(np.int64)
    started, stopped = (rows[name].fill_null(-1).to_numpy() for name in ("started", "stopped"))
    restarted, crashed = _starts(daemon, first, starts_of, started, stopped)
    places = int(rows["places"][0].as_py()) if rows.num_rows else 0
    silent = _silences(daemon, rows["place"].to_numpy().astype(np.int64), places)
    return pa.table(
        {"start_key": rows["start_key"], "last_key": rows["last_key"]}
        | {"restarted": restarted, "crashed": crashed, "silent": silent}
    )


def _starts(
    daemon: np.ndarray, first: np.ndarray, starts: np.ndarray, started: np.ndarray, stopped: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Starts after earlier records of the same daemon, per minute (n,): with a shutdown before them, and without."""
    restarted, crashed = np.zeros(len(daemon), np.int64), np.zeros(len(daemon), np.int64)
    for at in np.flatnonzero(starts):
        begin = int(np.searchsorted(daemon, daemon[at]))
        again = starts[at] - (first[begin] >= started[at])  # the very first record is no start after earlier ones
        before = stopped[begin : at + 1]
        earlier = started[begin:at][started[begin:at] >= 0]
        last = before[(before >= 0) & (before <= started[at])].max(initial=-1)
        orderly = last >= max(earlier.max(initial=0), first[begin])
        (restarted if orderly else crashed)[at] = again
    return restarted, crashed


def _silences(daemon: np.ndarray, place: np.ndarray, places: int) -> np.ndarray:
    """Unusual silence after each minute (n,), in minutes in which others wrote.

    `place` (n,) counts the minutes in which any daemon wrote, from 1; there are `places` of them.
    """
    if not len(place):
        return place
    last = np.append(daemon[1:] != daemon[:-1], True)
    following = np.where(last, places + 1, np.append(place[1:], 0))
    gaps = following - place - 1
    begins = np.flatnonzero(np.append(True, last[:-1]))
    number = np.arange(len(place)) - np.repeat(begins, np.diff(np.append(begins, len(place))))
    longest = np.zeros(len(place), np.int64)
    for begin, end in zip(begins, np.append(begins[1:], len(place)), strict=True):
        longest[begin + 1 : end] = np.maximum.accumulate(gaps[begin : end - 1])
    unusual = (gaps > _LONGER) & (gaps > _LONGER * longest) & (number >= _HISTORY)
    return np.where(unusual, gaps, 0)
