"""Answers that many clients poll: made once for each state of the store, and not held up by who writes to it."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from fastapi import Request, Response

from hdfs_pipeline.serving.turns import Turns
from hdfs_pipeline.store.store import Store

FRESH_S: Final = 5.0
"""Seconds for which an answer that depends on the clock is good while the store stays as it is."""
STORE_S: Final = 60.0
"""The same of an answer that depends on the store, and on models and settings, which change seldom."""
_LEAST_S: Final = 0.5  # for which an answer is good, however often the store changes
_LEAST_COSTS: Final = 4  # or so many times as long as it took to make, so that no answer keeps the machine busy
_PATIENCE_S: Final = 0.02  # for which a client waits for a newer answer while there is an older one
_OLDEST_S: Final = 10.0  # an older answer than this is no longer given in place of a newer one
_OLDEST_COSTS: Final = 10  # nor one that is so many times as old as it took to make
_KEPT: Final = 256

State = tuple[int, ...]
"""Tells one state of the store from another."""


@dataclass
class Answer:
    """An answer, of which state of the store it is, when it was begun (monotonic seconds), and how long that took."""

    body: bytes
    kind: str
    tag: str
    state: State
    begun_at: float
    took_s: float


class Cache:
    """Answers by the question, each with the state of the store that it was made of."""

    def __init__(self, store: Store, turns: Turns | None = None) -> None:
        self._store, self._turns = store, turns or Turns()
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()
        self._asked: dict[Hashable, asyncio.Task[Answer]] = {}

    async def respond(
        self, request: Request, make: Callable[[], Any], fresh_s: float = FRESH_S, key: Hashable = None
    ) -> Response:
        """Answer a request with what `make` gives, in a thread; 304 to a client that has it already.

        Bytes are a page of HTML, all else is JSON. While the store stays as it is, an answer is good for `fresh_s`
        seconds. Requests of one path and query (and `key`) share one, and who asks while it is made waits for it.
        """
        answer = await self._answer((request.url.path, request.url.query, key), make, fresh_s)
        headers = {"ETag": answer.tag, "Cache-Control": "no-cache"}
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if answer.tag in known or known == ["*"]:
            return Response(status_code=304, headers=headers)
        return Response(answer.body, headers=headers, media_type=answer.kind)

    def clear(self) -> None:
        """Forget all answers, since somebody has changed what they tell and is to see it. From any thread."""
        # New ones in place of emptied ones: the loop may be at work with the old. In this order, so that an answer
        # from before can only reach the old ones.
        self._asked = {}
        self._answers = OrderedDict()

    async def _answer(self, question: Hashable, make: Callable[[], Any], fresh_s: float) -> Answer:
        state, now, answers = self.state(), time.monotonic(), self._answers
        answer = answers.get(question)
        if answer is not None:
            least_s = max(_LEAST_S, _LEAST_COSTS * answer.took_s)
            if now - answer.begun_at < (max(fresh_s, least_s) if answer.state == state else least_s):
                answers.move_to_end(question)
                return answer
        task = self._asked.get(question)
        if task is None:
            task = asyncio.create_task(self._make(question, state, make))
            self._asked[question] = task
            task.add_done_callback(lambda done: self._done(question, done))
        if answer is None or now - answer.begun_at > max(_OLDEST_S, _OLDEST_COSTS * answer.took_s):
            return await asyncio.shield(task)
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE_S)
        return task.result() if done else answer

    def _done(self, question: Hashable, task: "asyncio.Task[Answer]") -> None:
        asked = self._asked
        if asked.get(question) is task:
            del asked[question]
        if not task.cancelled():
            task.exception()  # whoever waits has it; asyncio shall not complain where nobody did

    async def _make(self, question: Hashable, state: State, make: Callable[[], Any]) -> Answer:
        body, kind, begun_at = await self._turns.run(lambda: _encoded(make))
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        answer = Answer(body, kind, tag, state, begun_at, time.monotonic() - begun_at)
        answers = self._answers
        if self._asked.get(question) is not asyncio.current_task():  # answers were cleared: this one is of before
            return answer
        answers[question] = answer
        answers.move_to_end(question)
        if len(answers) > _KEPT:
            answers.popitem(last=False)
        return answer

    def state(self) -> State:
        """The state of the store's files; a transaction that was committed changes it."""
        found = []
        for path in (self._store.path, self._store.path.with_name(f"{self._store.path.name}.wal")):
            try:
                facts = path.stat()
            except FileNotFoundError:
                found += [0, 0, 0]
            else:
                found += [facts.st_ino, facts.st_mtime_ns, facts.st_size]
        return tuple(found)


def _encoded(make: Callable[[], Any]) -> tuple[bytes, str, float]:
    """What `make` gives as bytes, of which kind these are, and when it was begun."""
    begun_at, made = time.monotonic(), make()
    if isinstance(made, bytes):
        return made, "text/html; charset=utf-8", begun_at
    return orjson.dumps(made), "application/json", begun_at
