"""Verdicts on blocks that are not the home's: of raw lines, or of counts, judged as a stream worker judges them."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.champion import Champion
from hdfs_pipeline.domains.blocks.first_look import best_of
from hdfs_pipeline.domains.blocks.item import BLOCK
from hdfs_pipeline.domains.blocks.kept_catalogue import kept_label
from hdfs_pipeline.domains.blocks.kernel import EventMatcher, event_matrix
from hdfs_pipeline.domains.blocks.messages import read_messages
from hdfs_pipeline.domains.blocks.pools import Pool
from hdfs_pipeline.domains.blocks.records import LogFormat
from hdfs_pipeline.domains.contract import Domain, Judgement, Opinion
from hdfs_pipeline.errors import DataError, UsageError, unknown
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.features import distinct_rows
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.halves import by_halves
from hdfs_pipeline.store.columns import listed

ALARMS: Final = "alarms"
"""The column beside events: how many of a block's records an engineer's search for trouble would find."""
_RENEW_S: Final = 1.0  # as often as a worker looks for another champion


class BlockJudge:
    """A `contract.Judge`. Where neither a model nor a setting names a catalogue, `home` is that of the home's logs."""

    def __init__(self, settings: Settings, domain: Domain, home: Catalogue | None) -> None:
        self._settings, self._home = settings, home
        self._champion = Champion(settings, domain)
        self._format = LogFormat.of(settings, Pool.of(settings))
        self._known = catalogues(settings.catalogues)
        self._matchers: dict[str, EventMatcher] = {}  # by the fingerprint of their catalogue
        self._renewed = time.monotonic()
        self._lock = threading.Lock()

    def lines(self, lines: Sequence[bytes]) -> Judgement:
        """See `Judge.lines`."""
        with self._lock:
            self._renew()
            pieces, bad = by_halves(lambda start, end: (start, self._read(lines[start:end])), 0, len(lines))
            pieces = pieces or [(0, self._read([]))]
            unread = dict(bad) | {start + index: why for start, (_, faults) in pieces for index, why in faults}
            batches = [batch for _, (batch, _) in pieces]
            catalogue = self._own() or best_of(batches, self._known)
            counted = pa.concat_tables([self._counted(batch, catalogue) for batch in batches])
            matrix = event_matrix(counted, catalogue)
            keys = matrix["block_id"].to_numpy()
            values = listed(matrix["counts"])[0].reshape(len(keys), len(catalogue.columns))
            items = [BLOCK.show(key) for key in keys.tolist()]
            return self._judged(items, values, matrix["alarms"].to_numpy(), catalogue, dict(sorted(unread.items())))

    def _read(self, lines: Sequence[bytes]) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
        found, bad, _ = read_messages(lines, self._settings.max_record_bytes, self._format)
        return found.batch, bad

    def _counted(self, batch: pa.RecordBatch, catalogue: Catalogue) -> pa.Table:
        """A row for each record and block that it names."""
        ids = batch["block_ids"]
        record = np.repeat(np.arange(len(batch)), np.diff(ids.offsets.to_numpy()))
        event = self._matcher(catalogue).match(batch) if len(batch) else np.zeros(0, np.int64)
        alarm = batch["alarm"].to_numpy(zero_copy_only=False).astype(np.int64)
        time = batch["time"].cast(pa.int64()).to_numpy()
        counts = {"block_id": ids.flatten(), "event": event[record], "n": np.ones(len(record), np.int64)}
        return pa.table(counts | {"alarms": alarm[record], "first_time": time[record], "last_time": time[record]})

    def counts(self, items: Sequence[str], columns: Sequence[str], counts: np.ndarray, source: str = "") -> Judgement:
        """See `Judge.counts`: an event that `columns` do not name did not happen."""
        with self._lock:
            self._renew()
            catalogue = self._named(source) if source else self._own()
            if catalogue is None:
                raise UsageError(f"name the catalogue of the events, one of {', '.join(self._known)}")
            at = {name: index for index, name in enumerate(catalogue.columns)}
            for name in columns:
                if name not in at and name != ALARMS:
                    raise UsageError(unknown(f"event of {catalogue.label}", name, [*at, ALARMS]))
            if len(set(columns)) < len(columns):
                raise UsageError("a column is named twice")
            distinct = distinct_rows(counts)  # HDFS repeats itself, and many blocks cost no more than their kinds
            kinds = counts[distinct.first]
            if kinds.size and not (kinds.min() >= 0 and kinds.max() < 2**31):
                raise DataError("counts are whole numbers from 0 to 2,147,483,647")
            values, alarms = np.zeros((len(kinds), len(at)), np.int32), np.zeros(len(kinds), np.int32)
            events = [index for index, name in enumerate(columns) if name != ALARMS]
            values[:, [at[columns[index]] for index in events]] = kinds[:, events]
            if ALARMS in columns:
                alarms[:] = kinds[:, columns.index(ALARMS)]
            found = self._judged(items, values, alarms, catalogue, {})
            return replace(found, opinions=[_repeated(said, distinct.inverse) for said in found.opinions])

    def _judged(
        self,
        items: Sequence[str],
        values: np.ndarray,
        alarms: np.ndarray,
        catalogue: Catalogue,
        unread: dict[int, str],
    ) -> Judgement:
        said = self._champion.weigh_counts(np.arange(len(values)), values, alarms, catalogue) if len(values) else ()
        opinions = [
            Opinion(
                voice.detector,
                voice.scorer.card.version,
                voice.threshold,
                scores,
                {row: explanation for row, (explanation, _) in told.items()},
            )
            for voice, scores, told in said
        ]
        return Judgement(items, catalogue.label, opinions, unread)

    def _renew(self) -> None:
        """Take up a new champion and new catalogues, once a second at most."""
        if time.monotonic() - self._renewed > _RENEW_S:
            self._champion.refresh()
            self._known = catalogues(self._settings.catalogues)
            self._renewed = time.monotonic()

    def _own(self) -> Catalogue | None:
        """The catalogue of the model, of the settings, or of the home."""
        if self._champion.catalogue is not None:
            return self._champion.catalogue
        label = self._settings.catalogue
        if label != "auto":
            return self._named(label)
        return self._home or self._known.get(kept_label(self._settings))

    def _named(self, label: str) -> Catalogue:
        if label not in self._known:
            raise UsageError(unknown("catalogue", label, self._known))
        return self._known[label]

    def _matcher(self, catalogue: Catalogue) -> EventMatcher:
        if catalogue.fingerprint not in self._matchers:
            made = EventMatcher(catalogue)
            self._matchers = {catalogue.fingerprint: made}  # one is enough: the next champion brings its own
        return self._matchers[catalogue.fingerprint]


def _repeated(said: Opinion, rows: np.ndarray) -> Opinion:
    """An opinion on distinct items as one on all, of which each is at one of `rows` (n,)."""
    flagged = np.zeros(len(said.scores), bool)
    flagged[list(said.told)] = True
    told = {row: said.told[kind] for row in np.flatnonzero(flagged[rows]).tolist() for kind in (int(rows[row]),)}
    return replace(said, scores=said.scores[rows], told=told)
