"""Rows into a topic: messages that are there ready-made, such as those of a CSV file."""

from collections.abc import Callable, Iterable
from threading import Event

from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import is_embedded
from hdfs_pipeline.streaming.send.pace import Throttle
from hdfs_pipeline.streaming.send.sender import LINGER_MS, LOW_LINGER_MS, Report, Sender, Tell
from hdfs_pipeline.streaming.topics import ensure_topics


def produce_rows(
    settings: Settings,
    topic: str,
    rows: Iterable[tuple[bytes, bytes]],
    *,
    stopped: Event,
    batch: int = 1,
    delay_s: float = 0.0,
    group: str | None = None,
    on_progress: Callable[[Report], None] = lambda _: None,
    say: Tell = lambda _: None,
) -> Report:
    """Send keys with their values into a topic.

    `batch` rows go at once, with `delay_s` seconds between. On the embedded broker the sender stays behind the consumer
    group `group`, where it is given. Raises: what reading the rows raises; SetupError where there is no broker.
    """
    ensure_topics(settings, [topic])
    sender = Sender(
        settings, topic, stopped, linger_ms=LOW_LINGER_MS if delay_s else LINGER_MS, on_progress=on_progress
    )
    if group and is_embedded(settings):
        sender.throttle = Throttle(settings, topic, group, stopped=stopped, idle=sender.idle, say=say)
    try:
        for key, value in rows:
            if stopped.is_set():
                break
            sender.send(value, key)
            sender.report.records += 1
            if delay_s and not sender.report.records % batch:
                sender.flush()
                sender.idle()
                stopped.wait(delay_s)
    finally:
        report = sender.close()
    return report
