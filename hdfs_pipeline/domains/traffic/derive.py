"""`requests` into `request_windows`: the minutes in which requests are new, and what rests on them.

The minutes of a service are counted once they are over: its latest request, or the latest one of all services, less the
allowed lateness, lies behind them. What comes later changes them, and the baselines of the hour after. Windows whose
requests were removed, since they were kept long enough, stay as they are.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.lines import last_change as last_request
from hdfs_pipeline.domains.traffic.item import DOMAIN, KEY_SQL
from hdfs_pipeline.scoring.judged import forget
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.counters import counter, next_number
from hdfs_pipeline.store.store import Connection, Store, publish_into

MINUTE_US: Final = 60_000_000
HOUR_BEFORE: Final = 60  # minutes on which a window rests
_TAKEN: Final = "traffic_requests_revision"
"""Key of `meta`: the revision of `requests` up to which they were counted."""
_REVISION: Final = "traffic_revision"
"""Key of `meta`: number of the last change of `request_windows`."""
_PIECE: Final = 240  # minutes that are counted at a time
_LEAST: Final = -(1 << 40)
SERVICE_SQL: Final = r"coalesce(nullif(regexp_replace(service, '[\x00-\x20\x7f]', '_', 'g'), ''), '-')"
"""SQL of the name of a row's service as windows write it."""
_STALE: Final = f"""SELECT {SERVICE_SQL} AS service, list(DISTINCT epoch_us(time) // {MINUTE_US}) AS minutes,
        max(epoch_us(time)) AS latest
    FROM requests WHERE revision > $taken AND time IS NOT NULL GROUP BY ALL ORDER BY service"""
_LATE: Final = f"""WITH fresh AS (
        SELECT source_id, position, {SERVICE_SQL} AS service, endpoint, epoch_us(time) AS stamp
        FROM requests WHERE revision > $taken AND time IS NOT NULL),
    before AS (SELECT source_id, {SERVICE_SQL} AS service, max(epoch_us(time)) AS mark FROM requests
        SEMI JOIN fresh USING (source_id) WHERE revision <= $taken GROUP BY ALL),
    marked AS (SELECT fresh.*, greatest(coalesce(mark, 0), coalesce(max(stamp) OVER (
            PARTITION BY source_id, service ORDER BY position
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)) AS mark
        FROM fresh LEFT JOIN before USING (source_id, service))
    SELECT service, endpoint, stamp // {MINUTE_US} AS minute, count(*) AS late FROM marked
    WHERE (stamp // {MINUTE_US} + 1) * {MINUTE_US} + $lateness <= mark GROUP BY ALL"""
_REQUESTS: Final = f"""SELECT time, $service AS service, endpoint, status, bytes, response_us, client FROM requests
    WHERE time >= make_timestamptz($begin) AND time < make_timestamptz($end) AND {SERVICE_SQL} = $service
    ORDER BY source_id, position"""
_STORED: Final = """SELECT * EXCLUDE (revision) FROM request_windows WHERE service = $service
    AND minute >= make_timestamptz($begin) AND minute < make_timestamptz($end)"""
_NAMES: Final = f"""SELECT DISTINCT service, endpoint, epoch_us(minute) // {MINUTE_US} // 1440 * 1440
    FROM request_windows WHERE service = $service AND requests > 0
    AND minute >= make_timestamptz($begin) AND minute < make_timestamptz($end)"""


def bring_up_to_date(store: Store, settings: Settings) -> int:
    """Count the windows anew in which requests are new, and those that are over now; returns how many changed.

    Counting twice changes nothing. The verdicts on windows that are no more go with them.
    """
    with store.read() as con:
        taken = counter(con, _TAKEN)
        latest = con.execute("SELECT coalesce(max(revision), 0) FROM requests").fetchall()[0][0]
        if latest <= taken:
            return 0
        stale = {row[0]: row[1:] for row in con.execute(_STALE, {"taken": taken}).fetchall()}
        done: dict[str, int] = dict(
            con.execute(f"SELECT service, epoch_us(done) // {MINUTE_US} FROM traffic_services").fetchall()
        )
        late = _late(con, taken, settings)
        until = con.execute("SELECT epoch_us(max(time)) FROM requests").fetchall()[0][0]
        over = (until - round(settings.web_lateness_s * 1e6)) // MINUTE_US
        changes = []
        for service in sorted({*stale, *done}):
            minutes, _ = stale.get(service, ((), 0))
            for begin, end in _runs(minutes, done.get(service), over):
                changes.append((service, begin, end, _counted(con, service, begin, end, late)))
            done[service] = max(done.get(service, over), over)
    with store.write() as con:
        _publish(con, changes, next_number(con, _REVISION))
        ends = {"service": [*done], "done": pa.array([m * MINUTE_US for m in done.values()], pa.int64())}
        table = pa.table(ends).set_column(1, "done", ends["done"].cast(pa.timestamp("us", "UTC")))
        publish_into(con, "traffic_services", table, replace="true")
        con.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [_TAKEN, str(latest)])
    return sum(len(rows) for *_, rows in changes)


