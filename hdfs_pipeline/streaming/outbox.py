"""What a worker sends: a producer that knows when all that was sent up to a point has been acknowledged."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import ANOMALIES, producer

_VERDICTS_MS: Final = 2  # for which messages to one partition wait for each other
_OTHERS_MS: Final = 200  # nobody waits for vectors, and each request costs the broker as much as many messages
_PATIENCE_S: Final = 30.0  # seconds to wait for room in the queue, or for the last acknowledgements

Heard = Callable[[int], None]
"""Called with a message's offset once the brokers have it."""


class Outbox:
    """Sends messages; a point in time (`mark`) is settled once all that was sent before it is acknowledged."""

    def __init__(self, settings: Settings) -> None:
        from confluent_kafka import KafkaError, KafkaException

        self._prefix = settings.kafka_topic_prefix
        self._refused, self._unknown_partition = KafkaException, KafkaError._UNKNOWN_PARTITION
        self._verdicts, self._others = (
            producer(
                settings, enable_idempotence=True, linger_ms=linger, compression_type="lz4", delivery_timeout_ms=60_000
            )
            for linger in (_VERDICTS_MS, _OTHERS_MS)
        )
        self._waiting: Counter[int] = Counter()  # messages without acknowledgement by the mark that follows them
        self._next = 0
        self._failed: str | None = None

    def send(self, topic: str, key: bytes, value: bytes, partition: int, heard: Heard | None = None) -> None:
        """Queue a message. Raises: SetupError where the brokers take nothing any more, or have refused a message."""
        deadline = time.monotonic() + _PATIENCE_S
        client = self._verdicts if topic == ANOMALIES else self._others
        on_delivery, name = partial(self._delivered, self._next, heard), self._prefix + topic
        while True:
            try:
                client.produce(name, value, key, partition=partition, on_delivery=on_delivery)
                break
            except BufferError:
                if time.monotonic() > deadline:
                    raise SetupError(f"the brokers have taken nothing for {_PATIENCE_S:g} s: see their logs") from None
                self.poll(0.1)
            except self._refused as error:
                if error.args[0].code() == self._unknown_partition and time.monotonic() < deadline:
                    client.list_topics(name, _PATIENCE_S)  # it was added after this client last looked
                    self.poll(0.1)
                    continue
                # Refused before it is sent: too long, or no such partition.
                raise SetupError(f"a message was not taken: {topic}/{partition}: {error.args[0].str()}") from None
        self._waiting[self._next] += 1

    def _delivered(self, mark: int, heard: Heard | None, error: Any, message: Any) -> None:
        self._waiting[mark] -= 1
        if error is not None:
            self._failed = self._failed or f"{message.topic()}/{message.partition()}: {error.str()}"
        elif heard is not None:
            heard(message.offset())

    def mark(self) -> int:
        """A mark after all that was sent so far."""
        self._next += 1
        return self._next

    def settled(self, mark: int) -> bool:
        """Whether all that was sent before `mark` is acknowledged."""
        for older in [number for number, left in self._waiting.items() if not left and number < self._next]:
            del self._waiting[older]
        return not any(left for number, left in self._waiting.items() if number < mark)

    @property
    def waits(self) -> bool:
        """Whether the brokers have yet to acknowledge a verdict."""
        return len(self._verdicts) > 0

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take in acknowledgements, and wait so long for one of a verdict.

        Raises: SetupError for a refused message; a new worker reads its source again.
        """
        self._others.poll(0)
        self._verdicts.poll(timeout_s)
        if self._failed:
            raise SetupError(f"a message was not taken: {self._failed}")

    def flush(self, limit_s: float = _PATIENCE_S) -> bool:
        """Wait for all acknowledgements, for `limit_s` at most; whether all came."""
        deadline = time.monotonic() + limit_s
        left = [client.flush(max(deadline - time.monotonic(), 0.0)) for client in (self._others, self._verdicts)]
        self.poll()
        return not any(left)
