"""Answers that many ask for: how old one may be, by the store's state and by how long it took to make."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from hdfs_pipeline.serving import cache
from hdfs_pipeline.serving.cache import Cache
from hdfs_pipeline.store.store import Store


class Clock:
    """A clock that goes on only when it is told to, in place of the module's."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(cache, "time", found)
    return found


def asked(answers: Cache, make: Callable[[], Any]) -> Any:
    """What a client is given."""
    request = Request({"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": []})
    return answers.respond(request, make)


def test_an_answer_that_took_long_is_kept_longer_and_given_while_a_newer_one_is_made(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "store.duckdb"
    path.write_bytes(b"")
    answers, made, go_on = Cache(Store(path)), [], threading.Event()

    def slow() -> bytes:
        made.append(len(made))
        clock.now += 5
        return str(made[-1]).encode()

    def held() -> bytes:
        assert go_on.wait(30)
        return slow()

    async def walk() -> list[bytes]:
        told = [(await asked(answers, slow)).body]
        path.write_bytes(b"a commit")
        clock.now += 14  # less than four times five seconds since it was begun
        told.append((await asked(answers, slow)).body)
        clock.now += 2
        told.append((await asked(answers, held)).body)  # a newer one is being made
        clock.now += 30  # ten times five seconds are over
        waiting = asyncio.create_task(asked(answers, held))
        go_on.set()
        told.append((await waiting).body)
        return told

    assert asyncio.run(walk()) == [b"0", b"0", b"0", b"1"]
    assert made == [0, 1]


def test_an_answer_that_took_no_time_is_good_for_half_a_second(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "store.duckdb"
    path.write_bytes(b"")
    answers, made = Cache(Store(path)), []

    def quick() -> bytes:
        made.append(len(made))
        return str(made[-1]).encode()

    async def walk() -> list[bytes]:
        told = [(await asked(answers, quick)).body]
        path.write_bytes(b"a commit")
        for passed in (0.4, 0.2):
            clock.now += passed
            told.append((await asked(answers, quick)).body)
        return told

    assert asyncio.run(walk()) == [b"0", b"0", b"1"]


def test_an_answer_from_before_answers_were_cleared_is_not_kept(tmp_path: Path) -> None:
    answers, begun, go_on = Cache(Store(tmp_path / "store.duckdb")), threading.Event(), threading.Event()

    def held() -> bytes:
        begun.set()
        assert go_on.wait(30)
        return b"before"

    async def walk() -> list[bytes]:
        waiting = asyncio.create_task(asked(answers, held))
        assert await asyncio.to_thread(begun.wait, 30)
        answers.clear()
        go_on.set()
        return [(await waiting).body, (await asked(answers, lambda: b"after")).body]

    assert asyncio.run(walk()) == [b"before", b"after"]


def test_answers_may_be_cleared_by_a_thread_at_any_moment(tmp_path: Path) -> None:
    answers, cleared = Cache(Store(tmp_path / "store.duckdb")), list[bool]()

    class Meddled(OrderedDict[Any, Any]):
        """Is cleared between a look into it and what follows."""

        def get(self, key: Any, default: Any = None) -> Any:
            found = super().get(key, default)
            if found is not None:
                answers.clear()
                cleared.append(True)
            return found

    async def walk() -> list[bytes]:
        told = [(await asked(answers, lambda: b"0")).body]
        answers._answers = Meddled(answers._answers)
        return [*told, (await asked(answers, lambda: b"1")).body, (await asked(answers, lambda: b"2")).body]

    # Cleared in the middle of a look at what is kept: that one is still given, the next is made anew.
    assert asyncio.run(walk()) == [b"0", b"0", b"2"]
    assert cleared
