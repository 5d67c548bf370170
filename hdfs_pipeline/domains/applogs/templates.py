"""The templates of a home's messages: learned once by Drain3, kept as data, and matched by compiled code ever after.

To learn and to match are two verbs. Whoever reads or serves only matches, and what no template matches is UNKNOWN; a
training learns further templates from that, as the next version of the catalogue. Those that there are keep their ids,
so a message means the same to every model.
"""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import pyarrow as pa

from hdfs_pipeline.domains.lines import next_revision
from hdfs_pipeline.scoring.catalogue import UNKNOWN, Catalogue, read_catalogue
from hdfs_pipeline.scoring.mining import difference, propose
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store

_NAME: Final = "app_logs"
_STAGES: Final = ("",)
_FILE: Final = re.compile(rf"{_NAME}\.v(\d+)\.csv")
_MINED: Final = 100_000  # distinct messages that are mined
_SEEN: Final = 3  # messages that make a template
_PIECE: Final = 200_000  # messages that are matched at a time
UNMATCHED: Final = ""
"""What stands for the template of a message that was read before templates were learned."""


def catalogue_of(settings: Settings) -> Catalogue | None:
    """The latest catalogue of a home; None before templates were learned. Raises: DataError for one that is damaged."""
    versions = sorted((int(match[1]), path) for path, match in _files(settings.app_catalogues))
    return _read(str(versions[-1][1]), versions[-1][1].stat().st_mtime_ns) if versions else None


def _files(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    paths = folder.iterdir() if folder.is_dir() else ()
    return [(path, match) for path in paths if (match := _FILE.fullmatch(path.name))]


@cache
def _read(path: str, _changed: int) -> Catalogue:
    return read_catalogue(Path(path), _STAGES)


def matched(catalogue: Catalogue | None, messages: pa.Array) -> pa.Array:
    """The template (n,) that each message (n,) matches, UNKNOWN for none; `UNMATCHED` without a catalogue."""
    if catalogue is None:
        return pa.array([UNMATCHED], pa.string()).take(pa.nulls(len(messages), pa.int8()).fill_null(0))
    from hdfs_pipeline.scoring.matching import matcher_of  # compiled code, which readers do without

    return pa.array(catalogue.columns).take(pa.array(matcher_of(catalogue).strings(messages)))


def with_templates(records: pa.RecordBatch, catalogue: Catalogue | None) -> pa.RecordBatch:
    """Records with the column `template`."""
    return records.append_column("template", matched(catalogue, records["message"]))


def settle(store: Store, settings: Settings) -> int:
    """Learn the first templates where there are messages enough, and match those that were read before.

    How many messages have another template than before.
    """
    if catalogue_of(settings) is None:
        with store.read() as con:
            ((there,),) = con.execute("SELECT count(*) FROM app_logs").fetchall()
            first = _distinct(con, settings.app_first_messages) if there >= settings.app_first_messages else []
        _learned(first, Catalogue(_NAME, 0, ()), settings)
    return _match_again(store, settings, UNMATCHED)


def learn_more(store: Store, settings: Settings) -> int:
    """Learn templates of what none matches, as the next version; how many there are more. A training asks for it."""
    settle(store, settings)
    current = catalogue_of(settings)
    if current is None:
        return 0
    with store.read() as con:
        unmatched = _distinct(con, None, UNKNOWN)
    proposed = _learned(unmatched, current, settings)
    _match_again(store, settings, UNKNOWN)
    return len(difference(current, proposed))


def _distinct(con: Connection, first: int | None, template: str | None = None) -> list[tuple[str, str, str, int]]:
    """Logger, level, text and number of messages: of the `first` by time, or of all, or of those of a template."""
    only = "true" if template is None else "template = $template"
    chosen = f"SELECT * FROM app_logs WHERE {only}"
    if first is not None:
        chosen += f" ORDER BY time, source_id, position LIMIT {int(first)}"
    return con.execute(
        f"""SELECT '' AS logger, level, message || chr(10) || regexp_extract(more, '[\\w.$]+') AS text, count(*) AS seen
        FROM ({chosen}) GROUP BY ALL ORDER BY seen DESC, text LIMIT {_MINED}""",
        {} if template is None else {"template": template},
    ).fetchall()


def _learned(messages: list[tuple[str, str, str, int]], current: Catalogue, settings: Settings) -> Catalogue:
    """The next version of a catalogue, saved if it has templates that `current` has not."""
    proposed = learned_from(messages, current)
    if proposed is not current:
        proposed.save(settings.app_catalogues)
    return proposed


def learned_from(messages: list[tuple[str, str, str, int]], current: Catalogue) -> Catalogue:
    """The next version of a catalogue, with the templates of messages (see `mining.propose`) that were seen thrice.

    What is seen once or twice may be what an anomaly wrote.
    """
    proposed = propose(messages, current, lambda *_: "") if messages else current
    new = tuple(template for template in difference(current, proposed) if template.count >= _SEEN)
    return replace(proposed, templates=(*current.templates, *new)) if new else current


def _match_again(store: Store, settings: Settings, template: str) -> int:
    """Match the messages that have a template, such as UNKNOWN, with the latest catalogue; how many have another."""
    catalogue = catalogue_of(settings)
    if catalogue is None:
        return 0
    with store.read() as con:
        asked = "SELECT source_id, position, message FROM app_logs WHERE template = ?"
        pieces = con.sql(asked, params=[template]).to_arrow_reader(_PIECE)
        found = [_others(catalogue, piece, template) for piece in pieces]
    changed = pa.concat_tables(found) if found else None
    if changed is None or not len(changed):
        return 0
    with store.write() as con:
        con.register("matched_now", changed)
        try:
            con.execute(
                """UPDATE app_logs SET template = m.template, revision = ? FROM matched_now m
                WHERE app_logs.source_id = m.source_id AND app_logs.position = m.position""",
                [next_revision(con, "app_logs")],
            )
        finally:
            con.unregister("matched_now")
    return len(changed)


def _others(catalogue: Catalogue, piece: pa.RecordBatch, template: str) -> pa.Table:
    """Of messages those that match another template now: source_id, position and template."""
    import pyarrow.compute as pc

    now = matched(catalogue, piece["message"])
    table = pa.table({"source_id": piece["source_id"], "position": piece["position"], "template": now})
    return table.filter(pc.not_equal(now, template))
