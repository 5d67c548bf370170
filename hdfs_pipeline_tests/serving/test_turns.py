"""Turns: what takes long leaves room for what does not, and who waits in vain is told so."""

import asyncio
import threading
from collections.abc import Callable

import httpx
import pytest
from fastapi import HTTPException

from hdfs_pipeline.serving import turns
from hdfs_pipeline.serving.turns import Turns
from hdfs_pipeline_tests.homes import Home
from hdfs_pipeline_tests.serving.conftest import LOCAL, application

LIMIT_S = 30


class Long:
    """Work that goes on until it is let go."""

    def __init__(self) -> None:
        self.running, self.most, self.go_on = 0, 0, threading.Event()
        self._lock = threading.Lock()

    def __call__(self, *_: object, **__: object) -> bytes:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.go_on.wait(LIMIT_S)
        with self._lock:
            self.running -= 1
        return b"done"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def test_only_some_run_at_once_and_the_others_have_their_turn() -> None:
    long, places = Long(), Turns(2)

    async def walk() -> list[bytes]:
        asking = [asyncio.create_task(places.run(long)) for _ in range(6)]
        await until(lambda: long.running == 2)
        long.go_on.set()
        return list(await asyncio.gather(*asking))

    assert asyncio.run(walk()) == [b"done"] * 6
    assert long.most == 2


def test_who_waits_in_vain_is_told_and_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAIT_S", 0.1)
    long, places = Long(), Turns(1)

    async def walk() -> None:
        first = asyncio.create_task(places.run(long))
        await until(lambda: long.running == 1)
        with pytest.raises(HTTPException) as told:
            await places.run(long)
        assert told.value.status_code == 503 and "ask again" in told.value.detail
        long.go_on.set()
        assert await first == await places.run(long) == b"done"

    asyncio.run(walk())


def test_long_answers_hold_up_neither_a_probe_nor_a_file(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    long = Long()
    monkeypatch.setattr("hdfs_pipeline.serving.routes.namenode.analysis_report", long)
    monkeypatch.setattr("hdfs_pipeline.serving.routes.models.evaluations_of", long)
    monkeypatch.setattr(turns, "WAIT_S", 0.3)
    app = application(home)
    window = {"from_ts": "2026-11-21T00:00:00Z", "to_ts": "2026-11-22T00:00:00Z"}

    async def walk() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=LOCAL) as client:
            asking = [asyncio.create_task(client.post("/api/report", json=window)) for _ in range(30)]
            asking += [asyncio.create_task(client.get(f"/api/evaluation?detector=a{n}")) for n in range(30)]
            await until(lambda: long.running == turns.AT_ONCE)
            async with asyncio.timeout(LIMIT_S):
                assert (await client.get("/api/ready")).status_code == 204
                assert (await client.get("/static/app.css")).status_code == 200
            assert long.running == turns.AT_ONCE
            refused = 60 - turns.AT_ONCE
            await until(lambda: sum(each.done() for each in asking) == refused)
            told = [each.result() for each in asking if each.done()]
            assert all(each.headers["Retry-After"] and "ask again" in each.json()["detail"] for each in told)
            long.go_on.set()
            await asyncio.gather(*asking, return_exceptions=True)
            return [each.status_code for each in told]

    assert set(asyncio.run(walk())) == {503}
    assert long.most == turns.AT_ONCE
