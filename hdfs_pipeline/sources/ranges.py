"""Exact ranges of a Kafka topic: where it begins and ends, what to read next, and reading just that.

Nothing here remembers how far it has read, and no consumer group commits: the ranges are given from outside.
"""

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import bootstrap_servers, client_config, consumer, explained
from hdfs_pipeline.sources.undecodable import Gap, Undecodable, is_of_decoding

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin import AdminClient

_Answer = TypeVar("_Answer")
Range = tuple[int, int]
"""Offsets from the first to before the second."""

_POLL: Final = 2000  # messages asked for at a time: more makes the client slower
_BATCH_RECORDS: Final = 20_000
_BATCH_BYTES: Final = 32 << 20
_POLL_S: Final = 0.2
_STALL_S: Final = 30.0


@dataclass(frozen=True)
class Watermarks:
    """First offset of each partition of a topic, and the one after the last that is committed; and which topic it is.

    A topic that was deleted and made anew has another `topic_id`, another Kafka another `cluster_id`.
    """

    topic: str
    cluster_id: str
    topic_id: str
    low: dict[int, int]
    high: dict[int, int]


@dataclass(frozen=True)
class Plan:
    """What to read next: ranges by partition, the gaps that retention has made before them, and what is left after.

    `ranges` begin where the reader stands or, where that is gone, at the first offset that is there; `gaps` are the
    offsets between. `left` counts offsets, so at most as many messages.
    """

    ranges: dict[int, Range]
    gaps: dict[int, Range]
    left: int


@dataclass(frozen=True)
class Batch:
    """Some messages with the partition and the offset of each."""

    messages: list["Message"]
    parts: list[int]
    offsets: list[int]


class Admin:
    """A client that asks about topics, kept from question to question: a new one costs as much as ten questions.

    Not for two threads at once.
    """

    def __init__(self) -> None:
        self._kept: tuple[dict[str, Any], AdminClient] | None = None

    def client(self, settings: Settings) -> "AdminClient":
        """The client; another one where the brokers or the settings of clients have changed.

        Raises: SetupError where no broker is named; KafkaException for settings that librdkafka refuses.
        """
        from confluent_kafka.admin import AdminClient

        config = client_config(settings)
        config.pop("partitioner", None)  # a producer's; librdkafka would warn of it
        if self._kept is None or self._kept[0] != config:
            self._kept = config, AdminClient(config)
        return self._kept[1]

    def close(self) -> None:
        """Let the client go: it would look, and log, for brokers that are away. The next question makes another."""
        self._kept = None


def reachable(settings: Settings, timeout_s: float = 1.0) -> bool:
    """Whether any of the brokers takes a connection: a quick answer before a client waits out its timeouts.

    Raises: SetupError where no broker is named.
    """
    for address in bootstrap_servers(settings).split(","):
        host, _, port = address.strip().rpartition("://")[2].rpartition(":")
        try:
            with socket.create_connection((host.strip("[]") or address, int(port or 9092)), timeout_s):
                return True
        except (OSError, ValueError):
            continue
    return False


def watermarks(settings: Settings, topic: str, timeout_s: float = 10.0, *, admin: Admin | None = None) -> Watermarks:
    """Where a topic begins and ends, open transactions left out; see `all_watermarks`.

    Raises: SetupError where no broker answers within `timeout_s`, or where it has no such topic.
    """
    found = all_watermarks(settings, [topic], timeout_s, admin=admin)
    if topic not in found:
        raise SetupError(f"Kafka has no topic {topic}: make it with `hdfs-pipeline topics`")
    return found[topic]


def all_watermarks(
    settings: Settings, topics: Sequence[str], timeout_s: float = 10.0, *, admin: Admin | None = None
) -> dict[str, Watermarks]:
    """Where those of `topics` that Kafka has begin and end, open transactions left out; one client asks for all.

    The client is that of `admin`, which is closed where Kafka does not answer, or one for this question.
    Raises: SetupError where no broker answers within `timeout_s`.
    """
    kept = Admin() if admin is None else admin
    try:
        return _all_watermarks(kept, settings, topics, timeout_s)
    except SetupError:
        kept.close()
        raise


