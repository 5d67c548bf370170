"""Searches for clients: a few at once, the others wait; one whose client goes is ended."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from anyio import to_thread
from fastapi import Request

from hdfs_pipeline.serving.turns import place
from hdfs_pipeline.verdicts.logs import Search

AT_ONCE: Final = 3
WAIT_S: Final = 5.0
"""For which a search waits until there is a place for it."""
_LOOK_S: Final = 0.05  # between two looks whether the client is still there


class Searches:
    """Runs searches in threads, `AT_ONCE` at most."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(AT_ONCE)
        self.running = 0

    async def chunks(self, request: Request, search: Search) -> AsyncIterator[list[dict[str, Any]]]:
        """What a search finds, some records at a time; nobody else waits while the client reads them.

        Raises: HTTPException 503 where no place is free for `WAIT_S`; as `Search.chunks` does.
        """
        found: Any = search.chunks()
        wait_s: float | None = WAIT_S
        while True:
            async with place(self._places, wait_s, f"{AT_ONCE} searches run already"):
                self.running += 1
                try:
                    chunk = await _next(request, search, found)
                finally:
                    self.running -= 1
            if chunk is None:
                return
            yield chunk
            wait_s = None  # it has begun, and each of those that run has its limit


async def _next(request: Request, search: Search, found: Any) -> list[dict[str, Any]] | None:
    """The next records of a search, None after the last; if the client goes it is stopped."""

    async def watch() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(_LOOK_S)
        search.stop()

    watching = asyncio.create_task(watch())
    try:
        chunk: list[dict[str, Any]] | None = await to_thread.run_sync(next, found, None)
        return chunk
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
