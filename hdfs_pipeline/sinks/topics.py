"""Kafka topics into the store, each message once: rows, offsets and gaps change in one transaction.

The topic's own sink (`TopicSink`) says what becomes of the messages. They are read and decoded outside the store's
lock.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import pyarrow as pa
from filelock import FileLock, Timeout

from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sinks.letters import Letters
from hdfs_pipeline.sources.kafka import fewer_collections, is_embedded
from hdfs_pipeline.sources.ranges import (
    Admin,
    Batch,
    Plan,
    Range,
    RangeReader,
    Watermarks,
    all_watermarks,
    plan,
    watermarks,
)
from hdfs_pipeline.sources.undecodable import Gap
from hdfs_pipeline.store.offsets import OffsetConflict, advance_offsets, begin_epoch, find_epoch, offsets
from hdfs_pipeline.store.store import Connection, Store, publish_into

GONE: Final = "gone before they could be read: Kafka's retention passed them"
_TURN_S: Final = 600.0  # seconds to wait for another run of the same topic, or for a parse


class Life(NamedTuple):
    """A life of a topic: its number in this home, from 1, and its id where it was made."""

    epoch: int
    topic_id: str


class Staging(Protocol):
    """What a run has read of one topic, staged outside the store's lock.

    `copies` are messages that repeat others, `unkeyed` those whose key should name their item and does not. `notes` are
    for people.
    """

    messages: int
    copies: int
    unkeyed: int
    letters: Letters

    @property
    def notes(self) -> Sequence[str]:
        """What people should know of the messages."""

    def stage(self, batches: Iterator[Batch]) -> None:
        """Read all batches, one after the other. Raises: what reading them raises; SetupError."""

    def withdraw(self, con: Connection, ranges: Mapping[int, Range]) -> None:
        """Delete what the store has of these ranges, to be published anew."""

    def publish(self, con: Connection, *, again: bool) -> int:
        """Put the staged rows and the dead letters into the store; return how many rows are new or have changed."""


class TopicSink(Protocol):
    """How the messages of a topic become rows of `table`."""

    @property
    def table(self) -> str:
        """The table that holds them."""

    def open(self, store: Store, settings: Settings, topic: str, life: Life, folder: Path) -> Staging:
        """Begin to stage a run in `folder`."""


@dataclass
class Sunk:
    """What one run did: which offsets of which life of a topic, and what became of the messages.

    `rows` are stored or changed; `copies` and `unkeyed` are the staging's. `gaps` were gone before they could be read,
    `undecodable` are there and cannot be. `left` is how many offsets wait still. `notes` are for people.
    """

    topic: str
    cluster_id: str = ""
    topic_id: str = ""
    epoch: int = 0
    ranges: dict[int, Range] = field(default_factory=dict)
    messages: int = 0
    rows: int = 0
    dead_letters: int = 0
    copies: int = 0
    unkeyed: int = 0
    gaps: dict[int, list[Range]] = field(default_factory=dict)
    undecodable: list[Gap] = field(default_factory=list)
    left: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Offsets that were gone before they could be read, or cannot be decoded."""
        return sum(end - start for gaps in self.gaps.values() for start, end in gaps) + sum(map(len, self.undecodable))


@dataclass(frozen=True)
class _Task:
    """What a run is to do: `stored` is where the store stood when it was planned."""

    marks: Watermarks
    epoch: int
    stored: dict[int, int]
    ranges: dict[int, Range]
    gaps: dict[int, list[Range]]
    again: bool

    @property
    def ids(self) -> dict[str, str]:
        """Which life of the topic."""
        return {"cluster_id": self.marks.cluster_id, "topic_id": self.marks.topic_id}


@dataclass(frozen=True)
class Waiting:
    """What waits in Kafka for the store: a plan for each topic that has something, up to `sink_max_records` messages.

    `refused` are topics that cannot be read, with the reason.
    """

    plans: dict[str, tuple[Watermarks, Plan]]
    refused: dict[str, DataError]

    @property
    def records(self) -> int:
        """How many messages wait at most, those beyond the plans included."""
        spans = (span for _, planned in self.plans.values() for span in planned.ranges.values())
        return sum(end - start for start, end in spans) + sum(planned.left for _, planned in self.plans.values())


