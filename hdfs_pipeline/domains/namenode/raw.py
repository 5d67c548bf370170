"""Raw `/jmx` documents in the store: each compressed against an earlier one, kept for some days, and read back.

Most names and values of a document stay the same: with the first one of the hour as its dictionary (Zstandard, RFC
8878, raw content) a later one takes about a tenth of the space.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import zstandard

from hdfs_pipeline.store.store import Connection

BASE_AGE: Final = timedelta(hours=1)
_LEVEL = 3
_OLD: Final = "coalesce(base, polled_at) < ?"

RAW: Final = pa.schema(
    [
        ("namenode", pa.string()),
        ("polled_at", pa.timestamp("us", "UTC")),
        ("base", pa.timestamp("us", "UTC")),
        ("bytes", pa.int32()),
        ("document", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Raw:
    """A document as it came, and when its NameNode was asked for it."""

    polled_at: datetime
    body: bytes


def pack(namenode: str, raw: Raw, base: Raw | None) -> tuple[dict[str, Any], Raw]:
    """The row of a document, and the document that the next one is to be compressed against.

    `base` is the dictionary; without one, or with one that is older than an hour, the document stands alone.
    """
    if base is not None and not timedelta(0) <= raw.polled_at - base.polled_at < BASE_AGE:
        base = None
    row = {
        "namenode": namenode,
        "polled_at": raw.polled_at,
        "base": None if base is None else base.polled_at,
        "bytes": len(raw.body),
        "document": zstandard.ZstdCompressor(level=_LEVEL, dict_data=_dictionary(base)).compress(raw.body),
    }
    return row, base or raw


def _dictionary(base: Raw | None) -> zstandard.ZstdCompressionDict | None:
    return None if base is None else zstandard.ZstdCompressionDict(base.body, zstandard.DICT_TYPE_RAWCONTENT)


def read_raw(con: Connection, namenode: str, start: datetime, end: datetime) -> Iterator[tuple[Raw, Raw]]:
    """The documents of a NameNode from `start` (with it) to `end` (with it), in order, each with its base."""
    rows = con.execute(
        "WITH wanted AS (SELECT * FROM namenode_raw WHERE namenode = $1 AND polled_at BETWEEN $2 AND $3) "
        "SELECT polled_at, base, document, polled_at BETWEEN $2 AND $3 FROM namenode_raw WHERE namenode = $1 "
        "AND (polled_at BETWEEN $2 AND $3 OR polled_at IN (SELECT base FROM wanted)) ORDER BY polled_at",
        [namenode, start, end],
    ).fetchall()
    bases: dict[datetime, Raw] = {}
    for polled_at, based_on, document, is_wanted in rows:
        base = bases.get(based_on)
        if based_on is not None and base is None:
            continue  # its base was deleted with the days that are over
        body = zstandard.ZstdDecompressor(dict_data=_dictionary(base)).decompress(document)
        raw = Raw(polled_at, body)
        if base is None:
            bases[polled_at] = raw
        if is_wanted:
            yield raw, base or raw


def forget_raw(con: Connection, before: datetime) -> None:
    """Delete the documents that were polled before `before`, and keep the bases that younger ones need."""
    con.execute(f"DELETE FROM namenode_raw WHERE {_OLD}", [before - BASE_AGE])


def old_raw(con: Connection, before: datetime) -> int:
    """How many documents `forget_raw` would delete."""
    found = con.execute(f"SELECT count(*) FROM namenode_raw WHERE {_OLD}", [before - BASE_AGE])
    return int(found.fetchall()[0][0])
