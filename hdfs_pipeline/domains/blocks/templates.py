"""`event_templates`: the templates in use, how often each was seen, and proposals for what none of them matched.

The counts are kept in step with `parsed_events`: they change in the same transaction.
"""

from typing import Any, Final

import pyarrow as pa

from hdfs_pipeline.domains.blocks.assess import stage_of
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue, Template
from hdfs_pipeline.scoring.mining import difference, propose
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store, publish_into

_MINED: Final = 200_000  # distinct unmatched messages that are mined
_IN_USE: Final = "status = 'in use'"
_SEEN: Final = """SELECT event_id, count(*) AS seen, min(ROW(source_id, position)) AS first
    FROM {relation} WHERE len(block_ids) > 0 GROUP BY event_id"""
_MINING: Final = "mined"
"""Key of `meta`: how many unmatched records there were when they were mined last."""


def begin(con: Connection, catalogue: Catalogue) -> None:
    """Put the templates of a catalogue, of which none was seen, in the place of all that there are."""
    other = Template(UNKNOWN, catalogue.describe(UNKNOWN), "<*>", severity=catalogue.severity(UNKNOWN))
    rows = [_row(catalogue, t) | {"seen": 0, "status": "in use"} for t in (*catalogue.templates, other)]
    publish_into(con, "event_templates", pa.Table.from_pylist(rows), replace="true")
    con.execute("DELETE FROM meta WHERE key = ?", [_MINING])


def count(con: Connection, relation: str, sign: int = 1) -> None:
    """Count records of a relation with source_id, position, event_id and block_ids, or take them away (sign -1).

    Only records that name a block count. The first of each template becomes its example.
    """
    con.execute(f"CREATE OR REPLACE TEMP TABLE seen_now AS {_SEEN.format(relation=relation)}")
    con.execute(
        f"""UPDATE event_templates SET seen = event_templates.seen + {sign} * s.seen FROM seen_now s
        WHERE s.event_id = event_templates.event_id AND {_IN_USE}"""
    )
    lacking = con.execute(
        f"""SELECT event_id, first[1], first[2] FROM seen_now SEMI JOIN
        (FROM event_templates WHERE {_IN_USE} AND example IS NULL) USING (event_id) WHERE {sign} > 0"""
    ).fetchall()
    for event_id, source_id, position in lacking:
        con.execute(
            f"""UPDATE event_templates SET example = (
                SELECT any_value(message) FROM raw_logs WHERE source_id = ? AND position = ?
            ) WHERE event_id = ? AND {_IN_USE}""",
            [source_id, position, event_id],
        )
    con.execute("DROP TABLE seen_now")


def learn_templates(store: Store, settings: Settings) -> tuple[Catalogue, Catalogue]:
    """Mine what no template matched, where there is more of it than the last time, into the catalogue's next version.

    The proposal is written to the home's `catalogues/` for a person to read; it is used once the setting `catalogue`
    names it, and its stages and severities are to be confirmed first. Returns the catalogue in use and the proposed one
    (the same where there is nothing to propose).
    """
    with store.read() as con:
        current = catalogue_in_use(con, settings)
        ((unmatched,),) = con.execute(
            f"SELECT coalesce(sum(seen), 0)::BIGINT FROM event_templates WHERE event_id = '{UNKNOWN}' AND {_IN_USE}"
        ).fetchall()
        mined = con.execute("SELECT value FROM meta WHERE key = ?", [_MINING]).fetchall()
        proposed = _proposed(con, current, settings)
        if [(str(unmatched),)] == mined:
            return current, proposed
        messages = (
            con.execute(  # with each the first word of the next line, which may be an exception's class
                f"""SELECT logger, level, message || chr(10) || regexp_extract(more, '[\\w.$]+') AS text, count(*)
            FROM raw_logs WHERE event_id = '{UNKNOWN}' AND len(block_ids) > 0 GROUP BY ALL
            ORDER BY count(*) DESC, text LIMIT {_MINED}"""
            ).fetchall()
            if unmatched
            else []
        )
    proposed = propose(messages, current, stage_of)
    if proposed is not current:
        proposed.save(settings.catalogues)
    rows = [_row(proposed, t) | {"seen": t.count, "status": "proposed"} for t in difference(current, proposed)]
    with store.write() as con:
        table = pa.Table.from_pylist(rows) if rows else []
        publish_into(con, "event_templates", table, replace="status = 'proposed'")
        con.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [_MINING, str(unmatched)])
    return current, proposed


def home_catalogue(store: Store, settings: Settings) -> Catalogue:
    """The catalogue that `parsed_events` was made with. Raises: DataError where nothing was parsed yet."""
    with store.read() as con:
        return catalogue_in_use(con, settings)


def catalogue_in_use(con: Connection, settings: Settings) -> Catalogue:
    """See `home_catalogue`."""
    rows = con.execute("SELECT value FROM meta WHERE key = 'catalogue'").fetchall()
    catalogue = catalogues(settings.catalogues).get(rows[0][0] if rows else "")
    if catalogue is None:
        raise DataError("no logs have been parsed in this home yet: run `hdfs-pipeline ingest PATH`")
    return catalogue


def _proposed(con: Connection, current: Catalogue, settings: Settings) -> Catalogue:
    """The catalogue that was proposed last; the current one where none was."""
    rows = con.execute("SELECT any_value(catalogue) FROM event_templates WHERE status = 'proposed'").fetchall()
    return catalogues(settings.catalogues).get(rows[0][0] or "", current)


def _row(catalogue: Catalogue, template: Template) -> dict[str, Any]:
    return {
        "catalogue": catalogue.label,
        "event_id": template.event_id,
        "name": template.name,
        "template": template.text,
        "stage": template.stage,
        "severity": template.gravity,
    }