def what_waits(
    store: Store, settings: Settings, topics: Sequence[str], timeout_s: float = 10.0, *, admin: Admin | None = None
) -> Waiting:
    """What waits in those of `topics` that Kafka has; one question to Kafka and one to the store.

    Raises: SetupError where no broker answers or the store cannot be read.
    """
    marks = [*all_watermarks(settings, topics, timeout_s, admin=admin).values()]
    waiting = Waiting({}, {})
    for found, stored in zip(marks, _stored(store, marks), strict=True):
        try:
            planned = _plan(settings, found, stored)
        except DataError as error:
            waiting.refused[found.topic] = error
            continue
        if planned.ranges:
            waiting.plans[found.topic] = found, planned
    return waiting


def next_ranges(
    store: Store, settings: Settings, topic: str, timeout_s: float = 10.0, *, admin: Admin | None = None
) -> tuple[Watermarks, Plan]:
    """What waits in a topic for the store, up to the setting `sink_max_records`.

    Raises: SetupError where no broker answers or the store cannot be read; DataError where Kafka has lost messages.
    """
    marks = watermarks(settings, topic, timeout_s, admin=admin)
    return marks, _plan(settings, marks, _stored(store, [marks])[0])


def _stored(store: Store, marks: Sequence[Watermarks]) -> list[dict[int, int]]:
    """Where the store stands in the present life of each topic."""
    if not store.path.exists():
        return [{} for _ in marks]
    with store.read() as con:
        return [offsets(con, life.topic, cluster_id=life.cluster_id, topic_id=life.topic_id) for life in marks]


def _plan(settings: Settings, marks: Watermarks, stored: Mapping[int, int]) -> Plan:
    # The embedded broker belongs to this home: what it has dropped was meant for this store. Others may be older.
    return plan(marks, stored, settings.sink_max_records, from_zero=is_embedded(settings))


def ingest_range(
    store: Store,
    settings: Settings,
    topic: str,
    sink: TopicSink,
    ranges: Mapping[int, Range] | None = None,
    *,
    cluster_id: str = "",
    topic_id: str = "",
    again: bool = False,
    stall_s: float = 30.0,
    turn_s: float = _TURN_S,
    admin: Admin | None = None,
) -> Sunk:
    """Read `ranges` of a topic into the store, as its sink says: offsets [from, to) by partition.

    Without ranges: from where the store stands to the end, up to the setting `sink_max_records`. Ranges that were read
    already are left alone, and `notes` says so; with `again` they are read once more in place of what they gave before.
    `cluster_id` and `topic_id` say which life of the topic is meant ("": the present one).

    Raises: DataError for ranges that leave out messages, overlap half with what was read, or belong to another life of
    the topic; OffsetConflict where another run was quicker by half; SetupError where the broker does not answer or
    stalls for `stall_s`, where the store cannot be written, or where another run of the topic lasts longer than
    `turn_s`, seconds. `admin` asks Kafka about the topic; by default one of its own.
    """
    admin = Admin() if admin is None else admin
    started = time.monotonic()
    with _turn(settings, topic, turn_s) as folder:
        task = _task(store, settings, admin, topic, ranges, (cluster_id, topic_id), again)
        done = Sunk(topic, task.marks.cluster_id, task.marks.topic_id, task.epoch, task.ranges)
        if not any(start < end for start, end in task.ranges.values()) and not task.gaps:
            done.notes.append(_nothing(bool(ranges), again))
            return done
        _ingest(store, settings, admin, task, sink, folder, done, stall_s)
    done.seconds = time.monotonic() - started
    return done


def _nothing(asked: bool, again: bool) -> str:
    if again:
        return "these messages are gone from Kafka: what the store has of them is left as it is"
    return "these ranges are in the store already: nothing to do" if asked else "nothing new"


