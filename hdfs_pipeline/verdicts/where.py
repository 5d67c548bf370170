"""Where and what, in words: an incident's title, its evidence, what stands out with the counts behind it, records."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest
from itertools import islice
from typing import Any, Final, NamedTuple

from hdfs_pipeline.domains.contract import ENTITY, Domain
from hdfs_pipeline.scoring.incidents import Incident
from hdfs_pipeline.scoring.severity import Kind

_SHOWN: Final = 3  # values of a trait, and records
_EXAMPLES: Final = 5  # items
_LEAST: Final = 3  # items by which a value stands out
_MOST: Final = 0.5  # share of an incident's items that a value has which stands out
_SURE: Final = 1e-3  # chance that so many items have a value by its usual share
_PEERS: Final = 12  # servers whose usual share is told beside that of those that are blamed
_RARE: Final = 0.01  # what is usually rarer counts as so frequent
_PORT: Final = re.compile(r":\d+$")

Shares = Mapping[str, Mapping[str, float]]
"""Usual shares, 0 to 1, of values by trait."""


class Told(NamedTuple):
    """What is told of one item: its kind, the reason, whom records blame, what else may be at fault, and a record."""

    kind: str
    reason: str
    blamed: Sequence[str]
    traits: Mapping[str, str | None]
    line: str


def described(
    domain: Domain,
    incidents: Sequence[Incident],
    told: Mapping[str, Told],
    kinds: Mapping[str, Kind],
    usual: Shares,
    names: Mapping[str, Sequence[str]],
) -> list[Incident]:
    """The incidents with title, evidence, and `examples`, `where`, `peers` and `lines` among their details.

    Examples are items of the incident: those that blame its entity and are of its leading kind come first.

    Args:
        domain: whose they are.
        incidents: what to describe.
        told: what the records of each item tell, as far as they were asked.
        kinds: what is known of each kind.
        usual: the shares in what goes well.
        names: other names of entities, for people.
    """
    return [_described(domain, incident, told, kinds, usual, names) for incident in incidents]


def _described(
    domain: Domain,
    incident: Incident,
    told: Mapping[str, Told],
    kinds: Mapping[str, Kind],
    usual: Shares,
    names: Mapping[str, Sequence[str]],
) -> Incident:
    own = [told[item] for item in incident.items if item in told]
    title = _title(domain, incident, names.get(incident.entity, ()))
    details = {**incident.details, "examples": _examples(incident, told)}
    if not own:
        return replace(incident, title=title, details=details)
    where = _where(own, usual)
    sentence = kinds[incident.kind].sentence if incident.kind in kinds else own[0].reason
    evidence = "; ".join(filter(None, (sentence, *_sentences(incident, where, len(own), domain.item.plural))))
    told_of = {"where": where, "peers": _peers(where, usual), "lines": _lines(own, incident.kinds)}
    details |= {name: found for name, found in told_of.items() if found}
    return replace(incident, title=title, evidence=incident.evidence or evidence, details=details)


def _title(domain: Domain, incident: Incident, names: Sequence[str]) -> str:
    """What happened, where, and to how much, in one line."""
    known = ", ".join(_host_names(incident.entity, names))
    also = f" ({known})" if known else ""
    place = f"{incident.entity}{also}" if incident.entity else ""
    count = len(incident.items)
    size = f"{count:,} {domain.item.noun if count == 1 else domain.item.plural}" if domain.item.counted else ""
    return " · ".join(filter(None, (incident.kind, place, size)))


def _host_names(entity: str, names: Sequence[str]) -> Iterable[str]:
    """The other names of a server's host, once each: the addresses of its other ports say nothing more."""
    hosts = dict.fromkeys(_host(name) for name in names)
    return (host for host in hosts if host != _host(entity))


def _host(name: str) -> str:
    return _PORT.sub("", name)


def _examples(incident: Incident, told: Mapping[str, Told]) -> list[str]:
    """The items that show best what an incident is."""
    ranks = {kind: rank for rank, kind in enumerate(incident.kinds)}

    def place(item: str) -> tuple[bool, int]:
        own = told.get(item)
        if own is None:
            return True, len(ranks)
        return bool(incident.entity) and incident.entity not in own.blamed, ranks.get(own.kind, len(ranks))

    best = list(islice((item for item in incident.items if place(item) == (False, 0)), _EXAMPLES))
    return best if len(best) == _EXAMPLES else nsmallest(_EXAMPLES, incident.items, key=place)


def _where(own: Sequence[Told], usual: Shares) -> dict[str, list[dict[str, Any]]]:
    """By trait the values that stand out: name, items, share and usual share (None where nothing is known).

    Of servers those that are blamed most are there in any case.
    """
    tallies = {ENTITY: Counter(name for each in own for name in each.blamed)}
    for trait in dict.fromkeys(trait for each in own for trait in each.traits):
        tallies[trait] = Counter(value for each in own if (value := each.traits.get(trait)))
    where = {}
    for trait, counts in tallies.items():
        known = usual.get(trait, {})
        rows = [
            {"name": name, "items": items, "share": items / len(own), "usual": known.get(name, 0.0) if known else None}
            for name, items in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        ]
        if chosen := [row for row in rows if trait == ENTITY or _stands_out(row, len(own))][:_SHOWN]:
            where[trait] = chosen
    return where


def _peers(where: Mapping[str, Sequence[Mapping[str, Any]]], usual: Shares) -> dict[str, float]:
    """The usual shares of the servers that have the largest, of an incident that blames any."""
    known = usual.get(ENTITY, {}) if ENTITY in where else {}
    return dict(sorted(known.items(), key=lambda pair: (-pair[1], pair[0]))[:_PEERS])


def _stands_out(row: Mapping[str, Any], count: int) -> bool:
    """Whether a value is too frequent among `count` items for its usual share."""
    from scipy.special import bdtrc  # see `scoring.culprits`

    if row["usual"] is None or row["items"] < _LEAST or row["share"] < _MOST:
        return False
    return bool(bdtrc(row["items"] - 1, count, max(row["usual"], _RARE)) < _SURE)


def _sentences(
    incident: Incident, where: Mapping[str, Sequence[Mapping[str, Any]]], count: int, plural: str
) -> Iterable[str]:
    """What stands out, with the counts behind it."""
    for trait, rows in where.items():
        for row in rows:
            if trait == ENTITY and row["name"] != incident.entity and not _stands_out(row, count):
                continue
            usual = "" if row["usual"] is None else f", usually {_percent(row['usual'])}"
            verb = "blame" if trait == ENTITY else f"have the {trait}"
            yield f"{row['items']:,} of {count:,} {plural} {verb} {row['name']}{usual}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= _RARE else "less than 1 %"


def _lines(own: Sequence[Told], kinds: Mapping[str, int]) -> list[str]:
    """One record of each kind, the leading kind first."""
    first: dict[str, str] = {}
    for each in own:
        if each.line:
            first.setdefault(each.kind, each.line)
    return [first[kind] for kind in sorted(first, key=lambda kind: list(kinds).index(kind) if kind in kinds else 99)][
        :_SHOWN
    ]
