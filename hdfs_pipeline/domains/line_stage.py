"""The stage of a worker whose items are single records: each message is read, judged and told at once."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hdfs_pipeline.domains.contract import Batch, Domain, Figures, Outbox
from hdfs_pipeline.domains.course import Course
from hdfs_pipeline.domains.line_sink import records_of, stream_keys
from hdfs_pipeline.domains.lines import Lines, plain_text
from hdfs_pipeline.domains.panel import Panel
from hdfs_pipeline.domains.sender import Sender
from hdfs_pipeline.domains.voice import Place, Told
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.halves import by_halves
from hdfs_pipeline.sources.kafka import is_embedded
from hdfs_pipeline.sources.wire import Verdict

_AGAIN: Final = 100_000  # messages that a start reads again at most beyond those that it must
_AGAIN_EMBEDDED: Final = 8_000  # where the embedded broker holds no more, and its senders wait for what is committed
PART: Final = "part"
"""The column of a record's partition, beside its `position`, which is the offset."""


class RecordStage(ABC):
    """A topic of records → verdicts on each of them.

    A subclass says what a record's neighbours tell of it (`in_context`), what detectors see (`matrices`), and where it
    happened (`entities`). What it remembers of a partition comes back when the messages from `floors` on are read
    again. The note beside an offset says up to where messages were judged: of these a successor tells nothing, since
    it knows less of what came before them. Later ones may be told of twice, under keys made of their place.
    """

    topic: str

    def __init__(
        self, settings: Settings, domain: Domain, lines: Lines, panel: Panel, *, outbox: Outbox, figures: Figures
    ) -> None:
        self.group = domain.group(settings, self.topic)
        self._settings, self._domain, self._lines, self._panel = settings, domain, lines, panel
        self._sender = Sender(outbox, figures)
        self._again = _AGAIN_EMBEDDED if is_embedded(settings) else _AGAIN
        self._life = ""
        self._judged: dict[int, int] = {}  # by partition: offset up to which a predecessor has told all
        self._notes: dict[int, dict[int, int]] = {}  # by partition and floor: up to where all was told then

    @abstractmethod
    def in_context(self, records: pa.Table) -> pa.Table:
        """Records with the columns that their neighbours in the same partition give; in the order of offsets."""

    @abstractmethod
    def matrices(self, records: pa.Table) -> dict[str, FeatureMatrix]:
        """What detectors see of records, the main family first."""

    @abstractmethod
    def entities(self, records: pa.Table, telling: Sequence[Sequence[str]]) -> list[str]:
        """What each anomalous record happened at, by the columns that are `telling` of it; '' where nobody knows."""

    @abstractmethod
    def publish(self, records: pa.Table) -> None:
        """Send what else is made of records."""

    def begin(self, places: dict[int, str | None], life: str) -> None:
        """See `Stage.begin`: nothing is read back."""
        self._life = life
        self._judged |= {part: int(note) for part, note in places.items() if note and note.isdecimal()}

    def handle(self, batch: Batch, course: Course) -> None:
        """See `Stage.handle`."""
        pieces, bad = by_halves(partial(self._read, batch), 0, len(batch.messages))
        bad += [fault for _, faults in pieces for fault in faults]
        ahead = self._ahead(batch.partition, batch.offset)
        self._sender.dead_letters(self.topic, batch.messages, [fault for fault in bad if ahead[fault[0]]])
        if not pieces:
            return
        records = self.in_context(pa.concat_tables([rows for rows, _ in pieces]))
        course.counted = time.time()
        self.publish(records)
        course.closed = time.time()
        ahead = self._ahead(records[PART].to_numpy(), records["position"].to_numpy())
        if not ahead.all():
            records = records.filter(pa.array(ahead))
        if len(records):
            self._sender.verdicts(self._verdicts(records, course), course)

    def _ahead(self, parts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Which messages (n,) bool no predecessor has told of."""
        ahead = np.ones(len(parts), bool)
        for part, end in self._judged.items():
            ahead &= (parts != part) | (offsets >= end)
        return ahead

    def _read(self, batch: Batch, start: int, end: int) -> tuple[pa.Table, list[tuple[int, str]]]:
        """The good records of messages, with key, partition and offset; of the others the index, and why."""
        messages = batch.messages[start:end]
        parts, offsets = batch.partition[start:end].astype(np.int64), batch.offset[start:end]
        found = records_of(self._lines, messages)
        keys = stream_keys(self.topic, self._life, parts, offsets)
        own = {self._lines.key: pa.array(keys), PART: pa.array(parts), "position": pa.array(offsets)}
        texts = {name: plain_text(found[name]) for name in found.schema.names}
        columns = texts | own
        faults = [(start + index, why) for index, why in enumerate(found["fault"].to_pylist()) if why is not None]
        rows = pa.table(columns).drop_columns(["fault"])
        return rows.filter(pc.is_null(found["fault"])) if faults else rows, faults

    def _verdicts(self, records: pa.Table, course: Course) -> list[Verdict]:
        matrices = self.matrices(records)
        source = next(iter(matrices.values())).source
        said = self._panel.weigh(matrices, self._domain.knowledge(self._settings, source))
        course.scored = time.time()
        return [
            voice.verdict(place, "final", float(scores[row]), told[row])
            for voice, scores, told in said
            if told
            for row, place in zip(told, self._places(records.take([*told]), told), strict=True)
        ]

    def _places(self, records: pa.Table, told: Mapping[int, Told]) -> Iterable[Place]:
        entities = self.entities(records, [why.telling for why, _ in told.values()])
        columns: Sequence[Any] = [records[name].to_pylist() for name in (self._lines.key, PART, "position", "time")]
        for key, part, offset, at, entity in zip(*columns, entities, strict=True):
            item = self._domain.item.show(key)
            yield Place(item, self.topic, part, offset, offset, 1, at, at, entity)

    def tick(self, caught_up: np.ndarray) -> bool:
        """See `Stage.tick`: take up a new champion."""
        self._panel.refresh()
        self._sender.figures.refused(self._panel.refused)
        return False

    @abstractmethod
    def needed(self) -> tuple[dict[int, int], dict[int, int]]:
        """By partition the first offset that must be read again, and that from which on nothing at all is missing."""

    def floors(self, positions: np.ndarray) -> np.ndarray:
        """See `Stage.floors`: what is remembered of a partition comes back from there on.

        Messages that complete it are read again as long as they are few.
        """
        must, whole = self.needed()
        floors = positions.copy()
        for part, offset in whole.items():
            least = positions[part] - self._again // len(whole)
            floors[part] = min(must.get(part, positions[part]), max(offset, least), positions[part])
            told = max(int(positions[part]), self._judged.get(part, 0))
            self._notes.setdefault(part, {}).setdefault(int(floors[part]), told)
        return floors

    def note(self, partition: int, floor: int) -> str:
        """See `Stage.note`: up to where all was told when the offset was the floor; '' where that is all before it."""
        known = self._notes.get(partition, {})
        told = known.get(floor, 0)
        self._notes[partition] = {each: to for each, to in known.items() if each >= floor}
        return str(told) if told > floor else ""

    def forget(self, partitions: list[int]) -> None:
        """See `Stage.forget`."""
        for part in partitions:
            self._judged.pop(part, None)
            self._notes.pop(part, None)
