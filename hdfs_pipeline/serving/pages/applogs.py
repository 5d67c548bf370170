"""The page of applications: messages and errors of services over time, their patterns, and the messages themselves."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.applogs.levels import LEVELS
from hdfs_pipeline.domains.applogs.templates import catalogue_of
from hdfs_pipeline.domains.applogs.timeline import Chosen, levels, message_lines, services, templates
from hdfs_pipeline.scoring.patterns import Span
from hdfs_pipeline.serving.home import Home, TheHome, needs
from hdfs_pipeline.serving.pages.charts import Chart, line, seconds, spread, table_rows
from hdfs_pipeline.serving.pages.render import respond
from hdfs_pipeline.serving.pages.spans import PER_PAGE, AskedSpan, Window
from hdfs_pipeline.serving.routes.applogs import marked_messages, recorded
from hdfs_pipeline.verdicts.lacks import duration
from hdfs_pipeline.verdicts.listing import Wanted, list_incidents
from hdfs_pipeline.verdicts.marked import is_judged

router = APIRouter(prefix="/applogs", include_in_schema=False)

_INCIDENTS: Final = 12
_TEMPLATES: Final = 20


class Asked(AskedSpan):
    """What the address of the page says: the window, whose messages, and which page of them."""

    path = "/applogs"
    service: str = Field("", max_length=300)
    level: list[str] = Field([], max_length=20)


@router.get("", dependencies=[needs("read")])
async def applogs(request: Request, home: TheHome, asked: Annotated[Asked, Query()]) -> Response:
    """The messages of a window, by default of the day before the latest one."""
    return await respond(request, home, "applogs.html", lambda: _values(home, asked))


def _values(home: Home, asked: Asked) -> dict[str, Any]:
    known = recorded(home)
    if known is None:
        return {"window": None, "filled_by": domain_named("applogs").filled_by}
    shown = asked.shown(known)
    if shown is None:
        return _form(asked, known, [], []) | {"shown": None}
    chosen = Chosen(shown, [asked.service] if asked.service else [], asked.level)
    with home.store.read():  # one view of the store for all questions
        lines, (number, incidents) = message_lines(home.store, chosen), _incidents(home, asked, shown)
        total, rows = marked_messages(home, chosen, asked.show == "anomalous", PER_PAGE, asked.offset)
        of_time, found = services(home.store, Chosen(shown)), levels(home.store, shown)
        return _form(asked, known, of_time, [*found]) | {
            "shown": Window(*shown).fields,
            "lines": lines,
            "charts": _charts(lines, incidents),
            "number": number,
            "incidents": incidents,
            "judged": is_judged(home.store, domain_named("applogs")),
            "anomalous": marked_messages(home, chosen, True, 1, 0)[0],
            "templates": templates(home.store, catalogue_of(home.settings), chosen, limit=_TEMPLATES),
            "rows": rows,
            **asked.pages(total),
        }


def _form(asked: Asked, known: Span, of_time: Sequence[dict[str, Any]], found: Sequence[str]) -> dict[str, Any]:
    """What the fields offer, beside what `AskedSpan.form` says."""
    names = [row["service"] for row in of_time]
    return asked.form(known) | {
        "services": of_time,
        "service_names": [*names, *({asked.service} - {"", *names})],
        "levels": [*reversed(LEVELS), *sorted({*found, *asked.level} - {"", *LEVELS})],
    }


def _incidents(home: Home, asked: Asked, shown: Span) -> tuple[int, list[dict[str, Any]]]:
    """How many incidents the window has, and the latest."""
    wanted = Wanted(domain="applogs", entity=asked.service, since=shown[0], until=shown[1])
    return list_incidents(home.store, wanted, _INCIDENTS)


def _charts(lines: dict[str, Any], incidents: Sequence[dict[str, Any]]) -> list[Chart]:
    """Messages and errors a minute by service, with incidents shaded."""
    x = [seconds(at) for at in lines["times"]]
    spans = [
        {"from": seconds(row["started_at"]), "to": seconds(row["ended_at"]), "kind": row["severity"]}
        for row in incidents
    ]
    steps = "" if lines["step_s"] <= 60 else f", on average over {duration(lines['step_s'])}"
    charts = []
    for name, title, height in (("messages", "Messages a minute", 190), ("errors", "Errors a minute", 150)):
        each: list[tuple[str, list[float]]] = [(row["service"], row[name]) for row in lines["services"]]
        most = max(each, key=lambda one: max(one[1], default=0.0), default=("", []))
        busiest = (
            f" Most of {most[0] or 'no service'}: {spread(most[1], most[1])} a minute{steps}." if any(most[1]) else ""
        )
        charts.append(
            Chart(
                name,
                f"{title}, by service",
                f"{lines['total'][name]:,} {name}.{busiest}",
                {
                    "x": x,
                    "lines": [line(service or "–", values, f"s{at}") for at, (service, values) in enumerate(each)],
                    "unit": "",
                    "height": height,
                    "sync": "applogs",
                    "brush": "window",
                    "spans": spans,
                },
                ("From (UTC)", *(service or "–" for service, _ in each)),
                table_rows(x, [(values, values) for _, values in each]),
            )
        )
    return charts
