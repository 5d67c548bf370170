"""The live feed: each change of an incident and each anomaly as a server-sent event, resumable by its id."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from anyio import to_thread

from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.serving.anomalies import A_SECOND, Anomalies, Entry, Hearing, Place, moment
from hdfs_pipeline.serving.cache import Cache, State
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.feed import scored_since
from hdfs_pipeline.verdicts.listing import changed_since

_log = logging.getLogger(__name__)
INCIDENT: Final = "incident"
ANOMALY: Final = "anomaly"
_LOOK_S: Final = 0.5
_BEAT_S: Final = 15.0  # without an event, after which a comment shows that the connection lives
_OVERLAP: Final = timedelta(seconds=60)  # a change is stamped before it is committed: another may come in between
_WAITING: Final = 1000  # events that a slow client may leave unread before it must connect again
_BEAT: Final = b": still here\n\n"
_NEWS: Final[dict[str, Any]] = {}  # stands in a listener's queue for whatever anomalies wait


class _Listener:
    """What waits for one client: changes of incidents, `_NEWS` of anomalies, None at the end."""

    def __init__(self, incidents: bool, hearing: Hearing | None) -> None:
        self.incidents, self.hearing = incidents, hearing
        self.queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_WAITING)
        self.woken = False


class Live:
    """Tells those who listen what changes; one look at the store and one reader of Kafka serve all of them."""

    def __init__(self, store: Store, settings: Settings, cache: Cache) -> None:
        self._store, self._settings, self._cache = store, settings, cache
        self._listeners: set[_Listener] = set()
        self._told: dict[str, datetime] = {}  # the latest changes, by incident
        self._mark = datetime.now(UTC)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = False
        self.anomalies = Anomalies(store, settings, self._wake_all)

    async def watch(self) -> None:
        """Look for changes, and read what arrives, until cancelled."""
        self._loop = asyncio.get_running_loop()
        with self.anomalies.reading(self._loop):
            await self._watch_store()

    async def _watch_store(self) -> None:
        state: State = ()
        while True:
            try:
                now = self._cache.state()
                if now != state:
                    changes = await to_thread.run_sync(self._changes, self._mark - _OVERLAP)
                    self.anomalies.add(*await to_thread.run_sync(self.anomalies.look))
                    state = now
                    for change in changes:
                        self._tell(change)
            except PipelineError:  # the store is busy: the next look finds it
                pass
            except Exception:  # noqa: BLE001 - what goes wrong once must not silence the feed for good
                _log.exception("the live feed could not look at the store, and tries again")
            await asyncio.sleep(_LOOK_S)

    def end(self) -> None:
        """Let every stream end, since the server does. May be called from any thread."""
        self._over = True
        self.anomalies.end_reading()
        if self._loop is not None and not self._loop.is_closed():
            with suppress(RuntimeError):  # it ends at this moment
                self._loop.call_soon_threadsafe(self._close_all)

    async def events(self, last: str, wanted: Collection[str] = (INCIDENT,)) -> AsyncIterator[bytes]:
        """The events after the one whose id is `last` ('': from now on), until the client goes or the server ends.

        `wanted` are INCIDENT, ANOMALY or both. After a break an event may come twice.
        """
        heard, place = parse_id(last) if last else (datetime.now(UTC), None)
        listener = _Listener(INCIDENT in wanted, Hearing(self.anomalies, place) if ANOMALY in wanted else None)
        self._listeners.add(listener)
        try:
            yield b"retry: 2000\n\n"
            try:
                for event in await self._missed(listener, last, min(heard, datetime.now(UTC)), place):
                    yield event
            except PipelineError:  # the store cannot be read now: the client connects again
                return
            at = f"{heard.isoformat(timespec='milliseconds')}/"
            while not self._over:
                try:
                    async with asyncio.timeout(_BEAT_S):
                        change = await listener.queue.get()
                except TimeoutError:
                    yield _BEAT
                    continue
                if change is None:
                    return
                if change is _NEWS:
                    for event in self._news(listener, at):
                        yield event
                else:
                    at = event_id(change)
                    yield _event(INCIDENT, _full_id(at, listener), change)
        finally:
            self._listeners.discard(listener)

    async def _missed(self, listener: _Listener, last: str, heard: datetime, place: Place | None) -> list[bytes]:
        """The events that came between `last` and now; of anomalies the newest, and how many more there were."""
        events = []
        if last and listener.incidents:
            changes = await to_thread.run_sync(self._changes, heard - _OVERLAP)
            events += [_event(INCIDENT, _full_id(event_id(change), listener), change) for change in changes]
        if listener.hearing is not None:
            if place is not None and not listener.hearing.remembered and self._settings.store_path.is_file():
                since = min(place.stored, datetime.now(UTC)) - _OVERLAP
                number, rows = await to_thread.run_sync(scored_since, self._store, since, A_SECOND)
                at = f"{heard.isoformat(timespec='milliseconds')}/"
                events += _told(
                    listener, listener.hearing, at, number - len(rows), [(None, Entry(row)) for row in rows]
                )
            self._wake(listener)  # what of Kafka is remembered
        return events

    def _news(self, listener: _Listener, at: str) -> list[bytes]:
        """The events of anomalies that a listener is told now; it is woken again for the rest."""
        assert listener.hearing is not None
        listener.woken = False
        left_out, entries, again_s = listener.hearing.take()
        if again_s is not None:
            listener.woken = True
            asyncio.get_running_loop().call_later(again_s, self._wake, listener, True)
        return _told(listener, listener.hearing, at, left_out, entries)

    def _wake_all(self) -> None:
        for listener in self._listeners:
            self._wake(listener)

    def _wake(self, listener: _Listener, again: bool = False) -> None:
        if listener.hearing is None or (listener.woken and not again):
            return
        listener.woken = True
        with suppress(asyncio.QueueFull):  # a client that does not read is let go with the next incident
            listener.queue.put_nowait(_NEWS)

    def now(self) -> str:
        """Id of an event after which comes what has not been told up to now."""
        place = Hearing(self.anomalies).place
        return f"{datetime.now(UTC).isoformat(timespec='milliseconds')}/;{place}"

    def _changes(self, since: datetime) -> list[dict[str, Any]]:
        return changed_since(self._store, since) if self._settings.store_path.is_file() else []

    def _tell(self, change: dict[str, Any]) -> None:
        time = datetime.fromisoformat(change["changed_at"])
        if self._told.get(change["id"]) == time or time < self._mark - _OVERLAP:
            return
        self._told[change["id"]] = time
        self._mark = max(self._mark, min(time, datetime.now(UTC)))  # a clock that is ahead must not hide what follows
        self._told = {name: at for name, at in self._told.items() if at >= self._mark - _OVERLAP}
        for listener in list(self._listeners):
            if not listener.incidents:
                continue
            try:
                listener.queue.put_nowait(change)
            except asyncio.QueueFull:  # it connects again, from the last event that it has seen
                self._close(listener)

    def _close_all(self) -> None:
        for listener in [*self._listeners]:
            self._close(listener)

    def _close(self, listener: _Listener) -> None:
        """Let a stream end once it has sent what waits."""
        self._listeners.discard(listener)
        if listener.queue.full():
            listener.queue.get_nowait()
        listener.queue.put_nowait(None)


def event_id(change: dict[str, Any]) -> str:
    """Id of the event of a change: its time and its incident; ids are in the order of time."""
    return f"{change['changed_at']}/{change['id']}"


def parse_id(text: str) -> tuple[datetime, Place | None]:
    """What an event's id says was heard: of incidents until when, and of anomalies up to which place, None for none.

    Raises: UsageError for what is no id.
    """
    incident, _, place = text.partition(";")
    return moment(incident.partition("/")[0]), Place.parse(place) if place else None


def _full_id(incident: str, listener: _Listener) -> str:
    return incident if listener.hearing is None else f"{incident};{listener.hearing.place}"


def _told(
    listener: _Listener, hearing: Hearing, at: str, left_out: int, entries: Sequence[tuple[int | None, Entry]]
) -> list[bytes]:
    events = [_event("skipped", _full_id(at, listener), {"anomalies": left_out})] if left_out else []
    for number, entry in entries:
        hearing.heard(number, entry)
        events.append(_event(ANOMALY, _full_id(at, listener), entry.row))
    return events


def _event(kind: str, identity: str, data: dict[str, Any]) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (identity.encode(), kind.encode(), orjson.dumps(data))
