"""What a worker sends: a producer that knows when all that was sent up to a point has been acknowledged."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import producer

_PATIENCE_S: Final = 30.0  # seconds to wait for room in the queue, or for the last acknowledgements

Heard = Callable[[int], None]
"""Called with a message's offset once the brokers have it."""


class Outbox:
    """Sends messages; a point in time (`mark`) is settled once all that was sent before it is acknowledged."""

    def __init__(self, settings: Settings) -> None:
        self._producer = producer(
            settings, enable_idempotence=True, linger_ms=5, compression_type="lz4", delivery_timeout_ms=60_000
        )
        self._waiting: Counter[int] = Counter()  # messages without acknowledgement by the mark that follows them
        self._next = 0
        self._failed: str | None = None

    def send(self, topic: str, key: bytes, value: bytes, partition: int, heard: Heard | None = None) -> None:
        """Queue a message. Raises: SetupError where the brokers take nothing any more, or have refused a message."""
        from confluent_kafka import KafkaError, KafkaException

        deadline = time.monotonic() + _PATIENCE_S
        on_delivery = partial(self._delivered, self._next, heard)
        while True:
            try:
                self._producer.produce(topic, value, key, partition=partition, on_delivery=on_delivery)
                break
            except BufferError:
                if time.monotonic() > deadline:
                    raise SetupError(f"the brokers have taken nothing for {_PATIENCE_S:g} s: see their logs") from None
                self.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() == KafkaError._UNKNOWN_PARTITION and time.monotonic() < deadline:
                    self._producer.list_topics(topic, _PATIENCE_S)  # it was added after this client last looked
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

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take in acknowledgements. Raises: SetupError for a refused message; a new worker reads its source again."""
        self._producer.poll(timeout_s)
        if self._failed:
            raise SetupError(f"a message was not taken: {self._failed}")

    def flush(self, limit_s: float = _PATIENCE_S) -> bool:
        """Wait for all acknowledgements, for `limit_s` at most; whether all came."""
        left = self._producer.flush(limit_s)
        self.poll()
        return left == 0
