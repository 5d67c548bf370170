"""Anomalies for the live feed: from Kafka and the store into one short memory, out of which every listener takes."""

import asyncio
import hashlib
import logging
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from hdfs_pipeline.errors import PipelineError, UsageError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.ranges import Watermarks, reachable
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.streaming.tail import arriving
from hdfs_pipeline.verdicts.feed import News, told

_log = logging.getLogger(__name__)
KEPT: Final = 1000
"""Anomalies that are remembered, for listeners that come back."""
A_SECOND: Final = 20
"""Anomalies that a listener is told in a second; the rest is counted."""
_AGAIN_S: Final = 1.0  # after which a broker that did not answer is tried again
_END_S: Final = 2.0  # for which the end waits for the thread that reads
_PLACE: Final = re.compile(
    r"([^~]{10,40})~([0-9a-f]{8})\.(\d{1,15})~([0-9a-f]{0,8})~((?:\d{1,6}-\d{1,19}(?:\.\d{1,6}-\d{1,19})*)?)"
)
_STORE: Final = -1  # in place of a partition


@dataclass
class Place:
    """How far somebody has heard.

    `number` is that of the next one in the memory of the server `server`, for as long as it lives. For another one,
    `stored` is when the last one of the store was scored, and `offsets` the last one of each partition of `topic`.
    """

    stored: datetime
    server: str
    number: int
    topic: str = ""
    offsets: dict[int, int] = field(default_factory=dict)

    def __str__(self) -> str:
        offsets = ".".join(f"{part}-{offset}" for part, offset in sorted(self.offsets.items()) if offset >= 0)
        stored = self.stored.isoformat(timespec="milliseconds")
        return f"{stored}~{self.server}.{self.number}~{self.topic}~{offsets}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """The place that a text says. Raises: UsageError for any other text."""
        if found := _PLACE.fullmatch(text):
            stored, server, number, topic, offsets = found.groups()
            pairs = (pair.split("-") for pair in offsets.split(".") if pair)
            heard = {int(part): int(offset) for part, offset in pairs}
            return cls(moment(stored), server, int(number), topic, heard)
        raise _no_id(text)


def moment(text: str) -> datetime:
    """The time in a part of an event's id. Raises: UsageError for what is none."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo and time.year > 1 else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise _no_id(text) from None


def _no_id(text: str) -> UsageError:
    return UsageError(f"{text[:80]!r} is no id of an event: leave it out to hear from now on")


class Entry(NamedTuple):
    """An anomaly in the memory. Of the store's own the partition is -1; `earlier` was there before reading began."""

    row: dict[str, Any]
    topic: str = ""
    partition: int = _STORE
    offset: int = -1
    earlier: bool = False


Numbered = tuple[int, Entry]
"""One in the memory, with its number there."""


