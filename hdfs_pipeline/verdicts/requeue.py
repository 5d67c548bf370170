"""Putting a dead letter back: its message once more to its topic, or its line once more through the domain's reading.

A message is put back once, also where this process is killed on the way. The store says beforehand that it is to be,
and where its partition ended; the message carries the letter's id in a header. Who comes after a broken attempt looks
behind that place for the header before it sends.
"""

from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa
from filelock import FileLock, Timeout

from hdfs_pipeline.domains import domain_named
from hdfs_pipeline.domains.contract import Again, Domain
from hdfs_pipeline.errors import ConflictError, DataError, NotFoundError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import headers_of, producer
from hdfs_pipeline.sources.ranges import RangeReader, watermarks
from hdfs_pipeline.store.counters import next_number
from hdfs_pipeline.store.store import Connection, Store, count, dicts, publish_into
from hdfs_pipeline.verdicts.letters import Original, Place, find_letter, original, place_of

HEADER: Final = "hdfs-pipeline-requeued"
"""Header of a message that was put back: the id of its letter."""
_SENT_S: Final = 10.0  # within which a broker must take a message
_TURN_S: Final = 15.0  # to wait for another one that is put back


def requeue(store: Store, settings: Settings, identity: str, *, by: str = "") -> dict[str, Any]:
    """Put a letter back, once; the letter remembers who did and when. Returns its id, and what became of it in words.

    A line of a file that still is no record becomes a new letter, whose reason is told. Raises: NotFoundError;
    ConflictError where it was put back already; DataError where the original is gone; SetupError where broker or store
    cannot be used.
    """
    if not settings.store_path.is_file():
        raise NotFoundError(f"no dead letter {identity!r}: nothing was read into this home yet")
    try:
        with FileLock(settings.home / "requeue.lock", timeout=_TURN_S):
            with store.read() as con:
                row = find_letter(con, identity)
                begun = dicts(con, "FROM requeued WHERE letter = ?", [identity])
            if begun and begun[0]["became"]:
                who = f" by {begun[0]['given_by']}" if begun[0]["given_by"] else ""
                raise ConflictError(f"this letter was put back already{who}: {begun[0]['became']}")
            place = place_of(row["source"], row["position"])
            if place is None:
                became = _read_again(store, settings, row, by)
            else:
                became = _send_again(store, settings, row, place, by, begun[0] if begun else None)
    except Timeout:
        raise SetupError("another letter is being put back: try again") from None
    return {"id": identity, "became": became}


def _read_again(store: Store, settings: Settings, row: dict[str, Any], by: str) -> str:
    """The line of a file through its domain's reading, in one transaction with the word that it was."""
    again = _domain_of(store, row["source_id"]).read_again(
        settings, row["source_id"], row["source"], row["position"], row["text"] or ""
    )
    if again is None:
        raise DataError("no kind of data keeps lines of files: read the file again with `hdfs-pipeline ingest`")
    became = f"still no record: {again.reason}" if again.reason else "read: the next reading counts it"
    if again.note:
        became += f" ({again.note})"
    now = datetime.now(UTC)
    with store.write() as con:
        gone = con.execute(
            "DELETE FROM dead_letters WHERE source_id = ? AND position = ? AND seen_at = ? AND reason = ?",
            [row["source_id"], row["position"], row["seen_at"], row["reason"]],
        )
        if not count(gone):
            raise ConflictError("this letter was read again meanwhile, with its file")
        if again.reason:
            new = {name: row[name] for name in ("source_id", "source", "position")}
            new |= {"reason": again.reason, "text": again.text, "seen_at": now}
            publish_into(con, "dead_letters", pa.Table.from_pylist([new]))
        else:
            publish_into(con, again.table, _numbered(con, again))
        _remember(con, row, by, now, None, became)
    return became


def _domain_of(store: Store, source_id: int) -> Domain:
    """The domain whose reading has read a source."""
    with store.read() as con:
        found = con.execute("SELECT domain FROM sources WHERE source_id = ?", [source_id]).fetchall()
    return domain_named(found[0][0] if found and found[0][0] else None)


def _numbered(con: Connection, again: Again) -> pa.Table:
    """The row of a record with the number of its change, where its table has one."""
    if not again.counter:
        return again.row
    return again.row.append_column("revision", pa.array([next_number(con, again.counter)], pa.int64()))


def _send_again(
    store: Store, settings: Settings, row: dict[str, Any], place: Place, by: str, begun: dict[str, Any] | None
) -> str:
    """The message of a letter once more to the partition that it came from."""
    offset = None
    if begun is None:
        message = original(store, settings, place)
        with store.write() as con:
            _remember(con, row, by, datetime.now(UTC), message.end, "")
    else:  # an attempt that did not come to its end
        offset = _sent_before(settings, place, row["id"], begun["part_end"])
    if offset is None:
        offset = _send(settings, place, message if begun is None else original(store, settings, place), row["id"])
    became = f"put back: {place.topic}/{place.partition}, offset {offset}"
    with store.write() as con:
        con.execute("UPDATE requeued SET became = ? WHERE letter = ?", [became, row["id"]])
    return became


def _send(settings: Settings, place: Place, message: Original, letter: str) -> int:
    """Send a message; its offset once the brokers have it. Raises: SetupError where they do not take it."""
    from confluent_kafka import KafkaException

    heard: list[Any] = []
    client = producer(
        settings,
        enable_idempotence=True,
        delivery_timeout_ms=int(_SENT_S * 1000),
        message_max_bytes=settings.max_record_bytes + (1 << 20),
    )
    try:
        client.produce(
            settings.topic(place.topic),
            message.value,
            message.key,
            partition=place.partition,
            headers=[*(each for each in message.headers if each[0] != HEADER), (HEADER, letter.encode())],
            on_delivery=lambda error, told: heard.append(error or told.offset()),
        )
        client.flush(_SENT_S + 1)
    except (BufferError, KafkaException) as error:
        heard.append(error.args[0])
    if not heard or not isinstance(heard[0], int):
        why = heard[0] if heard else "no answer"
        raise SetupError(f"Kafka does not take the message back ({why}): try again; it is not sent twice")
    return heard[0]


def _sent_before(settings: Settings, place: Place, letter: str, end: int) -> int | None:
    """The offset of the letter's message behind `end` in its partition; None where an attempt did not send it."""
    marks = watermarks(settings, place.topic)
    start = max(end, marks.low[place.partition])
    reader = RangeReader(
        settings, place.topic, {place.partition: (start, marks.high[place.partition])}, stall_s=_SENT_S
    )
    for batch in reader.batches():
        for message in batch.messages:
            if (HEADER, letter.encode()) in headers_of(message):
                return int(message.offset())
    return None


def _remember(con: Connection, row: dict[str, Any], by: str, now: datetime, end: int | None, became: str) -> None:
    """Write down that a letter is put back."""
    names = ("source_id", "source", "position", "reason", "text", "seen_at")
    said = {"letter": row["id"], "given_by": by, "given_at": now, "part_end": end, "became": became}
    publish_into(con, "requeued", pa.Table.from_pylist([{name: row[name] for name in names} | said]))
