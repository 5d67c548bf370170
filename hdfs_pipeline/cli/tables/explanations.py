"""An item's explanation for the terminal and as JSON: the summary, what differs, and the records that tell of it."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.markup import escape

from hdfs_pipeline.cli.tables.feedback import feedback_json, feedback_sentence
from hdfs_pipeline.cli.tables.style import Column, Listing, name, number
from hdfs_pipeline.verdicts.explain import ItemReport


def report_json(report: ItemReport, *, everything: bool) -> dict[str, Any]:
    """A report for JSON; unless `everything`, of the raw records only the telling ones, and how many were `folded`."""
    lines = [line for line in report.lines if everything or line.get("telling")] or report.lines
    given = {"feedback": feedback_json(report.feedback)} if report.feedback else {}
    folded = {"lines": lines, "folded": report.records - len(lines)}
    return asdict(report) | {"explanation": report.explanation.to_json()} | folded | given


def summary(report: ItemReport) -> Iterator[str]:
    """The verdict, the cause, and where and when it happened; lines of markup."""
    verdict = "[red]anomalous[/]" if report.is_anomaly else "[green]normal[/]"
    label = f"; labelled {escape(report.label)}" if report.label else ""
    yield (
        f"[bold]{escape(report.item)}[/] is {verdict}: {report.detector} gives it {report.score:.4g}, and flags from "
        f"{report.threshold:.4g}{label}"
    )
    if report.feedback:
        yield escape(feedback_sentence(report.feedback))
    yield escape(report.explanation.reason)
    seconds = (report.last_time - report.first_time).total_seconds()
    times = f"{report.first_time:%Y-%m-%d %H:%M:%S} to {report.last_time:%Y-%m-%d %H:%M:%S} UTC ({seconds:,.0f} s)"
    facts = {"time": times, "host": report.host, **report.about, "log": report.path}
    if report.unfinished:
        facts["unfinished"] = report.unfinished
    if report.scored:
        facts["from"] = "the files that were scored last, which are not the home's"
    if report.also_scored:
        facts["also"] = "the files that were scored last have one of this id too: --scored explains that one"
    for fact, value in facts.items():
        if value:
            text = " → ".join(value) if isinstance(value, list) else str(value)
            yield f"  [dim]{fact:<10}[/] {escape(text)}"


def explanation_table(report: ItemReport, noun: str) -> Listing:
    """How an item differs from the nearest normal one; without any difference what it has in common with it."""
    title = f"Against the nearest normal {noun}" if report.explanation.differs else f"As in a normal {noun}"
    figures = (number("count"), number("normally"), number("share of the score"))
    table = Listing(title, (name("event"), Column("what"), Column("difference"), *figures))
    for difference in report.explanation.differences:
        grave = f"[red]{difference.severity}[/], " if difference.severity == "failure" else ""
        table.add_row(
            escape(difference.event_id),
            escape(difference.name + (f" ({difference.cause})" if difference.cause else "")),
            f"{grave}{difference.kind}",
            str(difference.count),
            str(difference.expected),
            f"{difference.share:.0%}",
        )
    return table


def record_lines(report: ItemReport, *, everything: bool) -> Iterator[str]:
    """The raw records, telling ones marked; unless `everything`, the others between them are folded to a line."""
    folding = not everything and any(line.get("telling") for line in report.lines)
    for telling, group in groupby(report.lines, key=lambda line: bool(line.get("telling"))):
        lines = list(group)
        if folding and not telling:
            yield f"[dim]        … {len(lines):,} more record{'s' * (len(lines) > 1)} (--all)[/]"
            continue
        for line in lines:
            place = escape("@".join(part for part in (line.get("daemon"), line.get("host")) if part))
            mark = "[bold red]►[/]" if telling else " "
            text = escape(line["line"])
            event = escape(line.get("event_id", ""))
            yield f"{mark}[dim]{event:>7} {place}[/] " + (f"[bold]{text}[/]" if telling and folding else text)
    if report.records > len(report.lines):
        yield f"[dim]{report.records - len(report.lines):,} more records in the store[/]"
