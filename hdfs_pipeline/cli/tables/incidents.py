"""Incidents for the terminal: one a line, and one in full."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape

from hdfs_pipeline.cli.tables.style import Column, Listing, name, number
from hdfs_pipeline.domains import option_of
from hdfs_pipeline.scoring.incidents import GOING_ON
from hdfs_pipeline.verdicts.lacks import duration
from hdfs_pipeline.verdicts.listing import SHORT, counted

_SAID = {"open": ("ack", "resolve"), "acknowledged": ("resolve",)}
_SAID |= dict.fromkeys(("resolved", "expired", "suppressed"), ("reopen",))
COLOURS = {"warning": "yellow", "major": "dark_orange", "critical": "red"}


def short(identity: str) -> str:
    """The beginning of an id that people are shown."""
    return identity[:SHORT]


def incidents_table(incidents: Sequence[Mapping[str, Any]], title: str = "", *, with_status: bool = True) -> Listing:
    """Incidents, one a line, in the order that they have. Where all began on one day, it stands above their times.

    Without a column for the status, those that are acknowledged say so.
    """
    days = {row["started_at"][:10] for row in incidents}
    began, shown = (days.pop(), slice(11, 19)) if len(days) == 1 else ("began (UTC)", slice(5, 16))
    status = (name("status"),) if with_status else ()
    columns = (name(began), number("lasted"), name("severity"), *status, Column("what happened"))
    table = Listing(escape(title), (name("id"), *columns))
    for row in incidents:
        said = (row["status"],) if with_status else ()
        time, lasted = _time(row["started_at"])[shown], duration(row["duration_s"])
        known = "" if with_status or row["status"] != "acknowledged" else " [dim](acknowledged)[/]"
        table.add_row(short(row["id"]), time, lasted, severity(row), *said, escape(row["title"]) + known)
    return table


def severity(row: Mapping[str, Any]) -> str:
    """How grave an incident is, in its colour; markup."""
    return f"[{COLOURS.get(row['severity'], 'white')}]{row['severity']}[/]"


def incident_lines(row: Mapping[str, Any]) -> Iterator[str]:
    """An incident as `whole_incident` gives it; lines of markup."""
    domain, details = row["domain"], row["details"]
    yield f"[bold {COLOURS.get(row['severity'], 'white')}]{escape(row['title'])}[/]"
    span = f"{_time(row['started_at'])} to {_time(row['ended_at'])} UTC ({duration(row['duration_s'])})"
    yield from _facts(
        {
            "id": row["id"],
            "state": f"{row['status']}, {row['severity']}, since {_time(row['opened_at'])} UTC",
            "time": f"{span}, worst at {_time(row['peak_at'])}",
            "why": row["evidence"],
            "seen by": ", ".join(_seen(*pair) for pair in row["detectors"].items()),
        }
    )
    if len(row["kinds"]) > 1:
        yield from _listed("kinds", [f"{kind}: {counted(domain, count)}" for kind, count in row["kinds"].items()])
    for trait, found in (details.get("where") or {}).items():
        yield from _listed(trait, [_place(each, domain) for each in found])
    yield from _listed("metrics", [_metric(each) for each in details.get("metrics") or ()])
    yield from _listed("users", [_user(each) for each in details.get("users") or ()])
    yield from _listed("records", details.get("lines") or ())
    yield from _listed("next", row["next_steps"])
    yield from _listed("related", [_near(near) for near in row["related"]])
    yield from _listed("words", [_word(word) for word in row["words"]])
    explain = f"hdfs-pipeline explain{option_of(domain)} --"
    yield from _listed("examples", [f"{explain} {shlex.quote(each['item'])}" for each in row["examples"]])
    yield from _listed("say", [f"hdfs-pipeline incidents {word} {short(row['id'])}" for word in _SAID[row["status"]]])


def change_line(what: str, row: Mapping[str, Any], today: str) -> str:
    """What became of an incident, in one line of markup; the day is left out where it is `today` (ISO, UTC)."""
    began, ended = _time(row["started_at"]), _time(row["ended_at"])
    goes_on = row["status"] in GOING_ON
    lasted, more = duration(row["duration_s"]), ""
    if what == "opened" and not goes_on:
        what, time, more = "over", began, f", lasted {lasted}"
    elif what == "opened":
        time = began
    else:
        time, more = ended, f", {'for' if goes_on else 'after'} {lasted}"
    if not goes_on and row["status"] != "resolved":
        more += f" ({row['status']})"
    shown = time[11:] if time.startswith(today) else time
    command = f"   [dim]hdfs-pipeline incidents show {short(row['id'])}[/]"
    return f"{shown} {what:<6}  {severity(row)}  {escape(row['title'])}{more}{command}"


def _facts(facts: Mapping[str, str]) -> Iterator[str]:
    for fact, value in facts.items():
        if value:
            yield f"  [dim]{fact:<10}[/] {escape(value)}"


def _listed(fact: str, values: Sequence[str]) -> Iterator[str]:
    """A fact with several values, a line each."""
    for at, value in enumerate(values):
        yield f"  [dim]{'' if at else fact:<10}[/] {escape(value)}"


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _seen(detector: str, about: Mapping[str, Any]) -> str:
    agrees = "" if about.get("opened", True) else ", agrees"
    return f"{detector} ({about['score']:.3g}, from {about['threshold']:.3g} on{agrees})"


def _place(found: Mapping[str, Any], domain: str) -> str:
    usual = "" if found["usual"] is None else f", usually {found['usual']:.0%}"
    return f"{found['name']}: {counted(domain, found['items'])} ({found['share']:.0%}{usual})"


def _metric(metric: Mapping[str, Any]) -> str:
    arrow = {"up": "↑", "down": "↓"}.get(metric["direction"], "")
    said = f"{metric['metric']} {arrow} {metric['actual']:,.4g}, expected {metric['expected']:,.4g}"
    if metric.get("usual_rate") is not None:
        said += f"; {metric['rate']:,.4g} calls/s, usually {metric['usual_rate']:,.4g}"
    return f"{said} ({metric['share']:.0%} of what is unusual)"


def _near(near: Mapping[str, Any]) -> str:
    return f"{short(near['id'])} {near['title']}, {near['status']}, {_time(near['started_at'])}"


def _user(user: Mapping[str, Any]) -> str:
    return f"{user['user']}: {user['calls']:,.0f} {user['operation']} a minute, usually {user['usual']:,.0f}"


def _word(word: Mapping[str, Any]) -> str:
    by = f" by {word['given_by']}" if word["given_by"] else ""
    note = f": {word['note']}" if word["note"] else ""
    return f"{word['action']}{by}, {_time(word['given_at'])} UTC{note}"


def judgement_table(found: Mapping[str, Any]) -> Listing:
    """Each known fault with what incidents say of it."""
    columns = (
        name("fault"),
        name("server at fault"),
        number("first incident after s"),
        name("named"),
        number("incidents"),
    )
    table = Listing("", columns)
    for fault in found["faults"]:
        delay = "none" if fault["delay_s"] is None else f"{fault['delay_s']:.1f}"
        named = "" if fault["named"] is None else "yes" if fault["named"] else "no"
        table.add_row(escape(fault["kind"]), escape(fault["entity"]), delay, named, f"{len(fault['incidents'])}")
    return table


def judgement_line(found: Mapping[str, Any]) -> str:
    """The sum of it in one sentence."""
    median, unrelated = found["incidents_per_fault"], len(found["unrelated"])
    return (
        f"{found['covered']} of {len(found['faults'])} faults are covered by an incident that begins within a minute, "
        f"{0 if median is None else median:g} incidents a fault in the median; the server at fault is named for "
        f"{found['servers_named']} of {found['servers']}; {unrelated} incidents belong to no fault"
    )
