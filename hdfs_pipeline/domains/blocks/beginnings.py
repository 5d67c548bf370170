"""Which files hold no more than the beginning of another one: copies that were cut short, or made while it was written.

They are told by their records, which the store keeps, and not by their bytes, which it does not. All records must be
the other file's but for the last, of which more may have been written.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from hdfs_pipeline.store.quoting import parquet
from hdfs_pipeline.store.store import Connection

_TRIED: Final = 20  # files that one may be the beginning of
_CUT: Final = 200  # bytes of a line that was cut before it showed what it is

_VIEWS: Final = """
    CREATE OR REPLACE TEMP VIEW staged AS SELECT source_id, position, time, origin, message, more, reason
        FROM {rows};
    CREATE OR REPLACE TEMP VIEW all_sizes AS SELECT source_id, bytes, path FROM waiting
        UNION ALL SELECT source_id, bytes, path FROM sources ANTI JOIN waiting USING (source_id)
        WHERE source_id > 0 AND domain = 'blocks';
    CREATE OR REPLACE TEMP VIEW all_records AS
        SELECT source_id, position, time, origin, message, more FROM staged WHERE reason IS NULL
        UNION ALL SELECT source_id, position, time, origin, message, more
        FROM raw_logs LEFT JOIN waiting USING (source_id) WHERE source_id > 0 AND position < coalesce(first, {far});
    CREATE OR REPLACE TEMP VIEW all_letters AS
        SELECT source_id, position, message AS text FROM staged WHERE reason IS NOT NULL
        UNION ALL SELECT source_id, position, text
        FROM dead_letters LEFT JOIN waiting USING (source_id) WHERE source_id > 0 AND position < coalesce(first, {far})
"""
# The last record of which the first line is whole is the one that fewest other files have at the same line.
_CANDIDATES: Final = """
    WITH fresh AS (SELECT source_id, bytes, ended, max(position) AS last FROM waiting JOIN staged USING (source_id)
            WHERE first = 1 GROUP BY ALL),
        marks AS (SELECT source_id, bytes, last, max(position) AS position FROM fresh JOIN staged USING (source_id)
            WHERE reason IS NULL AND (position < last OR ended OR more <> '') GROUP BY ALL)
    SELECT marks.source_id, marks.last, other.source_id
    FROM marks JOIN staged own USING (source_id, position)
    JOIN all_records other USING (position, time, origin, message)
    JOIN all_sizes ON all_sizes.source_id = other.source_id
    WHERE other.source_id <> marks.source_id AND all_sizes.bytes > marks.bytes
    ORDER BY all_sizes.bytes DESC, other.source_id"""
_DIFFERENT: Final = """
    SELECT count(*) FROM (
        (SELECT {columns} FROM {table} WHERE source_id = $own AND position < $last
        EXCEPT SELECT {columns} FROM {table} WHERE source_id = $other AND position < $last)
        UNION ALL (SELECT {columns} FROM {table} WHERE source_id = $other AND position < $last
        EXCEPT SELECT {columns} FROM {table} WHERE source_id = $own AND position < $last))"""
_SAME: Final = tuple(
    _DIFFERENT.format(table=table, columns=columns)
    for table, columns in (
        ("all_records", "position, time, origin, message, more"),
        ("all_letters", "position, text"),
    )
)
_AT: Final = "SELECT time, origin, message, more FROM all_records WHERE source_id = ? AND position = ?"
_LETTER_AT: Final = "SELECT text FROM all_letters WHERE source_id = ? AND position = ?"


@dataclass(frozen=True)
class Waiting:
    """A file that is staged: its number, size in bytes and path, the Parquet file of its records from line `first` on.

    `ended` says whether its last line has a line end.
    """

    source_id: int
    bytes: int
    path: str
    staged: Path
    first: int
    ended: bool


def beginnings(con: Connection, files: Sequence[Waiting]) -> dict[int, str]:
    """Those of the staged files that are the beginning of a larger one, stored or staged: number to the other's path.

    A file that goes on one that was read before is none.
    """
    ended = {file.source_id: file.ended for file in files}
    con.register("waiting_files", pa.Table.from_pylist([asdict(file) | {"staged": str(file.staged)} for file in files]))
    con.execute("CREATE OR REPLACE TEMP TABLE waiting AS FROM waiting_files")
    con.unregister("waiting_files")
    con.execute(_VIEWS.format(rows=parquet([file.staged for file in files]), far=2**62))
    candidates: dict[tuple[int, int], list[int]] = {}
    for own, last, other in con.execute(_CANDIDATES).fetchall():
        candidates.setdefault((own, last), []).append(other)
    found = {}
    for (own, last), others in candidates.items():
        for other in others[:_TRIED]:
            if _begins(con, own, other, last, ended=ended[own]):
                found[own] = other
                break
    names = dict(con.execute("SELECT source_id, path FROM all_sizes").fetchall()) if found else {}
    return {own: names[other] for own, other in found.items()}


def _begins(con: Connection, own: int, other: int, last: int, *, ended: bool) -> bool:
    """Whether all records of a file are another one's, up to where its last one, at line `last`, may be cut."""
    for sql in _SAME:
        if con.execute(sql, {"own": own, "other": other, "last": last}).fetchall()[0][0]:
            return False
    mine, theirs = (con.execute(_AT, [source, last]).fetchall() for source in (own, other))
    if mine:
        return bool(theirs) and _goes_on(mine[0], theirs[0], ended=ended)
    letter, letters = (con.execute(_LETTER_AT, [source, last]).fetchall() for source in (own, other))
    if ended or len(letter[0][0]) > _CUT:
        return letter == letters
    return bool(theirs or letters)


def _goes_on(mine: tuple[object, str, str, str], theirs: tuple[object, str, str, str], *, ended: bool) -> bool:
    """Whether a record may be another one of which the end is missing: a line, some lines, or part of a line."""
    if mine[:2] != theirs[:2]:  # a line may be cut within the blank before its message
        return not ended and mine[0] == theirs[0] and theirs[1].startswith(mine[1]) and mine[2:] == ("", "")
    message, more, full, rest = mine[2], mine[3], theirs[2], theirs[3]
    if message == full and (not more or (rest.startswith(more) and rest[len(more) :].lstrip("\r")[:1] in ("", "\n"))):
        return True
    if ended:
        return False
    if not more:
        return full.startswith(message)
    kept, _, cut = more.rpartition("\n")  # the cut line goes on in the other, or it is the head of its next record
    return message == full and (rest.startswith(more) or (rest == kept.removesuffix("\r") and len(cut) <= _CUT))
