"""Records matched with the templates of a catalogue, and counted for their blocks, batch by batch."""

from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.scoring.catalogue import Catalogue

EVENT: Final = pa.field("event_id", pa.dictionary(pa.int32(), pa.string()))
MOST: Final = 5_000_000
"""Records that are matched together at most, so that memory and locks stay bounded."""


class Matched:
    """What the records that were taken so far count for their blocks; `records` says how many they are."""

    def __init__(self, catalogue: Catalogue) -> None:
        from hdfs_pipeline.domains.blocks.block_counts import BlockCounts  # compiled code, which readers do without
        from hdfs_pipeline.scoring.matching import matcher_of

        self.catalogue, self.records = catalogue, 0
        self._matcher, self._counted = matcher_of(catalogue), BlockCounts(len(catalogue.columns))
        self._names = pa.array(catalogue.columns, pa.string())

    def take(self, batch: pa.RecordBatch, good: np.ndarray | None = None) -> pa.DictionaryArray:
        """The event ids of all records of a batch (field `EVENT`), of which the `good` ones (n,) count, else all.

        The batch has the columns message, block_ids, alarm and time of `records.RECORDS`.
        """
        events = self._matcher.strings(batch["message"])
        ids, alarms = batch["block_ids"], batch["alarm"].cast(pa.int8()).to_numpy()
        good = np.ones(len(events), bool) if good is None else good
        times = batch["time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).fill_null(0).to_numpy()
        self._counted.add(ids.offsets.to_numpy(), ids.values.to_numpy(), good, events, alarms, times)
        self.records += int(good.sum())
        return pa.DictionaryArray.from_arrays(pa.array(events.astype(np.int32)), self._names)

    def counts(self) -> pa.Table:
        """The counts as a table of schema `EVENT_MATRIX`."""
        return self._counted.table()
