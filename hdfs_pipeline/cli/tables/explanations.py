"""An item's explanation for the terminal and as JSON: the summary, what differs, and the records that tell of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.markup import escape

from hdfs_pipeline.cli.tables.feedback import feedback_sentence
from hdfs_pipeline.cli.tables.style import Column, Listing, name, number
from hdfs_pipeline.scoring.explain import FAILURE
from hdfs_pipeline.verdicts.explain import Finding, ItemReport

_OF_AN_EVENT = 2  # records of one event that are shown
_OF_A_RECORD = 3  # lines of a record


def summary(report: ItemReport) -> Iterator[str]:
    """The verdict and the rules that led to it, the detectors' voices, and what the item is; lines of markup."""
    yield _verdict(report)
    if report.feedback:
        yield escape(feedback_sentence(report.feedback))
    elif report.explanation.word:
        yield escape(report.explanation.word.removesuffix("; "))
    for finding in _worth_saying(report.findings):
        yield from _rule(finding, report.host) if finding is report.findings[0] else _also(finding)
    reason = _beyond_rules(report)
    if not report.findings:
        yield escape(reason)
    elif reason:
        yield f"{report.detector}: {escape(reason)}"
    for voice in report.voices:
        flags, sign = ("[red]flags it[/]", "≥") if voice.is_anomaly else ("does not flag it", "<")
        score = f"{voice.score:.4g} {sign} {voice.threshold:.4g}"
        yield f"  [dim]{voice.detector} version {voice.version}:[/] {flags}, {score}"
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


def _verdict(report: ItemReport) -> str:
    """Whether the item is anomalous, of what kind, by whom."""
    failures = sum(finding.severity == FAILURE for finding in report.findings)
    if report.is_anomaly:
        verdict = "[red]anomalous[/]" + (f": {escape(report.explanation.kind)}" if report.explanation.kind else "")
    elif failures:
        rules = f"{failures} rule{'s' * (failures > 1)}"
        verdict = f"[green]normal[/] by {report.detector}, although it breaks {rules} of its life"
    else:
        verdict = "[green]normal[/]" + ("; a notable rule of its life is broken" if report.findings else "")
    label = f" (labelled {escape(report.label)})" if report.label else ""
    return f"[bold]{escape(report.item)}[/] is {verdict}{label}"


def _rule(finding: Finding, host: str) -> Iterator[str]:
    """The rule that is broken first, in full; `host` is whom its records speak of where their file tells no host."""
    about = f"about {host}" if host and not finding.host else ""
    yield f"{_severity(finding)}: {escape(finding.sentence)}"
    yield f"  [dim]{'where':<10}[/] {escape(_where(finding, about))}"
    yield f"  [dim]{'next':<10}[/] {escape(finding.hint)}"


def _also(finding: Finding) -> Iterator[str]:
    """A further broken rule, in a line."""
    where = f"[dim]({escape(_where(finding))})[/]"
    yield f"also {_severity(finding)}: {escape(f'{finding.kind}: {finding.sentence}')} {where}"


def _worth_saying(findings: Sequence[Finding]) -> Iterator[Finding]:
    """The broken rules but those that say again, of the same records or of the same kind, what others have said."""
    kinds: set[str] = set()
    records: set[str] = set()
    for finding in findings:
        if finding.kind not in kinds and not (finding.events and records.issuperset(finding.events)):
            yield finding
        kinds.add(finding.kind)
        records.update(finding.events)


def _severity(finding: Finding) -> str:
    return f"[{'red' if finding.severity == FAILURE else 'yellow'}]{finding.severity}[/]"


def _where(finding: Finding, about: str = "") -> str:
    place = "@".join(part for part in (finding.daemon, finding.host) if part)
    when = f"{finding.time:%Y-%m-%d %H:%M:%S} UTC" if finding.time else "told by what is missing"
    records = f"{finding.records:,} record{'s' * (finding.records > 1)}" if finding.records else ""
    return ", ".join(part for part in (place, about, when, records) if part)


def _beyond_rules(report: ItemReport) -> str:
    """What the detector says beside the rules that are broken."""
    reason = report.explanation.reason.removeprefix(report.explanation.word)
    for finding in report.findings:
        reason = reason.removeprefix(finding.sentence).removeprefix("; ")
    return reason


def differs_by_rules(report: ItemReport) -> bool:
    """Whether all that an item differs by are rules, which the summary says already."""
    rules = {finding.rule for finding in report.findings}
    return all(difference.event_id in rules for difference in report.explanation.differences)


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
    """The raw records, telling ones marked; unless `everything`, the others between them are folded to a line.

    So are further records of an event of which some were shown, and the ends of long ones.
    """
    folding = not everything and any(line.get("telling") for line in report.lines)
    shown: Counter[str] = Counter()

    def stands(line: dict[str, Any]) -> bool:
        event = line.get("event_id", "")
        if not folding:
            return True
        shown[event] += bool(line.get("telling"))
        return bool(line.get("telling")) and shown[event] <= _OF_AN_EVENT

    for standing, group in groupby(report.lines, key=stands):
        lines = list(group)
        if not standing:
            yield f"[dim]        … {len(lines):,} more record{'s' * (len(lines) > 1)} (--all)[/]"
            continue
        for line in lines:
            place = escape("@".join(part for part in (line.get("daemon"), line.get("host")) if part))
            mark = "[bold red]►[/]" if line.get("telling") else " "
            text = escape(_cut(line["line"]) if folding else line["line"])
            event = escape(line.get("event_id", ""))
            yield f"{mark}[dim]{event:>7} {place}[/] " + (f"[bold]{text}[/]" if folding else text)
    if report.records > len(report.lines):
        yield f"[dim]{report.records - len(report.lines):,} more records in the store[/]"


def _cut(text: str) -> str:
    """The first lines of a record, and how many more there are."""
    lines = text.splitlines()
    more = len(lines) - _OF_A_RECORD
    return text if more < 2 else "\n".join([*lines[:_OF_A_RECORD], f"        … {more:,} more lines"])
