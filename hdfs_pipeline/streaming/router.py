"""The router: what shippers sent to one topic becomes records of another, keyed by item.

Shippers send lines, keyed by nothing or by file; the workers want records, keyed by item. On a real broker a record
and the progress behind it change in one transaction: however a router ends, no record is lost or doubled. The
embedded broker keeps no transactions: there a router that was killed sends its last records again.
"""

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Final

from hdfs_pipeline.domains.contract import Domain, Outgoing
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import DEAD_LETTERS, committed, consumer, explained, is_embedded, producer
from hdfs_pipeline.sources.lives import EVERY_S, Life
from hdfs_pipeline.sources.undecodable import Undecodable
from hdfs_pipeline.sources.wire import DeadLetter, encode
from hdfs_pipeline.streaming.topics import REFRESH_MS, ensure_topics

_log = logging.getLogger(__name__)

_BATCH: Final = 2000
_GATHER_S: Final = 0.2
_TIMEOUT_S: Final = 30.0
_BROKER_BYTES: Final = 1_000_000  # what a broker takes by its default: joined lines must not come to more


@dataclass
class Routed:
    """What a router did: messages read, records sent on, copies of them (one for each item), dead letters."""

    messages: int = 0
    records: int = 0
    copies: int = 0
    dead_letters: int = 0


def run_route(
    settings: Settings, domain: Domain, *, stopped: Event, on_progress: Callable[[Routed], None] = lambda _: None
) -> Routed:
    """Route what shippers sent for a domain until `stopped` is set.

    Raises: DataError for a domain that takes nothing from shippers; SetupError where Kafka gives up on it.
    """
    router = Router(settings, domain)
    try:
        while not stopped.is_set():
            router.step()
            on_progress(router.done)
    finally:
        router.close()
    return router.done


def router_group(settings: Settings) -> str:
    """The consumer group of the routers."""
    return f"{settings.stream_group}.route"


