"""The stages of a worker: from log lines to vectors and verdicts, or from ready vectors to verdicts."""

import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.blocks import wire
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.champion import PROVISIONAL, Champion, Counted
from hdfs_pipeline.domains.blocks.first_look import FirstLook
from hdfs_pipeline.domains.blocks.group import Grouping
from hdfs_pipeline.domains.blocks.item import BLOCK
from hdfs_pipeline.domains.blocks.kept_catalogue import keep_first, kept_label
from hdfs_pipeline.domains.blocks.matrix import DOMAIN
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS, HDFS_LOGS, RAW_LOGS, worker_group
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.contract import Batch, Domain, Figures, Outbox, Stage
from hdfs_pipeline.domains.course import Course
from hdfs_pipeline.domains.read_back import read_back
from hdfs_pipeline.domains.sender import Sender
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.halves import by_halves
from hdfs_pipeline.sources.kafka import ANOMALIES
from hdfs_pipeline.sources.ranges import watermarks
from hdfs_pipeline.sources.wire import decode_verdict

_log = logging.getLogger(__name__)
_REMEMBERED: Final = 2000  # vectors and verdicts per partition that a start reads back for late records
_SCAN_COST: Final = 20  # the search for blocks to close may take one part in so many of the time
_SCAN_S: Final = 0.5  # the longest pause between two searches for blocks to close


def remember_verdicts(settings: Settings, champion: Champion, partitions: Sequence[int]) -> None:
    """Let the champion remember earlier verdicts, so that it can withdraw them."""
    for message in read_back(settings, watermarks(settings, ANOMALIES), dict.fromkeys(partitions, -1), _REMEMBERED):
        try:
            champion.remember(decode_verdict(message.value(), message.key(), {DOMAIN: BLOCK.shown}))
        except DataError:
            continue


