"""What shippers send to `shipped_logs`, put together to records of `raw_logs`, keyed by block."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.blocks.joins import Bad, Joined, Joins
from hdfs_pipeline.domains.blocks.messages import NO_HEAD, Shipped, unwrap
from hdfs_pipeline.domains.blocks.replay import Cut
from hdfs_pipeline.domains.blocks.topics import RAW_LOGS, SHIPPED_LOGS
from hdfs_pipeline.domains.blocks.wire import block_key
from hdfs_pipeline.domains.contract import Outgoing
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.wire import DeadLetter, excerpt

_PATH_HEADERS: Final = ("path", "file", "filename")


class ShippedLogs:
    """Lines of `shipped_logs` on their way to records. See `Shipping`."""

    source = SHIPPED_LOGS
    target = RAW_LOGS

    def __init__(self, settings: Settings, max_bytes: int) -> None:
        self._max_bytes = settings.max_record_bytes
        self._joins = Joins(max_record_bytes=max_bytes)
        self.assigned, self.revoked = self._joins.assigned, self._joins.revoked
        self.partitions, self.position = self._joins.partitions, self._joins.position

    def take(self, message: Any) -> list[DeadLetter]:
        """See `Shipping.take`."""
        return _letters(self._take(message))

    def _take(self, message: Any) -> list[Bad]:
        part, offset, value = message.partition(), message.offset(), message.value()
        if value is None:
            return self._joins.refuse(Bad(part, offset, "no value", b""))
        if len(value) > self._max_bytes:
            return self._joins.refuse(Bad(part, offset, self._too_long, value))
        try:
            shipped = unwrap(value)
        except DataError as error:
            return self._joins.refuse(Bad(part, offset, str(error), value))
        return self._joins.add(part, offset, _placed(shipped, message))

    @property
    def _too_long(self) -> str:
        return f"longer than {self._max_bytes} bytes"

    def whole(self) -> tuple[list[Outgoing], list[DeadLetter]]:
        """See `Shipping.whole`: a record goes once for each block that it names."""
        records = list(self._joins.whole())
        good = _named_blocks(records)
        outgoing: list[Outgoing] = []
        bad: list[Bad] = []
        for record in records:
            if id(record) not in good:
                reason = self._too_long if record.too_long else NO_HEAD
                bad.append(Bad(record.partition, record.offset, reason, record.text))
                continue
            time, block_ids = good[id(record)]
            headers = [("record", f"{SHIPPED_LOGS}/{record.record_id}".encode())]
            known = (("host", record.host), ("daemon", record.daemon))
            headers += [(name, value.encode("utf-8", "replace")) for name, value in known if value]
            keys = [block_key(block_id) for block_id in block_ids] or (None,)
            outgoing.append(Outgoing(time, record.text, keys, headers))
        return outgoing, _letters(bad)


def _letters(bad: Iterable[Bad]) -> list[DeadLetter]:
    now = datetime.now(UTC)
    return [DeadLetter(SHIPPED_LOGS, b.partition, b.offset, b.reason, excerpt(b.text), now) for b in bad]


def _placed(shipped: Shipped, message: Any) -> Shipped:
    """The line with host and path from the message's headers, and the path from its key, where its text has none."""
    host, path = shipped.host, shipped.path
    if host and path:
        return shipped
    headers = {name: value.decode("utf-8", "replace") for name, value in message.headers() or () if value}
    key = (message.key() or b"").decode("utf-8", "replace")
    host = host or headers.get("host", "")
    path = path or next((headers[name] for name in _PATH_HEADERS if name in headers), key)
    return Shipped(shipped.text, host, path)


def _named_blocks(records: Iterable[Joined]) -> dict[int, tuple[int, list[int]]]:
    """Time and blocks of the good records, each block once, by the `id` of the record."""
    groups: dict[str, list[Joined]] = {}
    for record in records:
        if not record.too_long:
            groups.setdefault(record.layout.name, []).append(record)
    named: dict[int, tuple[int, list[int]]] = {}
    for group in groups.values():
        texts = [record.text for record in group]
        cut = Cut(b"\n".join(texts) + b"\n", group[0].layout)
        begins = np.cumsum([0, *(len(text) + 1 for text in texts)])
        rows = np.searchsorted(cut.starts, begins)  # a joined line can look like another record's head: it stays here
        ids, offsets = cut.ids.tolist(), cut.offsets[rows].tolist()
        for number, record in enumerate(group):
            time = int(cut.times[rows[number]])
            if time >= 0:
                named[id(record)] = time, list(dict.fromkeys(ids[offsets[number] : offsets[number + 1]]))
    return named
