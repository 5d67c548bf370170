"""Dead letters: messages and records that could not be used, why, and what they were, byte for byte."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from hdfs_pipeline.errors import DataError, NotFoundError, PipelineError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.shown import plain
from hdfs_pipeline.sources.kafka import Headers, headers_of
from hdfs_pipeline.sources.ranges import RangeReader, reachable, watermarks
from hdfs_pipeline.store.store import Connection, Store, dicts

WAITING, REQUEUED = "waiting", "requeued"
"""States of a letter: nobody has put it back, or somebody has."""
SHOWN: Final = 64 << 10
"""Bytes of an original that are shown."""
_HEX: Final = 512  # bytes of one that is no plain text, shown as numbers
_ANSWER_S: Final = 3.0  # for which a broker may think
_TOPIC: Final = r"^kafka:(.+)/(\d+)(?:@(\d+))?$"
_OF_FILE: Final = "coalesce(source_id, -1) > 0"
# A file's letter is another one once its record was read again, though it stands at the same place. The position stands
# in the id too: one letter of a million is found by it.
_DIGEST: Final = f"""left(md5(concat_ws(chr(10), source_id, source, if({_OF_FILE}, epoch_us(seen_at), NULL))), 12)"""
_ID: Final = f"position || '-' || {_DIGEST}"
_COLUMNS: Final = "source_id, source, position, reason, text, seen_at"
_LETTERS: Final = f"""(SELECT d.source_id, d.source, d.position, d.reason, d.text, d.seen_at, r.given_by, r.given_at,
        r.became FROM dead_letters d LEFT JOIN requeued r
        ON r.source = d.source AND r.position = d.position AND coalesce(d.source_id, -1) < 0
    UNION ALL SELECT {_COLUMNS}, given_by, given_at, became FROM requeued WHERE {_OF_FILE})"""
_WAITS: Final = "coalesce(became, '') = ''"
_WHERE: Final = f"""WHERE ($state = '' OR ($state = '{WAITING}') = ({_WAITS})) AND contains(reason, $reason)
    AND contains(source, $source) AND ($topic = '' OR regexp_extract(source, '{_TOPIC}', 1) = $topic)"""


@dataclass(frozen=True)
class Asked:
    """Which letters are asked for: by state, by a part of the reason and of the source, by the topic; '' for any."""

    state: str = ""
    reason: str = ""
    topic: str = ""
    source: str = ""


class Place(NamedTuple):
    """Where the message of a letter stands: topic, partition, offset, and in which life of the topic."""

    topic: str
    partition: int
    offset: int
    epoch: int


class Original(NamedTuple):
    """A message as it came. `end` is where its partition ends."""

    value: bytes
    key: bytes | None
    headers: Headers
    end: int


def list_letters(store: Store, asked: Asked, limit: int, offset: int = 0) -> tuple[int, list[dict[str, Any]]]:
    """How many letters fit, and a page of them, the newest first."""
    given = vars(asked)
    with store.read() as con:
        total = con.execute(f"SELECT count(*) FROM {_LETTERS} {_WHERE}", given).fetchall()[0][0]
        query = f"""SELECT *, {_ID} AS id FROM (FROM {_LETTERS} {_WHERE}
            ORDER BY seen_at DESC, source, position LIMIT {limit:d} OFFSET {offset:d})
            ORDER BY seen_at DESC, source, position"""
        return int(total), [_told(row) for row in dicts(con, query, given)]


def reasons(store: Store, limit: int = 20) -> dict[str, int]:
    """Why letters wait, the most frequent reason first, with their number."""
    query = f"""SELECT reason, count(*) FROM {_LETTERS} WHERE {_WAITS} GROUP BY reason
        ORDER BY 2 DESC, 1 LIMIT {limit:d}"""
    with store.read() as con:
        return dict(con.execute(query).fetchall())


def find_letter(con: Connection, identity: str) -> dict[str, Any]:
    """A letter's row, whose `became` says what became of it where it was put back. Raises: NotFoundError."""
    position, _, digest = identity.partition("-")
    found = []
    if re.fullmatch(r"[0-9]{1,18}", position):
        query = f"SELECT *, {_ID} AS id FROM {_LETTERS} WHERE position = ? AND {_DIGEST} = ? LIMIT 1"
        found = dicts(con, query, [int(position), digest])
    if not found:
        raise NotFoundError(f"no dead letter {identity!r}: it was read again, or never was")
    return found[0]