class Router:
    """A member of the routers' consumer group. Records that are not whole when it ends are read again by the next."""

    def __init__(self, settings: Settings, domain: Domain, *, session_timeout_ms: int = 10_000) -> None:
        self.done = Routed()
        self._settings = settings
        self._transactions = not is_embedded(settings)
        limit = settings.max_record_bytes
        self._shipping = domain.shipping(settings, limit if limit > 1 << 20 else min(limit, _BROKER_BYTES))
        ensure_topics(settings, (self._shipping.source, self._shipping.target, DEAD_LETTERS))
        self._committed: dict[int, tuple[int, int]] = {}
        self._group = router_group(settings)
        self._life = Life(settings, self._shipping.source)
        self._undecodable = Undecodable(settings, self._shipping.source)
        self._failed = ""
        self._producer = self._make_producer()
        extra: dict[str, Any] = {"enable_auto_commit": "false", "auto_offset_reset": "earliest"}
        extra |= {"fetch_error_backoff_ms": 100, "topic_metadata_refresh_interval_ms": REFRESH_MS}
        self._consumer = consumer(settings, group_id=self._group, session_timeout_ms=session_timeout_ms, **extra)
        self._consumer.subscribe(
            [settings.topic(self._shipping.source)], on_assign=self._assigned, on_revoke=self._revoked
        )

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
        """Read some messages, send the whole records on, and commit the progress. Raises: SetupError."""
        from confluent_kafka import KafkaException

        try:
            messages = self._consumer.consume(_BATCH, _GATHER_S)
        except KafkaException as error:
            raise explained(error, self._shipping.source) from None
        # Asked after these were read and before they are sent: records of a new life would be sent twice.
        if self._life.is_over(0.0 if messages else EVERY_S):
            self._start_over()
            return
        bad: list[DeadLetter] = []
        assigned = set(self._shipping.partitions())
        for message in messages:
            if message.partition() not in assigned:
                continue  # lost while this batch was gathered
            if message.error():
                if message.error().fatal():
                    raise explained(KafkaException(message.error()), self._shipping.source)
                bad += self._skip(message)
                continue
            self.done.messages += 1
            bad += self._shipping.take(message)
        records, broken = self._shipping.whole()
        bad += broken
        positions = {part: self._shipping.position(part) for part in self._shipping.partitions()}
        moved = {part: where for part, where in positions.items() if self._committed.get(part) != where}
        if bad or records or any(self._committed.get(part, (0,))[0] != where[0] for part, where in moved.items()):
            self._publish(records, bad, moved)

    def _skip(self, error: Any) -> list[DeadLetter]:
        """Pass over a batch that cannot be decoded; the letter that tells of it."""
        part = error.partition()
        gap = self._undecodable.gap(error)
        if gap is None:
            return []
        from confluent_kafka import TopicPartition

        self._consumer.seek(TopicPartition(self._settings.topic(gap.topic), part, gap.end))
        return [gap.letter()] if self._shipping.skip(part, gap.end) else []

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
        self._producer.flush(_TIMEOUT_S)

    def _publish(
        self, records: Sequence[Outgoing], bad: Sequence[DeadLetter], moved: dict[int, tuple[int, int]]
    ) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        source, target = self._shipping.source, self._shipping.target
        offsets = [
            TopicPartition(self._settings.topic(source), part, at, metadata=self._life.mark(str(until)))
            for part, (at, until) in moved.items()
        ]
        try:
            if self._transactions:
                self._producer.begin_transaction()
            done = self._produce(records, bad)
            if self._transactions:
                metadata = self._consumer.consumer_group_metadata()
                self._producer.send_offsets_to_transaction(offsets, metadata, _TIMEOUT_S)
                self._producer.commit_transaction(_TIMEOUT_S)
            elif self._producer.flush(_TIMEOUT_S) or self._failed:
                raise SetupError(f"the broker does not take messages of {target}: {self._failed or 'timed out'}")
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
                raise explained(error, f"the router cannot go on: {self._shipping.target}")
            self._assigned(self._consumer, self._consumer.assignment())
        except KafkaException as other:
            raise explained(other, f"the router cannot go on: {self._shipping.target}") from None

    def _start_over(self) -> None:
        """Go on with a topic that was made anew: what waits of the old one is dropped."""
        _log.warning(
            "%s was deleted and made anew: what waits of the old topic is dropped, and the new one is read from its "
            "start", self._shipping.source,
        )  # fmt: skip
        places = self._consumer.assignment()
        self._revoked(self._consumer, places)
        self._assigned(self._consumer, places)

    def _produce(self, records: Sequence[Outgoing], bad: Sequence[DeadLetter]) -> Routed:
        """Hand messages to the producer, and count them."""
        for record in records:
            for key in record.keys:
                self._hand_over(self._shipping.target, record.value, key, record.headers)
        for letter in bad:
            self._hand_over(DEAD_LETTERS, encode(letter), letter.key, None)
        return Routed(records=len(records), copies=sum(len(record.keys) for record in records), dead_letters=len(bad))

    def _hand_over(self, topic: str, value: bytes, key: bytes | None, headers: Any) -> None:
        while True:
            try:
                self._producer.produce(self._settings.topic(topic), value, key, headers=headers)
                return
            except BufferError:  # deliveries make room; one that fails does too, and fails the transaction
                self._producer.poll(0.1)

    def _assigned(self, client: Any, places: list[Any]) -> None:
        from confluent_kafka import OFFSET_BEGINNING

        found = committed(client, places) if places else []
        self._life.look()
        others = 0
        for place in found:
            note = self._life.note(place.metadata)
            if note is None:
                others += 1
                place.offset = OFFSET_BEGINNING
            until = int(note) if note and note.isdecimal() else 0
            self._shipping.assigned(place.partition, max(place.offset, 0), until)
            self._committed[place.partition] = (max(place.offset, 0), until)
        if others:
            _log.warning(
                "the group's offsets of %d partitions belong to another %s, which was deleted: they are read from "
                "their start", others, self._shipping.source,
            )  # fmt: skip
        client.assign(found)

    def _revoked(self, _client: Any, places: list[Any]) -> None:
        for place in places:
            self._shipping.revoked(place.partition)
            self._committed.pop(place.partition, None)
