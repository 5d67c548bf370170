"""The stage of a worker whose items are single records: each message is read, judged and told at once."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hdfs_pipeline.domains.contract import Batch, Domain, Figures, Outbox
from hdfs_pipeline.domains.course import Course
from hdfs_pipeline.domains.line_sink import services_of, stream_keys
from hdfs_pipeline.domains.lines import Lines
from hdfs_pipeline.domains.panel import Panel
from hdfs_pipeline.domains.sender import Sender
from hdfs_pipeline.domains.voice import Place
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.halves import by_halves
from hdfs_pipeline.sources.wire import Verdict

PART: Final = "part"
"""The column of a record's partition, beside its `position`, which is the offset."""


class RecordStage(ABC):
    """A topic of records → verdicts on each of them.

    A subclass says what a record's neighbours tell of it (`in_context`), what detectors see (`matrices`), and where it
    happened (`entities`). What it remembers of a partition must come back when the messages from `floors` on are read
    again: verdicts have keys made of their place, so that repetition does no harm.
    """

    topic: ClassVar[str]

    def __init__(
        self, settings: Settings, domain: Domain, lines: Lines, panel: Panel, *, outbox: Outbox, figures: Figures
    ) -> None:
        self.group = domain.group(settings, self.topic)
        self._settings, self._domain, self._lines, self._panel = settings, domain, lines, panel
        self._sender = Sender(outbox, figures)
        self._life = ""

    @abstractmethod
    def in_context(self, records: pa.Table) -> pa.Table:
        """Records with the columns that their neighbours in the same partition give; in the order of offsets."""

    @abstractmethod
    def matrices(self, records: pa.Table) -> dict[str, FeatureMatrix]:
        """What detectors see of records, the main family first."""

    @abstractmethod
    def entities(self, records: pa.Table) -> Sequence[str]:
        """What each record happened at, '' where nobody knows."""

    @abstractmethod
    def publish(self, records: pa.Table) -> None:
        """Send what else is made of records."""

    def begin(self, places: dict[int, str | None], life: str) -> None:
        """See `Stage.begin`: nothing is read back."""
        self._life = life

    def handle(self, batch: Batch, course: Course) -> None:
        """See `Stage.handle`."""
        pieces, bad = by_halves(partial(self._read, batch), 0, len(batch.messages))
        bad += [fault for _, faults in pieces for fault in faults]
        self._sender.dead_letters(batch.messages, bad)
        if not pieces:
            return
        records = self.in_context(pa.concat_tables([rows for rows, _ in pieces]))
        course.counted = time.time()
        self.publish(records)
        course.closed = time.time()
        if len(records):
            self._sender.verdicts(self._verdicts(records, course), course)

    def _read(self, batch: Batch, start: int, end: int) -> tuple[pa.Table, list[tuple[int, str]]]:
        """The good records of messages, with key, partition and offset; of the others the index, and why."""
        messages = batch.messages[start:end]
        parts, offsets = batch.partition[start:end].astype(np.int64), batch.offset[start:end]
        values = [message.value() or b"" for message in messages]
        found = self._lines.judged(self._lines.messages(values, services_of(messages, self._lines.default_service)))
        keys = stream_keys(self.topic, self._life, parts, offsets)
        own = {self._lines.key: pa.array(keys), PART: pa.array(parts), "position": pa.array(offsets)}
        columns = {name: found[name] for name in found.schema.names} | own
        faults = [(start + index, why) for index, why in enumerate(found["fault"].to_pylist()) if why is not None]
        rows = pa.table(columns).drop_columns(["fault"])
        return rows.filter(pc.is_null(found["fault"])) if faults else rows, faults

    def _verdicts(self, records: pa.Table, course: Course) -> list[Verdict]:
        matrices = self.matrices(records)
        source = next(iter(matrices.values())).source
        said = self._panel.weigh(matrices, self._domain.knowledge(self._settings, source))
        rows = sorted(set[int]().union(*(told for _, _, told in said)))
        places = dict(zip(rows, self._places(records.take(rows)), strict=True)) if rows else {}
        course.scored = time.time()
        return [
            voice.verdict(places[row], "final", float(scores[row]), why)
            for voice, scores, told in said
            for row, why in told.items()
        ]

    def _places(self, records: pa.Table) -> Iterable[Place]:
        columns: Sequence[Any] = [records[name].to_pylist() for name in (self._lines.key, PART, "position", "time")]
        for key, part, offset, at, entity in zip(*columns, self.entities(records), strict=True):
            item = self._domain.item.show(key)
            yield Place(item, self.topic, part, offset, offset, 1, at, at, entity)

    def tick(self, caught_up: np.ndarray) -> bool:
        """See `Stage.tick`: take up a new champion."""
        self._panel.refresh()
        self._sender.figures.refused(self._panel.refused)
        return False

    @abstractmethod
    def floors(self, positions: np.ndarray) -> np.ndarray:
        """See `Stage.floors`: what is remembered of a partition comes back from there on."""

    def note(self, partition: int, floor: int) -> str:
        """See `Stage.note`: a successor needs none."""
        return ""

    @abstractmethod
    def forget(self, partitions: list[int]) -> None:
        """See `Stage.forget`."""
