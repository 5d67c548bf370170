"""The stream worker: one consumer of a group, one stage or two, commits that never run ahead of what was sent.

A worker reads Kafka and writes Kafka, without a database. It sends each message at least once, under keys that make
repetition harmless. A stage that cannot send, or that the brokers refuse, ends the worker with an error; the next
worker begins where the commits stand.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from operator import methodcaller
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.contract import Batch, Stage
from hdfs_pipeline.domains.course import Course
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.processes.signals import stop_on_signals
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import DEAD_LETTERS, committed, consumer
from hdfs_pipeline.sources.lives import Life
from hdfs_pipeline.sources.ranges import reachable
from hdfs_pipeline.sources.undecodable import Gap, Undecodable, is_of_decoding
from hdfs_pipeline.sources.wire import encode
from hdfs_pipeline.streaming.metrics import Metrics
from hdfs_pipeline.streaming.outbox import Outbox
from hdfs_pipeline.streaming.topics import REFRESH_MS, raise_partitions

_log = logging.getLogger(__name__)
_BATCH: Final = 4000  # messages parsed together at most
_CONSUME: Final = 2000  # messages taken at a time: the client's best size
_WORTH: Final = 64  # messages that are worth a batch: one that is smaller costs as much
_SAVED: Final = 4 * _WORTH  # messages that large batches may have had beyond that, for small ones to go at once
_PAUSE_S: Final = 0.01  # between the beginnings of two batches at least
_SETTLE_S: Final = 0.002  # what the broker sent together comes in pieces
_QUIET_S: Final = 0.1  # the longest wait for a message
_LEAST_S: Final = 0.001  # below it the client does not wait
_EVERY_S: Final = 1.0  # commits, quiet items, a look for a new champion
_PATIENCE_S: Final = 60.0  # seconds without any broker after which a worker ends
_ASK_S: Final = 1.0
_ERROR, _PARTITION, _OFFSET = methodcaller("error"), methodcaller("partition"), methodcaller("offset")
_SESSION_MS: Final = 6_000  # the least that brokers allow: how long a killed worker is waited for


class Worker:
    """Runs a stage until it is told to stop."""

    def __init__(self, settings: Settings, stage: Stage, outbox: Outbox, metrics: Metrics, partitions: int) -> None:
        self._settings, self._stage, self._outbox, self._metrics = settings, stage, outbox, metrics
        self._gather_s = settings.stream_gather_ms / 1000
        self._pause_s = min(_PAUSE_S, self._gather_s)
        self._begun = 0.0  # when work on the last batch began
        self._saved = 0  # messages by which the last batches were larger than worth their cost
        self._positions = np.full(partitions, -1, np.int64)
        self._committed = np.full(partitions, -1, np.int64)
        self._snapshots: deque[tuple[int, np.ndarray]] = deque()
        self._mine: set[int] = set()
        self._silent_since: float | None = None  # when the last broker went away
        self._failure: Exception | None = None  # of a callback
        self._name = settings.topic(stage.topic)  # on the brokers
        self._life = Life(settings, stage.topic)
        self._undecodable = Undecodable(settings, stage.topic)
        self._generation = 0  # of the assignment: what was gathered under another one is not worked on
        self._consumer = consumer(
            settings,
            group_id=stage.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=2000,
            fetch_wait_max_ms=8,
            fetch_min_bytes=64 << 10,
            fetch_error_backoff_ms=100,
            topic_metadata_refresh_interval_ms=REFRESH_MS,
            queued_max_messages_kbytes=128 << 10,
            on_commit=_log_refusal,
            error_cb=self._on_error,
        )

    def run(self) -> None:
        """Work until SIGTERM, SIGINT or SIGHUP; then send, commit, leave.

        Raises: SetupError where the brokers refuse something for good.
        """
        client = self._consumer
        moves = {"on_assign": self._assign, "on_revoke": self._revoke, "on_lost": self._lose}
        client.subscribe([self._name], **{name: self._keeping_error(move) for name, move in moves.items()})
        ticked = 0.0
        with stop_on_signals() as stopped:
            try:
                while not stopped.is_set():
                    messages, gaps, arrived = self._gather()
                    if messages:
                        self._begun = time.monotonic()
                        self._work(messages, arrived)
                    for gap in gaps:
                        self._pass_over(gap)
                    self._outbox.poll()
                    self._commit()
                    self._check_brokers(bool(messages))
                    if time.monotonic() - ticked >= _EVERY_S:
                        ticked = time.monotonic()
                        self._tick()
                _log.info("stopping: sending what is counted, committing, leaving the group")
                self._settle(sorted(self._mine))
            finally:
                self._mine.clear()  # what is not settled now is the successor's
                client.close()

    def _keeping_error(self, move: Callable[[Any, list[Any]], None]) -> Callable[[Any, list[Any]], None]:
        """The callback `move`, which keeps its error until the client returns: the client would change the error."""

        def call(client: Any, partitions: list[Any]) -> None:
            try:
                move(client, partitions)
            except Exception as error:  # noqa: BLE001 - raised by `_gather`
                self._failure = self._failure or error

        return call

    def _on_error(self, error: Any) -> None:
        from confluent_kafka import KafkaError

        if error.code() == KafkaError._ALL_BROKERS_DOWN and self._silent_since is None:
            self._silent_since = time.monotonic()
            _log.warning("Kafka: no broker answers; waiting for %g s", _PATIENCE_S)
        elif error.fatal():
            _log.error("Kafka: %s", error.str())

    def _check_brokers(self, heard: bool) -> None:
        """End where no broker comes back: a restart asks for its address anew."""
        if self._silent_since is None:
            return
        silent_s = time.monotonic() - self._silent_since
        if heard or (silent_s > _ASK_S and reachable(self._settings, _ASK_S)):
            self._silent_since = None
        elif silent_s > _PATIENCE_S:
            raise SetupError(f"no Kafka broker has answered for {_PATIENCE_S:g} s: start it, then this worker")

    def _gather(self) -> tuple[list[Any], list[Gap], float]:
        """The next batch, the gaps behind its messages, and when its first message was here (seconds since 1970).

        A batch goes when it is worth its cost, or when those before it were together, or so long after the beginning of
        the last one: at once where nothing came before. While a batch is worked on the next one grows, so that they are
        large where much comes.
        """
        pause = self._begun + self._pause_s
        while (left := pause - time.monotonic()) > _LEAST_S:
            self._outbox.poll(left)  # where acknowledgements come meanwhile
        gathered = self._first()
        generation = self._generation  # read after it: the call that takes partitions over may bring a message too
        arrived, now = time.time(), time.monotonic()
        deadline = max(self._begun + self._gather_s, now + min(_SETTLE_S, self._gather_s))
        while gathered and len(gathered) < _BATCH:
            left = deadline - time.monotonic()
            lacks = _WORTH - self._saved - len(gathered)
            waits = lacks > 0 and left > _LEAST_S
            fetched = self._consume(lacks, left) if waits else self._consume(_CONSUME, 0)
            if generation != self._generation:  # the client delivers their offsets again, after others
                generation, gathered = self._generation, []
            gathered += fetched
            if not fetched and not waits:
                break
        if gathered:
            self._saved = min(max(self._saved + len(gathered) - _WORTH, 0), _SAVED)
        return *self._sorted(gathered), arrived

    def _first(self) -> list[Any]:
        """The next message once it is here, none after `_QUIET_S`; meanwhile acknowledgements are taken in."""
        deadline = time.monotonic() + _QUIET_S
        while self._outbox.waits and time.monotonic() < deadline:
            if fetched := self._consume(1, 0):
                return fetched
            self._outbox.poll(_LEAST_S)
        return self._consume(1, _QUIET_S)

    def _consume(self, messages: int, wait_s: float) -> list[Any]:
        """So many messages, or those that have come after `wait_s`. Raises: what a callback has raised meanwhile."""
        fetched = self._consumer.consume(messages, wait_s)
        if self._failure is not None:
            raise self._failure
        return fetched

    def _sorted(self, gathered: list[Any]) -> tuple[list[Any], list[Gap]]:
        """What was gathered as messages and gaps. Raises: SetupError for an error after which the client ends."""
        errors = list(map(_ERROR, gathered))
        if not any(errors):
            return gathered, []
        messages, gaps = [], list[Gap]()
        for message, error in zip(gathered, errors, strict=True):
            if error is None:
                messages.append(message)
            elif error.fatal():
                raise SetupError(f"Kafka: {error.str()}")
            elif not (is_of_decoding(message) and message.partition() in self._mine):
                _log.warning("Kafka: %s", error.str())
            elif gap := self._undecodable.gap(message, int(self._positions[message.partition()])):
                gaps.append(gap)
        # Each lies behind the messages of its partition that came before it.
        return messages, gaps

    def _pass_over(self, gap: Gap) -> None:
        """Go on behind messages that cannot be decoded, and tell of them."""
        from confluent_kafka import TopicPartition

        if gap.partition not in self._mine:
            return
        self._consumer.seek(TopicPartition(self._name, gap.partition, gap.end))
        self._positions[gap.partition] = max(self._positions[gap.partition], gap.end)
        letter = gap.letter()
        self._outbox.send(DEAD_LETTERS, letter.key, encode(letter), gap.partition)
        self._metrics.lost(len(gap))
        _log.error("%s/%d from offset %d on: %s", gap.topic, gap.partition, gap.start, letter.reason)

    def _work(self, messages: list[Any], arrived: float) -> None:
        gathered = time.time()
        partition = np.fromiter(map(_PARTITION, messages), np.int32, len(messages))
        offset = np.fromiter(map(_OFFSET, messages), np.int64, len(messages))
        parts, firsts = (array.tolist() for array in np.unique(partition, return_index=True))
        if not self._mine.issuperset(parts):  # taken away meanwhile: a successor counts them
            self._work([message for message in messages if message.partition() in self._mine], arrived)
            return
        places = zip(parts, offset[firsts].tolist(), strict=True)
        begun = any(first < max(int(self._positions[part]), 1) for part, first in places)
        if begun and self._life.is_over(0.0):  # their keys name the life of the topic
            self._start_over()
            return
        for part, first in zip(parts, firsts, strict=True):
            self._check_gap(part, int(offset[first]))
        stamps = {part: messages[first].timestamp()[1] / 1000 for part, first in zip(parts, firsts, strict=True)}
        self._stage.handle(Batch(messages, partition, offset), Course(stamps, arrived, gathered))
        np.maximum.at(self._positions, partition, offset + 1)
        self._metrics.read(len(messages))

    def _check_gap(self, partition: int, offset: int) -> None:
        expected = int(self._positions[partition])
        if expected < 0 or offset <= expected:
            return
        low, _ = self._watermarks(partition)
        if low > expected:  # other gaps are the marks of transactions
            lost = min(low, offset) - expected
            self._metrics.lost(lost)
            _log.error(
                "%s/%d: %d messages from offset %d on are gone: retention deleted them before they were read. Items "
                "of that time lack records", self._stage.topic, partition, lost, expected,
            )  # fmt: skip

    def _watermarks(self, partition: int) -> tuple[int, int]:
        from confluent_kafka import TopicPartition

        place = TopicPartition(self._name, partition)
        low, high = self._consumer.get_watermark_offsets(place, cached=True)
        return int(low), int(high)

    def _tick(self) -> None:
        if not self._mine:
            return
        if self._silent_since is None and self._life.is_over():
            self._start_over()
            return
        lag = {}
        caught_up = np.zeros(len(self._positions), bool)
        for partition, reached in self._reached().items():
            high = self._watermarks(partition)[1]
            if reached >= 0 and high >= 0:
                lag[partition] = max(high - reached, 0)
                caught_up[partition] = lag[partition] == 0
        self._metrics.lag(lag)
        if self._stage.tick(caught_up):
            self._begin_anew()
            return
        self._snapshots.append((self._outbox.mark(), self._stage.floors(self._positions)))

    def _reached(self) -> dict[int, int]:
        """Next offset to read by partition, beyond the marks of transactions; -1 where nothing is known."""
        from confluent_kafka import TopicPartition

        places = [TopicPartition(self._name, partition) for partition in self._mine]
        positions = self._consumer.position(places) if places else []
        return {place.partition: max(place.offset, int(self._positions[place.partition]), -1) for place in positions}

    def _commit(self) -> None:
        """Commit the newest of the points in time that are settled."""
        floors = None
        while self._snapshots and self._outbox.settled(self._snapshots[0][0]):
            floors = self._snapshots.popleft()[1]
        if floors is not None and (places := self._places(floors, self._mine)):
            self._consumer.commit(offsets=places, asynchronous=True)

    def _places(self, floors: np.ndarray, partitions: Any) -> list[Any]:
        from confluent_kafka import TopicPartition

        moved = [p for p in sorted(partitions) if floors[p] > self._committed[p]]
        self._committed[moved] = floors[moved]
        name, stage, life = self._name, self._stage, self._life
        return [
            TopicPartition(name, p, int(floors[p]), metadata=life.mark(stage.note(p, int(floors[p])))) for p in moved
        ]

    def _settle(self, partitions: list[int]) -> None:
        """Wait until all that was sent has arrived, then commit the given partitions."""
        from confluent_kafka import KafkaException

        if not self._outbox.flush():
            _log.warning("not all was acknowledged in time: it is sent again by whoever reads on")
            return
        self._snapshots.clear()
        if places := self._places(self._stage.floors(self._positions), partitions):
            with suppress(KafkaException):  # no longer a member of the group: the successor reads a little more
                self._consumer.commit(offsets=places, asynchronous=False)

    def _assign(self, client: Any, partitions: list[Any]) -> None:
        from confluent_kafka import OFFSET_BEGINNING

        self._generation += 1
        self._make_room(max((place.partition for place in partitions), default=-1) + 1)
        places, life = committed(client, partitions), self._life.look()
        notes = {}
        for place in places:
            notes[place.partition] = self._life.note(place.metadata)
            if notes[place.partition] is None:
                place.offset = OFFSET_BEGINNING
            self._positions[place.partition] = self._committed[place.partition] = max(place.offset, -1)
        self._mine |= notes.keys()
        if others := list(notes.values()).count(None):
            _log.warning(
                "the group's offsets of %d partitions belong to another %s, which was deleted: they are read from "
                "their start", others, self._stage.topic,
            )  # fmt: skip
        if notes:
            _log.info("partitions taken over: %d of %s", len(notes), self._stage.topic)
            self._stage.begin(notes, life)
        client.assign(places)

    def _make_room(self, partitions: int) -> None:
        """Take partitions that were added to the topic while workers run: all that is sent needs as many."""
        known = len(self._positions)
        if partitions <= known:
            return
        _log.warning(
            "%s has %d partitions now, not %d: the keys of items that are open may lead to another partition, so that "
            "they are counted in two parts. Before workers start again, set HDFS_PIPELINE_KAFKA_PARTITIONS=%d",
            self._stage.topic, partitions, known, partitions,
        )  # fmt: skip
        raise_partitions(self._settings, self._stage.topic, partitions)
        none = np.full(partitions - known, -1, np.int64)
        self._positions = np.concatenate([self._positions, none])
        self._committed = np.concatenate([self._committed, none])
        self._snapshots.clear()  # of fewer partitions

    def _revoke(self, client: Any, partitions: list[Any]) -> None:
        numbers = [place.partition for place in partitions]
        if not self._mine.isdisjoint(numbers):
            self._settle(numbers)
        self._drop(numbers)

    def _lose(self, client: Any, partitions: list[Any]) -> None:
        _log.warning("the group went on without this worker: its partitions are lost, and others read them again")
        self._drop([place.partition for place in partitions])

    def _drop(self, partitions: list[int]) -> None:
        self._generation += 1
        numbers = [number for number in partitions if number in self._mine]
        self._mine -= set(numbers)
        self._snapshots.clear()
        self._positions[numbers] = self._committed[numbers] = -1
        self._stage.forget(numbers)
        self._metrics.without(numbers)

    def _start_over(self) -> None:
        """Go on with a topic that was made anew: nothing that is known of the old one holds for its messages."""
        from confluent_kafka import TopicPartition

        numbers = sorted(self._mine)
        _log.warning(
            "%s was deleted and made anew: what is open of the old topic is dropped, and the new one is read from its "
            "start", self._stage.topic,
        )  # fmt: skip
        if not self._outbox.flush():
            _log.warning("not all about the old %s was acknowledged in time", self._stage.topic)
        self._drop(numbers)
        self._assign(self._consumer, [TopicPartition(self._name, number) for number in numbers])

    def _begin_anew(self) -> None:
        """Read the open items again, as after a start: what the stage counts has changed."""
        from confluent_kafka import TopicPartition

        numbers = sorted(self._mine)
        self._settle(numbers)
        places = [TopicPartition(self._name, number) for number in numbers]
        self._drop(numbers)
        self._assign(self._consumer, places)


def _log_refusal(error: Any, _places: list[Any]) -> None:
    if error is not None:
        _log.info("a commit was refused (%s): a successor reads a little more", error.str())
