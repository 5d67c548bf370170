"""The live feed: every change arrives at once, and none is lost over breaks."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hdfs_pipeline.errors import UsageError
from hdfs_pipeline.serving import live as feed
from hdfs_pipeline.serving.cache import Cache
from hdfs_pipeline.serving.live import Live, event_id, parse_id
from hdfs_pipeline.verdicts.words import say
from hdfs_pipeline_tests.homes import Home, copy_home
from hdfs_pipeline_tests.serving.test_run import served
from hdfs_pipeline_tests.verdicts.made_incidents import ago, incident, put

LIMIT_S = 30.0
STEPS = ("resolve", "reopen", "suppress", "reopen")


def change(home: Home, number: int, action: str = "resolve") -> datetime:
    """Somebody says something of an incident: when."""
    at = datetime.now(UTC)
    say(home.store, f"{number:08x}", action, now=at)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def listen(address: str, last: str, heard: "Queue[tuple[float, str, dict[str, Any]]]", ready: threading.Event) -> None:
    """Put the events of a server into a queue, each with the time at which it came, until the server ends."""
    headers = {"Last-Event-ID": last} if last else {}
    with httpx.stream("GET", f"{address}/api/live", headers=headers, timeout=LIMIT_S) as answer:
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            ready.set()
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "data" in fields:
                heard.put((time.monotonic(), fields["id"], json.loads(fields["data"])))
                fields = {}


def test_a_change_arrives_within_a_second_and_again_after_a_break(watched: Home) -> None:
    heard: Queue[Any] = Queue()
    with served(watched) as address:
        ready = threading.Event()
        threading.Thread(target=listen, args=(address, "", heard, ready), daemon=True).start()
        assert ready.wait(LIMIT_S)
        took = []
        for number, action in ((1, "resolve"), (2, "suppress"), (1, "reopen")):
            change(watched, number, action)
            began = time.monotonic()
            came, identity, told = heard.get(timeout=LIMIT_S)
            took.append(came - began)
            assert told["id"] == f"{number:08x}00000000" and identity == event_id(told)
        assert min(took) < 1.0  # a busy machine is slow at times, and not wrong
        change(watched, 3)
        _, last, told = heard.get(timeout=LIMIT_S)
        assert told["status"] == "resolved"
    change(watched, 4)  # nobody serves
    with served(watched) as address:
        threading.Thread(target=listen, args=(address, last, heard, ready), daemon=True).start()
        missed = [heard.get(timeout=LIMIT_S)[2]["id"][:8] for _ in range(4)]
        assert missed[-1] == "00000004" and set(missed) >= {"00000001", "00000003"}


class Listener:
    """A client that connects, goes, and comes back with the last event that it has seen."""

    def __init__(self, source: Live) -> None:
        self.source, self.last = source, ""
        self.seen: set[tuple[str, str]] = set()
        self.task: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        if self.task is None:
            begun = asyncio.Event()
            self.task = asyncio.create_task(self._listen(begun))
            await begun.wait()

    async def leave(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task
            self.task = None

    async def _listen(self, begun: asyncio.Event) -> None:
        async for raw in self.source.events(self.last):
            begun.set()
            lines = dict(line.split(": ", 1) for line in raw.decode().strip().split("\n") if not line.startswith(":"))
            if "data" in lines:
                self.last = lines["id"]
                told = json.loads(lines["data"])
                self.seen.add((told["id"], told["changed_at"]))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not true():
            await asyncio.sleep(0.005)


def with_feed(home: Home, work: Callable[[Live], Awaitable[None]]) -> None:
    """Work while a feed watches the store."""

    async def run() -> None:
        source = Live(home.store, home.settings, Cache(home.store))
        watching = asyncio.create_task(source.watch())
        try:
            await work(source)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    asyncio.run(run())


ACTIONS = st.lists(st.one_of(st.integers(1, 5), st.sampled_from(["leave", "connect", "look"])), min_size=4, max_size=14)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_nothing_is_lost_whenever_things_change_and_clients_come_and_go(
    watched: Home, tmp_path_factory: pytest.TempPathFactory, actions: list[int | str]
) -> None:
    home = copy_home(watched, tmp_path_factory.mktemp("live") / "home")

    async def work(source: Live) -> None:
        listener, latest, said = Listener(source), dict[str, str](), 0

        async def say_something(number: int) -> None:
            nonlocal said
            said += 1
            at = await asyncio.to_thread(change, home, number, STEPS[said % 4])
            latest[f"{number:08x}00000000"] = at.isoformat(timespec="milliseconds")

        await listener.connect()
        await say_something(1)
        await until(lambda: bool(listener.last))  # from here on it knows where to go on
        for action in actions:
            match action:
                case "leave":
                    await listener.leave()
                case "connect":
                    await listener.connect()
                case "look":
                    await asyncio.sleep(0.02)
                case int():
                    await say_something(action)
        await listener.connect()
        await until(lambda: set(latest.items()) <= {(name, at) for name, at in listener.seen})
        await listener.leave()
        assert not source._listeners

    before = feed._LOOK_S
    feed._LOOK_S = 0.01
    try:
        with_feed(home, work)
    finally:
        feed._LOOK_S = before


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_LOOK_S", 0.01)


def test_a_clock_that_was_ahead_hides_nothing(watched: Home, quick: None) -> None:
    put(watched, "incidents", incident(9, changed_at=datetime.now(UTC) + timedelta(days=300)))

    async def work(source: Live) -> None:
        listener = Listener(source)
        await listener.connect()
        await asyncio.to_thread(change, watched, 1)
        await until(lambda: any(name.startswith("00000001") for name, _ in listener.seen))
        await until(lambda: any(name.startswith("00000009") for name, _ in listener.seen))
        await asyncio.to_thread(change, watched, 2)
        await until(lambda: any(name.startswith("00000002") for name, _ in listener.seen))
        await listener.leave()
        later = Listener(source)
        later.last = f"{(datetime.now(UTC) + timedelta(days=300)).isoformat()}/x"
        await later.connect()
        await until(lambda: any(name.startswith("00000002") for name, _ in later.seen))
        await later.leave()

    with_feed(watched, work)


def test_a_failure_of_one_look_does_not_silence_the_feed(
    watched: Home, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, failed = Live._changes, list[int]()

    def fail_once(self: Live, since: datetime) -> list[dict[str, Any]]:
        if not failed:
            failed.append(1)
            raise OSError("no file may be opened now")
        return plain(self, since)

    monkeypatch.setattr(Live, "_changes", fail_once)

    async def work(source: Live) -> None:
        listener = Listener(source)
        await listener.connect()
        await asyncio.to_thread(change, watched, 1)
        await until(lambda: bool(listener.seen))
        await listener.leave()

    with_feed(watched, work)
    assert failed


def test_a_client_that_does_not_read_is_let_go_and_comes_back(
    watched: Home, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_WAITING", 2)

    async def work(source: Live) -> None:
        events = source.events("")
        assert await anext(events) == b"retry: 2000\n\n"
        for number in range(1, 6):
            await asyncio.to_thread(change, watched, number)
        await until(lambda: not source._listeners)
        rest = [event async for event in events]
        assert len(rest) <= 2  # and the stream ends
        last = rest[-1].decode().split("\n")[0].removeprefix("id: ")
        listener = Listener(source)
        listener.last = last
        await listener.connect()
        await until(lambda: len({name for name, _ in listener.seen}) == 5)
        await listener.leave()

    with_feed(watched, work)


@pytest.mark.parametrize("text", ["x", "2026", "99999-01-01", "2026-13-01/x", "é", "0001-01-01T00:00:00+23:00/"])
def test_an_id_that_is_none_is_told_before_the_stream_begins(text: str, client: TestClient) -> None:
    with suppress(UsageError):
        parse_id(text)
        pytest.skip("is one")
    answer = client.get("/api/live", headers={"Last-Event-ID": text.encode()})
    assert answer.status_code == 400 and "no id of an event" in answer.json()["detail"]


@given(st.datetimes(timezones=st.just(UTC)), st.text(st.characters(exclude_characters=";")))
def test_the_id_of_an_event_tells_its_time(time: datetime, name: str) -> None:
    told = {"changed_at": time.isoformat(timespec="microseconds"), "id": name}
    assert parse_id(event_id(told)) == (time, None)


def test_a_home_without_a_store_has_a_silent_feed(new_home: Callable[..., Home], quick: None) -> None:
    home = new_home(bare=True)

    async def work(source: Live) -> None:
        listener = Listener(source)
        listener.last = f"{ago(hours=1).isoformat()}/x"
        await listener.connect()
        Path(home.settings.home).mkdir()
        await asyncio.to_thread(put, home, "incidents", incident(1, changed_at=datetime.now(UTC)))
        await until(lambda: bool(listener.seen))
        await listener.leave()

    with_feed(home, work)
