"""What arrives on the topic `anomalies`, for people and for other programs."""

import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Final, NamedTuple

from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import ANOMALIES, consumer, embedded_address, is_embedded
from hdfs_pipeline.sources.ranges import Watermarks, watermarks
from hdfs_pipeline.sources.undecodable import Undecodable
from hdfs_pipeline.sources.wire import Verdict, decode_verdict
from hdfs_pipeline.streaming.topics import ensure_topics, item_readers

_WAIT_S: Final = 0.2
_FETCH_MS: Final = 100  # the embedded broker answers a fetch of nothing only then, whatever comes meanwhile
_WORDS: Final = {"final": "anomaly", "provisional": "anomaly so far", "withdrawn": "withdrawn"}


class Arrived(NamedTuple):
    """A verdict, and where its message stands; `earlier` is true of one that was there before reading began."""

    verdict: Verdict
    partition: int
    offset: int
    earlier: bool


def verdicts(
    settings: Settings, stopped: Event, *, everything: bool = False, ready: Callable[[], None] = lambda: None
) -> Iterator[Verdict]:
    """Verdicts as they arrive, until `stopped` is set; with `everything` also those that are there already.

    `ready` is called once nothing that arrives is missed. Raises: SetupError as `arriving` does.
    """
    last = None if everything else 0
    return (each.verdict for each in arriving(settings, stopped, last=last, begun=lambda _marks: ready()))


def arriving(
    settings: Settings, stopped: Event, *, last: int | None, begun: Callable[[Watermarks], None]
) -> Iterator[Arrived]:
    """Verdicts as they arrive, until `stopped` is set, after the `last` offsets of each partition, or all where None.

    `begun` hears where the topic ended when reading began; from then on nothing that arrives is missed. Belongs to no
    consumer group and commits nothing, so that it disturbs nobody. What cannot be read is passed over. Raises:
    SetupError where no broker answers, and where the embedded broker has ended: the next one has another address.
    """
    from confluent_kafka import TopicPartition

    ensure_topics(settings, [ANOMALIES])
    address = embedded_address(settings)
    items = item_readers()
    marks, undecodable = watermarks(settings, ANOMALIES), Undecodable(settings, ANOMALIES)
    begin = {
        part: low if last is None else max(low, marks.high[part] - last) for part, low in sorted(marks.low.items())
    }
    client = consumer(
        settings,
        group_id=f"{settings.stream_group}.watch",
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_wait_max_ms=_FETCH_MS,
    )
    try:
        client.assign([TopicPartition(settings.topic(ANOMALIES), part, offset) for part, offset in begin.items()])
        begun(marks)
        while not stopped.is_set():
            messages = client.consume(500, _WAIT_S)
            if not messages and is_embedded(settings) and embedded_address(settings) != address:
                raise SetupError("the embedded broker has ended: start it with `hdfs-pipeline broker`, then this again")
            for message in messages:
                if message.error() is None:
                    try:
                        verdict = decode_verdict(message.value(), message.key(), items)
                    except DataError:
                        continue
                    part, offset = message.partition(), message.offset()
                    yield Arrived(verdict, part, offset, offset < marks.high.get(part, 0))
                elif gap := undecodable.gap(message):
                    client.seek(TopicPartition(settings.topic(ANOMALIES), gap.partition, gap.end))
    finally:
        client.close()


def in_words(verdict: Verdict) -> str:
    """A verdict in one line."""
    kind = f", {verdict.kind}" if verdict.kind else ""
    entity = f" at {verdict.entity}" if verdict.entity else ""
    about = f"{_WORDS[verdict.status]}: {verdict.item}{kind}{entity}, score {verdict.score:.2f} by {verdict.detector}"
    if verdict.status == "withdrawn":
        return f"{about}, since {verdict.reason}"
    return f"{about} because {verdict.reason}"


class Modestly:
    """At most one line in `every_s` seconds; what was left out is counted in the next one."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._left_out = 0
        self._after = 0.0

    def line(self, verdict: Verdict) -> str | None:
        """The line to print now, if it is time for one."""
        now = time.monotonic()
        if now < self._after:
            self._left_out += 1
            return None
        self._after = now + self._every_s
        more, self._left_out = self._left_out, 0
        return in_words(verdict) + (f" (and {more} more before)" if more else "")
