"""Template catalogues: the list of known messages, as data (`matching` compiles it).

A catalogue is a CSV file ``<name>.v<version>.csv`` with the columns ``event_id,name,template,count`` and
``stage,severity,cause,hint``. In a template ``<*>`` stands for any text. `name` is what a person reads; `count` is how
often the template was seen in the lines that the catalogue was learned from. `stage` is what the message is about, one
of the words of its domain, such as a stage of an item's life; `severity` what an operator thinks of it (`SEVERITIES`),
`cause` what is likely behind it, and `hint` what to look at or do next. The last four may be empty, or missing from the
file: the severity of a template then comes from its words.

Matching, on the message's first line:

1. A template *begins* a message when its first literal stands at the message's start. Among those, the first of the
   catalogue whose every literal follows in order wins (a template that ends with a literal ends with the message).
2. Otherwise, among templates that begin with ``<*>``, the first of the catalogue that matches anywhere wins.
3. Otherwise the event is ``UNKNOWN``.
"""

import csv
import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.explain import SEVERITIES
from hdfs_pipeline.scoring.proposals import severity_of

UNKNOWN = "UNKNOWN"
WILDCARD = "<*>"
MOST_TEMPLATES = 2_000
ROUTINE, NOTABLE, FAILURE = SEVERITIES
_SAID = ("stage", "severity", "cause", "hint")
_FILE = re.compile(r"(?P<name>\w+)\.v(?P<version>\d+)\.csv")


@dataclass(frozen=True)
class Template:
    """One known message."""

    event_id: str
    name: str
    text: str
    count: int = 0
    stage: str = ""
    severity: str = ""
    cause: str = ""
    hint: str = ""

    @property
    def gravity(self) -> str:
        """Its severity; without one its words decide."""
        return self.severity or severity_of(self.text)

    @property
    def literals(self) -> tuple[str, ...]:
        """The fixed parts between the wildcards, empty ones left out."""
        return tuple(part for part in self.text.split(WILDCARD) if part)

    @property
    def floats(self) -> bool:
        """Whether the template begins with a wildcard."""
        return self.text.startswith(WILDCARD)


@dataclass(frozen=True)
class Catalogue:
    """A named, versioned list of templates."""

    name: str
    version: int
    templates: tuple[Template, ...]

    @property
    def label(self) -> str:
        """Name and version, to which models are bound: ``hdfs_v1.v1``."""
        return f"{self.name}.v{self.version}"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Event ids in order, then UNKNOWN: the columns of an event matrix."""
        return (*(template.event_id for template in self.templates), UNKNOWN)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what decides matching: ids and texts, in order."""
        text = "\n".join(f"{t.event_id}\t{t.text}" for t in self.templates)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def by_id(self) -> dict[str, Template]:
        """The templates by event id."""
        return {template.event_id: template for template in self.templates}

    def describe(self, event_id: str) -> str:
        """What a person reads for an event id."""
        return self.by_id[event_id].name if event_id in self.by_id else "a message that no template matches"

    def severity(self, event_id: str) -> str:
        """How grave an event is, one of `SEVERITIES`. A message that no template matches is notable."""
        return self.by_id[event_id].gravity if event_id in self.by_id else NOTABLE

    def cause(self, event_id: str) -> str:
        """What is likely behind an event; '' where nobody has said it."""
        return self.by_id[event_id].cause if event_id in self.by_id else ""

    def hint(self, event_id: str) -> str:
        """What an operator should look at or do next; '' where nobody has said it."""
        return self.by_id[event_id].hint if event_id in self.by_id else ""

    def at_stage(self, *stages: str) -> list[bool]:
        """For each of `columns` whether it belongs to one of these stages and is routine."""
        return [
            column in self.by_id and self.by_id[column].stage in stages and self.severity(column) == ROUTINE
            for column in self.columns
        ]

    def save(self, folder: Path) -> Path:
        """Write ``<name>.v<version>.csv`` into `folder` and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.label}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["event_id", "name", "template", "count", *_SAID])
            writer.writerows(
                [t.event_id, t.name, t.text, t.count, *(getattr(t, column) for column in _SAID)] for t in self.templates
            )
        return path


def read_catalogue(path: Path, stages: Sequence[str]) -> Catalogue:
    """Read a catalogue file whose templates may have these stages.

    Raises: DataError naming the file and the line that cannot be used.
    """
    match = _FILE.fullmatch(path.name)
    if not match:
        raise DataError(f"{path}: a catalogue's file is named <name>.v<version>.csv")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a catalogue that can be read ({error})") from None
    event_ids: set[str] = {UNKNOWN}
    for number, row in rows:
        if fault := _fault(row, event_ids, stages):
            raise DataError(f"{path}, line {number}: {fault}")
        event_ids.add(row["event_id"])
    if len(rows) > MOST_TEMPLATES:
        raise DataError(f"{path}: {len(rows):,} templates, more than {MOST_TEMPLATES:,}: every line is tried on each")
    templates = tuple(
        Template(
            r["event_id"],
            r.get("name") or "",
            r["template"],
            int(r.get("count") or 0),
            *(r.get(column) or "" for column in _SAID),
        )
        for _, r in rows
    )
    return Catalogue(match["name"], int(match["version"]), templates)


def _fault(row: dict[str, str], taken: Collection[str], stages: Sequence[str]) -> str | None:
    """Why a row of a catalogue's file cannot be used, if it cannot; `taken` are the event ids of the rows before."""
    event_id, text, count = (row.get(name) or "" for name in ("event_id", "template", "count"))
    if event_id in taken or not text.replace(WILDCARD, ""):
        return "needs an event_id of its own and a template with some fixed text"
    if not re.fullmatch(r"\w{1,64}", event_id):
        return f"event_id {event_id[:80]!r}: an id is made of letters, digits and _, 64 at most, such as E12"
    if count and not re.fullmatch(r"[0-9]{1,18}", count):
        return f"count {count[:80]!r} is no number"
    for column, words in (("stage", stages), ("severity", SEVERITIES)):
        if (row.get(column) or words[0]) not in words:
            return f"{column} {row[column][:80]!r} is none of {', '.join(words)}"
    return None
