"""What sends to Kafka: a producer that counts what arrives and what fails, and stays behind the consumers."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final

from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import producer
from hdfs_pipeline.streaming.send.pace import Throttle

LINGER_MS: Final = 100
LOW_LINGER_MS: Final = 5  # where records come one by one, a batch would only wait
LOW_RATE: Final = 20_000  # records a second
MESSAGE_TIMEOUT_S: Final = 60.0  # until a message that no broker takes counts as failed
_QUEUE: Final = 50_000  # messages on their way; the broker's 5 MiB a partition must hold them too
_EVERY: Final = 1000  # messages between looks at the clock and at delivery reports
_TELL_S: Final = 0.2
_STATISTICS_MS: Final = 2000
Headers = list[tuple[str, bytes]]
Tell = Callable[[str], None]


@dataclass
class Report:
    """What was sent: `records` read, `messages` handed to Kafka, `bytes` of their values, what did not arrive."""

    topic: str
    records: int = 0
    messages: int = 0
    bytes: int = 0
    seconds: float = 0.0
    failures: int = 0
    failure: str = ""
    too_long: int = 0
    rounds: int = 0
    interrupted: bool = False
    problems: list[str] = field(default_factory=list)
    latency_ms: dict[str, float] = field(default_factory=dict)
    """From handing a message over to the brokers' word for it, of the last seconds: `p50`, `p99`."""

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds else 0.0


class Sender:
    """A topic's producer: idempotent, lz4, every wait with a limit, what fails counted."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        stopped: Event,
        *,
        linger_ms: int = LINGER_MS,
        on_progress: Callable[[Report], None] = lambda _: None,
    ) -> None:
        from confluent_kafka import KafkaException

        self.report, self._name = Report(topic), settings.topic(topic)
        self.throttle: Throttle | None = None
        self._stopped, self._on_progress, self._max_bytes = stopped, on_progress, settings.max_record_bytes
        self._refused = (BufferError, KafkaException)
        self._producer = producer(
            settings,
            linger_ms=linger_ms,
            compression_type="lz4",
            enable_idempotence="true",
            message_timeout_ms=int(MESSAGE_TIMEOUT_S * 1000),
            message_max_bytes=settings.max_record_bytes + (64 << 10),
            queue_buffering_max_messages=_QUEUE,
            delivery_report_only_error=True,
            on_delivery=self._failed,
            statistics_interval_ms=_STATISTICS_MS,
            stats_cb=self._measured,
        )
        self._produce = self._producer.produce
        self._started = self._reported = time.monotonic()

    def send(self, value: bytes, key: bytes | None, headers: Headers | None = None) -> None:
        """Hand a message over; wait while the queue is full."""
        report = self.report
        if len(value) > self._max_bytes:
            report.too_long += 1
            return
        try:
            # Names cost a third of the call: these are partition, two callbacks, time stamp and headers.
            self._produce(self._name, value, key, -1, None, None, 0, headers)
        except self._refused as error:
            self._retry(error, value, key, headers)
        report.messages += 1
        report.bytes += len(value)
        if not report.messages % _EVERY:
            self.idle()

    def idle(self) -> None:
        """Take in delivery reports, report the progress, and stay behind the consumers."""
        self._producer.poll(0)
        now = time.monotonic()
        if now - self._reported > _TELL_S:
            self._reported = now
            self.report.seconds = now - self._started
            self._on_progress(self.report)
        if self.throttle:
            throttle, self.throttle = self.throttle, None  # it calls this function while it waits
            throttle.after(self.report.messages, self.report.bytes)
            self.throttle = throttle

    def flush(self) -> None:
        """Wait until all messages have arrived or failed."""
        left = self._producer.flush(MESSAGE_TIMEOUT_S + 10)
        if left:
            self._count(left, "not delivered in time")

    def close(self) -> Report:
        """Flush, and return what was sent. Messages take no longer than `MESSAGE_TIMEOUT_S` to fail."""
        self.flush()
        if self.throttle:
            self.throttle.close()
        self.report.seconds = time.monotonic() - self._started
        self.report.interrupted = self._stopped.is_set()
        return self.report

    def _retry(self, error: Exception, value: bytes, key: bytes | None, headers: Headers | None) -> None:
        deadline = time.monotonic() + MESSAGE_TIMEOUT_S
        while isinstance(error, BufferError) and time.monotonic() < deadline:
            self._producer.poll(0.1)
            try:
                self._producer.produce(self._name, value, key, headers=headers)
                return
            except self._refused as other:
                error = other
        self._count(1, str(error))

    def _measured(self, text: str) -> None:
        """Take the latency from librdkafka's statistics: waiting to be sent, and then for the brokers' answer."""
        busy = [each for each in json.loads(text).get("brokers", {}).values() if each["rtt"]["cnt"] > 0]
        for share in ("p50", "p99") if busy else ():
            micros = max(each["int_latency"][share] + each["rtt"][share] for each in busy)
            self.report.latency_ms[share] = micros / 1000

    def _failed(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._count(1, error.str())

    def _count(self, failures: int, why: str) -> None:
        self.report.failures += failures
        self.report.failure = self.report.failure or why
