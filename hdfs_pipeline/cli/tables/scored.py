"""What a scoring found, for the terminal: kinds of trouble first, then items of each kind, and what to know besides."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape

from hdfs_pipeline.cli.tables.style import Column, Listing, name, number
from hdfs_pipeline.domains import option_of
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.verdicts.files import Scored

_SHOWN = 20  # rows of a table
_HOSTS = 3  # hosts of a kind
_COLOURS = {"failure": "red", "notable": "yellow"}


def scored_tables(scored: Scored, domain: Domain) -> Iterator[Listing]:
    """The kinds of trouble that a scoring found, where the domain knows any, and the most anomalous items of each."""
    item = domain.item
    anomalies = [row for row in scored.verdicts if row["is_anomaly"]]
    title = f"{len(anomalies):,} anomalies in {len(scored.verdicts):,} {item.plural}, by {scored.detector}"
    if scored.kinds:
        yield _kinds_table(scored.kinds, title, domain)
        title = f"The most anomalous {item.plural} of each kind"
    about = Column("kind" if scored.kinds else "reason")
    table = Listing(title, (name(item.noun), number("score"), about, name("time (UTC)"), name("host")))
    for row in _of_each_kind(anomalies, scored.kinds):
        told = escape(row["kind"] or row["reason"])
        table.add_row(escape(row[item.column]), f"{row['score']:.3f}", told, _time(row["time"]), escape(row["host"]))
    yield table


def _kinds_table(kinds: Sequence[Mapping[str, Any]], title: str, domain: Domain) -> Listing:
    item, asked = domain.item, _explain(domain)
    about = (number(item.plural), name("severity"), name("first, last (UTC)"), name("reported by"))
    table = Listing(title, (Column("kind, and what to look at"), *about))
    for kind in kinds[:_SHOWN]:
        hint = kind["hint"] or f"no rule knows it; {asked} shows what differs"
        colour = _COLOURS.get(kind["severity"], "white")
        table.add_row(
            f"[bold]{escape(kind['kind'])}[/]\n[dim]{escape(hint)}[/]",
            f"{kind['items']:,}",
            f"[{colour}]{kind['severity'] or '–'}[/]",
            f"{_time(kind['first_time'])}\n{_time(kind['last_time'])}",
            _hosts(kind["hosts"]),
        )
    return table


def _hosts(hosts: Mapping[str, int]) -> str:
    """Those that reported most, and how many more there are."""
    lines = [f"{escape(host or 'not named')} ({count:,})" for host, count in list(hosts.items())[:_HOSTS]]
    return "\n".join(lines + [f"and {len(hosts) - _HOSTS} more"] * (len(hosts) > _HOSTS))


def _of_each_kind(
    anomalies: Sequence[Mapping[str, Any]], kinds: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The most anomalous items of each kind in turn, in the order of the kinds: a kind of many hides no other."""
    place = {kind["kind"]: at for at, kind in enumerate(kinds)}
    taken: Counter[str] = Counter()
    turns = []
    for row in anomalies:
        turns.append((taken[row["kind"]], place.get(row["kind"], 0), row))
        taken[row["kind"]] += 1
    shown = sorted(turns, key=lambda turn: turn[:2])[:_SHOWN]
    return [row for _, _, row in sorted(shown, key=lambda turn: (turn[1], turn[0]))]


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def scored_notes(scored: Scored, domain: Domain) -> str:
    """What to know beside the tables of a scoring."""
    item = domain.item
    flagged = sum(row["is_anomaly"] for row in scored.verdicts)
    unfinished = Counter(row["unfinished"] for row in scored.verdicts if row["unfinished"])
    notes = [f"{flagged - _SHOWN:,} more with --json"] if flagged > _SHOWN else []
    notes += [f"{len(scored.kinds) - _SHOWN:,} more kinds with --json"] if len(scored.kinds) > _SHOWN else []
    notes += [
        f"{voice} flags {count:,} {item.plural} that {scored.detector} does not: --detector {voice} shows them"
        for voice, count in scored.others.items()
    ]
    if unfinished:
        kinds = ", ".join(f"{count:,} {word}" for word, count in sorted(unfinished.items()))
        notes.append(
            f"{unfinished.total():,} {item.plural} are unfinished ({kinds}): they are judged by what is there, and "
            "nothing that may lie outside the records counts against them"
        )
    if flagged:
        option = " --scored" if scored.foreign else ""
        kept = "; the home has not taken these files in" if scored.foreign else ""
        notes.append(f"why: {_explain(domain, option)}{kept}")
    return "\n".join(notes)


def _explain(domain: Domain, option: str = "") -> str:
    """The command that explains an item; ids with blanks need quotes."""
    return f"`hdfs-pipeline explain{option_of(domain.name)}{option} -- '{domain.item.noun.upper()}'`"
