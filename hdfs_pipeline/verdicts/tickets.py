"""An incident as a file: JSON, CSV of its anomalies, or Markdown for a ticket."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from hdfs_pipeline.errors import UsageError, unknown
from hdfs_pipeline.shown import plain
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.lacks import duration
from hdfs_pipeline.verdicts.listing import SHORT, counted, whole_incident
from hdfs_pipeline.verdicts.members import members_of

FORMATS: Final = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
}
"""What an incident can be exported as, with the media type."""
_SUFFIXES: Final = {"json": "json", "csv": "csv", "markdown": "md"}
_COLUMNS: Final = ("incident", "item", "kind", "detector", "score", "threshold", "told_at", "first_time", "last_time")
_MORE: Final = ("host", "blamed", "reason")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # with which a spreadsheet would begin to compute
_MARKUP: Final = re.compile(r"([\\`*_\[\]<>#|~!])")


def export(store: Store, text: str, format: str) -> tuple[str, str]:
    """The incident whose id begins with `text` as a file: its name and its content.

    JSON is all that is known of it with its anomalies, CSV one row an anomaly, Markdown a summary for people.
    Raises: NotFoundError where no incident or several have such an id; UsageError for another format.
    """
    if format not in FORMATS:
        raise UsageError(unknown("format", format, FORMATS))
    found = whole_incident(store, text)
    with store.read() as con:
        members = [] if format == "markdown" else members_of(con, found)
    name = f"incident-{found['id'][:SHORT]}.{_SUFFIXES[format]}"
    if format == "json":
        return name, json.dumps(found | {"anomalies": members}, indent=1)
    return name, as_csv(found, members) if format == "csv" else as_markdown(found)


def as_csv(incident: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> str:
    """The anomalies of an incident, one row each, under a row of names. No cell is taken for a formula."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow((*_COLUMNS, *_MORE))
    for member in members:
        row = {**member, "incident": incident["id"], "blamed": " ".join(member["blamed"])}
        rows.writerow(_cell(row[name]) for name in (*_COLUMNS, *_MORE))
    return file.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    shown = plain(value)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def as_markdown(incident: Mapping[str, Any]) -> str:
    """An incident for a ticket: what, where, since when, why, the records, what to do next, and what people said."""
    return "\n".join(_markdown(incident)).rstrip() + "\n"


def _markdown(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {_text(found['title'])}"
    yield ""
    span = f"{_time(found['started_at'])} to {_time(found['ended_at'])} UTC ({duration(found['duration_s'] or 0.0)})"
    facts = {
        "Severity": found["severity"],
        "Status": found["status"],
        "Where": found["entity"] or "no single server stands out",
        "When": span,
        "Worst at": f"{_time(found['peak_at'])} UTC",
        "Size": counted(found["domain"], found["items"]),
        "Incident": found["id"],
    }
    for name, value in facts.items():
        yield f"- **{name}:** {_text(value)}"
    if found["evidence"]:
        yield from _section("Why", [_text(found["evidence"])])
    if len(found["kinds"]) > 1:
        kinds = (f"- {_text(kind)}: {counted(found['domain'], count)}" for kind, count in found["kinds"].items())
        yield from _section("Kinds", kinds)
    if found["peers"]:
        yield from _section("Servers", (f"- {_peer(peer)}" for peer in found["peers"]))
    if lines := found["details"].get("lines"):
        fence = "`" * max([3, *(len(run) + 1 for line in lines for run in re.findall("`+", line))])
        yield from _section("Records", [f"{fence}text", *(plain(line) for line in lines), fence])
    if found["next_steps"]:
        yield from _section("Next", (f"- {plain(step)}" for step in found["next_steps"]))
    if found["related"]:
        yield from _section("Related", (f"- {_near(near)}" for near in found["related"]))
    if found["words"]:
        yield from _section("Said", (f"- {_word(word)}" for word in found["words"]))


def _section(title: str, lines: Any) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield from lines


def _peer(peer: Mapping[str, Any]) -> str:
    usual = "" if peer["usual"] is None else f", usually {peer['usual']:.0%}"
    return f"{_text(peer['name'])}: {peer['items']:,} ({peer['share']:.0%}{usual})"


def _near(near: Mapping[str, Any]) -> str:
    return f"{near['id'][:SHORT]} {_text(near['title'])} ({near['status']})"


def _word(word: Mapping[str, Any]) -> str:
    by = f" by {_text(word['given_by'])}" if word["given_by"] else ""
    note = f": {_text(word['note'])}" if word["note"] else ""
    return f"{_time(word['given_at'])} UTC, {word['action']}{by}{note}"


def _text(text: str) -> str:
    """Text of others on one line, in which nothing is markup."""
    return _MARKUP.sub(r"\\\1", " ".join(plain(text).split()))


def _time(text: str | None) -> str:
    return (text or "")[:19].replace("T", " ")
