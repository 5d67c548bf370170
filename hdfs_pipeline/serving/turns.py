"""Turns: work that takes long, in threads of its own, a few pieces at once; what is quick never waits behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import HTTPException

_Found = TypeVar("_Found")

AT_ONCE: Final = 12
WAIT_S: Final = 10.0
"""For which a request waits until it is its turn."""


class Turns:
    """Runs work in threads, `at_once` at most."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        # A limiter of its own: the threads that all other requests share stay free.
        self._places, self._threads = asyncio.Semaphore(at_once), CapacityLimiter(at_once)

    async def run(self, work: Callable[[], _Found]) -> _Found:
        """What `work` gives. Raises: HTTPException 503 where no place is free for `WAIT_S`; what `work` raises."""
        async with place(self._places, WAIT_S, "the server is busy with long answers"):
            return await to_thread.run_sync(work, limiter=self._threads)


@asynccontextmanager
async def place(places: asyncio.Semaphore, wait_s: float | None, busy: str) -> AsyncIterator[None]:
    """One of some places, for which a request waits `wait_s`, or without a limit.

    Raises: HTTPException 503, which says what is `busy`, where none is free by then.
    """
    try:
        async with asyncio.timeout(wait_s):
            await places.acquire()
    except TimeoutError:
        raise HTTPException(503, f"{busy}, and none has ended within {wait_s:g} s: ask again") from None
    try:
        yield
    finally:
        places.release()
