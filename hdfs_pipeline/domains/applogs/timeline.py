"""The messages of a home over any length of time: by service, level and template, and one by one, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hdfs_pipeline.domains.applogs.bursts import GRAVE
from hdfs_pipeline.domains.applogs.item import MESSAGE
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.store.store import Store, dicts

POINTS: Final = 720
"""Steps of time of a picture, unless somebody asks for another number."""
MINUTE: Final = timedelta(minutes=1)
LINES: Final = 6
"""Services that have a line of their own in a picture; further ones share the last."""
OTHERS: Final = "all others"
_GRAVE: Final = f"level IN ({', '.join(repr(each) for each in sorted(GRAVE))})"
_SERVICES: Final = """SELECT service, count(*) AS messages, count(*) FILTER ({grave}) AS errors,
        min(time) AS first_time, max(time) AS last_time
    FROM app_logs WHERE {of} GROUP BY service ORDER BY messages DESC, service"""
_COUNTS: Final = """SELECT if(list_contains($lines::VARCHAR[], service), service, $others) AS line,
        (epoch_us(time) - epoch_us($begin::TIMESTAMPTZ)) // $step AS place, count(*) AS messages,
        count(*) FILTER ({grave}) AS errors
    FROM app_logs WHERE {of} GROUP BY ALL"""
_TEMPLATES: Final = """SELECT template, any_value(message) AS example, list(place) AS places, list(counted) AS counts,
        sum(counted)::BIGINT AS messages, sum(grave)::BIGINT AS errors, list_sort(list_distinct(flatten(list(names))))
        AS services, max(latest) AS last_time
    FROM (SELECT if(template = '{unknown}', '', template) AS template,
            (epoch_us(time) - epoch_us($begin::TIMESTAMPTZ)) // $step AS place, count(*) AS counted,
            count(*) FILTER ({grave}) AS grave, list(DISTINCT service) AS names, any_value(message) AS message,
            max(time) AS latest
        FROM app_logs WHERE {of} GROUP BY ALL)
    GROUP BY template ORDER BY errors DESC, messages DESC, template LIMIT $limit"""
_SHOWN: Final = "message_id, time, service, level, host, logger, message, more, template"


@dataclass(frozen=True)
class Chosen:
    """Which messages are meant: those of a span of time, and where they are named of some services and levels."""

    span: Span
    services: Sequence[str] = ()
    levels: Sequence[str] = ()

    def condition(self) -> tuple[str, dict[str, Any]]:
        """It as SQL, and its parameters."""
        parts = ["time >= $begin AND time < $end"]
        given: dict[str, Any] = {"begin": self.span[0], "end": self.span[1]}
        for name, values in (("service", self.services), ("level", self.levels)):
            if values:
                parts.append(f"list_contains(${name}s::VARCHAR[], {name})")
                given[f"{name}s"] = [*values]
        return " AND ".join(parts), given


def services(store: Store, chosen: Chosen) -> list[dict[str, Any]]:
    """The services that wrote, the busiest first: `service`, `messages`, `errors`, `first_time`, `last_time` (UTC)."""
    of, given = chosen.condition()
    with store.read() as con:
        return dicts(con, _SERVICES.format(grave=_GRAVE, of=of), given)


def levels(store: Store, span: Span) -> dict[str, int]:
    """How many messages of a span of time have each level."""
    of, given = Chosen(span).condition()
    with store.read() as con:
        rows = con.execute(f"SELECT level, count(*) FROM app_logs WHERE {of} GROUP BY level ORDER BY level", given)
        return dict(rows.fetchall())


def message_lines(store: Store, chosen: Chosen, points: int = POINTS) -> dict[str, Any]:
    """Messages and errors a minute by service, in `points` steps at most.

    `times` are the beginnings of k steps of `step_s` seconds, in ISO 8601. `services` has an entry for each of the
    `LINES` busiest services, or one less and `OTHERS`: `messages` and `errors` by minute, k values, the means of a
    step's minutes. `total` counts both in all of the span.
    """
    begin = _floor(chosen.span[0])
    minutes = max(-(-(chosen.span[1] - begin) // MINUTE), 1)
    each = -(-minutes // points)
    steps = -(-minutes // each)
    known = services(store, chosen)
    drawn = [row["service"] for row in known[: LINES if len(known) <= LINES else LINES - 1]]
    of, given = chosen.condition()
    about = given | {"begin": begin, "lines": drawn, "others": OTHERS, "step": each * (MINUTE // timedelta.resolution)}
    with store.read() as con:
        rows = con.execute(_COUNTS.format(grave=_GRAVE, of=of), about).fetchall()
    names = [*drawn, *([OTHERS] if len(known) > len(drawn) else [])]
    lines = {name: {"messages": [0.0] * steps, "errors": [0.0] * steps} for name in names}
    for name, place, messages, errors in rows:
        lines[name]["messages"][place] += messages
        lines[name]["errors"][place] += errors
    for line in lines.values():
        for name, values in line.items():
            line[name] = [round(value / each, 4) for value in values]
    return {
        "times": [(begin + at * each * MINUTE).astimezone(UTC).isoformat() for at in range(steps)],
        "step_s": each * 60.0,
        "services": [{"service": name} | lines[name] for name in names],
        "total": {name: sum(row[name] for row in known) for name in ("messages", "errors")},
    }


def templates(
    store: Store, catalogue: Catalogue | None, chosen: Chosen, steps: int = 24, limit: int = 50
) -> list[dict[str, Any]]:
    """The templates of messages, those with the most errors first, then the most frequent ones.

    Each has `template` (id; '' for messages that match none), `name`, `messages`, `errors`, `counts` (one for each of
    `steps`), `services`, `example` (a message) and `last_time`.
    """
    of, given = chosen.condition()
    step = max((chosen.span[1] - chosen.span[0]) // timedelta.resolution // steps + 1, 1)
    with store.read() as con:
        rows = dicts(
            con, _TEMPLATES.format(grave=_GRAVE, of=of, unknown=UNKNOWN), given | {"step": step, "limit": limit}
        )
    return [_template(row, catalogue, steps) for row in rows]


def _template(row: dict[str, Any], catalogue: Catalogue | None, steps: int) -> dict[str, Any]:
    counts = [0] * steps
    for place, number in zip(row.pop("places"), row["counts"], strict=True):
        counts[place] += number
    known = catalogue is not None and row["template"] in catalogue.by_id
    name = catalogue.describe(row["template"]) if catalogue is not None and known else "of no known template"
    return row | {"counts": counts, "name": name, "template": row["template"] if known else ""}


def newest_messages(
    store: Store, chosen: Chosen, limit: int, offset: int = 0, items: Sequence[str] | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """How many messages there are, and `limit` of them after the `offset` newest; with `items` only those among them.

    Each has `item` (its id), `time` in ISO 8601, `service`, `level`, `host`, `logger`, `message`, `more` (its further
    lines) and `template`.
    """
    where, given = chosen.condition()
    if items is not None:
        where += " AND message_id IN (SELECT unnest($keys::BIGINT[]))"
        given["keys"] = [MESSAGE.parse(item) for item in items]
    with store.read() as con:
        total = con.execute(f"SELECT count(*) FROM app_logs WHERE {where}", given).fetchall()[0][0]
        rows = dicts(
            con,
            f"""SELECT {_SHOWN} FROM app_logs WHERE {where}
            ORDER BY time DESC, source_id DESC, position DESC LIMIT {int(limit)} OFFSET {int(offset)}""",
            given,
        )
    return int(total), [_plain(row) for row in rows]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    item, time = MESSAGE.show(row.pop("message_id")), row.pop("time")
    return {"item": item, "time": time.astimezone(UTC).isoformat(timespec="milliseconds")} | row


def _floor(time: datetime) -> datetime:
    """The beginning of a minute."""
    return time.replace(second=0, microsecond=0)
