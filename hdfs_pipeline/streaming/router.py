"""The router: lines that shippers sent to `shipped_logs` become records of `raw_logs`, keyed by block.

Shippers send lines, keyed by nothing or by file; the workers want records, keyed by block. On a real broker a record
and the progress behind it change in one transaction: after whatever end, none is lost and none is doubled. The
embedded broker keeps no transactions: there a router that was killed sends its last records again.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.blocks import wire
from hdfs_pipeline.domains.blocks.joins import Bad, Joined, Joins
from hdfs_pipeline.domains.blocks.messages import NO_HEAD, Shipped, unwrap
from hdfs_pipeline.domains.blocks.replay import Cut
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import (
    DEAD_LETTERS,
    RAW_LOGS,
    SHIPPED_LOGS,
    committed,
    consumer,
    explained,
    is_embedded,
    producer,
)
from hdfs_pipeline.streaming.topics import ensure_topics

_BATCH: Final = 2000
_GATHER_S: Final = 0.2
_TIMEOUT_S: Final = 30.0
_BROKER_BYTES: Final = 1_000_000  # what a broker takes by its default: joined lines must not come to more
_PATH_HEADERS: Final = ("path", "file", "filename")


@dataclass
class Routed:
    """What a router did: messages read, records sent on, copies of them (one for each block), dead letters."""

    messages: int = 0
    records: int = 0
    copies: int = 0
    dead_letters: int = 0


def run_route(settings: Settings, *, stopped: Event, on_progress: Callable[[Routed], None] = lambda _: None) -> Routed:
    """Route until `stopped` is set. Raises: SetupError where Kafka gives up on it."""
    ensure_topics(settings, (SHIPPED_LOGS, RAW_LOGS, DEAD_LETTERS))
    router = Router(settings)
    try:
        while not stopped.is_set():
            router.step()
            on_progress(router.done)
    finally:
        router.close()
    return router.done


class Router:
    """A member of the routers' consumer group. Records that are not whole when it ends are read again by the next."""

    def __init__(self, settings: Settings, *, session_timeout_ms: int = 10_000) -> None:
        self.done = Routed()
        self._settings = settings
        self._transactions = not is_embedded(settings)
        limit = settings.max_record_bytes
        self._joins = Joins(max_record_bytes=limit if limit > 1 << 20 else min(limit, _BROKER_BYTES))
        self._committed: dict[int, tuple[int, int]] = {}
        self._group = f"{settings.stream_group}.route"
        self._failed = ""
        self._producer = self._make_producer()
        extra = {"enable_auto_commit": "false", "auto_offset_reset": "earliest"}
        self._consumer = consumer(settings, group_id=self._group, session_timeout_ms=session_timeout_ms, **extra)
        self._consumer.subscribe([SHIPPED_LOGS], on_assign=self._assigned, on_revoke=self._revoked)

    def _make_producer(self) -> Any:
        extra: dict[str, Any] = {"linger_ms": 5, "compression_type": "lz4", "enable_idempotence": "true"}
        extra |= {"message_timeout_ms": 10_000, "message_max_bytes": self._settings.max_record_bytes + (64 << 10)}
        if not self._transactions:
            return producer(self._settings, **extra, delivery_report_only_error=True, on_delivery=self._undelivered)
        from confluent_kafka import KafkaException

        # No two routers share a name: what keeps one that was thought dead from writing is the group's generation.
        name = f"{self._group}.{uuid.uuid4().hex}"
        # A router that was killed holds readers of committed messages up for as long as its transaction may take.
        made = producer(self._settings, **extra, transactional_id=name, transaction_timeout_ms=15_000)
        try:
            made.init_transactions(_TIMEOUT_S)
        except KafkaException as error:
            raise explained(error, "transactions") from None
        return made

    def step(self) -> None:
        """Read some messages, send on what is whole, remember how far that is. Raises: SetupError."""
        from confluent_kafka import KafkaException

        try:
            found = self._consumer.consume(_BATCH, _GATHER_S)
        except KafkaException as error:
            raise explained(error, SHIPPED_LOGS) from None
        bad: list[Bad] = []
        assigned = set(self._joins.partitions())
        for message in found:
            if message.partition() not in assigned:
                continue  # lost while this batch was gathered
            if message.error():
                if message.error().fatal():
                    raise explained(KafkaException(message.error()), SHIPPED_LOGS)
                continue
            self.done.messages += 1
            bad += self._take(message)
        records = list(self._joins.whole())
        positions = {part: self._joins.position(part) for part in self._joins.partitions()}
        moved = {part: where for part, where in positions.items() if self._committed.get(part) != where}
        if bad or records or any(self._committed.get(part, (0,))[0] != where[0] for part, where in moved.items()):
            self._publish(records, bad, moved)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
        self._producer.flush(_TIMEOUT_S)

    def _take(self, message: Any) -> list[Bad]:
        """The message's lines go to their records; what of it is none."""
        part, offset, value = message.partition(), message.offset(), message.value()
        if value is None:
            return self._joins.refuse(Bad(part, offset, "no value", b""))
        if len(value) > self._settings.max_record_bytes:
            reason = f"longer than {self._settings.max_record_bytes} bytes"
            return self._joins.refuse(Bad(part, offset, reason, value))
        try:
            shipped = unwrap(value)
        except DataError as error:
            return self._joins.refuse(Bad(part, offset, str(error), value))
        return self._joins.add(part, offset, _placed(shipped, message))

    def _publish(self, records: Sequence[Joined], bad: list[Bad], moved: dict[int, tuple[int, int]]) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        offsets = [TopicPartition(SHIPPED_LOGS, part, at, metadata=str(until)) for part, (at, until) in moved.items()]
        try:
            if self._transactions:
                self._producer.begin_transaction()
            done = self._produce(records, bad)
            if self._transactions:
                metadata = self._consumer.consumer_group_metadata()
                self._producer.send_offsets_to_transaction(offsets, metadata, _TIMEOUT_S)
                self._producer.commit_transaction(_TIMEOUT_S)
            elif self._producer.flush(_TIMEOUT_S) or self._failed:
                raise SetupError(f"the broker does not take messages of {RAW_LOGS}: {self._failed or 'timed out'}")
            else:
                self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            self._give_up_or_reset(error)
            return
        self._committed |= moved
        self.done.records += done.records
        self.done.copies += done.copies
        self.done.dead_letters += done.dead_letters

    def _undelivered(self, error: Any, _message: Any) -> None:
        self._failed = error.str() if error is not None else self._failed

    def _give_up_or_reset(self, error: Any) -> None:
        """After a transaction that failed, or a commit that came too late: begin again at what is committed."""
        from confluent_kafka import KafkaError, KafkaException

        late = (KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS)
        try:
            if self._transactions and not error.args[0].fatal():
                self._producer.abort_transaction(_TIMEOUT_S)
            elif error.args[0].code() not in late:
                raise explained(error, f"the router cannot go on: {RAW_LOGS}")
            self._assigned(self._consumer, self._consumer.assignment())
            for part in self._joins.partitions():
                self._consumer.seek(self._place(part))
        except KafkaException as other:
            raise explained(other, f"the router cannot go on: {RAW_LOGS}") from None

    def _place(self, part: int) -> Any:
        from confluent_kafka import OFFSET_BEGINNING, TopicPartition

        at, _ = self._joins.position(part)
        return TopicPartition(SHIPPED_LOGS, part, at if at else OFFSET_BEGINNING)

    def _produce(self, records: Sequence[Joined], bad: list[Bad]) -> Routed:
        """Hand messages to the producer; what they come to."""
        done = Routed()
        for record, block_ids in _blocks(records):
            if block_ids is None:
                reason = f"longer than {self._settings.max_record_bytes} bytes" if record.too_long else NO_HEAD
                bad = [*bad, Bad(record.partition, record.offset, reason, record.text)]
                continue
            headers = [("record", f"{SHIPPED_LOGS}/{record.record_id}".encode())]
            known = (("host", record.host), ("daemon", record.daemon))
            headers += [(name, value.encode("utf-8", "replace")) for name, value in known if value]
            for block_id in block_ids:
                self._hand_over(RAW_LOGS, record.text, wire.block_key(block_id), headers)
            if not block_ids:
                self._hand_over(RAW_LOGS, record.text, None, headers)
            done.records += 1
            done.copies += len(block_ids) or 1
        for each in bad:
            place, now = (SHIPPED_LOGS, each.partition, each.offset), datetime.now(UTC)
            letter = wire.DeadLetter(*place, each.reason, wire.excerpt(each.text), now)
            self._hand_over(DEAD_LETTERS, wire.encode(letter), letter.key, None)
            done.dead_letters += 1
        return done

    def _hand_over(self, topic: str, value: bytes, key: bytes | None, headers: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers)
                return
            except BufferError:  # deliveries make room; one that fails does too, and fails the transaction
                self._producer.poll(0.1)

    def _assigned(self, client: Any, places: list[Any]) -> None:
        for place in committed(client, places) if places else []:
            until = int(place.metadata) if (place.metadata or "").isdecimal() else 0
            self._joins.assigned(place.partition, max(place.offset, 0), until)
            self._committed[place.partition] = (max(place.offset, 0), until)

    def _revoked(self, _client: Any, places: list[Any]) -> None:
        for place in places:
            self._joins.revoked(place.partition)
            self._committed.pop(place.partition, None)


