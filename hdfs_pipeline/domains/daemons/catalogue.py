"""The catalogue of what daemons write beside blocks, and what its records say of other daemons than their writer."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue, read_catalogue
from hdfs_pipeline.scoring.explain import FAILURE
from hdfs_pipeline.store.columns import ROW_GROUP
from hdfs_pipeline.store.quoting import quoted
from hdfs_pipeline.store.store import Connection

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
ONLY_OF_BLOCKS: Final = "(len(block_ids) > 0 AND NOT alarm)"
"""SQL: whether a record counts as `BLOCKS`, whatever its text."""
_ASKED: Final = f"""SELECT source_id, position, time, time_bucket(INTERVAL 1 MINUTE, time) AS minute,
        if(plain, '', message) AS message, if(plain, '', split_part(more, chr(10), 1)) AS second,
        len(block_ids) > 0 AS of_block, level = 'INFO' AS info
    FROM (SELECT *, {ONLY_OF_BLOCKS} AS plain FROM {{relation}})"""
NAMED: Final = pa.schema(
    [
        pa.field("source_id", pa.int32()),
        pa.field("position", pa.int64()),
        pa.field("time", pa.timestamp("us", "UTC")),
        pa.field("minute", pa.timestamp("us", "UTC")),  # of the time
        pa.field("event_id", pa.dictionary(pa.int32(), pa.string())),
        pa.field("node", pa.string()),  # the daemon that the record speaks of, '' for its writer
    ]
)


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

    @contextmanager
    def named(
        self, con: Connection, relation: str, parameters: Mapping[str, object] | None = None
    ) -> Iterator[pa.Table]:
        """What all records of `relation` are to the daemons, without their texts; SQL knows it as `named_records`."""
        found = pa.concat_tables([NAMED.empty_table(), *self.pieces(con, relation, parameters)])
        con.register("named_records", found)
        try:
            yield found
        finally:
            con.unregister("named_records")

    def pieces(
        self, con: Connection, relation: str, parameters: Mapping[str, object] | None = None
    ) -> Iterator[pa.Table]:
        """What the records of `relation`, which has the columns of `raw_logs`, are to the daemons: tables of `NAMED`.

        A record is known by its first line, or by its second one where only that tells of a failure: exceptions stand
        there. Records that name a block are looked at where they are alarms (slow disks and peers are told of with a
        block), and count as `BLOCKS` otherwise. The connection must do nothing else until all tables were taken.
        """
        names = pa.array([*self.catalogue.columns, BLOCKS])
        asked = con.sql(_ASKED.format(relation=relation), params=parameters or {})
        for batch in asked.to_arrow_reader(ROW_GROUP):
            events = self._events(batch)
            event_id = pa.DictionaryArray.from_arrays(events, names)
            node = self._nodes(batch["message"], events)
            columns = [*(batch[name] for name in ("source_id", "position", "time", "minute")), event_id, node]
            yield pa.table(columns, schema=NAMED)

    def _events(self, batch: pa.RecordBatch) -> np.ndarray:
        """Index of each record's event into the catalogue's columns and `BLOCKS`: (n,) int32."""
        from hdfs_pipeline.scoring.matching import matcher_of  # compiled code, which readers do without

        of_block, info = (batch[name].to_numpy(zero_copy_only=False) for name in ("of_block", "info"))
        events = matcher_of(self.catalogue).strings(batch["message"]).astype(np.int32)
        thrown = matcher_of(self._grave).strings(batch["second"])
        grave = self._places([template.event_id for template in self._grave.templates] + [UNKNOWN])
        known = np.isin(events, grave[:-1])
        events = np.where(known | (thrown == len(grave) - 1), events, grave[thrown])
        mine = np.isin(events, self._places([t.event_id for t in self.catalogue.templates if t.stage in _WITH_BLOCK]))
        becomes = np.arange(len(self.catalogue.columns), dtype=np.int32)
        becomes[self._places(self.info)] = self._places(self.info.values())
        events = np.where(info & ~(of_block & ~mine), becomes[events], events)
        return np.where(of_block & ~mine, np.int32(len(self.catalogue.columns)), events)

    def _nodes(self, messages: pa.Array, events: np.ndarray) -> pa.Array:
        """The daemon that each record speaks of, '' where that is its writer or is not said."""
        import pyarrow.compute as pc

        nodes = pa.repeat("", len(events))
        for place, (_, pattern) in zip(self._places(self.nodes), self.nodes.values(), strict=True):
            which = pa.array(events == place)
            if said := messages.filter(which):
                node = pc.struct_field(pc.extract_regex(said, pattern), "node").fill_null("")
                nodes = pc.replace_with_mask(nodes, which, node)
        return nodes

    @cached_property
    def _grave(self) -> Catalogue:
        return replace(self.catalogue, templates=tuple(t for t in self.catalogue.templates if t.gravity == FAILURE))

    def _places(self, events: Iterable[str]) -> np.ndarray:
        """Where events stand in the catalogue's columns: (n,) int32."""
        places = {name: place for place, name in enumerate(self.catalogue.columns)}
        return np.array([places[event] for event in events], np.int32)

    @cached_property
    def apart(self) -> dict[str, str]:
        """What the records of an event are about, by event, where they make an item of their own.

        Those are failures, and starts: so each trouble of a minute has a kind, a beginning and an end of its own.
        """
        return {t.event_id: t.stage for t in self.catalogue.templates if t.gravity == FAILURE or t.stage == START}

    def kind_sql(self, event: str = "event_id") -> str:
        """SQL of the kind of daemon that records of the SQL expression `event` speak of; NULL where that is theirs."""
        return _case(event, {name: kind for name, (kind, _) in self.nodes.items()}, "NULL")

    def topic_sql(self, event: str = "event_id") -> str:
        """SQL of the topic of the SQL expression `event`, where its records make an item of their own, else ''."""
        return _case(event, self.apart, "''")

    @property
    def label(self) -> str:
        """Name and content of the catalogue: what was counted by another one is counted anew."""
        beside = hash_of(repr((sorted(self.nodes.items()), sorted(self.info.items()))))
        return f"{self.catalogue.label} {self.catalogue.fingerprint} {beside}"


def _case(event: str, words: Mapping[str, str], other: str) -> str:
    whens = " ".join(f"WHEN {quoted(name)} THEN {quoted(word)}" for name, word in words.items())
    return f"CASE {event} {whens} ELSE {other} END"


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
