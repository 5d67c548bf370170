"""The collector: it polls all NameNodes at once, and stores samples, raw documents and the state of the collecting."""

import asyncio
import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
from filelock import FileLock, Timeout

from hdfs_pipeline.domains.namenode.datanode_polls import DataNodePolls, targets
from hdfs_pipeline.domains.namenode.jmx import Answer, JmxEndpoint, PollError, parse_document, without_password
from hdfs_pipeline.domains.namenode.past import Past
from hdfs_pipeline.domains.namenode.process import ACTIVE, GAP_S, STARTING, UNKNOWN, Document, Processor, Sample
from hdfs_pipeline.domains.namenode.raw import RAW, Raw, forget_raw, pack, read_raw
from hdfs_pipeline.domains.namenode.watch import StateRows, StateWatch, forget_state
from hdfs_pipeline.errors import PipelineError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into

_QUEUE = 5_000  # polls that wait for a store that is busy; about 7 h of one NameNode, 25 MB
_FORGET_EVERY_S = 600.0
_LONGEST = 500  # characters of a message
_RESUME_S = 0.5  # for a store that is busy, until the next poll
_FAILURES: Final = "SELECT failures FROM namenode_collectors WHERE namenode = ?"

METRICS: Final = pa.schema(
    [
        ("namenode", pa.string()),
        ("polled_at", pa.timestamp("us", "UTC")),
        ("role", pa.string()),
        ("port", pa.int32()),
        ("restarted", pa.bool_()),
        ("gap", pa.bool_()),
        ("moved", pa.bool_()),
        ("metrics", pa.map_(pa.string(), pa.float64())),
        ("top_users", pa.string()),
        ("note", pa.string()),
    ]
)
HEALTH: Final = pa.schema(
    [
        ("namenode", pa.string()),
        ("polled_at", pa.timestamp("us", "UTC")),
        ("sampled_at", pa.timestamp("us", "UTC")),
        ("role", pa.string()),
        ("port", pa.int32()),
        ("fetch_ms", pa.float64()),
        ("bytes", pa.int32()),
        ("polls", pa.int64()),
        ("failures", pa.int64()),
        ("error", pa.string()),
        ("note", pa.string()),
        ("collector", pa.string()),
    ]
)


@dataclass(frozen=True)
class Health:
    """The state of the collecting of one NameNode after a poll; the columns of `namenode_collectors`."""

    namenode: str
    polled_at: datetime
    sampled_at: datetime | None = None
    role: str = UNKNOWN
    port: int | None = None
    fetch_ms: float | None = None
    bytes: int | None = None
    polls: int = 0
    failures: int = 0
    error: str = ""
    note: str = ""
    collector: str = ""


@dataclass(frozen=True)
class Polled:
    """One poll of one NameNode. If it gave no sample, `sample` is None and `health.error` says why."""

    health: Health
    sample: Sample | None = None
    process_ms: float = 0.0


@dataclass
class _Target:
    """One NameNode: its endpoint, the state of its earlier polls, and the lock that keeps others from polling it."""

    endpoint: JmxEndpoint
    lock: FileLock
    health: Health
    datanodes: DataNodePolls
    watch: StateWatch | None = None  # None until what the store has of its state was read
    processor: Processor = field(default_factory=Processor)
    base: Raw | None = None
    asked: float | None = None  # when it was last polled, monotonic seconds