class Anomalies:
    """The latest anomalies, of stream and store. `wake` is called in the loop whenever there are new ones.

    All but the thread that reads Kafka runs in the loop.
    """

    def __init__(self, store: Store, settings: Settings, wake: Callable[[], None]) -> None:
        self._store, self._settings, self._wake = store, settings, wake
        self.server = secrets.token_hex(4)  # another one after each start
        self.kept: deque[Numbered] = deque(maxlen=KEPT)
        self.end = 0  # number of the next one
        self.topic, self.begun, self.offsets = "", dict[int, int](), dict[int, int]()
        self._news = News()
        self._lock, self._inbox, self._arrived = threading.Lock(), deque[Entry](maxlen=KEPT), 0
        self._stopped = threading.Event()

    @contextmanager
    def reading(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Read verdicts from Kafka, in a thread, for as long as the block lasts."""
        thread = threading.Thread(target=self._read, args=(loop,), name="anomalies", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.end_reading()
            thread.join(_END_S)

    def end_reading(self) -> None:
        """Let the thread end, since the server does. May be called from any thread."""
        self._stopped.set()

    def look(self) -> tuple[int, list[dict[str, Any]]]:
        """What is new in the store, how many and the newest of them; in a thread, one at a time."""
        return self._news.look(self._store, A_SECOND)

    def add(self, number: int, rows: list[dict[str, Any]]) -> None:
        """Take up what `look` has found."""
        if number:
            self.end += number - len(rows)
            self._keep([Entry(row) for row in rows])

    def latest(self) -> list[dict[str, Any]]:
        """Those that are remembered, the oldest first."""
        return [entry.row for _, entry in list(self.kept)]

    def _keep(self, entries: list[Entry]) -> None:
        for entry in entries:
            self.kept.append((self.end, entry))
            self.end += 1
            if entry.partition != _STORE and entry.topic == self.topic:
                self.offsets[entry.partition] = max(entry.offset, self.offsets.get(entry.partition, -1))
        self._wake()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand over what arrives until the end; a broker that does not answer is tried again and again."""
        first = True
        last = max(KEPT // self._settings.kafka_partitions, 1)
        while not self._stopped.is_set():
            topic = ""

            def begun(marks: Watermarks) -> None:
                nonlocal topic
                topic = hashlib.sha256(f"{marks.cluster_id} {marks.topic_id}".encode()).hexdigest()[:8]
                _call(loop, self._begin, topic, {part: high - 1 for part, high in marks.high.items()})

            try:
                if reachable(self._settings):
                    for each in arriving(self._settings, self._stopped, last=last, begun=begun):
                        place = topic, each.partition, each.offset, each.earlier and first
                        with suppress(OverflowError):  # a time that is none in UTC
                            self._hand_over(loop, Entry(told(each.verdict), *place))
            except PipelineError:  # no broker answers now: who asks for health is told why
                pass
            except Exception:  # noqa: BLE001 - what goes wrong once must not silence the feed for good
                _log.exception("the live feed could not read the topic of verdicts, and tries again")
            first = False
            self._stopped.wait(_AGAIN_S)

    def _hand_over(self, loop: asyncio.AbstractEventLoop, entry: Entry) -> None:
        with self._lock:
            waits = bool(self._inbox)
            self._inbox.append(entry)
            self._arrived += 1
        if not waits:
            _call(loop, self._take_in)

    def _begin(self, topic: str, offsets: dict[int, int]) -> None:
        if topic != self.topic:
            self.topic, self.begun, self.offsets = topic, offsets, dict(offsets)

    def _take_in(self) -> None:
        with self._lock:
            entries, arrived = list(self._inbox), self._arrived
            self._inbox.clear()
            self._arrived = 0
        self.end += arrived - len(entries)  # the oldest of more than can be kept are counted, and gone
        self._keep(entries)


class Hearing:
    """What one listener has heard of the anomalies, and what comes next; from `place` on, or from now on.

    `remembered` says whether the memory has all of the store's since then; if not, they are to be looked up there.
    """

    def __init__(self, source: Anomalies, place: Place | None = None) -> None:
        self._source = source
        now = Place(datetime.now(UTC), source.server, source.end, source.topic, dict(source.offsets))
        self.remembered = place is None or (place.server == source.server and place.number <= source.end)
        self.place = place or now
        self._joined = self.place.number if self.remembered else source.end
        self._next = self._joined if self.remembered else 0
        self._since, self._sent = float("-inf"), 0

    def take(self) -> tuple[int, list[Numbered], float | None]:
        """How many are left out, those to tell now, and after how many seconds to ask again, None where all is told.

        No more than `A_SECOND` come in a second. The newest of those that waited for a new second are told.
        """
        now = time.monotonic()
        if now - self._since >= 1.0:
            self._since, self._sent = now, 0
        waiting, left_out = self._waiting()
        room = A_SECOND - self._sent
        if not self._sent and len(waiting) > room:
            left_out += len(waiting) - room
            for number, entry in waiting[:-room]:
                self.heard(number, entry)
            waiting = waiting[-room:]
        taken, rest = waiting[:room], waiting[room:]
        self._sent += len(taken)
        self._next = rest[0][0] if rest else self._source.end
        return left_out, taken, self._since + 1.0 - now if rest else None

    def heard(self, number: int | None, entry: Entry) -> None:
        """Move on to the place after this one; None is the number of one that was looked up in the store."""
        self.place.server = self._source.server
        self.place.number = self._joined if number is None else number + 1
        if entry.partition == _STORE:
            self.place.stored = max(self.place.stored, datetime.fromisoformat(entry.row["scored_at"]))
            return
        if entry.topic != self.place.topic:
            self.place.topic, self.place.offsets = entry.topic, {}
        self.place.offsets[entry.partition] = entry.offset

    def _waiting(self) -> tuple[list[Numbered], int]:
        """Those that were not heard, and how many of them are no longer remembered."""
        if not self.place.topic and self._source.topic:  # reading began after this listener came
            self.place.topic, self.place.offsets = self._source.topic, dict(self._source.begun)
        found: list[Numbered] = []
        for number, entry in reversed(self._source.kept):
            if number < self._next:
                break
            found.append((number, entry))
        began = max(self._next, self._joined)
        gone = max(self._source.end - began, 0) - sum(number >= began for number, _ in found)
        return [pair for pair in reversed(found) if self._is_news(*pair)], gone

    def _is_news(self, number: int, entry: Entry) -> bool:
        if entry.partition == _STORE:
            return number >= self._joined  # those before are looked up in the store
        if entry.topic != self.place.topic:
            return not entry.earlier
        return entry.offset > self.place.offsets.get(entry.partition, -1)


def _call(loop: asyncio.AbstractEventLoop, work: Callable[..., None], *given: Any) -> None:
    with suppress(RuntimeError):  # the loop ends at this moment
        loop.call_soon_threadsafe(work, *given)
