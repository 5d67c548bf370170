"""Searching requests: by what stands in their lines, by service or client, and by group of paths and answer."""

from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.contract import MARKS, RecordId, Sought, Told
from hdfs_pipeline.domains.weblogs.item import REQUEST
from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.scoring.patterns import STEP, Pattern, Span, window
from hdfs_pipeline.store.store import Store, dicts

_LEVEL: Final = "CASE WHEN status >= 500 THEN 'ERROR' WHEN status >= 400 THEN 'WARN' ELSE 'INFO' END"
_PATTERN: Final = "(status // 100)::VARCHAR || 'xx ' || endpoint"
_TEXT: Final = f"translate(line, '{MARKS}', '')"
_SEVERITIES: Final = {"5": "failure", "4": "notable"}


def recorded(store: Store) -> Span | None:
    """The times of the first and the last request; None where there is none."""
    with store.read() as con:
        first, last = con.execute("SELECT min(time), max(time) FROM requests").fetchall()[0]
    return None if first is None else (first, last)


def search(
    store: Store, sought: Sought, span: Span, limit: int, before: RecordId | None, among: pa.Table | None
) -> pa.Table:
    """See `Domain.search`: a host is a service or a client, a logger a group of paths, a level the kind of answer."""
    values: dict[str, Any] = {"begin": span[0], "end": span[1]}
    where = ["time >= $begin", "time < $end"]
    if before is not None:
        where.append("(time, source_id, position) < ($time, $source, $position) AND time <= $time")
        values |= {"time": before.time, "source": before.source_id, "position": before.position}
    if among is not None:
        where.append("(source_id, position) IN (SELECT (source_id, position) FROM among)")
    if sought.host:
        where.append("lower($host) IN (lower(service), lower(client))")
        values["host"] = sought.host
    if sought.levels:
        where.append(f"list_contains($levels::VARCHAR[], {_LEVEL})")
        values["levels"] = [*sought.levels]
    if sought.logger:
        where.append("contains(lower(endpoint), lower($logger))")
        values["logger"] = sought.logger
    if sought.item:
        where.append("request_id = $item")
        values["item"] = REQUEST.parse(sought.item)
    text = _TEXT
    for number, expression in enumerate(sought.expressions):
        where.append(f"regexp_matches(line, $expression{number})")
        values[f"expression{number}"] = expression
    if sought.expressions:
        text = f"regexp_replace({_TEXT}, $any, '{MARKS[0]}\\0{MARKS[1]}', 'g')"
        values["any"] = "|".join(f"(?:{expression})" for expression in sought.expressions)
    with store.read() as con:
        if among is not None:
            con.register("among", among)
        try:
            return con.sql(
                f"""SELECT source_id, position, time, service AS host, client AS daemon, {_LEVEL} AS level,
                    endpoint AS logger, {text} AS line, endpoint, request_id, {_PATTERN} AS pattern
                FROM requests WHERE {" AND ".join(where)}
                ORDER BY time DESC, source_id DESC, position DESC LIMIT {int(limit)}""",
                params=values,
            ).to_arrow_table()
        finally:
            con.unregister("among")


def told(records: pa.Table) -> list[Told]:
    """See `Domain.told`: the group of paths with the kind of answer, and the request."""
    pairs = zip(records["pattern"].to_pylist(), records["request_id"].to_pylist(), strict=True)
    return [Told(pattern, pattern, (REQUEST.show(key),)) for pattern, key in pairs]


def matching(store: Store, template: str, span: Span) -> pa.Table:
    """See `Domain.matching`."""
    query = f"SELECT source_id, position FROM requests WHERE {_PATTERN} = $template AND time >= $begin AND time < $end"
    with store.read() as con:
        if not con.execute(f"SELECT 1 FROM requests WHERE {_PATTERN} = ? LIMIT 1", [template]).fetchall():
            raise UsageError(f"no request was ever answered as {template!r} says; one looks like '4xx /blog/*'")
        return con.sql(query, params={"template": template, "begin": span[0], "end": span[1]}).to_arrow_table()


def patterns(store: Store, span: Span, steps: int) -> list[Pattern]:
    """See `Domain.patterns`: how often each group of paths was answered in each way."""
    counted = f"""SELECT pattern, any_value(example) AS example, list(step) AS steps, list(records) AS counts,
            min(first_time) AS first_time, max(last_time) AS last_time FROM (
            SELECT {_PATTERN} AS pattern, {STEP} AS step, any_value(method || ' ' || path) AS example,
                count(*) AS records, min(time) AS first_time, max(time) AS last_time
            FROM requests WHERE time < $end GROUP BY ALL
        ) GROUP BY pattern ORDER BY pattern"""
    with store.read() as con:
        rows = dicts(con, counted, window(span, steps))
    return [_pattern(row, steps) for row in rows]


def _pattern(row: dict[str, Any], steps: int) -> Pattern:
    counts, before = [0] * steps, 0
    for step, records in zip(row["steps"], row["counts"], strict=True):
        if step >= 0:
            counts[step] += records
        elif step == -1:
            before += records
    name = row["pattern"]
    return Pattern(
        name,
        name,
        row["example"],
        _SEVERITIES.get(name[0], "routine"),
        tuple(counts),
        before,
        sum(row["counts"]),
        row["first_time"],
        row["last_time"],
    )
