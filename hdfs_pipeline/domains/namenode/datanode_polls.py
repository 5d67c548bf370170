"""Polls the `/jmx` of DataNodes beside those of the NameNodes: in a thread of its own, a few at a time.

A slow DataNode delays neither a NameNode's poll nor, longer than the timeout, its peers; a round begins when it is due
and the one before is over.
"""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

from hdfs_pipeline.domains.namenode.datanodes import DataNodeProcessor, DataNodeSample, compare, entity_of
from hdfs_pipeline.domains.namenode.jmx import Answer, JmxEndpoint, PollError
from hdfs_pipeline.domains.namenode.state import HdfsState
from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.settings import Settings

_LONGEST = 300  # characters of a note


def targets(settings: Settings, state: HdfsState | None) -> dict[str, str]:
    """The DataNodes to poll: entity by address; '' where only the DataNode itself can tell it.

    Those of the setting `datanode_urls`, or else those that are alive by the NameNode's word.
    """
    if settings.datanode_urls:
        aliases = state.aliases if state is not None else {}
        return {url: aliases.get(url.rpartition("/")[2].rpartition("@")[2], "") for url in settings.datanode_urls}
    nodes = (state.datanodes or {}).values() if state is not None else ()
    return {f"http{'s' * node.secure}://{node.info}": node.entity for node in nodes if node.info}


class DataNodePolls:
    """Rounds of polls. `begin` and `take` return at once; `close` gives up a round that is under way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._processor = DataNodeProcessor()
        self._thread: ThreadPoolExecutor | None = None
        self._runner: asyncio.Runner | None = None
        self._endpoints: dict[str, JmxEndpoint] = {}
        self._round: Future[list[DataNodeSample]] | None = None
        self._task: tuple[asyncio.AbstractEventLoop, asyncio.Task[list[DataNodeSample]]] | None = None
        self._begun: float | None = None
        self._closing = False

    def begin(self, addresses: Mapping[str, str]) -> None:
        """Begin a round, if one is due and none is under way."""
        every_s = self._settings.datanode_poll_s
        due = self._begun is None or time.monotonic() - self._begun >= every_s
        if not every_s or not addresses or not due or self._round is not None:
            return
        self._begun = time.monotonic()
        self._thread = self._thread or ThreadPoolExecutor(1, "datanodes")
        self._round = self._thread.submit(self._run, dict(addresses))

    def take(self) -> list[DataNodeSample]:
        """The samples of a round that is over; each round once."""
        if self._round is None or not self._round.done():
            return []
        finished, self._round = self._round, None
        with suppress(CancelledError, asyncio.CancelledError):
            return finished.result()
        return []

    def close(self) -> None:
        """Give up the round that is under way, and end the thread."""
        if self._thread is None:
            return
        self._closing = True
        if self._task is not None and self._round is not None:
            loop, task = self._task
            with suppress(RuntimeError):  # the loop is closed: the round is over
                loop.call_soon_threadsafe(task.cancel)
        self._thread.submit(self._end)
        self._thread.shutdown(wait=True)
        self._thread = None

    def _run(self, addresses: dict[str, str]) -> list[DataNodeSample]:
        self._runner = self._runner or asyncio.Runner()
        return self._runner.run(self._all(addresses))

    def _end(self) -> None:
        if self._runner is None:
            return
        for endpoint in self._endpoints.values():
            self._runner.run(endpoint.close())
        self._runner.close()
        self._runner = None

    async def _all(self, addresses: dict[str, str]) -> list[DataNodeSample]:
        task = asyncio.current_task()
        assert task is not None
        self._task = asyncio.get_running_loop(), task
        turns = asyncio.Semaphore(self._settings.datanode_parallel)
        for gone in self._endpoints.keys() - addresses.keys():
            await self._endpoints.pop(gone).close()
        samples = await asyncio.gather(*(self._one(address, entity, turns) for address, entity in addresses.items()))
        self._processor.forget(sample.entity for sample in samples)
        return compare(samples, self._settings.datanode_slow_ratio)

    async def _one(self, address: str, entity: str, turns: asyncio.Semaphore) -> DataNodeSample:
        async with turns:
            at, clock = datetime.now(UTC), time.monotonic()
            try:
                if self._closing:
                    raise PollError("the collector ends")
                endpoint = self._endpoints.get(address) or JmxEndpoint(address, self._settings)
                self._endpoints[address] = endpoint
                entity = entity or endpoint.name
                return self._sample(entity, endpoint, await endpoint.fetch(), at, clock)
            except (PollError, SetupError) as error:
                return DataNodeSample(entity or address.rpartition("@")[2], at, answered=False, note=_note(error))

    def _sample(self, entity: str, endpoint: JmxEndpoint, answer: Answer, at: datetime, clock: float) -> DataNodeSample:
        try:
            if entity == endpoint.name:
                entity = entity_of(answer.document, endpoint.name.rpartition(":")[0]) or entity
            sample = self._processor.add(entity, answer.document, at, clock)
        except Exception as error:  # one DataNode's answer must not end the polls of the others
            raise PollError(f"its document cannot be used ({type(error).__name__}: {error})") from error
        if sample is None:
            raise PollError("the document holds no bean of a DataNode: is this a DataNode's address?")
        return sample


def _note(error: Exception) -> str:
    return "".join(each if each.isprintable() else "?" for each in str(error)[:_LONGEST])
