"""From Kafka messages of `raw_logs` to log records: the stream's way into `records.RECORDS`.

A message is one record, its continuation lines included; where a sender put several records into one, each counts. It
is a plain line, or a line with something around it (`wrappers`).
"""

from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks.records import RECORDS, LogFormat, batch_of
from hdfs_pipeline.domains.blocks.wrappers import Shipped, find_line
from hdfs_pipeline.errors import DataError

_DIGITS: Final = frozenset(b"0123456789")


@dataclass(frozen=True)
class MessageRecords:
    """Records of some messages: `batch` (schema RECORDS) and `message` (n,), each record's message."""

    batch: pa.RecordBatch
    message: np.ndarray


def read_messages(
    values: Sequence[bytes | None], max_bytes: int, log_format: LogFormat
) -> tuple[MessageRecords, list[tuple[int, str]], dict[int, Shipped]]:
    """Records of messages, bad messages as (index, reason), and what shippers sent, by index.

    A message is bad if it does not begin with a good record, or if it holds a record with a fault.
    """
    bad: dict[int, str] = {}
    shipped: dict[int, Shipped] = {}
    texts = [value for value in values if value is not None]
    if len(texts) < len(values):
        bad = {index: "no value" for index, value in enumerate(values) if value is None}
        texts = [value or b"" for value in values]
    joined = _Joined(texts)
    odd = joined.odd(max_bytes)
    for index in odd:
        text = texts[index].removeprefix(BOM_UTF8)
        texts[index] = text.rstrip(b"\r\n")
        if len(text) > max_bytes:
            bad[index], texts[index] = f"longer than {max_bytes} bytes", b""
        elif text[:1] and text[0] not in _DIGITS:
            _unwrap(index, texts, log_format, bad, shipped)
    found, faults = _scanned(texts, _Joined(texts) if odd else joined, log_format)
    wrapped = [index for index in faults if index not in bad and index not in shipped and texts[index]]
    for index in wrapped:  # some wrappers begin with digits as well
        _unwrap(index, texts, log_format, bad, shipped)
    if shipped.keys() & set(wrapped):
        found, faults = _scanned(texts, _Joined(texts), log_format)
    bad = faults | bad
    if bad:
        good = ~np.isin(found.message, list(bad))
        found = MessageRecords(_filter(found.batch, good), found.message[good])
    return found, sorted(bad.items()), shipped


class _Joined:
    """Texts as lines of one buffer, `starts` (n,) their beginnings, `lengths` without the line end."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self.data = b"\n".join([*texts, b""])
        self.lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        self.starts = np.cumsum(self.lengths + 1) - self.lengths - 1

    def odd(self, max_bytes: int) -> list[int]:
        """Texts that have to be looked at one by one: long ones, and those that neither begin nor end as a line."""
        data = np.frombuffer(self.data, np.uint8)
        first, last = data[self.starts], data[self.starts + self.lengths - 1]
        plain = (first >= ord("0")) & (first <= ord("9")) & (last != ord("\n")) & (last != ord("\r"))
        return np.flatnonzero(~plain | (self.lengths > max_bytes)).tolist()


def _unwrap(
    index: int, texts: list[bytes], log_format: LogFormat, bad: dict[int, str], shipped: dict[int, Shipped]
) -> None:
    try:
        line = find_line(texts[index], log_format.kind_of, log_format.json_fields)
    except DataError as error:
        bad[index], texts[index] = str(error), b""
        return
    if line.kind:
        shipped[index], texts[index] = line, line.text.rstrip(b"\r\n")


def _scanned(texts: Sequence[bytes], joined: _Joined, log_format: LogFormat) -> tuple[MessageRecords, dict[int, str]]:
    """The records of all messages, each beginning one, and the first fault of each message that has one."""
    try:
        joined.data.decode()  # quick where all is ASCII
    except UnicodeDecodeError:
        joined = _Joined([text.decode("utf-8", "replace").encode() for text in texts])
    batch = batch_of(joined.data, log_format, joined.starts)
    if len(batch) == len(texts):
        message = np.arange(len(texts))
    else:  # records know the number of their first line; so does each message
        line_ends = np.flatnonzero(np.frombuffer(joined.data, np.uint8) == ord("\n"))
        first_lines = np.searchsorted(line_ends, joined.starts) + 1
        message = np.searchsorted(first_lines, batch["position"].to_numpy(), side="right") - 1
    faults: dict[int, str] = {}
    if batch["fault"].null_count < len(batch):
        rows = np.flatnonzero(batch["fault"].is_valid().to_numpy(zero_copy_only=False))
        for index, reason in zip(message[rows].tolist(), batch["fault"].take(pa.array(rows)).to_pylist(), strict=True):
            faults.setdefault(index, reason)
    return MessageRecords(batch, message), faults


def _filter(batch: pa.RecordBatch, rows: np.ndarray) -> pa.RecordBatch:
    """Some rows of a batch; Arrow cannot take rows of string views."""
    plain = pa.schema([f.with_type(pa.string()) if f.type == pa.string_view() else f for f in RECORDS])
    return batch.cast(plain).filter(pa.array(rows)).cast(RECORDS)
