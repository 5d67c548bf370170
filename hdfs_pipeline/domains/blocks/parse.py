"""`raw_logs` into `parsed_events`, by the catalogue of the home: records are matched, and their events are counted."""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout

from hdfs_pipeline.domains.blocks import matrix, templates
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.kept_catalogue import keep_label
from hdfs_pipeline.domains.blocks.matched import EVENT, MOST, Matched
from hdfs_pipeline.domains.blocks.nodes import name_nodes, node_votes
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.columns import ROW_GROUP
from hdfs_pipeline.store.quoting import parquet
from hdfs_pipeline.store.scratch import scratch_folder
from hdfs_pipeline.store.store import Connection, Store, publish_into

ENOUGH: Final = 2_000
"""Records that carry a block, by which a stream or the first file of a home chooses its catalogue."""
_SAMPLE = 50_000  # records that carry a block, from which the catalogue is chosen
_READ: Final = ("source_id", "position", "time", "message", "block_ids", "alarm")
_MATCHED: Final = pa.schema(
    [
        pa.field("source_id", pa.int32()),
        pa.field("position", pa.int64()),
        pa.field("block_ids", pa.list_(pa.int64())),
        EVENT,
    ]
)
_TRIES: Final = 3  # of a piece of which records went meanwhile
_COUNTS: Final = f"""SELECT (SELECT count(*) FROM raw_logs) - (SELECT count(*) FROM raw_logs WHERE event_id IS NULL),
    coalesce(sum(seen), 0)::BIGINT, coalesce(sum(seen) FILTER (event_id <> '{UNKNOWN}'), 0)::BIGINT
    FROM event_templates WHERE status = 'in use'"""


@dataclass(frozen=True)
class Parsed:
    """What one parse did: counts of records, and the catalogue's share of the records that carry a block (0 to 1).

    `new` are the records that this parse matched; those that were matched when they were read are none of them.
    """

    catalogue: Catalogue
    records: int
    new: int
    without_block: int
    coverage: float


def coverage(messages: pa.Array, catalogue: Catalogue) -> float:
    """Share of some messages (strings without nulls) that match a template; 1.0 where there are none."""
    from hdfs_pipeline.scoring.matching import matcher_of  # compiled code, which readers do without

    if not len(messages):
        return 1.0
    return float(np.mean(matcher_of(catalogue).strings(messages) != len(catalogue.templates)))


def choose_catalogue(con: Connection, settings: Settings, relation: str = "raw_logs") -> Catalogue:
    """The catalogue that the settings name; else the one that the home uses already; else the best for its lines.

    Raises: DataError for a name that is no catalogue.
    """
    known = catalogues(settings.catalogues)
    used = settings.catalogue
    if used == "auto":
        used = dict(con.execute("SELECT key, value FROM meta").fetchall()).get("catalogue", "auto")
        if not _shows_blocks(con):
            used = "auto"
    if used != "auto":
        if used not in known:
            raise DataError(f"no catalogue {used!r}; there are {', '.join(known)}")
        return known[used]
    sample = con.sql(
        f"""SELECT layout, message, block_ids FROM {relation} WHERE len(block_ids) > 0
        USING SAMPLE {_SAMPLE} ROWS (reservoir, {settings.seed})"""
    )
    return best_catalogue(sample.to_arrow_table(), known)


def best_catalogue(records: pa.Table, known: Mapping[str, Catalogue]) -> Catalogue:
    """The catalogue of `known` that matches most of those `records` that carry a block.

    Where several match equally many, the one that is named like a layout of a record wins, then the newest.
    `records` has the columns layout, message and block_ids.
    """
    layouts = set(records["layout"].unique().to_pylist())
    carrying = pa.compute.greater(pa.compute.list_value_length(records["block_ids"]), 0)
    messages = records["message"].cast(pa.large_string()).filter(carrying).combine_chunks()
    shares = {label: coverage(messages, catalogue) for label, catalogue in known.items()}
    return known[max(shares, key=lambda label: (shares[label], known[label].name in layouts, known[label].version))]


def parse(store: Store, settings: Settings, *, anew: bool = False) -> Parsed:
    """Match the records that are new, or all where the catalogue has changed or with `anew`, and count their events.

    A record gets its event in the transaction that counts it for its blocks (see `matrix`). Many records are matched
    in pieces: whoever is interrupted goes on the next time.
    Raises: SetupError where another parse of this home is under way; DataError for a setting that names no catalogue.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(FileLock(settings.home / "parse.lock", timeout=settings.lock_timeout_s))
        except Timeout:
            raise SetupError(f"another parse of {settings.home} is under way: wait until it has ended") from None
        for leftover in settings.home.glob(".staging.*"):  # older releases named theirs so, without a word for the work
            if leftover.name.count(".") == 2:
                shutil.rmtree(leftover, ignore_errors=True)
        staged = stack.enter_context(scratch_folder(settings.home, ".staging.parse.")) / "events.parquet"
        catalogue = _begin(store, settings, anew=anew)
        new, tries = 0, _TRIES
        while True:
            matched = _match(store, catalogue, staged)
            if _publish(store, staged, matched):
                new, tries = new + matched.new, _TRIES
                if matched.new < MOST:
                    break
            elif not (tries := tries - 1):
                raise SetupError(f"records went {_TRIES} times while they were matched: parse {settings.home} again")
            else:
                catalogue = _begin(store, settings, anew=False)  # an ingest may have chosen it meanwhile
    keep_label(settings, catalogue.label)
    with store.read() as con:
        parsed, seen, known = con.execute(_COUNTS).fetchall()[0]
    return Parsed(catalogue, parsed, new, parsed - seen, known / seen if seen else 1.0)


def counted_catalogue(con: Connection, settings: Settings) -> Catalogue | None:
    """The catalogue by which the home's events are counted; None where there is none, or it was edited since."""
    meta = dict(con.execute("SELECT key, value FROM meta").fetchall())
    catalogue = catalogues(settings.catalogues).get(meta.get("catalogue", ""))
    same = catalogue is not None and meta.get("catalogue_fingerprint") == catalogue.fingerprint
    return catalogue if same else None


