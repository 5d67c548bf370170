"""The stage of a worker that reads access lines: verdicts on requests, and the windows of their services."""

import logging
import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.contract import Domain, Figures, Outbox
from hdfs_pipeline.domains.line_stage import PART, RecordStage
from hdfs_pipeline.domains.lines import plain_text
from hdfs_pipeline.domains.panel import Panel
from hdfs_pipeline.domains.read_back import read_back
from hdfs_pipeline.domains.weblogs.batch import COUNTS, with_clients
from hdfs_pipeline.domains.weblogs.clients import NEEDED, Clients
from hdfs_pipeline.domains.weblogs.explain import entity_of
from hdfs_pipeline.domains.weblogs.features import matrices
from hdfs_pipeline.domains.weblogs.lines import AccessLines
from hdfs_pipeline.domains.weblogs.topics import REQUEST_WINDOWS, WEB_LOGS
from hdfs_pipeline.domains.weblogs.window_wire import decode_windows, encode_windows
from hdfs_pipeline.domains.weblogs.windows import Windows, named
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.ranges import watermarks

_log = logging.getLogger(__name__)
_REHEARSED: Final = b'127.0.0.1 - - [01/Jan/1970:00:01:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"'
_LIVE_S: Final = 600.0  # how old the latest request may be while requests come as they are written
_READ_BACK: Final = 4000  # messages of windows per partition that a start reads back: one for a service and minute


class RequestStage(RecordStage):
    """`web_logs` → `anomalies`, and the windows that close → `request_windows`."""

    topic = WEB_LOGS

    def __init__(self, settings: Settings, domain: Domain, panel: Panel, *, outbox: Outbox, figures: Figures) -> None:
        super().__init__(settings, domain, AccessLines(settings), panel, outbox=outbox, figures=figures)
        self._clients: dict[int, Clients] = {}
        self._windows = Windows(settings.web_lateness_s)
        self._partition: dict[str, int] = {}  # where the latest requests of each service came from
        self._latest_us = 0  # time of the latest request
        self._quiet_since = time.monotonic()
        self._rehearse()

    def _rehearse(self) -> None:
        """Compile what works on requests before partitions are taken over: a group waits five minutes for a member."""
        read = self._lines.messages([_REHEARSED], [self._lines.default_service])
        columns = {name: plain_text(read[name]) for name in read.schema.names}
        requests = pa.table(columns | {self._lines.key: read["position"]})
        requests = with_clients(requests, Clients().count(requests))
        windows = Windows(0.0)
        windows.add(requests)
        windows.advance(2 * int(requests["time"].cast(pa.int64())[0].as_py()))
        windows.closed()
        self.matrices(requests)

    def begin(self, places: dict[int, str | None], life: str) -> None:
        """See `Stage.begin`: windows that were published are taken up, with the baselines of their services."""
        super().begin(places, life)
        tables = []
        marks = watermarks(self._settings, REQUEST_WINDOWS)
        for message in read_back(self._settings, marks, dict.fromkeys(places, -1), _READ_BACK):
            try:
                windows, of_life = decode_windows(message.value())
            except DataError:
                continue
            if of_life == life:
                tables.append(windows)
                self._partition[windows["service"][0].as_py()] = message.partition()
        if tables:
            self._windows.restore(pa.concat_tables(tables))

    def in_context(self, records: pa.Table) -> pa.Table:
        """See `RecordStage.in_context`: what each client did in its minute."""
        parts = records[PART].to_numpy()
        counts = np.zeros((len(records), len(COUNTS)), np.int32)
        needed = records.select(NEEDED)
        for part in np.unique(parts).tolist():
            rows = np.flatnonzero(parts == part)
            own = needed if len(rows) == len(records) else needed.take(rows)
            counts[rows] = self._clients.setdefault(part, Clients()).count(own)
        return with_clients(records, counts)

    def matrices(self, records: pa.Table) -> dict[str, FeatureMatrix]:
        """See `RecordStage.matrices`."""
        return matrices(records, self._settings)

    def entities(self, records: pa.Table, telling: Sequence[Sequence[str]]) -> list[str]:
        """See `RecordStage.entities`: the client's network, or the endpoint where the server is at fault."""
        columns = (records[name].to_pylist() for name in ("client", "service", "endpoint"))
        return [entity_of(*row) for row in zip(*columns, telling, strict=True)]

    def publish(self, records: pa.Table) -> None:
        """See `RecordStage.publish`: the windows that these requests close."""
        if not len(records):
            return
        parts, offsets = records[PART].to_numpy(), records["position"].to_numpy()
        self._windows.add(records, parts, offsets)
        self._quiet_since = time.monotonic()
        self._latest_us = max(self._latest_us, int(np.max(records["time"].cast(pa.int64()).to_numpy())))
        self._note_partitions(records["service"], parts)
        if self._windows.over():  # what is late is told once a second
            self._send()

    def _note_partitions(self, services: pa.ChunkedArray, parts: np.ndarray) -> None:
        encoded = services.combine_chunks().cast(pa.string()).fill_null("").dictionary_encode()
        names, width = encoded.dictionary.to_pylist(), int(parts.max()) + 1
        for pair in np.unique(encoded.indices.to_numpy().astype(np.int64) * width + parts).tolist():
            self._partition[named(names[pair // width])] = pair % width

    def _send(self) -> None:
        closed = self._windows.closed()
        if not len(closed):
            return
        for key, value in encode_windows(closed, self._life):
            partition = self._partition.get(key.decode(), 0)
            self._sender.outbox.send(REQUEST_WINDOWS, key, value, partition)

    def tick(self, caught_up: np.ndarray) -> bool:
        """See `Stage.tick`: minutes in which nothing comes close by the clock.

        While requests come as they are written their time is the present. Of older ones, once no more come, the last
        minutes close.
        """
        if self._latest_us and self._clients and caught_up[sorted(self._clients)].all():
            now = time.time()
            silent_s = time.monotonic() - self._quiet_since
            if now - self._latest_us / 1e6 < _LIVE_S + silent_s:
                self._windows.advance(int(now * 1e6))
            elif silent_s > self._settings.web_lateness_s:
                self._windows.advance(self._latest_us + round((self._settings.web_lateness_s + 60) * 1e6))
            self._send()
        return super().tick(caught_up)

    def needed(self) -> tuple[dict[int, int], dict[int, int]]:
        """See `RecordStage.needed`: the first requests of minutes that are open, and of those that can still change."""
        return self._windows.floors(), self._windows.floors(kept=True)

    def forget(self, partitions: list[int]) -> None:
        """See `Stage.forget`."""
        super().forget(partitions)
        for part in partitions:
            self._clients.pop(part, None)
        gone = [service for service, part in self._partition.items() if part in partitions]
        for service in gone:
            del self._partition[service]
        self._windows.leave(partitions, gone)


def make_stage(
    settings: Settings,
    domain: Domain,
    *,
    detector: str | None,
    threshold: float | None,
    outbox: Outbox,
    figures: Figures,
) -> RequestStage:
    """The stage that judges requests. Raises: NotTrainedError, SetupError, DataError as `Panel`."""
    panel = Panel(settings, domain, detector, threshold)
    _log.info("serving: %s, threshold %g", panel.label, panel.threshold)
    return RequestStage(settings, domain, panel, outbox=outbox, figures=figures)
