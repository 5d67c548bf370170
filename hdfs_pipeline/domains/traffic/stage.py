"""The stage of a worker that judges windows: `request_windows` → `anomalies`."""

import time
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.contract import Batch, Domain, Figures, Outbox
from hdfs_pipeline.domains.course import Course
from hdfs_pipeline.domains.panel import Panel
from hdfs_pipeline.domains.sender import Sender
from hdfs_pipeline.domains.traffic.features import matrices
from hdfs_pipeline.domains.traffic.item import DOMAIN, WINDOW
from hdfs_pipeline.domains.voice import Place
from hdfs_pipeline.domains.weblogs.topics import REQUEST_WINDOWS
from hdfs_pipeline.domains.weblogs.window_wire import decode_windows
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.halves import by_halves
from hdfs_pipeline.sources.kafka import ANOMALIES
from hdfs_pipeline.sources.ranges import watermarks
from hdfs_pipeline.sources.wire import Verdict, decode_verdict

_REMEMBERED: Final = 20_000  # windows that were called anomalous, and may turn out normal once late requests come
_READ_BACK: Final = 2000  # verdicts per partition that a start reads back


class TrafficStage:
    """Judges windows as they close, and again when late requests change them."""

    topic = REQUEST_WINDOWS

    def __init__(self, settings: Settings, domain: Domain, panel: Panel, sender: Sender) -> None:
        self.group = domain.group(settings, self.topic)
        self._settings, self._domain, self._panel, self._sender = settings, domain, panel, sender
        self._flagged: dict[tuple[str, str], None] = {}  # item and detector, the oldest first

    def begin(self, places: dict[int, str | None], life: str) -> None:
        """Read back what was called anomalous."""
        from hdfs_pipeline.domains.read_back import read_back

        marks = watermarks(self._settings, ANOMALIES)
        for message in read_back(self._settings, marks, dict.fromkeys(places, -1), _READ_BACK):
            try:
                verdict = decode_verdict(message.value(), message.key(), {DOMAIN: WINDOW.shown})
            except DataError:
                continue
            self._remember((verdict.item, verdict.detector), flagged=verdict.status != "withdrawn")

    def handle(self, batch: Batch, course: Course) -> None:
        """See `Stage.handle`."""
        bad: list[tuple[int, str]] = []
        tables, places = [], []
        for index, message in enumerate(batch.messages):
            read, broken = by_halves(lambda *_, m=message: decode_windows(m.value())[0], index, index + 1)
            bad += broken
            for windows in read:
                tables.append(windows)
                places += [(message.partition(), message.offset())] * len(windows)
        self._sender.dead_letters(self.topic, batch.messages, bad)
        course.counted = course.closed = time.time()
        if tables:
            verdicts = self._verdicts(*_latest(pa.concat_tables(tables), places), course)
            self._sender.verdicts(verdicts, course)

    def _verdicts(self, windows: pa.Table, places: list[tuple[int, int]], course: Course) -> list[Verdict]:
        found = matrices(windows, self._settings)
        main = next(iter(found.values()))
        said = self._panel.weigh(found, self._domain.knowledge(self._settings, main.source))
        course.scored = time.time()
        verdicts = []
        for voice, scores, told in said:
            for row, item in enumerate(main.keys.tolist()):
                key = item, voice.detector
                if row in told or key in self._flagged:
                    status = "final" if row in told else "withdrawn"
                    place = _place(windows.slice(row, 1).to_pylist()[0], item, *places[row])
                    verdicts.append(voice.verdict(place, status, float(scores[row]), told.get(row)))
                    self._remember(key, flagged=row in told)
        return verdicts

    def _remember(self, key: tuple[str, str], *, flagged: bool) -> None:
        self._flagged.pop(key, None)
        if flagged:
            self._flagged[key] = None
        if len(self._flagged) > _REMEMBERED:
            del self._flagged[next(iter(self._flagged))]

    def tick(self, caught_up: np.ndarray) -> bool:
        """Take up a new champion."""
        self._panel.refresh()
        self._sender.figures.refused(self._panel.refused)
        return False

    def floors(self, positions: np.ndarray) -> np.ndarray:
        """The positions themselves, since all that was read was judged."""
        return positions.copy()

    def note(self, partition: int, floor: int) -> str:
        """Nothing: a successor needs no note."""
        return ""

    def forget(self, partitions: list[int]) -> None:
        """Nothing is kept by partition."""


def _latest(windows: pa.Table, places: list[tuple[int, int]]) -> tuple[pa.Table, list[tuple[int, int]]]:
    """Of windows that come several times, as later requests changed them, the last."""
    named = zip(*(windows[name].to_pylist() for name in ("service", "endpoint", "minute")), strict=True)
    rows = sorted({each: row for row, each in enumerate(named)}.values())
    return windows.take(pa.array(rows)), [places[row] for row in rows]


def _place(window: dict[str, Any], item: str, partition: int, offset: int) -> Place:
    """Where and when a window was; its trouble lasts all of its minute."""
    begin = window["minute"]
    until = begin.replace(second=59, microsecond=999_999)
    return Place(
        item, REQUEST_WINDOWS, partition, offset, offset, window["requests"], begin, until, window["service"]
    )  # fmt: skip


def make_stage(
    settings: Settings,
    domain: Domain,
    *,
    detector: str | None,
    threshold: float | None,
    outbox: Outbox,
    figures: Figures,
) -> TrafficStage:
    """The stage that judges windows. Raises: NotTrainedError, SetupError, DataError as `Panel`."""
    panel = Panel(settings, domain, detector, threshold)
    return TrafficStage(settings, domain, panel, Sender(outbox, figures))
