"""Batches of a topic that no client can decode: told apart from errors that pass, and passed over.

Kafka keeps messages in batches as their producer packed them. One that does not decompress, that grows beyond what a
client takes, or whose checksum is wrong comes back at every fetch, and hides all that stands behind it.
"""

import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import consumer
from hdfs_pipeline.sources.wire import DeadLetter

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

TRIES: Final = 3
"""Fetches after which a batch is passed over: what one of them damaged on its way comes whole with the next."""
_PROBE_S: Final = 15.0  # seconds to wait for what stands at one offset


@dataclass(frozen=True)
class Gap:
    """Offsets [start, end) of a partition whose messages cannot be read, and why."""

    topic: str
    partition: int
    start: int
    end: int
    reason: str

    def __len__(self) -> int:
        return self.end - self.start

    def letter(self) -> DeadLetter:
        """The dead letter that stands for all of these messages."""
        reason = f"{len(self)} messages, up to offset {self.end - 1}, cannot be decoded: {self.reason}"
        return DeadLetter(self.topic, self.partition, self.start, reason, "", datetime.now(UTC))


class Undecodable:
    """Counts the fetches of a topic that end in an error of decoding, and says when a batch is to be passed over."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings, self._topic = settings, topic
        self._tries: Counter[tuple[int, int]] = Counter()

    def gap(self, error: "Message", position: int = -1) -> Gap | None:
        """What to pass over, where `error` (what a consumer gave in place of a message) is the last try of its batch.

        The caller goes on at the gap's end. `position` is the next offset that it expects there, -1 where it does not
        know. Raises: SetupError where the broker does not say where the batch ends.
        """
        if not is_of_decoding(error):
            return None
        place = error.partition(), error.offset()
        self._tries[place] += 1
        if self._tries[place] < TRIES:
            return None
        del self._tries[place]
        part, base = place
        end = batch_end(self._settings, self._topic, part, base)
        return Gap(self._topic, part, min(max(base, position), end - 1), end, error.error().str())


def is_of_decoding(message: "Message") -> bool:
    """Whether a consumer gave this in place of a batch that it cannot decode."""
    from confluent_kafka import KafkaError

    error, offset = message.error(), message.offset()
    if error is None or offset is None or offset < 0:  # other errors have no place
        return False
    return error.code() in (
        KafkaError._BAD_COMPRESSION,
        KafkaError._BAD_MSG,
        KafkaError._UNDERFLOW,
        KafkaError._NOT_IMPLEMENTED,  # a compression that this client does not know
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.MSG_SIZE_TOO_LARGE,
    )


def batch_end(settings: Settings, topic: str, part: int, base: int) -> int:
    """The offset after the last message of the batch that begins at `base` and cannot be decoded.

    Clients do not tell how many messages such a batch has. But a fetch from any offset inside gives the same error.
    Raises: SetupError where the broker gives nothing.
    """
    client = consumer(
        settings,
        group_id=f"{settings.stream_group}.probe",  # asked for by the client; nothing is committed to it
        enable_auto_commit=False,
        enable_partition_eof=True,
        auto_offset_reset="error",
        fetch_error_backoff_ms=20,
        fetch_wait_max_ms=20,
    )
    try:
        step = 1
        name = settings.topic(topic)
        while _is_inside(client, name, part, base, base + step):
            step *= 2
        inside, beyond = base + step // 2, base + step
        while beyond - inside > 1:
            middle = (inside + beyond) // 2
            inside, beyond = (middle, beyond) if _is_inside(client, name, part, base, middle) else (inside, middle)
        return beyond
    finally:
        client.close()


def _is_inside(client: "Consumer", topic: str, part: int, base: int, offset: int) -> bool:
    from confluent_kafka import TopicPartition

    client.assign([TopicPartition(topic, part, offset)])
    deadline = time.monotonic() + _PROBE_S
    while time.monotonic() < deadline:
        for message in client.consume(1, 0.5):
            if message.partition() == part:  # other errors are the client's own and pass
                return is_of_decoding(message) and message.offset() <= base
    raise SetupError(
        f"{topic}/{part}: the batch at offset {base} cannot be decoded, and the broker does not say where it ends: "
        "is it well? The next run tries again"
    )