class RawStage:
    """`raw_logs` → `aggregated_events`, and where it `judges` → `anomalies`.

    Where nothing names a catalogue yet, the first records show it; they are counted once it is known.
    """

    topic = RAW_LOGS

    def __init__(
        self, settings: Settings, champion: Champion | None, sender: Sender, partitions: int, *, judges: bool
    ) -> None:
        self.group = worker_group(settings, RAW_LOGS)
        self._settings, self._champion, self._sender, self._judges = settings, champion, sender, judges
        catalogue = counting_catalogue(settings, champion)
        self._look = None if catalogue else FirstLook(settings)
        self._held = False  # whether messages wait to be read again, once the catalogue is known
        self._next: Catalogue | None = None  # to count by, from the next `begin` on
        # Before the first record that carries a block any catalogue will do.
        self._grouping = Grouping(settings, catalogue or next(iter(catalogues().values())), partitions)
        self._scan_after = 0.0
        self._stamps: dict[int, float] = {}  # when the latest records of each partition were produced
        self._odd_clocks: dict[str, float] = {}

    def begin(self, places: dict[int, str | None], life: str) -> None:
        """Read back what was published from these partitions after their commits, and judge it again."""
        if self._next is not None:
            self._grouping = Grouping(self._settings, self._next, len(self._grouping.blocks.watermark))
            self._look, self._held, self._next = None, False, None
        notes = {part: int(note) if note and note.isdecimal() else -1 for part, note in places.items()}
        end = watermarks(self._settings, self.topic).high
        published = watermarks(self._settings, AGGREGATED_EVENTS)
        self._grouping.life = life
        for part in places:
            self._grouping.begin(part, published.high[part])
        if self._champion and self._judges:
            remember_verdicts(self._settings, self._champion, list(places))
        vectors: list[Vector] = []
        counts: list[np.ndarray] = []
        for message in read_back(self._settings, published, notes, _REMEMBERED):
            part, offset = message.partition(), message.offset()
            try:
                vector = wire.decode_vector(message.value())
            except DataError:
                continue
            # A topic that was deleted and made anew leaves vectors whose offsets mean nothing now. Those of older
            # releases do not name the life: they show it only where they lie beyond the end.
            if vector.partition != part or vector.life not in ("", life) or vector.last_offset >= end[part]:
                continue
            restored = self._grouping.restore(vector, offset)
            if restored is not None and notes[part] <= offset:
                vectors.append(vector)
                counts.append(restored)
        if self._judges and vectors:
            _log.info("%d blocks were published after the last commit: judged again", len(vectors))
            self._judge(Counted(vectors, np.array(counts)), None)

    def handle(self, batch: Batch, course: Course) -> None:
        """Count, close what the data closes, publish, judge."""
        if self._look is not None:
            self._held = self._look.take(batch)
            if self._held:
                return
        self._stamps |= {partition: stamp for partition, stamp in course.stamps.items() if stamp > 0}
        before = self._grouping.unkeyed
        crowded, bad = self._grouping.add(batch, time.monotonic())
        self._sender.dead_letters(self.topic, batch.messages, bad)
        if self._grouping.unkeyed > before:
            self._sender.figures.unkeyed(self._grouping.unkeyed - before)
        course.counted = time.time()
        for counted in crowded:
            self._publish(counted, course)
        started = time.monotonic()
        if started >= self._scan_after:
            closed = self._grouping.close()
            self._scan_after = started + min(_SCAN_COST * (time.monotonic() - started), _SCAN_S)
            self._publish(closed, course)
        if self._settings.stream_min_events and self._judges:
            self._judge(self._grouping.early(), course, PROVISIONAL)

    def tick(self, caught_up: np.ndarray) -> bool:
        """Close what the clock closes, and take up a new champion. Returns True where other columns must be counted."""
        self._publish(self._grouping.close(), None)
        self._publish(self._grouping.close_quiet(time.monotonic(), caught_up), None)
        blocks = self._grouping.blocks
        self._sender.figures.held(blocks.open_count(), len(blocks))
        self._tell_clocks()
        if self._champion is not None:
            self._champion.refresh()
            self._sender.figures.refused(self._champion.refused)
        if self._look is not None and (best := self._look.best()):
            keep_first(self._settings, best)
        self._next = self._other_catalogue()
        if self._next is None:
            return False
        _log.info("events are counted by the catalogue %s from now on: open blocks are read again", self._next.label)
        return True  # counts of open blocks stay until `begin`: they say how far the worker may commit

    def _other_catalogue(self) -> Catalogue | None:
        """The catalogue to count by; None where there is none yet, or where it is that of now."""
        now, own = self._grouping.catalogue, self._champion and self._champion.catalogue
        if not own and self._look is None and counting_label(self._settings, self._champion) == now.label:
            return None  # reading all catalogues once a second would be a waste
        catalogue = counting_catalogue(self._settings, self._champion)
        if catalogue is None or (self._look is None and catalogue.fingerprint == now.fingerprint):
            return None
        return catalogue

    def _tell_clocks(self) -> None:
        """Say of each host, once, that its clock cannot be right."""
        found = self._grouping.odd_clocks(self._stamps)
        for host, lead in found.items():
            if host not in self._odd_clocks:
                _log.warning(
                    "the clock of %s is %.0f s ahead: of the other hosts, or of the time at which its records were "
                    "sent. Blocks do not close by it; set it right (NTP), or see the setting stream_clock_skew_s",
                    host or "a host whose name the records lack", lead,
                )  # fmt: skip
        self._odd_clocks = found
        self._sender.figures.odd_clocks(found)

    def _publish(self, counted: Counted, course: Course | None) -> None:
        if not counted.vectors:
            return
        self._judge(counted, course)  # first, since somebody waits for verdicts
        for vector in counted.vectors:
            key, value = wire.block_key(vector.block_id), wire.encode(vector)
            on_sent = partial(self._grouping.heard, vector)
            self._sender.outbox.send(AGGREGATED_EVENTS, key, value, vector.partition, on_sent)
        self._sender.figures.closed([vector.closed_by for vector in counted.vectors])

    def _judge(self, counted: Counted, course: Course | None, status: str = "final") -> None:
        if self._champion and self._judges and counted.vectors:
            began = time.time()
            verdicts = self._champion.judge(counted, self._grouping.catalogue, AGGREGATED_EVENTS, status)
            if course:
                course.closed, course.scored = began, time.time()
            self._sender.verdicts(verdicts, course)

    def floors(self, positions: np.ndarray) -> np.ndarray:
        """The first offsets that no published vector counts; none (-1) while messages wait to be read again."""
        if self._held:
            return np.full(len(positions), -1, np.int64)
        return self._grouping.blocks.floors(positions)

    def note(self, partition: int, floor: int) -> str:
        """The offset of `aggregated_events` from which a successor reads back."""
        return str(self._grouping.memory(partition, floor))

    def forget(self, partitions: list[int]) -> None:
        """Drop the blocks of partitions that are another worker's now."""
        self._grouping.forget(partitions)
        for partition in partitions:
            self._stamps.pop(partition, None)