def _placed(shipped: Shipped, message: Any) -> Shipped:
    """With host and path from the message's headers, and the path from its key, where its text has none."""
    host, path = shipped.host, shipped.path
    if not (host and path):
        headers = {name: value.decode("utf-8", "replace") for name, value in message.headers() or () if value}
        key = (message.key() or b"").decode("utf-8", "replace")
        host = host or headers.get("host", "")
        path = path or next((headers[name] for name in _PATH_HEADERS if name in headers), key)
    # JSON can spell half a surrogate pair, which no encoding takes.
    return Shipped(shipped.text, *(text.encode("utf-8", "replace").decode() for text in (host, path)))


def _blocks(records: Sequence[Joined]) -> list[tuple[Joined, list[int] | None]]:
    """Records, in their order, with the blocks that each names; None for one that is no good record."""
    groups: dict[str, list[Joined]] = {}
    for record in records:
        if not record.too_long:
            groups.setdefault(record.layout.name, []).append(record)
    found: dict[int, list[int]] = {}
    for group in groups.values():
        texts = [record.text for record in group]
        cut = Cut(b"\n".join(texts) + b"\n", group[0].layout)
        begins = np.cumsum([0, *(len(text) + 1 for text in texts)])
        rows = np.searchsorted(cut.starts, begins)  # a joined line can look like another record's head: it stays here
        ids, offsets = cut.ids.tolist(), cut.offsets[rows].tolist()
        for number, record in enumerate(group):
            if cut.times[rows[number]] >= 0:
                found[id(record)] = list(dict.fromkeys(ids[offsets[number] : offsets[number + 1]]))
    return [(record, found.get(id(record))) for record in records]