def whole_letter(store: Store, settings: Settings, identity: str) -> dict[str, Any]:
    """A letter with its original: from Kafka while that has it, else the excerpt that the store keeps.

    Raises: NotFoundError.
    """
    if not settings.store_path.is_file():
        raise NotFoundError(f"no dead letter {identity!r}: nothing was read into this home yet")
    with store.read() as con:
        row = find_letter(con, identity)
    kept, came_from, note = (row["text"] or "").encode(), "store", "the store keeps the first 1,000 characters"
    place = place_of(row["source"], row["position"])
    key: bytes | None = None
    if place is not None:
        try:
            found = original(store, settings, place, _ANSWER_S)
            kept, key, came_from, note = found.value, found.key, "Kafka", ""
        except PipelineError as error:
            note = f"{note}; {error}"
    return _told(row) | {"original": _shown(kept, key, came_from, note)}


def place_of(source: str, position: int) -> Place | None:
    """Where a letter's message stands; None of a line of a file."""
    found = re.fullmatch(_TOPIC, source)
    return Place(found[1], int(found[2]), position, int(found[3] or 1)) if found else None


def original(store: Store, settings: Settings, place: Place, limit_s: float = 10.0) -> Original:
    """The message that stands at a place.

    Raises: SetupError where no broker answers; DataError where the message is gone.
    """
    if not reachable(settings, min(limit_s, 2.0)):
        raise DataError("no broker answers: the message cannot be read now")
    marks, part = watermarks(settings, place.topic, limit_s), place.partition
    with store.read() as con:
        known = con.execute(
            "SELECT cluster_id, topic_id FROM stream_epochs WHERE topic = ? AND epoch = ?", [place.topic, place.epoch]
        ).fetchall()
    if known != [(marks.cluster_id, marks.topic_id)]:
        raise DataError(f"topic {place.topic} was made anew since: the message is gone")
    if not marks.low.get(part, 0) <= place.offset < marks.high.get(part, 0):
        raise DataError(f"the message is gone from {place.topic}/{part}: Kafka's retention has passed it")
    reader = RangeReader(settings, place.topic, {part: (place.offset, place.offset + 1)}, stall_s=limit_s)
    messages = [message for batch in reader.batches() for message in batch.messages]
    if not messages:
        raise DataError(f"the message is gone from {place.topic}/{part}: compaction or retention has taken it")
    message = messages[0]
    return Original(message.value() or b"", message.key(), headers_of(message), marks.high[part])


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    """A letter in plain values."""
    place = place_of(row["source"], row["position"])
    return {
        "id": row["id"],
        "source": row["source"],
        "topic": place.topic if place else "",
        "partition": place.partition if place else None,
        "position": row["position"],
        "reason": row["reason"] or "",
        "text": plain(row["text"] or ""),
        "seen_at": _iso(row["seen_at"]),
        "state": REQUEUED if row["became"] else WAITING,
        "requeued_by": row["given_by"] or "",
        "requeued_at": _iso(row["given_at"]),
        "became": row["became"] or "",
    }


def _shown(value: bytes, key: bytes | None, came_from: str, note: str) -> dict[str, Any]:
    """Bytes so that they can be looked at: as text without signs that act, and as numbers where they are no text."""
    cut = value[:SHOWN]
    text = cut.decode("utf-8", "replace")
    is_text = plain(text) == text and "\ufffd" not in text
    return {
        "from": came_from,
        "bytes": len(value),
        "shown": len(cut),
        "text": plain(text),
        "hex": "" if is_text else cut[:_HEX].hex(" "),
        "key": "" if key is None else plain(key[:1000].decode("utf-8", "replace")),
        "note": note,
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="seconds")