def _all_watermarks(kept: Admin, settings: Settings, topics: Sequence[str], timeout_s: float) -> dict[str, Watermarks]:
    from confluent_kafka import IsolationLevel, KafkaException, TopicCollection, TopicPartition
    from confluent_kafka.admin import OffsetSpec

    try:
        admin = kept.client(settings)
        metadata = admin.list_topics(timeout=timeout_s)  # of all topics: asking for one may make it
        names = {settings.topic(topic): topic for topic in topics}  # ours, by those that the brokers know
        there = [name for name in names if name in metadata.topics and metadata.topics[name].error is None]
        if not there:
            return {}
        described = admin.describe_topics(TopicCollection(there), request_timeout=timeout_s)
        ids = {name: str(future.result(timeout_s).topic_id) for name, future in described.items()}
        places = [TopicPartition(name, part) for name in there for part in metadata.topics[name].partitions]

        def edge(spec: OffsetSpec) -> dict[str, dict[int, int]]:
            futures = admin.list_offsets(
                dict.fromkeys(places, spec),
                isolation_level=IsolationLevel.READ_COMMITTED,  # the same as when they are read
                request_timeout=timeout_s,
            )
            edges: dict[str, dict[int, int]] = {name: {} for name in there}
            for place, future in sorted(futures.items()):
                edges[place.topic][place.partition] = future.result(timeout_s).offset
            return edges

        low, high = (patiently(partial(edge, spec), timeout_s) for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))
    except KafkaException as error:
        raise explained(error, f"topic {', '.join(topics)}", settings=settings) from None
    except TimeoutError:
        raise SetupError(f"topic {', '.join(topics)}: Kafka gave no answer within {timeout_s:g} s") from None
    cluster = metadata.cluster_id or ""
    return {names[name]: Watermarks(names[name], cluster, ids[name], low[name], high[name]) for name in there}


def patiently(ask: Callable[[], _Answer], limit_s: float) -> _Answer:
    """The answer of Kafka, asked again for `limit_s` where partitions were just made and have no leader yet.

    Raises: KafkaException for any other error.
    """
    from confluent_kafka import KafkaError, KafkaException

    young = (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_LEADER_EPOCH,  # the client knows more of a topic that was made anew than this broker
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
    )
    deadline = time.monotonic() + limit_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in young or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def plan(marks: Watermarks, stored: Mapping[int, int], max_records: int, *, from_zero: bool = False) -> Plan:
    """Ranges from where the reader stands, `stored`, to the end; at most `max_records` offsets, and at least one each.

    A partition that was never read is read from what is there; with `from_zero`, what is gone of it counts as a gap.
    The cap is spread by what waits in each partition, so that all of them come to their end together.
    Raises: DataError where the topic ends before the place that was read to.
    """
    waiting: dict[int, Range] = {}
    gaps: dict[int, Range] = {}
    for part, low in marks.low.items():
        high, position = marks.high[part], stored.get(part, 0 if from_zero else low)
        if position > high:
            raise DataError(
                f"{marks.topic}/{part} ends at offset {high}, but was read to {position}: Kafka has lost messages that "
                "it had handed out. Make the topic anew, or restore it"
            )
        if position < low:
            gaps[part] = (position, low)
        if max(position, low) < high or part in gaps:
            waiting[part] = (max(position, low), high)
    total = sum(high - low for low, high in waiting.values())
    share = min(1.0, max_records / max(total, 1))
    ranges = {
        part: (start, high if share == 1.0 else min(high, start + max(int((high - start) * share), 1)))
        for part, (start, high) in waiting.items()
    }
    return Plan(ranges, gaps, total - sum(end - start for start, end in ranges.values()))


