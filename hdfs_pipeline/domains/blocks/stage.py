"""The stages of a worker: from log lines to vectors and verdicts, or from ready vectors to verdicts."""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.blocks import wire
from hdfs_pipeline.domains.blocks.catalogue import Catalogue, catalogues
from hdfs_pipeline.domains.blocks.champion import PROVISIONAL, Champion, Counted
from hdfs_pipeline.domains.blocks.group import Batch, Grouping
from hdfs_pipeline.domains.blocks.wire import DeadLetter, Vector, Verdict
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.kafka import AGGREGATED_EVENTS, ANOMALIES, DEAD_LETTERS, HDFS_LOGS, RAW_LOGS
from hdfs_pipeline.sources.ranges import RangeReader, Watermarks, watermarks
from hdfs_pipeline.streaming.metrics import Metrics
from hdfs_pipeline.streaming.outbox import Outbox

_log = logging.getLogger(__name__)
_REMEMBERED: Final = 2000  # vectors and verdicts per partition that a start reads back for late records
_SCAN_COST: Final = 20  # looking for blocks to close may take one part in so many of the time …
_SCAN_S: Final = 0.5  # … but happens this often


class Sender:
    """What every stage sends: verdicts and dead letters, counted."""

    def __init__(self, outbox: Outbox, metrics: Metrics) -> None:
        self.outbox, self.metrics = outbox, metrics

    def verdicts(self, verdicts: Sequence[Verdict], stamps: dict[int, float]) -> None:
        """Send verdicts; `stamps` say by partition when the record was produced that brought them about."""
        for verdict in verdicts:
            stamp = stamps.get(verdict.partition)
            heard = None if stamp is None else partial(self._acknowledged, stamp)
            key, value = wire.block_key(verdict.block_id), wire.encode(verdict)
            self.outbox.send(ANOMALIES, key, value, verdict.partition, heard)
            self.metrics.verdict(verdict.status)

    def _acknowledged(self, stamp: float, _offset: int) -> None:
        self.metrics.acknowledged(max(time.time() - stamp, 0.0))

    def dead_letters(self, messages: Sequence[Any], bad: Sequence[tuple[int, str]]) -> None:
        """Send what could not be used: indices of messages, and why."""
        now = datetime.now(UTC)
        for index, reason in bad:
            message = messages[index]
            place = message.topic(), message.partition(), message.offset()
            letter = DeadLetter(*place, reason, wire.excerpt(message.value()), now)
            self.outbox.send(DEAD_LETTERS, letter.key, wire.encode(letter), message.partition())
        if bad:
            self.metrics.dead(len(bad))
            _log.warning("%d messages to dead_letters, such as %s/%d/%d: %s", len(bad), *place, bad[-1][1])


def read_back(settings: Settings, marks: Watermarks, starts: dict[int, int]) -> Iterator[Any]:
    """The messages of some partitions of a topic up to `marks`: from `starts`, and so many before as are remembered."""
    ranges = {}
    for part, start in starts.items():
        high = marks.high[part]
        first = high - _REMEMBERED if start < 0 else min(start, high - _REMEMBERED)
        ranges[part] = (max(first, marks.low[part]), high)
    for batch in RangeReader(settings, marks.topic, ranges).batches():
        yield from batch.messages


def remember_verdicts(settings: Settings, champion: Champion, partitions: Sequence[int]) -> None:
    """Let the champion know what was called anomalous before, so that it can be withdrawn."""
    for message in read_back(settings, watermarks(settings, ANOMALIES), dict.fromkeys(partitions, -1)):
        try:
            champion.remember(wire.decode_verdict(message.value()))
        except DataError:
            continue


