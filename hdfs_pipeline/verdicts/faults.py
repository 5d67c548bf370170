"""Incidents against faults that are known: which fault each belongs to, and whether it names the server at fault."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_WITHIN_S: Final = 60.0  # of a fault's start, an incident that covers it begins
_BEFORE_S: Final = 10.0  # a fault may begin before its recorder has written that down
_ROWS: Final = """SELECT id, entity, epoch(started_at), coalesce(kinds, '{}') FROM incidents
    WHERE status <> 'suppressed' ORDER BY started_at, id"""


@dataclass(frozen=True)
class Fault:
    """A fault that is known: its kind, when it began and ended (Unix seconds), and the server at fault, '' for none."""

    kind: str
    start: float
    end: float
    entity: str = ""


class Row(NamedTuple):
    """What judging needs of an incident."""

    id: str
    entity: str
    start: float
    kinds: dict[str, int]


@dataclass(frozen=True)
class Found:
    """What incidents say of one fault.

    `delay_s` is from the fault's start to that of the nearest incident within a minute, None where there is none;
    `named` whether an incident names the server, None where no server was at fault; `incidents` belong to the fault.
    """

    fault: Fault
    delay_s: float | None
    named: bool | None
    incidents: tuple[str, ...]


@dataclass(frozen=True)
class Judged:
    """All faults with what was found of each, and the ids of incidents that belong to none."""

    faults: tuple[Found, ...]
    unrelated: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON, with the figures that sum it up."""
        servers = [found for found in self.faults if found.named is not None and found.delay_s is not None]
        covered = [found for found in self.faults if found.delay_s is not None]
        return {
            "faults": [
                asdict(found.fault)
                | {"delay_s": found.delay_s, "named": found.named, "incidents": list(found.incidents)}
                for found in self.faults
            ],
            "covered": len(covered),
            "not_covered": dict(Counter(found.fault.kind for found in self.faults if found.delay_s is None)),
            "incidents_per_fault": median(len(found.incidents) for found in covered) if covered else None,
            "servers": len(servers),
            "servers_named": sum(bool(found.named) for found in servers),
            "unrelated": list(self.unrelated),
        }


def read_faults(store: Store, path: Path) -> list[Fault]:
    """The faults of a file with a JSON object in each line: kind, start, end, and entity or datanode.

    A `datanode` is the number N of a log `datanode_N`, as recordings have it. Raises: DataError naming the line.
    """
    with store.read() as con:
        nodes = dict(con.execute("SELECT alias, any_value(entity) FROM entities GROUP BY alias").fetchall())
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    faults = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            name = row.get("entity") or (f"datanode_{row['datanode']}" if row.get("datanode") else "")
            faults.append(Fault(str(row["kind"]), float(row["start"]), float(row["end"]), nodes.get(name, name)))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{path}, line {number}: not a fault with kind, start and end (Unix seconds)") from None
    return sorted(faults, key=lambda fault: fault.start)


def judge(store: Store, settings: Settings, faults: Sequence[Fault]) -> Judged:
    """Hold the home's incidents against all faults that were injected while it was watched.

    An incident tells of a fault if it began while the fault lasted, or up to a minute later, and if one of its kinds
    fits that fault, or its entity is the one at fault. Of several such faults it belongs to the latest that fits.
    """
    fitting: dict[str, frozenset[str]] = {}
    for domain in all_domains():
        fitting |= {name: kind.faults for name, kind in domain.kinds(store, settings).items()}
    with store.read() as con:
        rows = [Row(name, on, at, json.loads(kinds)) for name, on, at, kinds in con.execute(_ROWS).fetchall()]
    own: dict[int, list[str]] = {number: [] for number in range(len(faults))}
    unrelated = []
    for row in rows:
        told = [number for number, fault in enumerate(faults) if _tells(row, fault, fitting)]
        fits = [number for number in told if _fits(row, faults[number], fitting)]
        own[(fits or told)[-1]].append(row.id) if told else unrelated.append(row.id)
    found = []
    for number, fault in enumerate(faults):
        near = [row for row in rows if abs(row.start - fault.start) <= _WITHIN_S and _fits(row, fault, fitting)]
        delay = min((row.start - fault.start for row in near), key=abs, default=None)
        named = any(row.entity == fault.entity for row in near) if fault.entity else None
        found.append(Found(fault, delay, named, tuple(own[number])))
    return Judged(tuple(found), tuple(unrelated))


def _tells(row: Row, fault: Fault, fitting: Mapping[str, frozenset[str]]) -> bool:
    at_the_time = fault.start - _BEFORE_S <= row.start <= fault.end + _WITHIN_S
    return at_the_time and (_fits(row, fault, fitting) or (row.entity != "" and row.entity == fault.entity))


def _fits(row: Row, fault: Fault, fitting: Mapping[str, frozenset[str]]) -> bool:
    return any(fault.kind in fitting.get(kind, ()) for kind in row.kinds)
