"""`raw_logs` into `parsed_events`, by the catalogue of the home; and what its templates did not match."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa
from filelock import FileLock, Timeout

from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.kept_catalogue import keep_label
from hdfs_pipeline.domains.blocks.kernel import events_sql
from hdfs_pipeline.domains.blocks.mining import difference, propose
from hdfs_pipeline.domains.blocks.nodes import name_nodes
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue, Template
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.quoting import quoted_list
from hdfs_pipeline.store.scratch import scratch_folder
from hdfs_pipeline.store.store import Connection, Store, publish_into

_SAMPLE = 50_000  # records that carry a block, from which the catalogue is chosen
_MINED = 200_000  # distinct unmatched messages that are mined


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


def home_catalogue(store: Store, settings: Settings) -> Catalogue:
    """The catalogue that `parsed_events` was made with. Raises: DataError where nothing was parsed yet."""
    with store.read() as con:
        label = dict(con.execute("SELECT key, value FROM meta").fetchall()).get("catalogue")
    catalogue = catalogues(settings.catalogues).get(label or "")
    if catalogue is None:
        raise DataError("no logs have been parsed in this home yet: run `hdfs-pipeline ingest PATH`")
    return catalogue


def parse(store: Store, settings: Settings) -> Parsed:
    """Bring `parsed_events` up to date: new records only, or everything where the catalogue has changed.

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
        with store.read() as con:
            sizes_before = con.execute("SELECT source_id, bytes FROM sources WHERE source_id > 0").fetchall()
            catalogue = choose_catalogue(con, settings)
            meta = dict(con.execute("SELECT key, value FROM meta").fetchall())
            used = (meta.get("catalogue"), meta.get("catalogue_fingerprint", catalogue.fingerprint))
            again = used != (catalogue.label, catalogue.fingerprint)  # another catalogue, or the same one edited
            todo = (
                "raw_logs" if again else "(SELECT * FROM raw_logs ANTI JOIN parsed_events USING (source_id, position))"
            )
            names = quoted_list(catalogue.columns)
            con.execute(
                f"""COPY (SELECT source_id, position, time, level, logger, thread,
                    ([{names}])[event::INTEGER + 1] AS event_id, block_ids, alarm
                FROM ({events_sql(todo, catalogue)})) TO ? (FORMAT parquet)""",
                [str(staged)],
            )
        with store.write() as con:
            new = publish_into(con, "parsed_events", [staged], replace="true" if again else None)
            facts = {"catalogue": catalogue.label, "catalogue_fingerprint": catalogue.fingerprint}
            rows = pa.table({"key": list(facts), "value": list(facts.values())})
            publish_into(con, "meta", rows, replace="key IN (SELECT key FROM publish_source)")
            # The last record of a file that has grown meanwhile may have changed: the next parse reads the file anew.
            sizes_now = dict(con.execute("SELECT source_id, bytes FROM sources").fetchall())
            grown = [source for source, size in sizes_before if sizes_now.get(source) != size]
            con.execute("DELETE FROM parsed_events WHERE source_id IN (SELECT unnest(?::INTEGER[]))", [grown])
            name_nodes(con)
    keep_label(settings, catalogue.label)
    with store.read() as con:
        total, without, matched = con.execute(
            f"""SELECT count(*), count(*) FILTER (len(block_ids) = 0),
            avg((event_id <> '{UNKNOWN}')::INT) FILTER (len(block_ids) > 0) FROM parsed_events"""
        ).fetchall()[0]
    return Parsed(catalogue, total, new, without, 1.0 if matched is None else matched)


def learn_templates(store: Store, settings: Settings) -> tuple[Catalogue, Catalogue]:
    """Refresh `event_templates`, and mine what no template matched into the next version of the catalogue.

    The proposal is written to the home's `catalogues/` for a person to read; it is used once the setting `catalogue`
    names it, and its stages and severities are to be confirmed first. Returns the catalogue in use and the proposed one
    (the same where there is nothing to propose).
    """
    current = home_catalogue(store, settings)
    with store.read() as con:
        event_rows = con.execute(
            """SELECT event_id, count(*), any_value(message) FROM parsed_events
            JOIN raw_logs USING (source_id, position) WHERE len(parsed_events.block_ids) > 0 GROUP BY event_id"""
        ).fetchall()
        unmatched = con.execute(  # with each message the first word of the next line, which may be an exception's class
            f"""SELECT raw_logs.logger, raw_logs.level, message || chr(10) || regexp_extract(more, '[\\w.$]+') AS text,
            count(*) FROM parsed_events JOIN raw_logs USING (source_id, position)
            WHERE event_id = '{UNKNOWN}' AND len(parsed_events.block_ids) > 0 GROUP BY ALL
            ORDER BY count(*) DESC, text LIMIT {_MINED}"""
        ).fetchall()
    proposed = propose(unmatched, current)
    if proposed is not current:
        proposed.save(settings.catalogues)
    rows = _template_rows(current, {event: (count, text) for event, count, text in event_rows}, proposed)
    with store.write() as con:
        publish_into(con, "event_templates", pa.Table.from_pylist(rows), replace="true")
    return current, proposed


def _template_rows(
    current: Catalogue, occurrences: dict[str, tuple[int, str]], proposed: Catalogue
) -> Sequence[dict[str, object]]:
    other = Template(UNKNOWN, current.describe(UNKNOWN), "<*>", severity=current.severity(UNKNOWN))
    rows = []
    for template in (*current.templates, other):
        seen, example = occurrences.get(template.event_id, (0, None))
        rows.append(_row(current, template) | {"seen": seen, "status": "in use", "example": example})
    return rows + [_row(proposed, t) | {"seen": t.count, "status": "proposed"} for t in difference(current, proposed)]


def _row(catalogue: Catalogue, template: Template) -> dict[str, object]:
    return {
        "catalogue": catalogue.label,
        "event_id": template.event_id,
        "name": template.name,
        "template": template.text,
        "stage": template.stage,
        "severity": template.gravity,
    }
