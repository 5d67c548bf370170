"""What is shown of a traffic window beside its score: its measures in words, times, where, and raw requests."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from hdfs_pipeline.domains.contract import Facts, Place
from hdfs_pipeline.domains.traffic.derive import SERVICE_SQL
from hdfs_pipeline.domains.traffic.features import OF_MINUTES
from hdfs_pipeline.domains.traffic.item import KEY_SQL, WINDOW, take_apart
from hdfs_pipeline.domains.traffic.knowledge import MEASURES, said_of, sentence_of
from hdfs_pipeline.domains.traffic.signs import SIGNS
from hdfs_pipeline.scoring.explain import FAILURE, SEVERITIES, Difference, Vocabulary
from hdfs_pipeline.store.store import Store, dicts

_FAILED: Final = "status >= 500"
_ENDPOINT_SQL: Final = r"coalesce(nullif(regexp_replace(endpoint, '[\x00-\x20\x7f]', '_', 'g'), ''), '-')"
_OF_WINDOW: Final = f"""time >= $begin AND time < $end AND {SERVICE_SQL} = $service
    AND ($endpoint = '*' OR {_ENDPOINT_SQL} = $endpoint OR $endpoint = 'other' AND {_ENDPOINT_SQL} NOT IN (
        SELECT endpoint FROM request_windows WHERE service = $service AND minute = $begin))"""
_WORST: Final = {"SLOW": "response_us DESC NULLS LAST", "ERRATIC": "response_us DESC NULLS LAST"}
"""The order of the requests that tell of a sign; by default those that failed come first."""
# Of a service's window the endpoint whose requests stand out most by a sign.
_STANDS_OUT: Final = """SELECT service, minute, arg_max(endpoint, excess) AS endpoint, max(excess) AS excess FROM (
        SELECT r.service, r.minute, r.endpoint, CASE w.sign
            WHEN 'ERRORS' THEN errors - usual_errors / 1000 * requests
            WHEN 'DROP' THEN usual_requests - requests
            WHEN 'SLOW' THEN (mean_ms - usual_ms) * timed
            WHEN 'ERRATIC' THEN (mean_ms - usual_ms) * timed
            ELSE requests - usual_requests END AS excess
        FROM request_windows r JOIN wanted_windows w USING (service, minute) WHERE r.endpoint <> '*')
    GROUP BY ALL HAVING max(excess) > .5 * sum(greatest(excess, 0))"""


def vocabulary() -> Vocabulary:
    """The names of the measures, how they are put into words, and kinds of what differs from an hour of the week."""
    return Vocabulary(
        lambda column: MEASURES.get(column, (column, ""))[0],
        WINDOW.noun,
        WINDOW.alike,
        severity=lambda column: FAILURE if column in SIGNS and column != "ERRATIC" else SEVERITIES[0],
        new=_new,
        say=lambda difference: said_of(difference.event_id, difference.count, difference.expected),
        tell=sentence_of,
    )


def _new(first: Difference) -> str:
    """The kind of an anomaly that breaks no rule, by its weightiest difference."""
    more = first.count > first.expected
    kinds = {
        "requests": "more traffic than usual at this hour" if more else "less traffic than usual at this hour",
        "error_share": "error rate unusual at this hour",
        "mean_ms": "response time unusual at this hour",
        "p95_ms": "response time unusual at this hour",
    }
    return kinds.get(first.event_id, f"{first.name} unusual at this hour")


def facts(store: Store, keys: Sequence[str] | None = None) -> dict[str, Facts]:
    """Times and number of requests of windows, of all by default; of a silent one those of its minute."""
    only, parameters = "true", {}
    if keys is not None:
        only = f"{OF_MINUTES} AND key IN (SELECT unnest($keys::VARCHAR[]))"
        parameters = {"keys": list(keys), "minutes": sorted({take_apart(key).minute for key in keys})}
    with store.read() as con:
        rows = con.execute(
            f"""SELECT key, coalesce(first_time, minute), coalesce(last_time, minute), requests
            FROM (SELECT *, {KEY_SQL} AS key FROM request_windows) WHERE {only} ORDER BY key""",
            parameters,
        ).fetchall()
    return {key: Facts(*known) for key, *known in rows}


def evidence(store: Store, key: str, limit: int, telling: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The first requests of a window in the order of time; of `telling` signs those that show them worst.

    Each has time, service, client, status, response_ms, line, and whether it is `telling`.
    """
    minute, service, endpoint = take_apart(key)
    worst = [next((_WORST[sign] for sign in telling if sign in _WORST), f"{_FAILED} DESC")] if telling else []
    order = ", ".join([*worst, "time", "source_id", "position"])
    tells = "false" if not telling else _FAILED if "ERRORS" in telling else "true"
    about = {"begin": minute, "end": minute + timedelta(minutes=1), "service": service, "endpoint": endpoint}
    with store.read() as con:
        return dicts(
            con,
            f"""SELECT * EXCLUDE (source_id, position) FROM (
                SELECT time, service, client, status, response_us / 1000 AS response_ms, endpoint,
                    {tells} AS telling, line, source_id, position
                FROM requests WHERE {_OF_WINDOW} ORDER BY {order} LIMIT {limit}
            ) ORDER BY time, source_id, position""",
            about,
        )


def places(telling: Mapping[str, Sequence[str]]) -> dict[str, Place]:
    """The service of each window, whose trouble lasts all of its minute."""
    found = {}
    for key in telling:
        minute, service, _ = take_apart(key)
        found[key] = Place(service, "", minute, minute + timedelta(minutes=1))
    return found


def standing_out(store: Store, signs: Mapping[str, str]) -> dict[str, str]:
    """Of windows of whole services, by the first sign of each, the endpoint that has most of the trouble, if any."""
    import pyarrow as pa

    wanted = [(key, *take_apart(key), sign) for key, sign in signs.items()]
    whole = [row for row in wanted if row[3] == "*"]
    found = {row[0]: row[3] for row in wanted if row[3] != "*"}
    if not whole:
        return found
    columns = zip(("key", "minute", "service", "sign"), zip(*((r[0], r[1], r[2], r[4]) for r in whole), strict=True),
                  strict=True)  # fmt: skip
    table = pa.table({name: list(values) for name, values in columns})
    with store.read() as con:
        con.register("wanted_windows", table)
        try:
            rows = con.execute(
                f"SELECT key, s.endpoint FROM ({_STANDS_OUT}) s JOIN wanted_windows USING (service, minute)"
            )
            return found | dict(rows.fetchall())
        finally:
            con.unregister("wanted_windows")
