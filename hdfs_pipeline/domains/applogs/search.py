"""Searching the messages: by what stands in them, by who wrote them, and by the template that they match."""

from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.applogs.item import MESSAGE
from hdfs_pipeline.domains.contract import MARKS, RecordId, Sought, Told
from hdfs_pipeline.errors import UsageError, unknown
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue
from hdfs_pipeline.scoring.patterns import STEP, Pattern, Span, patterns_of, window
from hdfs_pipeline.store.store import Store, dicts

_TEXT: Final = """concat_ws(' ', nullif(r.level, ''), r.service, nullif(r.logger, '')) || ': ' || r.message
    || if(r.more = '', '', chr(10) || r.more)"""
_FOUND: Final = "source_id, position, message_id, time, host, service AS daemon, level, logger, template"


def recorded(store: Store) -> Span | None:
    """The times of the first and the last message; None where there is none."""
    with store.read() as con:
        first, last = con.execute("SELECT min(time), max(time) FROM app_logs").fetchall()[0]
    return None if first is None else (first, last)


def search(
    store: Store, timezone: str, sought: Sought, span: Span, limit: int, before: RecordId | None, among: pa.Table | None
) -> pa.Table:
    """See `Domain.search`; the times of lines are written in `timezone`."""
    values: dict[str, Any] = {"begin": span[0], "end": span[1], "timezone": timezone}
    where = ["r.time >= $begin", "r.time < $end"]
    if before is not None:
        where.append("(r.time, r.source_id, r.position) < ($time, $source, $position) AND r.time <= $time")
        values |= {"time": before.time, "source": before.source_id, "position": before.position}
    if among is not None:
        where.append("(r.source_id, r.position) IN (SELECT (source_id, position) FROM among)")
    if sought.host:
        where.append("lower($host) IN (lower(r.host), lower(r.service))")
        values["host"] = sought.host
    if sought.levels:
        where.append("list_contains($levels::VARCHAR[], r.level)")
        values["levels"] = [*sought.levels]
    if sought.logger:
        where.append("contains(lower(r.logger), lower($logger))")
        values["logger"] = sought.logger
    if sought.item:
        where.append("r.message_id = $item")
        values["item"] = MESSAGE.parse(sought.item)
    text = f"translate({_TEXT}, '{MARKS}', '')"
    for number, expression in enumerate(sought.expressions):
        where.append(f"regexp_matches({_TEXT}, $expression{number})")
        values[f"expression{number}"] = expression
    if sought.expressions:
        text = f"regexp_replace({text}, $any, '{MARKS[0]}\\0{MARKS[1]}', 'g')"
        values["any"] = "|".join(f"(?:{expression})" for expression in sought.expressions)
    asked = f"""SELECT {_FOUND}, strftime(timezone($timezone, r.time), '%Y-%m-%d %H:%M:%S,%g') || ' ' || {text} AS line
        FROM app_logs r WHERE {" AND ".join(where)}
        ORDER BY r.time DESC, r.source_id DESC, r.position DESC LIMIT {int(limit)}"""
    with store.read() as con:
        if among is not None:
            con.register("among", among)
        try:
            return con.sql(asked, params=values).to_arrow_table()
        finally:
            con.unregister("among")


def told(catalogue: Catalogue | None, records: pa.Table) -> list[Told]:
    """See `Domain.told`: the template of each message, and the message."""
    rows = zip(records["template"].to_pylist(), records["message_id"].to_pylist(), strict=True)
    return [
        Told(
            event := template if catalogue is not None and template in catalogue.by_id else "",
            catalogue.describe(event) if catalogue is not None and event else "",
            (MESSAGE.show(key),),
        )
        for template, key in rows
    ]


def matching(store: Store, catalogue: Catalogue | None, template: str, span: Span) -> pa.Table:
    """See `Domain.matching`."""
    columns = () if catalogue is None else catalogue.columns
    if template not in columns:
        raise UsageError(unknown("template", template, columns) if columns else "no templates were learned yet")
    with store.read() as con:
        return con.sql(
            "SELECT source_id, position FROM app_logs WHERE template = $template AND time >= $begin AND time < $end",
            params={"template": template, "begin": span[0], "end": span[1]},
        ).to_arrow_table()


def patterns(store: Store, catalogue: Catalogue | None, span: Span, steps: int) -> list[Pattern]:
    """See `Domain.patterns`."""
    if catalogue is None:
        return []
    with store.read() as con:
        rows = dicts(
            con,
            f"""SELECT if(template = '', '{UNKNOWN}', template) AS event_id, {STEP} AS step, count(*) AS records,
                min(time) AS first_time, max(time) AS last_time
            FROM app_logs WHERE time < $end GROUP BY ALL""",
            window(span, steps),
        )
    return patterns_of(rows, catalogue, steps)
