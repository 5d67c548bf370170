"""The live feed: each change of an incident as a server-sent event, resumable by its id."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from anyio import to_thread

from hdfs_pipeline.errors import PipelineError, UsageError
from hdfs_pipeline.serving.cache import Cache
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.listing import changed_since

_log = logging.getLogger(__name__)
_LOOK_S: Final = 0.5
_BEAT_S: Final = 15.0  # without an event, after which a comment shows that the connection lives
_OVERLAP: Final = timedelta(seconds=60)  # a change is stamped before it is committed: another may come in between
_WAITING: Final = 1000  # events that a slow client may leave unread before it must connect again
_BEAT: Final = b": still here\n\n"


class Live:
    """Tells those who listen what changes of incidents; one look at the store serves all of them."""

    def __init__(self, store: Store, settings: Settings, cache: Cache) -> None:
        self._store, self._settings, self._cache = store, settings, cache
        self._listeners: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._told: dict[str, datetime] = {}  # the latest changes, by incident
        self._mark = datetime.now(UTC)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = False

    async def watch(self) -> None:
        """Look for changes until cancelled."""
        self._loop, state = asyncio.get_running_loop(), self._cache.state()
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                if (now := self._cache.state()) == state:
                    continue
                changes = await to_thread.run_sync(self._changes, self._mark - _OVERLAP)
            except PipelineError:  # the store is busy: the next look finds it
                continue
            except Exception:  # noqa: BLE001 - what goes wrong once must not silence the feed for good
                _log.exception("the live feed could not look at the store, and tries again")
                continue
            state = now
            for change in changes:
                self._tell(change)

    def end(self) -> None:
        """Let every stream end, since the server does. May be called from any thread."""
        self._over = True
        if self._loop is not None and not self._loop.is_closed():
            with suppress(RuntimeError):  # it ends at this moment
                self._loop.call_soon_threadsafe(self._close_all)

    async def events(self, last: str) -> AsyncIterator[bytes]:
        """The events after the one whose id is `last` ('': from now on), until the client goes or the server ends.

        After a break an event may come twice.
        """
        listener: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(_WAITING)
        self._listeners.add(listener)
        try:
            yield b"retry: 2000\n\n"
            if last:
                since = min(parse_id(last), datetime.now(UTC)) - _OVERLAP
                try:
                    for missed in await to_thread.run_sync(self._changes, since):
                        yield _event(missed)
                except PipelineError:  # the store cannot be read now: the client connects again
                    return
            while not self._over:
                try:
                    async with asyncio.timeout(_BEAT_S):
                        change = await listener.get()
                except TimeoutError:
                    yield _BEAT
                    continue
                if change is None:
                    return
                yield _event(change)
        finally:
            self._listeners.discard(listener)

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
            try:
                listener.put_nowait(change)
            except asyncio.QueueFull:  # it connects again, from the last event that it has seen
                self._close(listener)

    def _close_all(self) -> None:
        for listener in [*self._listeners]:
            self._close(listener)

    def _close(self, listener: asyncio.Queue[dict[str, Any] | None]) -> None:
        """Let a stream end once it has sent what waits."""
        self._listeners.discard(listener)
        if listener.full():
            listener.get_nowait()
        listener.put_nowait(None)


def event_id(change: dict[str, Any]) -> str:
    """Id of the event of a change: its time and its incident; ids are in the order of time."""
    return f"{change['changed_at']}/{change['id']}"


def parse_id(text: str) -> datetime:
    """The time in an event's id. Raises: UsageError for what is none."""
    try:
        time = datetime.fromisoformat(text.partition("/")[0])
        return time.astimezone(UTC) if time.tzinfo and time.year > 1 else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no id of an event: leave it out to hear from now on") from None


def _event(change: dict[str, Any]) -> bytes:
    return b"id: %b\nevent: incident\ndata: %b\n\n" % (event_id(change).encode(), orjson.dumps(change))
