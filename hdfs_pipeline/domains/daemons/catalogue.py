"""The catalogue of what daemons write beside blocks, and what its records say of other daemons than their writer."""

import re
import tomllib
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue, read_catalogue
from hdfs_pipeline.scoring.explain import FAILURE
from hdfs_pipeline.store.quoting import quoted, quoted_list

SHIPPED: Final = Path(__file__).parent / "catalogues"
LABEL: Final = "hdfs_daemons.v1"
TOPICS: Final = (
    "active", "address", "checkpoint", "clock", "crash", "disk", "failover", "files", "heartbeat", "journal", "jvm",
    "lease", "memory", "network", "place", "registration", "replica", "report", "rpc", "safemode", "space", "standby",
    "start", "stop", "transfer", "volume", "xceivers",
)  # fmt: skip
"""What records are about: the stages of this domain's templates."""
_WITH_BLOCK: Final = frozenset({"disk", "files", "memory", "network", "space", "volume", "xceivers"})
"""Topics of a machine, of which records may tell that name a block."""
BLOCKS: Final = "BLOCKS"
"""Counts records that tell of a block and of nothing else: they are the blocks' own, and show that the daemon works."""
RESTARTED, CRASHED, SILENT = "RESTARTED", "CRASHED", "SILENT"
"""Starts of the daemon after earlier records, with and without a shutdown before; minutes of unusual silence."""
START: Final = "start"
KINDS: Final = ("namenode", "datanode", "journalnode")
"""Kinds of daemons that have a baseline of their own; all others share one."""
_SECOND: Final = "split_part(more, chr(10), 1)"
"""A record's second line, in which an exception stands."""


@dataclass(frozen=True)
class Described:
    """A catalogue with what its records say beside their text.

    `nodes` are the kind of daemon that records of an event speak of, and the expression of its address, by event;
    `info` is the event that a record at level INFO counts as, by event.
    """

    catalogue: Catalogue
    nodes: dict[str, tuple[str, str]]
    info: dict[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the matrix of counts; the last ones say which of `KINDS` the daemon is."""
        return (*self.catalogue.columns, BLOCKS, RESTARTED, CRASHED, SILENT, *map(str.upper, KINDS))

    def records_sql(self, relation: str) -> str:
        """SELECT of source_id, position, time, minute, event_id and node of each record of `relation`.

        `relation` has the columns of `raw_logs`. A record is known by its first line, or by its second one where only
        that tells of a failure: exceptions stand there. Records that name a block are looked at where they are alarms
        (slow disks and peers are told of with a block), and count as `BLOCKS` otherwise.
        """
        becomes = "".join(
            f" WHEN level = 'INFO' AND event_id = {quoted(event)} THEN {quoted(other)}"
            for event, other in self.info.items()
        )
        node = "".join(
            f" WHEN {quoted(event)} THEN regexp_extract(message, {quoted(pattern)}, 1)"
            for event, (_, pattern) in self.nodes.items()
        )
        grave = replace(self.catalogue, templates=tuple(t for t in self.catalogue.templates if t.gravity == FAILURE))
        failures = quoted_list([template.event_id for template in grave.templates])
        thrown, first = _named(grave, _SECOND), _named(self.catalogue, "message")
        return f"""SELECT source_id, position, time, minute, event_id, CASE event_id{node} ELSE '' END AS node
            FROM (SELECT * REPLACE (CASE
                    WHEN len(block_ids) > 0 AND event_id IN ({self._of_blocks}) THEN {quoted(BLOCKS)}
                    {becomes} ELSE event_id END AS event_id)
                FROM (SELECT *, CASE WHEN more = '' OR first IN ({failures}) OR first = {quoted(BLOCKS)} THEN first
                        ELSE coalesce(nullif({thrown}, {quoted(UNKNOWN)}), first) END AS event_id
                    FROM (SELECT COLUMNS(lambda name: name <> 'event_id'),
                        time_bucket(INTERVAL 1 MINUTE, time) AS minute,
                        CASE WHEN len(block_ids) > 0 AND NOT alarm THEN {quoted(BLOCKS)} ELSE {first} END AS first
                        FROM {relation})))"""

    @property
    def _of_blocks(self) -> str:
        """The events of which the blocks' own domain tells, where a record names one: no knowledge of a daemon."""
        others = (t.event_id for t in self.catalogue.templates if t.stage not in _WITH_BLOCK)
        return ", ".join(quoted(name) for name in (UNKNOWN, *others))

    @cached_property
    def apart(self) -> dict[str, str]:
        """What the records of an event are about, by event, where they make an item of their own.

        Those are failures, and starts: so each trouble of a minute has a kind, a beginning and an end of its own.
        """
        return {t.event_id: t.stage for t in self.catalogue.templates if t.gravity == FAILURE or t.stage == START}

    @property
    def label(self) -> str:
        """Name and content of the catalogue: what was counted by another one is counted anew."""
        beside = hash_of(repr((sorted(self.nodes.items()), sorted(self.info.items()))))
        return f"{self.catalogue.label} {self.catalogue.fingerprint} {beside}"


def _named(catalogue: Catalogue, text: str) -> str:
    """SQL of the event id of the SQL expression `text`."""
    return f"([{quoted_list(catalogue.columns)}])[{catalogue.case(text)}::INTEGER + 1]"


def hash_of(text: str) -> str:
    """A short hash of a text."""
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def described() -> Described:
    """The shipped catalogue. Raises: DataError for a file that cannot be used."""
    catalogue = read_catalogue(SHIPPED / f"{LABEL}.csv", TOPICS)
    path = SHIPPED / f"{catalogue.name}.records.toml"
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    ids = {template.text: template.event_id for template in catalogue.templates}
    nodes: dict[str, tuple[str, str]] = {}
    try:
        for row in document["node"]:
            if re.compile(row["pattern"]).groupindex != {"node": 1}:
                raise DataError(f"{path}: {row['pattern']!r} has no group `node`, or others")
            nodes[ids[row["template"]]] = (row["daemon"], row["pattern"])
        info = {ids[row["template"]]: ids[row["counts_as"]] for row in document["info"]}
    except (KeyError, re.error) as error:
        raise DataError(f"{path}: {error} is no template of {catalogue.label}, or no expression") from None
    return Described(catalogue, nodes, info)
