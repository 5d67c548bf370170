"""Log files into the topic that their domain reads: a message for each item that a record names."""

import tempfile
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from threading import Event

from hdfs_pipeline.domains.contract import Domain, Replay
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.finding import find_files
from hdfs_pipeline.sources.kafka import fewer_collections, is_embedded
from hdfs_pipeline.streaming.send.pace import Pace, Throttle
from hdfs_pipeline.streaming.send.sender import LINGER_MS, LOW_LINGER_MS, LOW_RATE, Report, Sender, Tell
from hdfs_pipeline.streaming.topics import ensure_topics


def produce_logs(
    settings: Settings,
    domain: Domain,
    paths: Sequence[str],
    *,
    stopped: Event,
    rate: float | None = None,
    speed: float | None = None,
    loop: bool = False,
    fresh: bool = False,
    now: bool = False,
    group: str | None = None,
    on_progress: Callable[[Report], None] = lambda _: None,
    say: Tell = lambda _: None,
) -> Report:
    """Send the records of log files into their topic, those of several files by time.

    A record goes once for each item that it names, with the item as key; one that names none, and what is no record,
    goes once without a key. `rate` is in records a second; `speed` 10 is ten times as fast as they were written. With
    `loop` it goes on until `stopped` is set, each round with items of its own and later times; `fresh` gives the first
    round fresh items too. With `now` the time of each record becomes that at which `speed` lets it go. The sender stays
    behind the consumer group `group`, which is by default the workers' where the broker is the embedded one.

    Raises: DataError where there is nothing to read; SetupError where there is no broker.
    """
    ensure_topics(settings, [domain.records_topic])
    slow = speed is not None or (rate is not None and rate <= LOW_RATE)
    group = group or (settings.stream_group if is_embedded(settings) else None)
    with tempfile.TemporaryDirectory(prefix="stdin.") as spool:
        found = find_files(paths, Path(spool))
        if found.unread:
            raise DataError("; ".join(found.unread))
        replay = domain.replay(settings, found.files, fresh=fresh, speed=speed if now else None)
        linger = LOW_LINGER_MS if slow else LINGER_MS
        sender = Sender(settings, domain.records_topic, stopped, linger_ms=linger, on_progress=on_progress)
        try:
            if group:
                topic, idle = domain.records_topic, sender.idle
                sender.throttle = Throttle(settings, topic, group, stopped=stopped, idle=idle, say=say)
            pace = None
            if rate is not None or speed is not None:
                pace = Pace(stopped, sender.idle, rate, 1.0 if now else speed)
            with fewer_collections():
                _send_rounds(sender, replay, pace, stopped, loop=loop)
        finally:
            report = sender.close()
    report.problems = replay.problems()
    return report


def _send_rounds(sender: Sender, replay: Replay, pace: Pace | None, stopped: Event, *, loop: bool) -> None:
    report, send, wait = sender.report, sender.send, pace.wait if pace else None
    while not stopped.is_set():
        before = report.records
        for time, value, keys, headers in chain.from_iterable(replay.records()):
            if stopped.is_set():
                break
            if wait:
                wait(time)
            for key in keys:
                send(value, key, headers)
            report.records += 1
        report.rounds += 1
        if not loop or report.records == before:
            return
        replay.next_round()
