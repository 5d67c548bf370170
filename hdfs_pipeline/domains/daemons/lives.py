"""When a daemon was silent, or started again: kept in `daemon_lives`, in step with the minutes that were counted."""

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.daemons.catalogue import CRASHED, RESTARTED, SILENT, START, described
from hdfs_pipeline.domains.daemons.minutes import told_sql
from hdfs_pipeline.domains.daemons.naming import ANY_KIND, UNKNOWN_DAEMON
from hdfs_pipeline.store.quoting import quoted_list
from hdfs_pipeline.store.store import Connection, publish_into

_HISTORY: Final = 10
"""Minutes with records that a daemon must have had before its silence means anything."""
_LONGER: Final = 3
"""Times its longest silence before, and minutes, from which on a silence is unusual."""
_COUNTED: Final = 60
"""Minutes of a silence that are counted: what has ended need not be looked at again with each minute that others write.
"""
_STOP: Final = "stop"
# Of a daemon that nobody knows there may be many; their minutes are told from their numbers, and ids made of few.
_LIVING: Final = f"""CREATE OR REPLACE TEMP TABLE living AS
    SELECT source_id, (dense_rank() OVER (ORDER BY daemon))::INTEGER AS daemon FROM daemon_sources
    WHERE split_part(daemon, ' ', 2) <> '{UNKNOWN_DAEMON}'
    AND (split_part(daemon, ' ', 1) <> '{ANY_KIND}' OR contains(daemon, ':'))"""
_MINUTE: Final = "(epoch_us(minute) // 60_000_000)"
_SPOKE: Final = f"""SELECT coalesce(daemon, 0) AS daemon, {_MINUTE} AS minute
    FROM daemon_minutes LEFT JOIN living USING (source_id) WHERE node = ''"""
_STARTS: Final = f"""SELECT daemon, {_MINUTE} AS minute,
        coalesce(sum(records) FILTER (event_id IN ({{starts}})), 0)::BIGINT AS starts,
        coalesce(epoch_us(min(first_time) FILTER (event_id IN ({{starts}}))), -1) AS started,
        coalesce(epoch_us(max(last_time) FILTER (event_id IN ({{stops}}))), -1) AS stopped,
        any_value(epoch_us(began)) AS began
    FROM daemon_minutes JOIN living USING (source_id) JOIN (
        SELECT daemon, min(first_time) AS began FROM daemon_minutes JOIN living USING (source_id) WHERE node = ''
        GROUP BY daemon) USING (daemon)
    WHERE node = '' AND event_id IN ({{starts}}, {{stops}}) GROUP BY daemon, minute ORDER BY daemon, minute"""
_TIME: Final = "make_timestamptz(minute * 60_000_000)"
_NOW: Final = f"""WITH around AS (SELECT {_TIME} AS minute, * EXCLUDE (minute) FROM lives_now),
        own AS (SELECT daemon, minute, arg_max(key, ROW(last_time, key)) AS last_key,
                any_value(key) FILTER (event_id IN ({{starts}})) AS start_key
            FROM ({{told}}) JOIN living USING (source_id) WHERE own GROUP BY ALL),
        now AS (SELECT if(around.event_id = '{SILENT}', last_key, start_key) AS item, around.event_id, number
            FROM around JOIN own USING (daemon, minute))
    SELECT item, event_id, coalesce(n.number, 0) AS number, $revision AS revision
    FROM now n FULL JOIN daemon_lives l USING (item, event_id)
    WHERE coalesce(n.number, 0) <> coalesce(l.number, 0)"""
_REPLACE: Final = "(item, event_id) IN (SELECT (item, event_id) FROM publish_source)"


class _Starts(NamedTuple):
    """The minutes (n,) with starts or shutdowns, by daemon and time.

    `starts` is their number, `started` the first of them and `stopped` the last shutdown (-1 where there is none);
    `began` is the daemon's first record of all. Times are microseconds since 1970, and `minute` is minutes.
    """

    daemon: np.ndarray
    minute: np.ndarray
    starts: np.ndarray
    started: np.ndarray
    stopped: np.ndarray
    began: np.ndarray


def publish_lives(con: Connection, revision: int) -> None:
    """Bring `daemon_lives` up to date with `daemon_minutes`, in the transaction that changes these.

    Rows that change get the `revision`; what is no longer so stays as a row with the number 0, which tells of it.
    """
    templates = described().catalogue.templates
    names = {
        word: quoted_list([t.event_id for t in templates if t.stage == stage])
        for word, stage in (("starts", START), ("stops", _STOP))
    }
    con.execute(_LIVING)
    starts = _Starts(*_columns(con, _STARTS.format(**names)))
    again, crashed = _again(starts)
    daemon, minute = _columns(con, _SPOKE)
    active = _distinct(minute)
    daemon, place = np.divmod(_distinct(daemon * len(active) + np.searchsorted(active, minute)), max(len(active), 1))
    known = daemon > 0
    daemon, place = daemon[known], place[known]
    silent = _silences(daemon, place + 1, len(active))
    parts = [
        _events(RESTARTED, starts.daemon, starts.minute, again),
        _events(CRASHED, starts.daemon, starts.minute, crashed),
        _events(SILENT, daemon, active[place], silent),
    ]
    con.register("lives_now", pa.concat_tables(parts))
    told = told_sql(f"minute IN (SELECT {_TIME} FROM lives_now)")
    changed = con.sql(_NOW.format(told=told, **names), params={"revision": revision}).to_arrow_table()
    con.unregister("lives_now")
    publish_into(con, "daemon_lives", changed, replace=_REPLACE)
    con.execute("DROP TABLE living")


def _columns(con: Connection, sql: str) -> list[np.ndarray]:
    return [column.to_numpy().astype(np.int64) for column in con.sql(sql).to_arrow_table().columns]


def _distinct(values: np.ndarray) -> np.ndarray:
    """The distinct values in order: numpy's `unique`, which hashes, takes fifteen times as long."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]


def _events(name: str, daemon: np.ndarray, minute: np.ndarray, numbers: np.ndarray) -> pa.Table:
    some = np.flatnonzero(numbers)
    columns = {"daemon": daemon[some], "minute": minute[some], "number": numbers[some].astype(np.int64)}
    return pa.table(columns | {"event_id": pa.repeat(name, len(some))})


def _again(minutes: _Starts) -> tuple[np.ndarray, np.ndarray]:
    """Starts after earlier records of the same daemon, per minute (n,): with a shutdown before them, and without."""
    daemon, _, starts, started, stopped, began = minutes
    restarted, crashed = np.zeros(len(daemon), np.int64), np.zeros(len(daemon), np.int64)
    for at in np.flatnonzero(starts):
        begin = int(np.searchsorted(daemon, daemon[at]))
        again = starts[at] - (began[at] >= started[at])  # the very first record is no start after earlier ones
        before = stopped[begin : at + 1]
        last = before[(before >= 0) & (before <= started[at])].max(initial=-1)
        orderly = last >= max(started[begin:at].max(initial=0), began[at])
        (restarted if orderly else crashed)[at] = again
    return restarted, crashed


def _silences(daemon: np.ndarray, place: np.ndarray, places: int) -> np.ndarray:
    """Unusual silence after each minute (n,), in minutes in which others wrote, up to an hour of them.

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
    return np.where(unusual, np.minimum(gaps, _COUNTED), 0)