@dataclass
class RangeReader:
    """Reads exactly the given ranges of one topic, once.

    `gaps` and `undecodable` are filled while it reads: what retention took meanwhile, before it could be read, and the
    batches that cannot be decoded.
    """

    settings: Settings
    topic: str
    ranges: Mapping[int, Range]
    stall_s: float = _STALL_S
    gaps: dict[int, list[Range]] = field(default_factory=dict)
    undecodable: list[Gap] = field(default_factory=list)

    def batches(self) -> Iterator[Batch]:
        """The messages in batches of some 20,000 (32 MiB); per partition in order. Transaction markers are left out.

        Raises: SetupError where nothing comes for `stall_s` seconds, or where Kafka refuses.
        """
        from confluent_kafka import KafkaException

        self._todo = {part: end for part, (start, end) in self.ranges.items() if start < end}
        self._positions = {part: self.ranges[part][0] for part in self._todo}  # the next offset that is expected
        client = consumer(
            self.settings,
            group_id=f"{self.settings.stream_group}.sink",  # asked for by the client; nothing is committed to it
            enable_auto_commit=False,
            enable_partition_eof=True,
            auto_offset_reset="error",
            isolation_level="read_committed",
            fetch_queue_backoff_ms=5,
            fetch_error_backoff_ms=100,
            queued_max_messages_kbytes=65_536,
        )
        self._unread, self._name = Undecodable(self.settings, self.topic), self.settings.topic(self.topic)
        try:
            yield from self._read(client)
        except KafkaException as error:
            raise explained(error, f"topic {self.topic}", settings=self.settings) from None
        finally:
            client.close()

    def _read(self, client: "Consumer") -> Iterator[Batch]:
        from confluent_kafka import TopicPartition

        self._skipped = True
        batch, size, progressed_at = Batch([], [], []), 0, time.monotonic()
        while self._todo:
            if self._skipped:  # a partition that stopped at an offset that is gone goes on only when assigned anew
                client.assign([TopicPartition(self._name, part, self._positions[part]) for part in self._todo])
                self._skipped = False
            messages = client.consume(_POLL, _POLL_S)
            before = len(batch.messages), len(self._todo), sum(self._positions.values())
            self._take(client, messages, batch)
            if not messages:
                self._finish_by_position(client)
            if before != (len(batch.messages), len(self._todo), sum(self._positions.values())):
                progressed_at = time.monotonic()
            elif time.monotonic() - progressed_at > self.stall_s:
                part, end = next(iter(self._todo.items()))
                raise SetupError(
                    f"{self.topic}: nothing came for {self.stall_s:g} s; partition {part} was read to offset "
                    f"{self._positions[part]} of {end}. Is the broker well? What was read is read again by the next run"
                )
            size += sum(map(len, batch.messages[before[0] :]))
            if len(batch.messages) >= _BATCH_RECORDS or size >= _BATCH_BYTES:
                yield batch
                batch, size = Batch([], [], []), 0
        if batch.messages:
            yield batch

    def _take(self, client: "Consumer", messages: list["Message"], batch: Batch) -> None:
        """Put the messages that belong to the ranges into the batch, and end the partitions that are read."""
        todo, positions = self._todo, self._positions
        parts, offsets = [m.partition() for m in messages], [m.offset() for m in messages]
        reached = dict(zip(parts, offsets, strict=True))  # the last one of each partition
        if not any(m.error() for m in messages) and all(
            part in todo and offset < todo[part] - 1 for part, offset in reached.items()
        ):
            # Nearly always: all of them belong to the ranges, and no range ends.
            batch.messages.extend(messages)
            batch.parts.extend(parts)
            batch.offsets.extend(offsets)
            positions.update((part, offset + 1) for part, offset in reached.items())
            return
        for message in messages:
            part, offset = message.partition(), message.offset()
            if message.error() is not None:
                self._handle(client, message, part, offset)
                continue
            end = todo.get(part)
            if end is None or offset < positions[part]:
                continue
            if offset < end:
                batch.messages.append(message)
                batch.parts.append(part)
                batch.offsets.append(offset)
                positions[part] = offset + 1
            if offset >= end - 1:
                self._finish(client, part)

    def _handle(self, client: "Consumer", message: "Message", part: int, offset: int) -> None:
        """Handle what comes in place of a message: the end of a partition, an offset that is gone, an error."""
        from confluent_kafka import KafkaError, KafkaException, TopicPartition

        error = message.error()
        assert error is not None
        code = error.code()
        if is_of_decoding(message):
            if part in self._todo and (gap := self._unread.gap(message, self._positions[part])):
                end = min(gap.end, self._todo[part])
                if gap.start < end:
                    self.undecodable.append(replace(gap, end=end))
                self._positions[part], self._skipped = end, True
                if end >= self._todo[part]:
                    self._finish(client, part)
        elif code == KafkaError._PARTITION_EOF:
            if offset >= self._todo.get(part, offset + 1):
                self._finish(client, part)
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            if part not in self._todo:
                return
            low, _ = client.get_watermark_offsets(TopicPartition(self._name, part), self.stall_s)
            start, end = self._positions[part], self._todo[part]
            if low <= start:
                raise KafkaException(error)
            self.gaps.setdefault(part, []).append((start, min(low, end)))
            self._positions[part], self._skipped = min(low, end), True
            if low >= end:
                self._finish(client, part)
        elif not error.retriable() and code not in _passing():
            raise KafkaException(error)

    def _finish_by_position(self, client: "Consumer") -> None:
        """End the partitions whose last offsets hold no messages: markers, or what compaction removed."""
        from confluent_kafka import TopicPartition

        for place in client.position([TopicPartition(self._name, part) for part in self._todo]):
            if place.offset >= self._todo[place.partition]:
                self._finish(client, place.partition)

    def _finish(self, client: "Consumer", part: int) -> None:
        from confluent_kafka import TopicPartition

        del self._todo[part]
        client.pause([TopicPartition(self._name, part)])  # or the client would go on fetching what nobody reads


def _passing() -> tuple[int, ...]:
    """Errors that pass, or end in a stall."""
    from confluent_kafka import KafkaError

    return (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT)