def requests_wait(store: Store) -> bool:
    """Whether there are requests that were not counted yet."""
    if not store.path.exists():
        return False
    with store.read() as con:
        return counter(con, _TAKEN) < last_request(con, "requests")


def last_change(con: Connection) -> int:
    """The number of the last change; 0 before the first."""
    return counter(con, _REVISION)


def changed_since(con: Connection, revision: int) -> list[str]:
    """The windows that changed after `revision`."""
    rows = con.execute(f"SELECT {KEY_SQL} AS key FROM request_windows WHERE revision > ? ORDER BY key", [revision])
    return [key for (key,) in rows.fetchall()]


def forget_counted(con: Connection) -> None:
    """Have all windows counted anew whose requests are still there."""
    con.execute(
        """DELETE FROM request_windows WHERE minute >= (SELECT time_bucket(INTERVAL 1 MINUTE, min(time)) FROM requests)
        AND EXISTS (FROM requests)"""
    )
    con.execute("DELETE FROM traffic_services")
    con.execute("DELETE FROM meta WHERE key = ?", [_TAKEN])


def _late(con: Connection, taken: int, settings: Settings) -> dict[tuple[str, int], dict[str, int]]:
    """How many of the new requests came after their minute was over, by service and minute and by endpoint."""
    about = {"taken": taken, "lateness": round(settings.web_lateness_s * 1e6)}
    found: dict[tuple[str, int], dict[str, int]] = {}
    for service, endpoint, minute, count in con.execute(_LATE, about).fetchall():
        found.setdefault((service, minute), {})[endpoint] = count
    return found


def _runs(minutes: Any, done: int | None, over: int) -> Iterator[tuple[int, int]]:
    """The spans of minutes that are counted anew: those of new requests, each with the hour that rests on it."""
    spans = [(minute, minute + 1 + HOUR_BEFORE) for minute in sorted(minutes)]
    if done is not None and done < over:
        spans.append((done, over))
    begin = end = _LEAST
    for first, last in sorted(spans):
        if first > end:
            if end > begin:
                yield begin, min(end, over)
            begin, end = first, last
        end = max(end, last)
        if first >= over:
            break
    if end > begin and begin < over:
        yield begin, min(end, over)


def _times(service: str, begin: int, end: int) -> dict[str, Any]:
    return {"service": service, "begin": begin * MINUTE_US, "end": end * MINUTE_US}


