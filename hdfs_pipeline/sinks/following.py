"""Topics into the store within seconds: one process reads what comes, about once a second, under the fences of runs.

It holds a lock in the home while it works, by which Dagster's sensor knows that it need not start runs. The lock goes
with the process, and then the sensor takes over.
"""

import time
from collections.abc import Callable, Mapping
from threading import Event
from typing import Final

from filelock import FileLock, Timeout

from hdfs_pipeline.errors import PipelineError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.topics import Sunk, TopicSink, ingest_range, what_waits
from hdfs_pipeline.sources.ranges import Admin, Plan, Watermarks
from hdfs_pipeline.store.store import Store

SHORTEST_S: Final = 1.0
"""Seconds between two looks while something comes."""
LONGEST_S: Final = 5.0
"""Seconds between two looks while nothing comes, or while Kafka is away."""
_REST: Final = 10.0  # times the CPU time of a round that it rests: so it takes a tenth of a core, where all is well
_LONGEST_REST_S: Final = 10.0  # a first round loads libraries: what comes is not to wait a minute for that
_AT_ONCE: Final = 200_000  # messages that are read before a signal is looked for
_ANSWER_S: Final = 5.0  # that Kafka may take over a question
_STALL_S: Final = 15.0  # without a message, when some are known to be there
_LOCKED_S: Final = 10.0  # that a round waits for the store: the next one comes soon
_TURN_S: Final = 5.0  # that it waits for a run which reads the same topic
_PAUSES_S: Final = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0)  # before a topic that failed is tried again
_LOOK_S: Final = 0.5  # for `is_followed` takes the lock for a moment
_LOCK: Final = "sink.lock"


def sink_lock(settings: Settings) -> FileLock:
    """The lock that `follow` holds; it is released when the process ends."""
    return FileLock(settings.home / _LOCK, timeout=0)


def is_followed(settings: Settings) -> bool:
    """Whether a process stores what comes."""
    try:
        with sink_lock(settings):
            return False
    except Timeout:
        return True
    except OSError:  # no home yet
        return False


def follow(settings: Settings, sinks: Mapping[str, TopicSink], stopped: Event, say: Callable[[str], None]) -> None:
    """Store what comes in the topics of `sinks`, until `stopped` is set. While another process does so, it waits.

    `say` gets lines for people: what it does, and trouble, each once. Kafka or a store that is away is asked again; a
    topic that cannot be read is tried again after a while, longer each time, and the others go on.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    lock, told = sink_lock(settings), False
    while not stopped.is_set():
        try:
            lock.acquire(timeout=_LOOK_S)
        except Timeout:
            if not told:
                say("another process stores what comes: waiting for its end")
            told = True
            stopped.wait(SHORTEST_S)
            continue
        with lock:
            say(f"what comes in {', '.join(sinks)} is stored within seconds")
            _follow(_Follower(settings, sinks, stopped, say), stopped)


def _follow(follower: "_Follower", stopped: Event) -> None:
    idle_s = SHORTEST_S
    while not stopped.is_set():
        began = time.process_time()
        found = follower.round()
        if found is None:  # more waits than one round takes
            continue
        idle_s = SHORTEST_S if found else min(2 * idle_s, LONGEST_S)
        stopped.wait(max(idle_s, min(_REST * (time.process_time() - began), _LONGEST_REST_S)))


class _Follower:
    """What is remembered from round to round: the client that asks, and what has failed."""

    def __init__(
        self, settings: Settings, sinks: Mapping[str, TopicSink], stopped: Event, say: Callable[[str], None]
    ) -> None:
        least = {
            "sink_max_records": min(_AT_ONCE, settings.sink_max_records),
            "lock_timeout_s": min(_LOCKED_S, settings.lock_timeout_s),
        }
        self._settings = settings.model_copy(update=least)
        self._store = Store.open(self._settings)
        self._sinks, self._stopped, self._say = sinks, stopped, say
        self._admin = Admin()
        self._failed: dict[str, int] = {}  # times in a row, by topic; "" for Kafka and the store as a whole
        self._not_before: dict[str, float] = {}

    def round(self) -> bool | None:
        """Store what waits now; whether there was something, None where more waits still."""
        try:
            waiting = what_waits(self._store, self._settings, [*self._sinks], _ANSWER_S, admin=self._admin)
        except PipelineError as error:
            self._trouble("", error)
            return False
        self._well("")
        for topic, refusal in waiting.refused.items():
            self._trouble(topic, refusal)
        done = []
        for topic, (marks, planned) in waiting.plans.items():
            if not self._stopped.is_set() and time.monotonic() >= self._not_before.get(topic, 0.0):
                done += self._store_range(topic, marks, planned)
        return None if any(each.left > _AT_ONCE for each in done) else bool(done)

    def _store_range(self, topic: str, marks: Watermarks, planned: Plan) -> list[Sunk]:
        """What was done of a plan; nothing where it failed."""
        try:
            done = ingest_range(
                self._store,
                self._settings,
                topic,
                self._sinks[topic],
                planned.ranges,
                cluster_id=marks.cluster_id,
                topic_id=marks.topic_id,
                stall_s=_STALL_S,
                turn_s=_TURN_S,
                admin=self._admin,
            )
        except PipelineError as error:
            self._trouble(topic, error)
            return []
        self._well(topic)
        return [done]

    def _trouble(self, topic: str, error: PipelineError) -> None:
        failed = self._failed[topic] = self._failed.get(topic, 0) + 1
        self._not_before[topic] = time.monotonic() + _PAUSES_S[min(failed, len(_PAUSES_S)) - 1]
        if failed == 1:
            self._say(f"{error}; it is tried again")

    def _well(self, topic: str) -> None:
        if self._failed.pop(topic, 0):
            self._say(f"{topic or 'Kafka and the store'}: all is well again")
