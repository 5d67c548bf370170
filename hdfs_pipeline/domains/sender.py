"""What every stage of a worker sends: verdicts and dead letters, counted."""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from hdfs_pipeline.domains.contract import Figures, Outbox
from hdfs_pipeline.domains.course import Course
from hdfs_pipeline.sources.kafka import ANOMALIES, DEAD_LETTERS
from hdfs_pipeline.sources.wire import DeadLetter, Verdict, encode, encode_verdict, excerpt

_log = logging.getLogger(__name__)


class Sender:
    """What every stage sends: verdicts and dead letters, counted."""

    def __init__(self, outbox: Outbox, figures: Figures) -> None:
        self.outbox, self.figures = outbox, figures

    def verdicts(self, verdicts: Sequence[Verdict], course: Course | None) -> None:
        """Send verdicts; `course` is that of the batch that caused them, None where the clock did."""
        for verdict in verdicts:
            sent = time.time()
            parts = course.parts(verdict.partition, sent) if course else None
            on_sent = None if parts is None else partial(self._acknowledged, parts, sent)
            # Brokers may keep the latest message of each key alone: what one detector says must not hide another.
            key = f"{verdict.item}/{verdict.detector}".encode()
            self.outbox.send(ANOMALIES, key, encode_verdict(verdict), verdict.partition, on_sent)
            self.figures.verdict(verdict.status)

    def _acknowledged(self, parts: list[float], sent: float, _offset: int) -> None:
        self.figures.acknowledged([*parts, time.time() - sent])

    def dead_letters(self, topic: str, messages: Sequence[Any], bad: Sequence[tuple[int, str]]) -> None:
        """Send what could not be used: indices of messages of a topic, and why."""
        now = datetime.now(UTC)
        for index, reason in bad:
            message = messages[index]
            place = topic, message.partition(), message.offset()
            letter = DeadLetter(*place, reason, excerpt(message.value()), now)
            self.outbox.send(DEAD_LETTERS, letter.key, encode(letter), message.partition())
        if bad:
            self.figures.dead(len(bad))
            _log.warning("%d messages to dead_letters, such as %s/%d/%d: %s", len(bad), *place, bad[-1][1])
