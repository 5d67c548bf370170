"""What shippers send to `shipped_logs`, put together to records of `raw_logs`, keyed by block."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.blocks.joins import Bad, Joined, Joins
from hdfs_pipeline.domains.blocks.records import NO_DATE, Cut, LogFormat
from hdfs_pipeline.domains.blocks.scan import GOOD, IMPOSSIBLE, NONE
from hdfs_pipeline.domains.blocks.topics import RAW_LOGS, SHIPPED_LOGS
from hdfs_pipeline.domains.blocks.wire import block_key
from hdfs_pipeline.domains.blocks.wrappers import Shipped, find_line
from hdfs_pipeline.domains.contract import Outgoing
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.halves import by_halves
from hdfs_pipeline.sources.kafka import headers_of
from hdfs_pipeline.sources.wire import DeadLetter, excerpt

_PATH_HEADERS: Final = ("path", "file", "filename")


class ShippedLogs:
    """Lines of `shipped_logs` on their way to records. See `Shipping`."""

    source = SHIPPED_LOGS
    target = RAW_LOGS

    def __init__(self, settings: Settings, max_bytes: int) -> None:
        self._max_bytes = settings.max_record_bytes
        self._format = LogFormat.of(settings)
        self._kinds: set[str] = set()  # of what stood around the records that came
        self._joins = Joins(self._format, max_record_bytes=max_bytes)
        self.assigned, self.revoked = self._joins.assigned, self._joins.revoked
        self.partitions, self.position, self.skip = self._joins.partitions, self._joins.position, self._joins.skip

    def take(self, message: Any) -> list[DeadLetter]:
        """See `Shipping.take`."""
        taken, bad = by_halves(lambda *_: self._take(message), 0, 1)
        for _, reason in bad:
            place = message.partition(), message.offset()
            taken.append(self._joins.refuse(Bad(*place, reason, message.value() or b"")))
        return _letters(chain.from_iterable(taken))

    def _take(self, message: Any) -> list[Bad]:
        part, offset, value = message.partition(), message.offset(), message.value()
        if value is None:
            return self._joins.refuse(Bad(part, offset, "no value", b""))
        if len(value) > self._max_bytes:
            return self._joins.refuse(Bad(part, offset, self._too_long, value))
        try:
            shipped = find_line(value, self._format.kind_of, self._format.json_fields, self._kinds)
        except DataError as error:
            return self._joins.refuse(Bad(part, offset, str(error), value))
        if shipped.kind and self._format.kind_of(shipped.text) != NONE:
            self._kinds.add(shipped.kind)
        return self._joins.add(part, offset, _placed(shipped, message))

    @property
    def _too_long(self) -> str:
        return f"longer than {self._max_bytes} bytes"

    def whole(self) -> tuple[list[Outgoing], list[DeadLetter]]:
        """See `Shipping.whole`: a record goes once for each block that it names."""
        records = list(self._joins.whole())
        read, broken = by_halves(lambda start, end: self._read(records[start:end]), 0, len(records))
        good = dict(chain.from_iterable(named.items() for named, _ in read))
        reasons = dict(chain.from_iterable(faults.items() for _, faults in read))
        reasons |= {id(records[index]): reason for index, reason in broken}
        outgoing: list[Outgoing] = []
        bad: list[Bad] = []
        for record in records:
            if id(record) not in good:
                reason = self._too_long if record.too_long else reasons[id(record)]
                bad.append(Bad(record.partition, record.offset, reason, record.text))
                continue
            time, block_ids = good[id(record)]
            headers = [("record", f"{SHIPPED_LOGS}/{record.record_id}".encode())]
            known = (("host", record.host), ("daemon", record.daemon))
            headers += [(name, value.encode("utf-8", "replace")) for name, value in known if value]
            keys = [block_key(block_id) for block_id in block_ids] or (None,)
            outgoing.append(Outgoing(time, record.text, keys, headers))
        return outgoing, _letters(bad)

    def _read(self, records: Sequence[Joined]) -> tuple[dict[int, tuple[int, list[int]]], dict[int, str]]:
        """Time and blocks of the good records, each block once, and the faults of the others; by `id` of the record."""
        short = [record for record in records if not record.too_long]
        texts = [record.text for record in short]
        begins = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]
        text = b"\n".join(texts) + b"\n"
        cut = Cut(text, self._format.scan(text, bounds=begins))
        rows = np.searchsorted(cut.starts, begins)  # a joined line can look like another record's head: it stays here
        ids, offsets = cut.scan.ids.tolist(), cut.scan.offsets[np.append(rows, len(cut.starts))].tolist()
        kinds, times = cut.scan.kind[rows], cut.times[rows].tolist()
        good: dict[int, tuple[int, list[int]]] = {}
        faults: dict[int, str] = {}
        for number, record in enumerate(short):
            if kinds[number] == GOOD:
                good[id(record)] = times[number], list(dict.fromkeys(ids[offsets[number] : offsets[number + 1]]))
            else:
                faults[id(record)] = NO_DATE if kinds[number] == IMPOSSIBLE else self._format.strange
        return good, faults


def _letters(bad: Iterable[Bad]) -> list[DeadLetter]:
    now = datetime.now(UTC)
    return [DeadLetter(SHIPPED_LOGS, b.partition, b.offset, b.reason, excerpt(b.text), now) for b in bad]


def _placed(shipped: Shipped, message: Any) -> Shipped:
    """The line with host and path from the message's headers, and the path from its key, where its text has none."""
    host, path = shipped.host, shipped.path
    if host and path:
        return shipped
    headers = {name: value.decode("utf-8", "replace") for name, value in headers_of(message) if value}
    key = (message.key() or b"").decode("utf-8", "replace")
    host = host or headers.get("host", "")
    path = path or next((headers[name] for name in _PATH_HEADERS if name in headers), key)
    return shipped._replace(host=host, path=path)