class VectorStage:
    """`aggregated_events` or `hdfs_logs` → `anomalies`."""

    def __init__(self, settings: Settings, topic: str, champion: Champion, sender: Sender) -> None:
        self.topic = topic
        self.group = worker_group(settings, topic)
        self._settings, self._champion, self._sender = settings, champion, sender

    def begin(self, places: dict[int, str | None], life: str) -> None:
        """Read back what was called anomalous."""
        remember_verdicts(self._settings, self._champion, list(places))

    def handle(self, batch: Batch, course: Course) -> None:
        """Judge vectors."""
        own = self._champion.catalogue
        known = {own.label: own} if own else catalogues(self._settings.catalogues)
        places = {label: {name: at for at, name in enumerate(each.columns)} for label, each in known.items()}
        bad: list[tuple[int, str]] = []
        latest: dict[str, dict[tuple[int, int, int], tuple[Vector, np.ndarray]]] = {}
        for index, message in enumerate(batch.messages):
            read, broken = by_halves(lambda *_, m=message: self._counted(m, places), index, index + 1)
            bad += broken
            for vector, row in read:
                place = vector.block_id, vector.partition, vector.first_offset
                latest.setdefault(vector.catalogue, {})[place] = vector, row
        self._sender.dead_letters(self.topic, batch.messages, bad)
        course.counted = course.closed = time.time()
        for label, found in latest.items():
            vectors, rows = zip(*found.values(), strict=True)
            verdicts = self._champion.judge(Counted(list(vectors), np.array(rows)), known[label], self.topic)
            course.scored = time.time()
            self._sender.verdicts(verdicts, course)

    def _counted(self, message: Any, places: dict[str, dict[str, int]]) -> tuple[Vector, np.ndarray]:
        vector = self._vector(message)
        return vector, _row(vector, places)

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
        self._sender.figures.refused(self._champion.refused)
        return False

    def floors(self, positions: np.ndarray) -> np.ndarray:
        """The positions themselves, since all that was read was judged."""
        return positions.copy()

    def note(self, partition: int, floor: int) -> str:
        """Nothing: a successor needs no note."""
        return ""

    def forget(self, partitions: list[int]) -> None:
        """Nothing is kept."""


def _row(vector: Vector, places: dict[str, dict[str, int]]) -> np.ndarray:
    """The counts of a vector in the columns of its catalogue, whose places `places` gives by label and name."""
    if vector.catalogue not in places:
        raise DataError(f"counted by the catalogue {vector.catalogue}; who judges knows {', '.join(places)}")
    columns = places[vector.catalogue]
    if unknown := vector.counts.keys() - columns.keys():
        raise DataError(f"{sorted(unknown)[0]} is no event of {vector.catalogue}")
    row = np.zeros(len(columns), np.int32)
    row[[columns[name] for name in vector.counts]] = list(vector.counts.values())
    return row


def counting_label(settings: Settings, champion: Champion | None) -> str:
    """The label of the catalogue to count by: the model's, else that of the settings, else the home's.

    '' where none of them names one.
    """
    if champion is not None and champion.catalogue is not None:
        return champion.catalogue.label
    return kept_label(settings) if settings.catalogue == "auto" else settings.catalogue


def counting_catalogue(settings: Settings, champion: Champion | None) -> Catalogue | None:
    """The catalogue of `counting_label`, None where nothing names one. Raises: SetupError for one that is not there."""
    if champion is not None and champion.catalogue is not None:
        return champion.catalogue
    label, known = counting_label(settings, champion), catalogues(settings.catalogues)
    if label and label not in known:
        raise SetupError(
            f"no catalogue {label} to count events by; name one with HDFS_PIPELINE_CATALOGUE: {', '.join(known)}"
        )
    return known.get(label)


def make_stage(
    settings: Settings,
    domain: Domain,
    begin: str,
    end: str,
    *,
    detector: str | None,
    threshold: float | None,
    outbox: Outbox,
    figures: Figures,
) -> Stage:
    """The stage from topic `begin` to topic `end`. Raises: NotTrainedError, SetupError, DataError as `Champion`."""
    sender, champion = Sender(outbox, figures), None
    if end == ANOMALIES or settings.catalogue == "auto":  # whoever only counts needs a model only for its catalogue
        champion = Champion(settings, domain, detector, threshold)
        beside = f"; beside it: {', '.join(champion.beside)}" if champion.beside else ""
        _log.info("serving: %s, threshold %g%s", champion.label, champion.threshold, beside)
    if begin == RAW_LOGS:
        return RawStage(settings, champion, sender, settings.kafka_partitions, judges=end == ANOMALIES)
    assert champion is not None, "all other ways end in verdicts"
    return VectorStage(settings, begin, champion, sender)