@dataclass
class _Rows:
    """What waits to be stored: Arrow tables of one row, since one row that does not fit would hold up all others."""

    metrics: list[pa.Table] = field(default_factory=list)
    raw: list[pa.Table] = field(default_factory=list)
    health: dict[str, pa.Table] = field(default_factory=dict)
    state: StateRows = field(default_factory=StateRows)

    def tables(self) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Samples, documents and health as Arrow tables."""
        return (
            pa.concat_tables([METRICS.empty_table(), *self.metrics]),
            pa.concat_tables([RAW.empty_table(), *self.raw]),
            pa.concat_tables([HEALTH.empty_table(), *self.health.values()]),
        )

    def and_then(self, later: "_Rows") -> "_Rows":
        return _Rows(
            self.metrics + later.metrics,
            self.raw + later.raw,
            self.health | later.health,
            self.state.and_then(later.state),
        )


class Collector:
    """Polls the NameNodes at `addresses` (default: setting namenode_urls) into the store of the home.

    `program` names the polling program in the health table. From the first poll until `release` or `close` no other
    process polls these NameNodes into this home. One thread may poll while another one flushes. An address that is
    none is told with each poll, beside the others. Raises: SetupError without an address, or without a valid one.
    """

    def __init__(self, settings: Settings, addresses: Sequence[str] = (), *, program: str = "collect") -> None:
        self._settings = settings
        self._store = Store.open(settings)
        self._program = f"{program} {os.getpid()}"
        self._runner = asyncio.Runner()
        self._storing = threading.Lock()
        self._queueing = threading.Lock()
        self._queue = _Rows()
        self._forgot: float | None = None
        self.lost = 0  # polls that fell out of a full queue
        self.asked: float | None = None  # when it last polled, monotonic seconds
        self._pasts: dict[str, Past] = {}  # by block pool
        self._targets: dict[str, _Target] = {}
        self._refused: dict[str, str] = {}  # why, by address
        for address in addresses or settings.namenode_urls:
            try:
                endpoint = JmxEndpoint(address, settings)
            except SetupError as error:
                self._refused[_printable(without_password(address))] = _printable(str(error))
            else:
                self._targets[endpoint.name] = self._target(endpoint)
        if not self._targets and self._refused:
            raise SetupError("; ".join(self._refused.values()))
        if not self._targets:
            raise SetupError(
                "no NameNode to poll: set HDFS_PIPELINE_NAMENODE_URLS=http://host:9870 (namenode_urls), or name it here"
            )
        self._warm_up()

    def _warm_up(self) -> None:
        """Do now what would otherwise delay the row of the first poll."""
        _Rows().tables()  # pyarrow loads pandas with its first table
        if not self._store.path.exists():
            with self._store.write():  # makes the store
                pass

    def _target(self, endpoint: JmxEndpoint) -> _Target:
        folder = self._settings.home / "collectors"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', endpoint.name)}.lock", thread_local=False)
        health = Health(endpoint.name, datetime.fromtimestamp(0, UTC), collector=self._program)
        return _Target(endpoint, lock, health, DataNodePolls(self._settings))

    def poll(self) -> list[Polled]:
        """Ask every NameNode once, all at the same time, and queue the answers for `flush`."""
        own = [target for target in self._targets.values() if self._acquired(target)]
        for target in own:
            if target.watch is None:
                self._resume_watch(target)
        self.asked = time.monotonic()
        answers = self._runner.run(_all(own)) if own else []
        polled = {
            target.endpoint.name: self._take(target, *answer) for target, answer in zip(own, answers, strict=True)
        }
        self._hand_over(own, polled)
        for target in own:
            target.asked = self.asked
            self._poll_datanodes(target)
        answered = [polled.get(name) or _elsewhere(target) for name, target in self._targets.items()]
        now = datetime.now(UTC)
        refused = [Health(name, now, error=why, collector=self._program) for name, why in self._refused.items()]
        with self._queueing:
            self._queue.health |= {health.namenode: _table(vars(health), HEALTH) for health in refused}
        return answered + [Polled(health) for health in refused]

    def _acquired(self, target: _Target) -> bool:
        """Whether this collector may poll. When it takes over, it goes on from what others have stored."""
        if target.lock.is_locked:
            return True
        try:
            target.lock.acquire(timeout=0)
        except Timeout:
            return False
        if target.asked is None or time.monotonic() - target.asked > 3 * self._settings.namenode_poll_s:
            self._resume(target)
        return True

    def _resume(self, target: _Target) -> None:
        now, clock = datetime.now(UTC), time.monotonic()
        target.processor, target.base, target.watch = Processor(), None, None
        if not self._store.path.exists():
            return
        with suppress(SetupError), self._store.read() as con:
            failures = con.execute(_FAILURES, [target.endpoint.name]).fetchall()
            target.health = replace(target.health, failures=failures[0][0] if failures else 0)
            recent = list(read_raw(con, target.endpoint.name, now - timedelta(seconds=GAP_S), now))
            for raw, base in recent:
                with suppress(PollError):
                    earlier = clock - (now - raw.polled_at).total_seconds()
                    _sample(target.processor, parse_document(raw.body), raw.polled_at, earlier)
                target.base = base

    def _resume_watch(self, target: _Target) -> None:
        """Go on from what the store knows of the state; while it is busy, nothing is judged, lest it be told twice."""
        watch = StateWatch(target.endpoint.name, self._settings, self._pasts)
        if self._store.path.exists():
            try:
                with Store.open(self._settings.model_copy(update={"lock_timeout_s": _RESUME_S})).read() as con:
                    watch.resume(con, datetime.now(UTC))
            except SetupError:
                return
        target.watch = watch

    def _hand_over(self, own: Sequence[_Target], polled: Mapping[str, Polled]) -> None:
        """Let no NameNode speak for a namespace while it does not say its role and another one is active there."""
        said = {name: poll.sample.role for name, poll in polled.items() if poll.sample is not None}
        watches = [target.watch for target in own if target.watch is not None and target.watch.block_pool]
        active = {watch.block_pool: watch.namenode for watch in watches if said.get(watch.namenode) == ACTIVE}
        unsaid = [watch for watch in watches if said.get(watch.namenode, STARTING) == STARTING]
        now = datetime.now(UTC)
        self._queue_state(
            [watch.taken_over(active[watch.block_pool], now) for watch in unsaid if watch.block_pool in active]
        )

    def _poll_datanodes(self, target: _Target) -> None:
        """Take what a round of polls of DataNodes measured, and begin the next one if it is due."""
        if target.watch is None or not target.watch.speaks:
            return
        rows = [target.watch.add_datanode(sample) for sample in target.datanodes.take()]
        target.datanodes.begin(targets(self._settings, target.watch.state))
        self._queue_state(rows)

    def _queue_state(self, rows: Sequence[StateRows]) -> None:
        with self._queueing:
            for row in rows:
                self._queue.state = self._queue.state.and_then(row)
            self._queue.state.cut(_QUEUE)

    def _take(self, target: _Target, asked_at: datetime, clock: float, answer: Answer | PollError) -> Polled:
        """Put the outcome of one poll into the queue."""
        begun = time.perf_counter()
        polled, raw = Polled(target.health), None
        try:
            if isinstance(answer, PollError):
                raise answer
            sample = _sample(target.processor, answer.document, asked_at, clock)
            row = _table(_row(target.endpoint.name, sample), METRICS)
            polled, raw = Polled(self._health(target.health, asked_at, answer, sample), sample), answer.body
        except PollError as error:
            row, answered = None, None if isinstance(answer, PollError) else answer
            polled = Polled(self._health(target.health, asked_at, answered, None, _printable(str(error))))
        target.health = polled.health
        note = self._watch(target, polled, answer)
        if note:
            target.health = replace(target.health, note=f"{target.health.note}; {note}".removeprefix("; "))
            polled = replace(polled, health=target.health)
        self._enqueue(target, row, None if raw is None else Raw(asked_at, raw))
        return replace(polled, process_ms=round((time.perf_counter() - begun) * 1000, 2))

    def _watch(self, target: _Target, polled: Polled, answer: Answer | PollError) -> str:
        """Queue what the poll says of the state of HDFS; why it says nothing, '' if it does."""
        watch = target.watch
        if watch is None:
            return "the store is busy: the state of HDFS is not judged"
        try:
            rows = _state_rows(watch, polled, answer)
        except PollError as error:
            return _printable(str(error))
        self._queue_state([rows])
        return ""

    def _health(
        self, before: Health, asked_at: datetime, answer: Answer | None, sample: Sample | None, error: str = ""
    ) -> Health:
        """The health after a poll: its answer, if one came, and the sample in it or else the error."""
        return replace(
            before,
            polled_at=asked_at,
            sampled_at=before.sampled_at if sample is None else asked_at,
            role=before.role if sample is None else sample.role,
            port=before.port if sample is None else sample.port,
            fetch_ms=None if answer is None else round(answer.seconds * 1000, 1),
            bytes=None if answer is None else len(answer.body),
            polls=before.polls + 1,
            failures=before.failures + 1 if sample is None else 0,
            error=error,
            note=before.note if sample is None else sample.note,
        )

    def _enqueue(self, target: _Target, sample: pa.Table | None, raw: Raw | None) -> None:
        row = None
        if raw is not None and self._settings.namenode_raw_days > 0:
            packed, target.base = pack(target.endpoint.name, raw, target.base)
            row = _table(packed, RAW)
        with self._queueing:
            queue = self._queue
            queue.health[target.endpoint.name] = _table(vars(target.health), HEALTH)
            if sample is not None:
                queue.metrics.append(sample)
            if row is not None:
                queue.raw.append(row)
            self.lost += max(0, len(queue.metrics) - _QUEUE)
            del queue.metrics[:-_QUEUE], queue.raw[:-_QUEUE]

    def flush(self) -> float:
        """Store what is queued, in one transaction. Returns the milliseconds that it took.

        Raises: SetupError if the store cannot be written; the queue then waits for the next time.
        """
        with self._storing:
            begun = time.perf_counter()
            with self._queueing:
                rows, self._queue = self._queue, _Rows()
            if not rows.health:
                return 0.0
            try:
                self._write(rows)
            except BaseException:
                with self._queueing:
                    self._queue = rows.and_then(self._queue)
                raise
            return round((time.perf_counter() - begun) * 1000, 1)

    def _write(self, rows: _Rows) -> None:
        metrics, raw, health = rows.tables()
        forget = self._forgot is None or time.monotonic() - self._forgot > _FORGET_EVERY_S
        with self._store.write() as con:
            publish_into(con, "namenode_metrics", metrics)
            publish_into(con, "namenode_raw", raw)
            same = "namenode IN (SELECT namenode FROM publish_source)"
            publish_into(con, "namenode_collectors", health, replace=same)
            rows.state.publish(con)
            if forget:
                forget_state(con, datetime.now(UTC) - timedelta(days=self._settings.namenode_state_days))
                forget_raw(con, datetime.now(UTC) - timedelta(days=self._settings.namenode_raw_days))
        if forget:
            self._forgot = time.monotonic()

    def release(self) -> None:
        """Let others poll these NameNodes until the next poll here."""
        for target in self._targets.values():
            target.lock.release(force=True)

    def close(self) -> None:
        """Store what is queued, and let others poll."""
        try:
            self.flush()
        finally:
            for target in self._targets.values():
                target.datanodes.close()
                self._runner.run(target.endpoint.close())
            self._runner.close()
            self.release()


def keep_polling(
    collector: Collector, every_s: float, stop: threading.Event, tell: Callable[[list[Polled], str], None]
) -> None:
    """Poll every `every_s` seconds until `stop` is set. `tell` gets the polls of each round and trouble with the store.

    Another thread writes the store: a store that is busy for long delays rows, but no poll.
    """
    with ThreadPoolExecutor(1, "store") as writer:
        writing: Future[float] | None = None
        due = time.monotonic()
        while not stop.is_set():
            polled = collector.poll()
            trouble = "the store is busy: rows wait" + f", {collector.lost} polls are lost" * bool(collector.lost)
            if writing is None or writing.done():
                trouble = "" if writing is None else _trouble(writing)
                writing = writer.submit(collector.flush)
            tell(polled, trouble)
            due += every_s
            late = time.monotonic() - due
            due += max(0, math.ceil(late / every_s)) * every_s  # rounds that are missed are left out, not caught up
            stop.wait(due - time.monotonic())


def _trouble(writing: "Future[float]") -> str:
    error = writing.exception()
    if error is not None and not isinstance(error, PipelineError):
        raise error
    return "" if error is None else str(error)


async def _all(targets: Sequence[_Target]) -> list[tuple[datetime, float, Answer | PollError]]:
    async def fetch(target: _Target) -> tuple[datetime, float, Answer | PollError]:
        asked_at, clock = datetime.now(UTC), time.monotonic()
        try:
            return asked_at, clock, await target.endpoint.fetch()
        except PollError as error:
            return asked_at, clock, error

    return await asyncio.gather(*(fetch(target) for target in targets))


def _elsewhere(target: _Target) -> Polled:
    """The answer for a NameNode that another process polls; that process writes its health row."""
    error = "another process polls this NameNode into this home"
    return Polled(Health(target.endpoint.name, datetime.now(UTC), error=error, collector=""))


def _sample(processor: Processor, document: Document, at: datetime, clock: float) -> Sample:
    """The sample of a document. Raises: PollError if there is none in it, whatever is in it instead."""
    try:
        sample = processor.add(document, at, clock)
    except Exception as error:  # one NameNode's answer must not end the polls of the others
        raise PollError(f"its document cannot be used ({type(error).__name__}: {error})") from error
    if sample is None:
        raise PollError("the document holds no bean of a NameNode: is this a NameNode's address?")
    return sample


def _state_rows(watch: StateWatch, polled: Polled, answer: Answer | PollError) -> StateRows:
    """What a poll says of the state of HDFS. Raises: PollError if its document cannot be used for that."""
    health = polled.health
    try:
        if polled.sample is None or isinstance(answer, PollError):
            return watch.unanswered(health.polled_at, health.failures, health.error)
        return watch.add(answer.document, polled.sample.role, health.polled_at)
    except Exception as error:  # one NameNode's answer must not end the polls of the others
        raise PollError(f"the state of HDFS cannot be read ({type(error).__name__}: {error})") from error


def _table(row: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """A row as a table. Raises: PollError if it does not fit."""
    try:
        return pa.Table.from_pylist([row], schema)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise PollError(f"what it says cannot be stored ({error})") from error


def _printable(text: str) -> str:
    """A message in which somebody else's words can do no harm to a terminal or a table."""
    return "".join(each if each.isprintable() else "?" for each in text[:_LONGEST])


def _row(namenode: str, sample: Sample) -> dict[str, Any]:
    return {
        "namenode": namenode,
        "polled_at": sample.at,
        "role": sample.role,
        "port": sample.port,
        "restarted": sample.restarted,
        "gap": sample.gap,
        "moved": sample.moved,
        "metrics": list(sample.values.items()),
        "top_users": json.dumps(sample.top_users, separators=(",", ":")),
        "note": sample.note,
    }
