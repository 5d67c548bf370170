"""How fast records go out: as fast as it goes, so many a second, or by their own times; and never past the consumers.

The embedded broker silently drops the oldest batches of a partition at 5 MiB. So a sender to it stays behind
the consumer group: it waits while more lies uncommitted in any partition than surely fits.
"""

import time
from collections.abc import Callable
from threading import Event
from typing import Final

from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import client_config, committed, consumer, explained

_SLICE_S: Final = 0.02  # what is due meanwhile goes together: each awakening costs as much as many records
_BURST_S: Final = 0.1  # what a sender that fell behind its rate may make up for at once

CAPACITY_BYTES: Final = 4 << 20
"""Uncompressed bytes that may lie uncommitted in a partition: 5 MiB less some room for what is on its way."""
MESSAGE_BYTES: Final = 100  # what a message takes beside its value: key, headers, its share of a batch's head
MOST_MESSAGES: Final = 40_000
_LOOK_S: Final = 0.5
_TIMEOUT_S: Final = 15.0


class Pace:
    """Waits before a record until it is due: `rate` in records a second, or `speed` times its own pace."""

    def __init__(self, stopped: Event, idle: Callable[[], object], rate: float | None, speed: float | None) -> None:
        self._stopped, self._idle, self._rate, self._speed = stopped, idle, rate, speed
        self._allowed, self._since = 1.0, time.monotonic()
        self._first: int | None = None

    def wait(self, moment: int) -> None:
        """Return when a record of the time `moment` (microseconds) is due, or when the sender is to stop."""
        if self._rate is not None:
            self._allowed -= 1
            while self._allowed < 0 and not self._stopped.is_set():
                self._idle()
                self._stopped.wait(max(_SLICE_S, -self._allowed / self._rate) if self._rate < 100 else _SLICE_S)
                now = time.monotonic()
                self._allowed += min(now - self._since, max(_BURST_S, 1 / self._rate)) * self._rate
                self._since = now
        elif self._speed is not None:
            if self._first is None:
                self._first = moment
            due = self._since + (moment - self._first) / 1e6 / self._speed
            while (left := due - time.monotonic()) > 0 and not self._stopped.is_set():
                self._idle()
                self._stopped.wait(min(max(left, _SLICE_S), 0.1))


class Throttle:
    """Holds a sender back while a consumer group is too far behind.

    How far is too far: `MOST_MESSAGES` in any partition, fewer where messages are so long that they would take more
    than `CAPACITY_BYTES`. A group that has committed nothing is waited for `newcomer_s` once the bound is reached, and
    one that no longer commits `stalled_s`; then the sender says so and goes on, and stays behind it again as soon as it
    moves.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        group: str,
        *,
        stopped: Event,
        idle: Callable[[], object],
        say: Callable[[str], None],
        newcomer_s: float = 30.0,
        stalled_s: float = 90.0,
    ) -> None:
        from confluent_kafka import TopicPartition
        from confluent_kafka.admin import AdminClient

        self._topic, self._group, self._stopped, self._idle, self._say = topic, group, stopped, idle, say
        self._newcomer_s, self._stalled_s = newcomer_s, stalled_s
        config = client_config(settings)
        config.pop("partitioner", None)
        self._admin = AdminClient(config)
        # Asks only what is committed: it never joins the group.
        self._client = consumer(settings, group_id=group, enable_auto_commit="false")
        self._places = [TopicPartition(settings.topic(topic), part) for part in range(settings.kafka_partitions)]
        self._since, self._room, self._looked = 0, 0, time.monotonic()
        self._given_up: int | None = None  # what was committed when it was

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def after(self, messages: int, size: int) -> None:
        """To be called as messages go out: their number and the bytes of their values, both since the beginning."""
        new = messages - self._since
        if new < self._room or (new < MOST_MESSAGES and time.monotonic() - self._looked < _LOOK_S):
            return
        bound = self._bound(messages, size)
        self._room = (bound - self._hold(bound)) // 2  # half of what surely fits: messages may get longer
        self._since, self._looked = messages, time.monotonic()

    @staticmethod
    def _bound(messages: int, size: int) -> int:
        message_bytes = size / max(messages, 1) + MESSAGE_BYTES
        return max(1, min(MOST_MESSAGES, int(CAPACITY_BYTES / message_bytes)))

    def _hold(self, bound: int) -> int:
        """Wait while the group is further behind than `bound`; how far it is then in the fullest partition."""
        lag, committed = self._state()
        started, announced, mark = time.monotonic(), False, committed
        while lag > bound and not self._stopped.is_set():
            if self._given_up == committed:
                return lag
            if committed != mark:
                started, mark = time.monotonic(), committed
            patience = self._stalled_s if committed else self._newcomer_s
            if not committed and not announced:
                self._say(
                    f"the group {self._group} has read nothing of {self._topic} yet, and the embedded broker holds "
                    f"5 MiB a partition: waiting {patience:.0f} s for it"
                )
                announced = True
            if time.monotonic() - started > patience:
                behaviour = "has stopped reading" if committed else "reads nothing"
                self._say(
                    f"the group {self._group} {behaviour}: going on, and the embedded broker drops the oldest messages "
                    "that do not fit (start `hdfs-pipeline stream`, or use a real broker)"
                )
                self._given_up = committed
                return lag
            self._idle()
            self._stopped.wait(0.05)
            lag, committed = self._state()
        self._given_up = None
        return lag

    def _state(self) -> tuple[int, int]:
        """Messages that the group has not committed, in the fullest partition; all that it committed, summed."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import OffsetSpec

        try:
            ends = self._admin.list_offsets(
                dict.fromkeys(self._places, OffsetSpec.latest()), request_timeout=_TIMEOUT_S
            )
            high = {place.partition: future.result(_TIMEOUT_S).offset for place, future in ends.items()}
            done = {place.partition: max(place.offset, 0) for place in committed(self._client, self._places)}
        except KafkaException as error:
            raise explained(error, "the consumers' progress cannot be asked for") from None
        return max(high[part] - done[part] for part in high), sum(done.values())
