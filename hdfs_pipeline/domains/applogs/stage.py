"""The stage of a worker that reads messages of services: verdicts on each."""

import logging
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.applogs.bursts import HORIZON, Bursts
from hdfs_pipeline.domains.applogs.features import matrices
from hdfs_pipeline.domains.applogs.lines import AppLines
from hdfs_pipeline.domains.applogs.templates import catalogue_of
from hdfs_pipeline.domains.applogs.topics import APP_LOGS
from hdfs_pipeline.domains.contract import Domain, Figures, Outbox
from hdfs_pipeline.domains.line_stage import PART, RecordStage
from hdfs_pipeline.domains.panel import Panel
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.settings import Settings

_log = logging.getLogger(__name__)
_MINUTE_US: Final = 60_000_000
_MINUTES: Final = 2  # the latest ones, whose messages a successor must read again to count their minute


class MessageStage(RecordStage):
    """`app_logs` → `anomalies`."""

    topic = APP_LOGS

    def __init__(self, settings: Settings, domain: Domain, panel: Panel, *, outbox: Outbox, figures: Figures) -> None:
        self._catalogue = catalogue_of(settings)
        super().__init__(settings, domain, AppLines(settings), panel, outbox=outbox, figures=figures)
        self._bursts = Bursts()
        self._first: dict[int, dict[int, int]] = {}  # by partition: first offset of each of the latest minutes

    def in_context(self, records: pa.Table) -> pa.Table:
        """See `RecordStage.in_context`: how many messages and errors its service had in its minute."""
        parts, times = records[PART].to_numpy(), records["time"].cast(pa.int64()).to_numpy()
        services, levels = records["service"].to_pylist(), records["level"].to_pylist()
        messages, errors = self._bursts.count(parts.tolist(), services, times, levels)
        self._note_minutes(parts, times // _MINUTE_US, records["position"].to_numpy())
        return records.append_column("messages", pa.array(messages)).append_column("errors", pa.array(errors))

    def _note_minutes(self, parts: np.ndarray, minutes: np.ndarray, offsets: np.ndarray) -> None:
        pairs, first = np.unique(np.column_stack([parts, minutes]), axis=0, return_index=True)
        for (part, minute), at in zip(pairs.tolist(), first.tolist(), strict=True):
            known = self._first.setdefault(part, {})
            known.setdefault(minute, int(offsets[at]))
            latest = max(known)
            self._first[part] = {each: offset for each, offset in known.items() if each >= latest - HORIZON}

    def matrices(self, records: pa.Table) -> dict[str, FeatureMatrix]:
        """See `RecordStage.matrices`."""
        return matrices(records, self._settings)

    def entities(self, records: pa.Table, telling: Sequence[Sequence[str]]) -> list[str]:
        """See `RecordStage.entities`: the service."""
        services: list[str] = records["service"].to_pylist()
        return services

    def publish(self, records: pa.Table) -> None:
        """See `RecordStage.publish`: nothing else is made of messages."""

    def tick(self, caught_up: np.ndarray) -> bool:
        """See `Stage.tick`: templates that were learned meanwhile are taken up."""
        catalogue = catalogue_of(self._settings)
        if catalogue is not self._catalogue:
            self._catalogue, self._lines = catalogue, AppLines(self._settings)
        return super().tick(caught_up)

    def needed(self) -> tuple[dict[int, int], dict[int, int]]:
        """See `RecordStage.needed`: where the latest minutes begin, and where all begin that are remembered."""
        latest = {part: max(known) for part, known in self._first.items()}
        must = {
            part: min(offset for minute, offset in known.items() if minute > latest[part] - _MINUTES)
            for part, known in self._first.items()
        }
        return must, {part: min(known.values()) for part, known in self._first.items()}

    def forget(self, partitions: list[int]) -> None:
        """See `Stage.forget`."""
        super().forget(partitions)
        self._bursts.forget(partitions)
        for part in partitions:
            self._first.pop(part, None)


def make_stage(
    settings: Settings,
    domain: Domain,
    *,
    detector: str | None,
    threshold: float | None,
    outbox: Outbox,
    figures: Figures,
) -> MessageStage:
    """The stage that judges messages. Raises: NotTrainedError, SetupError, DataError as `Panel`."""
    panel = Panel(settings, domain, detector, threshold)
    _log.info("serving: %s, threshold %g", panel.label, panel.threshold)
    return MessageStage(settings, domain, panel, outbox=outbox, figures=figures)
