"""`raw_logs` into `parsed_events`, by the catalogue of the home: records are matched, and their events are counted."""

import shutil
from collections.abc import Collection, Mapping
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
from hdfs_pipeline.domains.blocks.kernel import events_sql
from hdfs_pipeline.domains.blocks.nodes import name_nodes, node_votes
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.quoting import parquet
from hdfs_pipeline.store.scratch import scratch_folder
from hdfs_pipeline.store.store import Connection, Store, publish_into

_SAMPLE = 50_000  # records that carry a block, from which the catalogue is chosen
_PIECE: Final = 5_000_000  # records that are matched together at most, so that memory and locks stay bounded
_ROWS: Final = 122_880  # of a batch: a row group of DuckDB's
_READ: Final = ("source_id", "position", "time", "message", "block_ids", "alarm")
_MATCHED: Final = pa.schema(
    [
        pa.field("source_id", pa.int32()),
        pa.field("position", pa.int64()),
        pa.field("block_ids", pa.list_(pa.int64())),
        pa.field("event_id", pa.dictionary(pa.int32(), pa.string())),
    ]
)
_TRIES: Final = 3  # of a piece of which records went meanwhile
_COUNTS: Final = f"""SELECT (SELECT count(*) FROM raw_logs) - (SELECT count(*) FROM raw_logs WHERE event_id IS NULL),
    coalesce(sum(seen), 0)::BIGINT, coalesce(sum(seen) FILTER (event_id <> '{UNKNOWN}'), 0)::BIGINT
    FROM event_templates WHERE status = 'in use'"""


@dataclass(frozen=True)
class Parsed:
    """What one parse did: counts of records, and the catalogue's share of the records that carry a block (0 to 1)."""

    catalogue: Catalogue
    records: int
    new: int
    without_block: int
    coverage: float


def coverage(con: Connection, relation: str, catalogue: Catalogue) -> float:
    """Share of the records of `relation` that carry a block and match a template (1.0 where none carries a block)."""
    unknown = len(catalogue.templates)
    carrying = f"(SELECT * FROM {relation} WHERE len(block_ids) > 0)"
    sql = f"SELECT avg((event <> {unknown})::INT) FROM ({events_sql(carrying, catalogue)})"
    share = con.execute(sql).fetchall()[0][0]
    return 1.0 if share is None else float(share)


def choose_catalogue(con: Connection, settings: Settings, relation: str = "raw_logs") -> Catalogue:
    """The catalogue that the settings name; else the one that the home uses already; else the best for its lines.

    Raises: DataError for a name that is no catalogue.
    """
    known = catalogues(settings.catalogues)
    used = settings.catalogue
    if used == "auto":
        used = dict(con.execute("SELECT key, value FROM meta").fetchall()).get("catalogue", "auto")
        if not con.execute("SELECT 1 FROM parsed_events WHERE len(block_ids) > 0 LIMIT 1").fetchall():
            used = "auto"  # no line has shown yet which catalogue fits
    if used != "auto":
        if used not in known:
            raise DataError(f"no catalogue {used!r}; there are {', '.join(known)}")
        return known[used]
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE catalogue_sample AS SELECT layout, message, block_ids FROM {relation}
        WHERE len(block_ids) > 0 USING SAMPLE {_SAMPLE} ROWS (reservoir, {settings.seed})"""
    )
    layouts = {row[0] for row in con.execute("SELECT DISTINCT layout FROM catalogue_sample").fetchall()}
    return best_catalogue(con, "catalogue_sample", known, layouts)


def best_catalogue(
    con: Connection, relation: str, known: Mapping[str, Catalogue], layouts: Collection[str]
) -> Catalogue:
    """The catalogue of `known` that matches most records of `relation`, whose lines have the `layouts`.

    Where several match equally many, the one that is named like a layout wins, then the newest.
    """
    shares = {label: coverage(con, relation, catalogue) for label, catalogue in known.items()}
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
                if matched.new < _PIECE:
                    break
            elif not (tries := tries - 1):
                raise SetupError(f"records went {_TRIES} times while they were matched: parse {settings.home} again")
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
        con.execute("UPDATE raw_logs SET event_id = NULL WHERE event_id IS NOT NULL")
        con.execute("DELETE FROM event_matrix; DELETE FROM node_votes; UPDATE sources SET node = NULL")
        templates.begin(con, catalogue)
        facts = {"catalogue": catalogue.label, "catalogue_fingerprint": catalogue.fingerprint}
        rows = pa.table({"key": list(facts), "value": list(facts.values())})
        publish_into(con, "meta", rows, replace="key IN (SELECT key FROM publish_source)")
    return catalogue


@dataclass(frozen=True)
class _Matched:
    """A piece of `new` records with their counts (schema `EVENT_MATRIX`) and votes (see `nodes.node_votes`).

    `withdrawn` says how often records had gone by then.
    """

    new: int
    counts: pa.Table
    votes: pa.Table
    withdrawn: int


def _match(store: Store, catalogue: Catalogue, staged: Path) -> _Matched:
    """Match the next records that have no event yet, outside the lock for writing, into the Parquet file `staged`."""
    from pyarrow import parquet as pq

    from hdfs_pipeline.domains.blocks.block_counts import BlockCounts
    from hdfs_pipeline.scoring.matching import matcher_of

    matcher, counted, new = matcher_of(catalogue), BlockCounts(len(catalogue.columns)), 0
    names = pa.array(catalogue.columns, pa.string())
    with store.read() as con, pq.ParquetWriter(staged, _MATCHED) as file:
        todo = f"SELECT {', '.join(_READ)} FROM raw_logs WHERE event_id IS NULL LIMIT {_PIECE}"
        for batch in con.sql(todo).to_arrow_reader(_ROWS):
            events = matcher.strings(batch["message"])
            ids, alarms = batch["block_ids"], batch["alarm"].cast(pa.int8()).to_numpy()
            counted.add(
                ids.offsets.to_numpy(),
                ids.values.to_numpy(),
                np.ones(len(events), bool),
                events,
                alarms,
                batch["time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(),
            )
            event_id = pa.DictionaryArray.from_arrays(pa.array(events.astype(np.int32)), names)
            columns = [*(batch[name] for name in ("source_id", "position", "block_ids")), event_id]
            file.write_batch(pa.record_batch(columns, schema=_MATCHED))
            new += len(batch)
        return _Matched(new, counted.table(), node_votes(con), matrix.withdrawals(con))


def _publish(store: Store, staged: Path, matched: _Matched) -> bool:
    """Publish a piece; False where records went meanwhile, which must not be counted."""
    with store.write() as con:
        if matrix.withdrawals(con) != matched.withdrawn:
            return False
        rows = parquet([staged])
        con.execute(
            f"""UPDATE raw_logs SET event_id = s.event_id FROM {rows} s WHERE raw_logs.event_id IS NULL
            AND s.source_id = raw_logs.source_id AND s.position = raw_logs.position"""
        )
        matrix.add(con, matched.counts)
        templates.count(con, rows)
        publish_into(con, "node_votes", matched.votes)
        name_nodes(con)
    return True
