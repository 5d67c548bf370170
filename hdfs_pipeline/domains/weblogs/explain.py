"""What is shown of a request beside its score: names and words for its features, when and where it was, its line."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hdfs_pipeline.domains.contract import Facts, Place
from hdfs_pipeline.domains.weblogs.columns import BYTES, COLUMNS, FLAG, MILLISECONDS, OF_SERVER, UNKNOWN
from hdfs_pipeline.domains.weblogs.item import REQUEST
from hdfs_pipeline.scoring.explain import Difference, Vocabulary
from hdfs_pipeline.store.store import Store, dicts

NETWORK_SQL: Final = r"""CASE
    WHEN regexp_full_match(client, '\d+\.\d+\.\d+\.\d+') THEN regexp_replace(client, '\.\d+$', '.0/24')
    WHEN contains(client, ':') THEN array_to_string(list_transform(list_resize(string_split(
        if(contains(client, '::'), split_part(client, '::', 1) || ':0:0:0', client), ':'), 3, '0'),
        lambda part: if(part = '', '0', part)), ':') || '::/48'
    ELSE client END"""
"""SQL of the network of `client`: /24 of IPv4, /48 of IPv6; a host name as it is."""
_IPV4: Final = re.compile(r"[0-9]+(\.[0-9]+){3}")
_ONLY: Final = "request_id IN (SELECT unnest($keys::BIGINT[]))"
_UNITS: Final = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"))


def vocabulary() -> Vocabulary:
    """The names of the columns; a difference as people say it; an anomaly that breaks no rule by what stands out."""
    return Vocabulary(
        lambda column: COLUMNS[column].name if column in COLUMNS else column,
        REQUEST.noun,
        REQUEST.alike,
        severity=lambda column: "notable" if column == "SERVER_ERROR" else "",
        new=lambda first: COLUMNS[first.event_id].kind if first.event_id in COLUMNS else "unusual request",
        say=_say,
    )


def _say(difference: Difference) -> str:
    """A difference in words: "size of the answer 4 MB, usually 16 kB"."""
    column = COLUMNS.get(difference.event_id)
    if column is None:
        return str(difference)
    if column.reads == FLAG:
        return column.name if difference.count else f"usually {column.name}"
    now, usual = (_number(value, column.reads) for value in (difference.count, difference.expected))
    return f"{column.name} {now}" + ("" if now == usual else f", usually {usual}")


def _number(value: float, reads: str) -> str:
    """A number with its unit, rounded as the features are."""
    if value % 1 == UNKNOWN:
        return "unknown"
    if reads == MILLISECONDS:
        return f"{value:g} ms" if value < 1000 else f"{value / 1000:.2g} s" if value < 1e5 else f"{value / 1000:.0f} s"
    if reads == BYTES:
        return next((f"{value / size:g} {unit}" for size, unit in _UNITS if value >= size), f"{value:g} bytes")
    return f"{value:,.0f}" if value < 4 else f"about {value:,.0f}"


def facts(store: Store, keys: Sequence[int] | None = None) -> dict[int, Facts]:
    """When requests were, of all by default: each has one record."""
    only, parameters = ("true", {}) if keys is None else (_ONLY, {"keys": list(keys)})
    with store.read() as con:
        query = f"SELECT request_id, time FROM requests WHERE {only} ORDER BY request_id"
        rows = con.execute(query, parameters).fetchall()
    return {key: Facts(time, time, 1) for key, time in rows}


def evidence(store: Store, key: int, limit: int) -> list[dict[str, Any]]:
    """The line of a request, with what it says: time, service, client, method, path, status."""
    with store.read() as con:
        return dicts(
            con,
            f"""SELECT time, service, client, method, path, status, response_us / 1000 AS response_ms, line,
                true AS telling FROM requests WHERE request_id = $key LIMIT {int(limit)}""",
            {"key": key},
        )


def places(store: Store, telling: Mapping[int, Sequence[str]]) -> dict[int, Place]:
    """Whom an anomalous request is about (see `entity_of`), its file and its time."""
    with store.read() as con:
        rows = con.execute(
            f"""SELECT request_id, client, service, endpoint, coalesce(path_of, ''), time
            FROM requests LEFT JOIN (SELECT source_id, path AS path_of FROM sources) USING (source_id) WHERE {_ONLY}""",
            {"keys": list(telling)},
        ).fetchall()
    return {
        key: Place(entity_of(client, service, endpoint, telling[key]), path, time)
        for key, client, service, endpoint, path, time in rows
    }


def entity_of(client: str, service: str, endpoint: str, telling: Sequence[str]) -> str:
    """Whom a request is about, in batch and stream.

    That is the client's network, or its service and group of paths where only columns of the server are `telling`, or
    nobody knows the client.
    """
    if client and not (telling and OF_SERVER.issuperset(telling)):
        return network_of(client)
    return f"{service} {endpoint}".strip()


def network_of(client: str) -> str:
    """The network of an address as `NETWORK_SQL` gives it."""
    if _IPV4.fullmatch(client):
        return client.rpartition(".")[0] + ".0/24"
    if ":" not in client:
        return client
    before, shortened, _ = client.partition("::")
    parts = [part or "0" for part in (before + ":0:0:0" * bool(shortened)).split(":")]
    return ":".join([*parts, "0", "0"][:3]) + "::/48"