class RawStage:
    """`raw_logs` → `aggregated_events`, and with a champion that scores → `anomalies`."""

    topic = RAW_LOGS

    def __init__(
        self, settings: Settings, champion: Champion | None, catalogue: Catalogue, sender: Sender, partitions: int
    ) -> None:
        self.group = settings.stream_group
        self._settings, self._champion, self._sender = settings, champion, sender
        self._partitions = partitions
        self._grouping = Grouping(settings, catalogue, partitions)
        self._scan_after = 0.0

    def begin(self, places: dict[int, str | None]) -> None:
        """Read back what was published from these partitions after their commits, and judge it again."""
        notes = {part: int(note) if note and note.isdecimal() else -1 for part, note in places.items()}
        end = watermarks(self._settings, self.topic).high
        published = watermarks(self._settings, AGGREGATED_EVENTS)
        for part in places:
            self._grouping.begin(part, published.high[part])
        if self._champion:
            remember_verdicts(self._settings, self._champion, list(places))
        again: list[Vector] = []
        counts: list[np.ndarray] = []
        for message in read_back(self._settings, published, notes):
            part, offset = message.partition(), message.offset()
            try:
                vector = wire.decode_vector(message.value())
            except DataError:
                continue
            # Beyond the end there are only the vectors of a topic that was deleted and made anew.
            if vector.partition != part or vector.last_offset >= end[part]:
                continue
            found = self._grouping.restore(vector, offset)
            if found is not None and notes[part] <= offset:
                again.append(vector)
                counts.append(found)
        if self._champion and again:
            _log.info("%d blocks were published after the last commit: judged again", len(again))
            self._judge(Counted(again, np.array(counts)), {})

    def handle(self, batch: Batch, stamps: dict[int, float]) -> None:
        """Count, close what the data closes, publish, judge."""
        before = self._grouping.unkeyed
        crowded, bad = self._grouping.add(batch, time.monotonic())
        self._sender.dead_letters(batch.messages, bad)
        if self._grouping.unkeyed > before:
            self._sender.metrics.unkeyed(self._grouping.unkeyed - before)
        for counted in crowded:
            self._publish(counted, stamps)
        started = time.monotonic()
        if started >= self._scan_after:
            self._publish(self._grouping.close(), stamps)
            self._scan_after = started + min(_SCAN_COST * (time.monotonic() - started), _SCAN_S)
        if self._settings.stream_min_events and self._champion:
            self._judge(self._grouping.early(), stamps, PROVISIONAL)

    def tick(self, caught_up: np.ndarray) -> bool:
        """Close what the clock closes; take up a new champion. True where it counts other columns."""
        self._publish(self._grouping.close(), {})
        self._publish(self._grouping.close_quiet(time.monotonic(), caught_up), {})
        blocks = self._grouping.blocks
        self._sender.metrics.blocks(blocks.open_count(), len(blocks))
        if self._champion is None or not self._champion.refresh():
            return False
        catalogue = counting_catalogue(self._settings, self._champion)
        if catalogue.fingerprint == self._grouping.catalogue.fingerprint:
            return False
        _log.info("the new model counts by the catalogue %s: open blocks are read again", catalogue.label)
        self._grouping = Grouping(self._settings, catalogue, self._partitions)
        return True

    def _publish(self, counted: Counted, stamps: dict[int, float]) -> None:
        for vector in counted.vectors:
            key, value = wire.block_key(vector.block_id), wire.encode(vector)
            heard = partial(self._grouping.heard, vector)
            self._sender.outbox.send(AGGREGATED_EVENTS, key, value, vector.partition, heard)
        self._sender.metrics.closed([vector.closed_by for vector in counted.vectors])
        self._judge(counted, stamps)

    def _judge(self, counted: Counted, stamps: dict[int, float], status: str = "final") -> None:
        if self._champion and counted.vectors:
            verdicts = self._champion.judge(counted, self._grouping.catalogue, AGGREGATED_EVENTS, status)
            self._sender.verdicts(verdicts, stamps)

    def floors(self, positions: np.ndarray) -> np.ndarray:
        """The first offsets that no published vector counts."""
        return self._grouping.blocks.floors(positions)

    def note(self, partition: int, floor: int) -> str:
        """From where to read back."""
        return str(self._grouping.memory(partition, floor))

    def forget(self, partitions: list[int]) -> None:
        """Drop the blocks of partitions that are another worker's now."""
        self._grouping.forget(partitions)


class VectorStage:
    """`aggregated_events` or `hdfs_logs` → `anomalies`."""

    def __init__(self, settings: Settings, topic: str, champion: Champion, sender: Sender) -> None:
        self.topic = topic
        self.group = f"{settings.stream_group}.{topic}"
        self._settings, self._champion, self._sender = settings, champion, sender

    def begin(self, places: dict[int, str | None]) -> None:
        """Read back what was called anomalous."""
        remember_verdicts(self._settings, self._champion, list(places))

    def handle(self, batch: Batch, stamps: dict[int, float]) -> None:
        """Judge vectors."""
        catalogue = counting_catalogue(self._settings, self._champion)
        places = {name: at for at, name in enumerate(catalogue.columns)}
        bad: list[tuple[int, str]] = []
        latest: dict[tuple[int, int, int], tuple[Vector, np.ndarray]] = {}
        for index, message in enumerate(batch.messages):
            try:
                vector = self._vector(message)
                latest[vector.block_id, vector.partition, vector.first_offset] = vector, _row(vector, catalogue, places)
            except DataError as error:
                bad.append((index, str(error)))
        self._sender.dead_letters(batch.messages, bad)
        if latest:
            vectors, rows = zip(*latest.values(), strict=True)
            counted = Counted(list(vectors), np.array(rows))
            self._sender.verdicts(self._champion.judge(counted, catalogue, self.topic), stamps)

    def _vector(self, message: Any) -> Vector:
        vector = wire.decode_vector(message.value())
        if self.topic != HDFS_LOGS:
            if vector.partition != message.partition():
                raise DataError(f"says that it is of partition {vector.partition}: no worker's of ours")
            return vector
        offset = message.offset()
        places = {"partition": message.partition(), "first_offset": offset, "last_offset": offset}
        return Vector(**{**vars(vector), **places})

    def tick(self, caught_up: np.ndarray) -> bool:
        """Take up a new champion."""
        self._champion.refresh()
        return False

    def floors(self, positions: np.ndarray) -> np.ndarray:
        """All that was read was judged."""
        return positions.copy()

    def note(self, partition: int, floor: int) -> str:
        """Nothing to tell a successor."""
        return ""

    def forget(self, partitions: list[int]) -> None:
        """Nothing is kept."""


def _row(vector: Vector, catalogue: Catalogue, places: dict[str, int]) -> np.ndarray:
    if vector.catalogue != catalogue.label:
        raise DataError(f"counted by the catalogue {vector.catalogue}; the model that serves knows {catalogue.label}")
    if unknown := vector.counts.keys() - places.keys():
        raise DataError(f"{sorted(unknown)[0]} is no event of {catalogue.label}")
    row = np.zeros(len(places), np.int32)
    row[[places[name] for name in vector.counts]] = list(vector.counts.values())
    return row


def counting_catalogue(settings: Settings, champion: Champion | None) -> Catalogue:
    """By which catalogue to count: the model's; for one without, the one that the settings name.

    Raises: SetupError where neither tells.
    """
    if champion is not None and champion.catalogue is not None:
        return champion.catalogue
    known = catalogues(settings.catalogues)
    if settings.catalogue not in known:
        raise SetupError(
            f"by which catalogue are events counted? Name one with HDFS_PIPELINE_CATALOGUE: {', '.join(known)}"
        )
    return known[settings.catalogue]