@contextmanager
def _turn(settings: Settings, topic: str, turn_s: float) -> Iterator[Path]:
    """A folder to stage in; no other run of this topic is under way meanwhile."""
    prefix = f".staging.{topic}."
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with turn_lock(settings, topic, turn_s):
            for leftover in settings.home.glob(f"{prefix}*"):  # left by a run that was killed: this one has the lock
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=settings.home, prefix=prefix) as folder:
                yield Path(folder)
    except Timeout:
        raise SetupError(
            f"another run has been reading {topic} into {settings.home} for {turn_s:g} s: wait, or end it"
        ) from None
    except PermissionError as error:
        raise SetupError(f"{error.filename}: no permission to write; choose another home with --home") from None


def turn_lock(settings: Settings, topic: str, timeout_s: float) -> FileLock:
    """The lock that a run of `topic` holds; it is released when the process ends."""
    return FileLock(settings.home / f"{topic}.sink.lock", timeout=timeout_s)


def _task(
    store: Store,
    settings: Settings,
    admin: Admin,
    topic: str,
    ranges: Mapping[int, Range] | None,
    ids: tuple[str, str],
    again: bool,
) -> _Task:
    """What a run has to do. Raises: DataError for ranges that cannot be read."""
    marks, planned = next_ranges(store, settings, topic, admin=admin)
    for expected, actual in zip(ids, (marks.cluster_id, marks.topic_id), strict=True):
        if expected and expected != actual:
            raise DataError(
                f"the ranges belong to another life of {topic} ({expected}), which is gone; the present one is cluster "
                f"{marks.cluster_id}, topic id {marks.topic_id}: leave the ranges out to read on where the store stands"
            )
    with store.write() as con:  # makes the store where there is none
        epoch, _ = find_epoch(con, topic, cluster_id=marks.cluster_id, topic_id=marks.topic_id)
        stored = offsets(con, topic, cluster_id=marks.cluster_id, topic_id=marks.topic_id)
    if not ranges:
        if again:
            raise DataError("reading again needs the ranges that are to be read again")
        gaps = {part: [gap] for part, gap in planned.gaps.items()}
        return _Task(marks, epoch, stored, planned.ranges, gaps, again)
    _check(marks, ranges)
    wanted = {part: bounds for part, bounds in ranges.items() if bounds[0] < bounds[1]}
    if again:
        late = {part: (start, end) for part, (start, end) in wanted.items() if end > stored.get(part, 0)}
        for part, (_, end) in late.items():
            raise DataError(
                f"{topic}/{part} was read to offset {stored.get(part, 0)}: it cannot be read again to {end}"
            )
        there = {part: (max(start, marks.low[part]), end) for part, (start, end) in wanted.items()}
        return _Task(marks, epoch, stored, {p: b for p, b in there.items() if b[0] < b[1]}, {}, again)
    if all(end <= stored.get(part, 0) for part, (_, end) in wanted.items()):
        return _Task(marks, epoch, stored, {}, {}, again)
    return _Task(marks, epoch, stored, *_fitted(marks, stored, wanted, is_embedded(settings)), again)


def _check(marks: Watermarks, ranges: Mapping[int, Range]) -> None:
    for part, (start, end) in ranges.items():
        if part not in marks.high:
            raise DataError(f"{marks.topic} has no partition {part}; it has {len(marks.high)}, from 0")
        if not 0 <= start <= end <= marks.high[part]:
            raise DataError(f"{marks.topic}/{part}: range [{start}, {end}); its messages are [0, {marks.high[part]})")


def _fitted(
    marks: Watermarks, stored: Mapping[int, int], wanted: Mapping[int, Range], from_zero: bool
) -> tuple[dict[int, Range], dict[int, list[Range]]]:
    """Ranges that carry on where the store stands, and the gaps before them.

    Raises: OffsetConflict where the store stands within a range; DataError where messages would be left out.
    """
    ranges, gaps = {}, {}
    for part, (start, end) in wanted.items():
        low, position = marks.low[part], stored.get(part)
        if position is not None and start < position:
            raise OffsetConflict(
                f"{marks.topic}/{part} was read to offset {position}, which is beyond the beginning of "
                f"[{start}, {end}): leave the ranges out to read from there, or give `again` and ranges that were read"
            )
        begin = position if position is not None else 0 if from_zero else low
        if start > max(begin, low):
            raise DataError(
                f"{marks.topic}/{part}: [{start}, {end}) would leave out the messages from {max(begin, low)} on; leave "
                "the ranges out to read from where the store stands"
            )
        ranges[part] = (min(max(start, low), end), end)
        if begin < ranges[part][0]:
            gaps[part] = [(begin, ranges[part][0])]
    return ranges, gaps


