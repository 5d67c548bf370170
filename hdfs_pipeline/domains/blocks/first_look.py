"""A look at the first records of a stream, which shows by which catalogue its events are to be counted."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.messages import read_messages
from hdfs_pipeline.domains.blocks.parse import ENOUGH, best_catalogue
from hdfs_pipeline.domains.blocks.pools import Pool
from hdfs_pipeline.domains.blocks.records import LogFormat
from hdfs_pipeline.domains.contract import Batch
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.halves import by_halves

_PATIENCE_S: Final = 3.0  # from the first of them on
_SEEN: Final = ["layout", "message", "block_ids"]


class FirstLook:
    """Takes records, without counting any, until they show which catalogue matches most of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._format = LogFormat.of(settings, Pool.of(settings))
        self._found: list[pa.RecordBatch] = []
        self._records = 0  # that carry a block
        self._since = 0.0

    def take(self, batch: Batch) -> bool:
        """Look at messages; whether these or earlier ones hold a record that carries a block."""
        if self._records < ENOUGH:
            by_halves(lambda start, end: self._look(batch.messages[start:end]), 0, len(batch.messages))
        return self._records > 0

    def _look(self, messages: list[Any]) -> None:
        values = [message.value() for message in messages]
        found, _, _ = read_messages(values, self._settings.max_record_bytes, self._format)
        carrying = np.count_nonzero(np.diff(found.batch["block_ids"].offsets.to_numpy()))
        if not carrying:
            return
        if not self._records:
            self._since = time.monotonic()
        self._found.append(found.batch.select(_SEEN))
        self._records += int(carrying)

    def best(self) -> str:
        """The label of the catalogue that matches most of what was seen; '' while that is too little."""
        if not self._records or (self._records < ENOUGH and time.monotonic() - self._since < _PATIENCE_S):
            return ""
        return best_of(self._found, catalogues(self._settings.catalogues)).label


def best_of(batches: Sequence[pa.RecordBatch], known: Mapping[str, Catalogue]) -> Catalogue:
    """Of the `known` catalogues the one that matches most of some records (one batch at least)."""
    return best_catalogue(pa.Table.from_batches([batch.select(_SEEN) for batch in batches]), known)