def _begin(store: Store, settings: Settings, *, anew: bool) -> Catalogue:
    """The catalogue to parse by. If that is another one than before, or with `anew`, no record counts as parsed."""
    with store.read() as con:
        catalogue = choose_catalogue(con, settings)
        counted = counted_catalogue(con, settings)
    if counted is not None and counted.label == catalogue.label and not anew:
        return catalogue
    with store.write() as con:
        _count_by(con, catalogue)
    return catalogue


def _count_by(con: Connection, catalogue: Catalogue) -> None:
    """Let the home count by a catalogue from now on; no record counts as parsed."""
    matrix.take_all(con)
    con.execute("DELETE FROM node_votes; UPDATE sources SET node = NULL")
    templates.begin(con, catalogue)
    facts = {"catalogue": catalogue.label, "catalogue_fingerprint": catalogue.fingerprint}
    rows = pa.table({"key": list(facts), "value": list(facts.values())})
    publish_into(con, "meta", rows, replace="key IN (SELECT key FROM publish_source)")


def settled_catalogue(con: Connection, settings: Settings) -> Catalogue | None:
    """The catalogue that new records can be matched by before they are stored; None while it may yet change."""
    counted = counted_catalogue(con, settings)
    if counted is None or settings.catalogue not in ("auto", counted.label) or not _shows_blocks(con):
        return None
    return counted


def may_store(con: Connection, settings: Settings, catalogue: Catalogue) -> bool:
    """Whether events by a catalogue may be stored with their records, in the transaction that stores both.

    Where no record has shown yet which catalogue fits, the home counts by this one from now on.
    """
    if not _shows_blocks(con):
        _count_by(con, catalogue)
        return True
    return settled_catalogue(con, settings) == catalogue


def count_parsed(con: Connection, counts: pa.Table, rows: str, votes: pa.Table | None = None) -> None:
    """Count records that got their events in this transaction.

    `counts` are those of their blocks (schema `EVENT_MATRIX`), `rows` is a relation of the records, and `votes` are
    what they tell of the nodes.
    """
    matrix.add(con, counts)
    templates.count(con, rows)
    publish_into(con, "node_votes", node_votes(con, rows) if votes is None else votes)
    name_nodes(con)


def _shows_blocks(con: Connection) -> bool:
    """Whether parsed records name blocks: until then no line has shown which catalogue fits."""
    return bool(con.execute("SELECT 1 FROM parsed_events WHERE len(block_ids) > 0 LIMIT 1").fetchall())


@dataclass(frozen=True)
class _Piece:
    """A piece of `new` records with their counts (schema `EVENT_MATRIX`) and votes (see `nodes.node_votes`).

    `withdrawn` says how often records had gone by then.
    """

    new: int
    counts: pa.Table
    votes: pa.Table
    withdrawn: int


def _match(store: Store, catalogue: Catalogue, staged: Path) -> _Piece:
    """Match the next records that have no event yet, outside the lock for writing, into the Parquet file `staged`."""
    from pyarrow import parquet as pq

    matched = Matched(catalogue)
    with store.read() as con, pq.ParquetWriter(staged, _MATCHED) as file:
        todo = f"SELECT {', '.join(_READ)} FROM raw_logs WHERE event_id IS NULL LIMIT {MOST}"
        for batch in con.sql(todo).to_arrow_reader(ROW_GROUP):
            columns = [*(batch[name] for name in ("source_id", "position", "block_ids")), matched.take(batch)]
            file.write_batch(pa.record_batch(columns, schema=_MATCHED))
        votes = node_votes(con, "(FROM raw_logs WHERE event_id IS NULL)")
        return _Piece(matched.records, matched.counts(), votes, matrix.withdrawals(con))


def _publish(store: Store, staged: Path, matched: _Piece) -> bool:
    """Publish a piece; False where records went meanwhile, which must not be counted."""
    with store.write() as con:
        if matrix.withdrawals(con) != matched.withdrawn:
            return False
        rows = parquet([staged])
        con.execute(
            f"""UPDATE raw_logs SET event_id = s.event_id FROM {rows} s WHERE raw_logs.event_id IS NULL
            AND s.source_id = raw_logs.source_id AND s.position = raw_logs.position"""
        )
        count_parsed(con, matched.counts, rows, matched.votes)
    return True