def _ingest(
    store: Store,
    settings: Settings,
    admin: Admin,
    task: _Task,
    sink: TopicSink,
    folder: Path,
    done: Sunk,
    stall_s: float,
) -> None:
    topic = task.marks.topic
    reader = RangeReader(settings, topic, task.ranges, stall_s)
    stage = sink.open(store, settings, topic, Life(task.epoch, task.marks.topic_id), folder)
    with fewer_collections():
        stage.stage(reader.batches())
    if task.again and reader.gaps:
        raise DataError(f"{topic}: messages went from Kafka while they were read again: nothing is changed; try later")
    now = watermarks(settings, topic, admin=admin)
    if (now.cluster_id, now.topic_id) != tuple(task.ids.values()):
        raise DataError(f"topic {topic} was made anew while it was read: nothing is stored; run this again")
    if not task.again:  # what cannot be decoded was noted the first time
        done.gaps, done.undecodable = _joined(task.gaps, reader.gaps), reader.undecodable
    with ExitStack() as stack:
        if task.again:  # a parse that is under way would bring back what it saw of the old rows
            stack.enter_context(FileLock(settings.home / "parse.lock", timeout=_TURN_S))
        done.rows = _publish(store, task, stage, done)
    done.messages, done.copies, done.unkeyed = stage.messages, stage.copies, stage.unkeyed
    done.dead_letters = stage.letters.count
    ends = task.stored | {part: end for part, (_, end) in task.ranges.items()} if not task.again else task.stored
    done.left = sum(max(high - max(ends.get(part, 0), now.low[part]), 0) for part, high in now.high.items())
    done.notes += stage.notes
    if done.missing:
        done.notes.append(f"{done.missing:,} messages were gone or cannot be decoded: see stream_gaps")


def _joined(before: Mapping[int, list[Range]], while_reading: Mapping[int, list[Range]]) -> dict[int, list[Range]]:
    """All gaps by partition; those that follow each other as one."""
    merged: dict[int, list[Range]] = {}
    for part in sorted({*before, *while_reading}):
        for start, end in sorted([*before.get(part, []), *while_reading.get(part, [])]):
            gaps = merged.setdefault(part, [])
            if gaps and gaps[-1][1] == start:
                gaps[-1] = (gaps[-1][0], end)
            else:
                gaps.append((start, end))
    return merged


def _publish(store: Store, task: _Task, stage: Staging, done: Sunk) -> int:
    """Store rows, gaps and offsets in one transaction; return how many rows.

    Raises: OffsetConflict where another run was quicker.
    """
    topic = task.marks.topic
    gaps = [Gap(topic, part, *span, GONE) for part, spans in done.gaps.items() for span in spans] + done.undecodable
    common = {"topic": topic, "epoch": task.epoch, "seen_at": datetime.now(UTC)}
    missing = [
        common | {"part": gap.partition, "from_offset": gap.start, "to_offset": gap.end, "reason": gap.reason}
        for gap in gaps
    ]
    with store.write() as con:
        # First of all: another run that was quicker ends this one before it writes a row.
        begin_epoch(con, topic, task.epoch, **task.ids)
        if task.again:
            stage.withdraw(con, task.ranges)
        else:
            moves = {part: (task.stored.get(part), end) for part, (_, end) in task.ranges.items()}
            advance_offsets(con, topic, moves, **task.ids)
        rows = stage.publish(con, again=task.again)
        if missing:
            publish_into(con, "stream_gaps", pa.Table.from_pylist(missing))
    return rows
