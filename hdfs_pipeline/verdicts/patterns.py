"""The patterns of raw records: how often each template was matched in a window, what is new, rare or has stopped."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.domains.following import followers
from hdfs_pipeline.scoring.explain import SEVERITIES
from hdfs_pipeline.scoring.patterns import Pattern, Span
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.logs import searchable, span_of

Show = Literal["all", "new", "rare", "stopped"]
STEPS: Final = 24
"""Steps of a window, where it is long enough: none is shorter than a minute."""
ONE_IN: Final = 10_000
"""A template is rare that fewer than one in so many records matched, up to the end of the window."""
_LEAST_S: Final = 60.0
_KINDS: Final = 3  # of anomalies that are named of each template
_TELLING: Final = """SELECT template, kind, count(DISTINCT item), min(item) FROM (
        SELECT unnest((explanation -> '$.telling')::VARCHAR[]) AS template, kind, item FROM anomalies
        WHERE domain = $domain AND status <> 'withdrawn' AND last_time >= $begin AND first_time < $end)
    GROUP BY template, kind ORDER BY template, count(DISTINCT item) DESC, kind"""


def report_patterns(
    store: Store, settings: Settings, domain: str = "", begin: str = "", end: str = "", show: Show = "all"
) -> dict[str, Any]:
    """The patterns of a window, as plain values: what is new, then by gravity, and what has stopped last.

    `begin` and `end` as `verdicts.logs.span_of` has them, `step_s` is the length of a step. `has_past` says whether
    there are records before the window, without which nothing can be called new, and `has_before` whether they reach
    back as far again, without which nothing is compared. `records` counts the records of all patterns.

    Each of `patterns` has `template` (`DOMAIN/ID`), `name`, `text`, `severity`, `records`, `counts` (one a step),
    `before`, `change` (share, None where it cannot be said), `total`, `first_time`, `last_time`, whether it is `new`,
    `rare` and `stopped`, and `telling`: the kinds of anomalies that it tells of there, with `items` and an `item`.
    Raises: as `searchable` and `span_of` do.
    """
    leader = searchable(domain)
    span = span_of(store, settings, leader, begin, end)
    none = {"domain": leader.name, "begin": None, "end": None, "step_s": 0.0, "has_past": False, "has_before": False}
    if span is None or span[0] == span[1]:
        return none | {"records": 0, "total": 0, "patterns": []}
    seconds = (span[1] - span[0]).total_seconds()
    steps = max(min(STEPS, int(seconds // _LEAST_S)), 1)
    with store.read():
        recorded = leader.recorded(store) or span
        found = [
            (reader, pattern)
            for reader in (leader, *followers(leader))
            for pattern in reader.patterns(store, settings, span, steps)
        ]
        telling = {reader.name: _telling(store, reader, span) for reader in (leader, *followers(leader))}
    past, before = recorded[0] < span[0], recorded[0] <= _doubled(span)
    everything = sum(pattern.total for _, pattern in found)
    rows = [_plain(*one, past=past, before=before, everything=everything) for one in found]
    for row, (reader, pattern) in zip(rows, found, strict=True):
        row["telling"] = telling[reader.name].get(pattern.template, [])
    there = [row for row in rows if row["records"] or row["stopped"]]
    chosen = sorted((row for row in there if show == "all" or row[show]), key=_order)
    return none | {
        "begin": span[0].isoformat(timespec="milliseconds"),
        "end": span[1].isoformat(timespec="milliseconds"),
        "step_s": seconds / steps,
        "has_past": past,
        "has_before": before,
        "records": sum(row["records"] for row in rows),
        "total": len(there),
        "patterns": chosen,
    }


def _doubled(span: Span) -> datetime:
    """Where the window before a span begins."""
    return span[0] - min(span[1] - span[0], span[0] - span[0].min.replace(tzinfo=span[0].tzinfo))


def _plain(reader: Domain, pattern: Pattern, *, past: bool, before: bool, everything: int) -> dict[str, Any]:
    comparable = before and pattern.before > 0
    return {
        "template": f"{reader.name}/{pattern.template}",
        "name": pattern.name,
        "text": pattern.text,
        "severity": pattern.severity,
        "records": pattern.records,
        "counts": [*pattern.counts],
        "before": pattern.before,
        "change": pattern.records / pattern.before - 1 if comparable else None,
        "total": pattern.total,
        "first_time": pattern.first_time.isoformat(timespec="milliseconds"),
        "last_time": pattern.last_time.isoformat(timespec="milliseconds"),
        "new": past and pattern.records == pattern.total,
        "rare": pattern.total * ONE_IN < everything,
        "stopped": comparable and not pattern.records,
    }


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    severity = -SEVERITIES.index(row["severity"])
    return not row["new"], row["stopped"], severity, not row["rare"], -row["records"], row["template"]


def _telling(store: Store, domain: Domain, span: Span) -> dict[str, list[dict[str, Any]]]:
    """The kinds of a domain's anomalies in a span by the template that tells of them, the most frequent first."""
    about = {"domain": domain.name, "begin": span[0], "end": span[1]}
    found: dict[str, list[dict[str, Any]]] = {}
    with store.read() as con:
        for template, kind, items, item in con.execute(_TELLING, about).fetchall():
            kinds = found.setdefault(template, [])
            if len(kinds) < _KINDS:
                kinds.append({"kind": kind, "items": items, "item": item})
    return found