def _counted(
    con: Connection, service: str, begin: int, end: int, late: Mapping[tuple[str, int], Mapping[str, int]]
) -> pa.Table:
    """The windows of a service from minute `begin` to `end`, schema `windows.WINDOWS`."""
    from hdfs_pipeline.domains.weblogs.windows import (  # compiled code, which readers do without
        WINDOWS,
        Names,
        histories_of,
        joined_histories,
        with_baselines,
    )

    names = Names()
    days = _times(service, begin // 1440 * 1440, (end // 1440 + 1) * 1440)
    names.restore(con.execute(_NAMES, days).fetchall())
    _, histories = histories_of(_stored(con, service, begin - HOUR_BEFORE, begin))
    tables = [WINDOWS.empty_table()]
    for first in range(begin, end, _PIECE):
        last = min(first + _PIECE, end)
        rows = _fuller(_stored(con, service, first, last), _summed(con, service, first, last, names, late))
        histories = joined_histories(histories, histories_of(rows)[1], first - HOUR_BEFORE)
        groups, minutes, usual = with_baselines(histories, dict.fromkeys(histories, (first, last)))
        tables.append(_with_usual(rows, groups, minutes, usual))
    return pa.concat_tables(tables)


def _stored(con: Connection, service: str, begin: int, end: int) -> pa.Table:
    from hdfs_pipeline.domains.weblogs.windows import WINDOWS

    found = con.sql(_STORED, params=_times(service, begin, end)).to_arrow_table()
    return found.select(WINDOWS.names).cast(WINDOWS)


def _summed(
    con: Connection,
    service: str,
    begin: int,
    end: int,
    names: Any,
    late: Mapping[tuple[str, int], Mapping[str, int]],
) -> pa.Table:
    """The windows with requests that are still there, without baselines; `late` are those that came late just now."""
    from hdfs_pipeline.domains.weblogs.windows import ALL, Group, Sums, named, window_table

    sums = Sums(1e9, names)
    for batch in con.sql(_REQUESTS, params=_times(service, begin, end)).to_arrow_reader(1 << 17):
        sums.add(batch)
    cells, groups, minutes, own_late = [], [], [], []
    for minute, by_endpoint in sums.slots.get(service, {}).items():
        came: dict[str, int] = {}
        for endpoint, count in late.get((service, minute), {}).items():
            for name in (names.endpoint(service, named(endpoint or ""), minute), ALL):
                came[name] = came.get(name, 0) + count
        for endpoint, cell in by_endpoint.items():
            cells.append(cell)
            groups.append(Group(service, endpoint))
            minutes.append(minute)
            own_late.append(came.get(endpoint, 0))
    counted = sums.counted(np.array(cells, np.int64))
    counted["late"] = np.array(own_late, np.int64)
    return window_table(groups, np.array(minutes, np.int64), counted, np.zeros((len(cells), 14)))


def _fuller(stored: pa.Table, summed: pa.Table) -> pa.Table:
    """Of windows that were counted before and now, each once: as it has more requests, with all that came late."""
    import pyarrow.compute as pc

    places: dict[tuple[str, Any], int] = {}
    before = list(zip(stored["endpoint"].to_pylist(), stored["minute"].to_pylist(), strict=True))
    counts, came = stored["requests"].to_pylist(), stored["late"].to_pylist()
    places = {place: at for at, place in enumerate(before)}
    late, keep, drop = summed["late"].to_pylist(), np.ones(len(summed), bool), np.zeros(len(stored), bool)
    now = zip(summed["endpoint"].to_pylist(), summed["minute"].to_pylist(), summed["requests"].to_pylist(), strict=True)
    for row, (endpoint, minute, requests) in enumerate(now):
        at = places.get((endpoint, minute))
        if at is None:
            continue
        late[row] += came[at]
        keep[row] = requests >= counts[at]
        drop[at] = keep[row]
    summed = summed.set_column(summed.column_names.index("late"), "late", pa.array(late, pa.int64()))
    left = stored.filter(pc.and_(pa.array(~drop), pc.greater(stored["requests"], 0)))
    return pa.concat_tables([summed.filter(pa.array(keep)), left])


def _with_usual(rows: pa.Table, groups: list[Any], minutes: np.ndarray, usual: np.ndarray) -> pa.Table:
    """Windows of groups and minutes with their baselines; what they counted is that of `rows`, or nothing."""
    import pyarrow.compute as pc

    from hdfs_pipeline.domains.weblogs.window_usual import COLUMNS
    from hdfs_pipeline.domains.weblogs.windows import minutes_of, window_table

    places = {
        place: at for at, place in enumerate(zip(rows["endpoint"].to_pylist(), minutes_of(rows).tolist(), strict=True))
    }
    wanted = zip(groups, minutes.tolist(), strict=True)
    at = pa.array([places.get((group.endpoint, minute)) for group, minute in wanted], pa.int64())
    counts = ("requests", "errors", "client_errors", "bytes", "clients", "timed", "late")
    own = {
        name: rows[name].take(at).combine_chunks()
        for name in rows.column_names
        if name not in ("service", "endpoint", "minute", *COLUMNS)
    }
    filled = {name: pc.fill_null(column, 0) if name in counts else column for name, column in own.items()}
    return window_table(groups, minutes, filled, usual)


def _publish(con: Connection, changes: list[tuple[str, int, int, pa.Table]], revision: int) -> None:
    """Put the windows of spans in the place of those that there are, and forget what is no more."""
    for service, begin, end, rows in changes:
        span = [service, datetime.fromtimestamp(begin * 60, UTC), datetime.fromtimestamp(end * 60, UTC)]
        which = "service = ? AND minute >= ? AND minute < ?"
        before = {
            key for (key,) in con.execute(f"SELECT {KEY_SQL} FROM request_windows WHERE {which}", span).fetchall()
        }
        numbered = rows.append_column("revision", pa.repeat(pa.scalar(revision, pa.int64()), len(rows)))
        publish_into(con, "request_windows", numbered, replace=which, parameters=span)
        after = {key for (key,) in con.execute(f"SELECT {KEY_SQL} FROM request_windows WHERE {which}", span).fetchall()}
        forget(con, DOMAIN, sorted(before - after))
