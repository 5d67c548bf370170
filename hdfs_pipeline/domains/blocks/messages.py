"""From Kafka messages of `raw_logs` to log records: the stream's way into `records.RECORDS`.

A message is one record, its continuation lines included; where a sender put several records into one, each counts. It
is a plain line, or the JSON of a shipper (Filebeat, Vector, Fluent Bit), whose `message` holds the line.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks import scan
from hdfs_pipeline.domains.blocks.records import LAYOUTS, Layout, batch_of
from hdfs_pipeline.errors import DataError

NO_HEAD: Final = "no log record: no time stamp that can be, or no message after the logger"


@dataclass(frozen=True)
class Shipped:
    """What a shipper's JSON holds: the line, and where it comes from ("" where it is not given)."""

    text: bytes
    host: str = ""
    path: str = ""


def unwrap(value: bytes) -> Shipped:
    """The log line of a message: itself, or `message` of the JSON that Filebeat, Vector and Fluent Bit write.

    Raises: DataError for JSON without a line in it.
    """
    if value[:1] != b"{":
        return Shipped(value)
    try:
        fields = json.loads(value)
        line = fields.get("message", fields.get("log"))
    except (ValueError, RecursionError):
        raise DataError("neither a log line nor JSON") from None
    if not isinstance(line, str):
        raise DataError("JSON without `message`")
    # JSON can spell half a surrogate pair, which no encoding takes.
    text, host, path = (part.encode("utf-8", "replace") for part in (line.rstrip("\r\n"), _host(fields), _path(fields)))
    return Shipped(text, host.decode(), path.decode())


def _host(fields: dict[str, Any]) -> str:
    host = fields.get("host", fields.get("hostname"))
    return str((host.get("name", host.get("hostname")) if isinstance(host, dict) else host) or "")


def _path(fields: dict[str, Any]) -> str:
    log = fields.get("log")
    file = log.get("file") if isinstance(log, dict) else fields.get("file", fields.get("filename", ""))
    return str(file.get("path", "") if isinstance(file, dict) else file or "")


@dataclass(frozen=True)
class MessageRecords:
    """Records of some messages of one layout: `batch` (schema RECORDS) and `message` (n,), each record's message."""

    layout: Layout
    batch: pa.RecordBatch
    message: np.ndarray


def read_messages(
    values: Sequence[bytes | None], max_bytes: int
) -> tuple[list[MessageRecords], list[tuple[int, str]], dict[int, Shipped]]:
    """Records of messages, bad messages as (index, reason), and what shippers sent, by index.

    A message is bad if it does not begin with a good record, or if it holds a record without a possible time.
    """
    bad: dict[int, str] = {}
    shipped: dict[int, Shipped] = {}
    texts = [b"" if value is None else value for value in values]
    if None in values:
        bad |= {index: "no value" for index, value in enumerate(values) if value is None}
    unusual = [index for index, text in enumerate(texts) if text[:1] == b"{" or len(text) > max_bytes]
    for index in unusual:
        try:
            if len(texts[index]) > max_bytes:
                raise DataError(f"longer than {max_bytes} bytes")
            shipped[index] = unwrap(texts[index])
            texts[index] = shipped[index].text
        except DataError as error:
            bad[index], texts[index] = str(error), b""
    left = np.arange(len(texts))
    groups = []
    for layout in LAYOUTS.values():
        parsed, left, broken = _of_layout(texts, left, layout)
        groups += parsed
        bad |= dict.fromkeys(broken.tolist(), NO_HEAD)
        if not len(left):
            break
    bad |= {index: NO_HEAD for index in left.tolist() if index not in bad}
    return groups, sorted(bad.items()), shipped


def _of_layout(
    texts: list[bytes], rows: np.ndarray, layout: Layout
) -> tuple[list[MessageRecords], np.ndarray, np.ndarray]:
    """The records of the messages `rows` that begin with the layout's head; the other rows; those without a time."""
    own_texts = texts if len(rows) == len(texts) else [texts[row] for row in rows]
    lengths = np.array([len(text) for text in own_texts], np.int64) + 1
    starts = np.cumsum(lengths) - lengths
    data = b"\n".join(own_texts) + b"\n"
    headed = scan.heads_at(np.frombuffer(data, np.uint8), starts, layout.codes)
    if not headed.any():
        return [], rows, rows[:0]
    if not headed.all():
        own_texts = [text for text, keep in zip(own_texts, headed.tolist(), strict=True) if keep]
        data = b"\n".join(own_texts) + b"\n"
    own, others = rows[headed], rows[~headed]
    if data.count(b"\n") == len(own_texts):
        batch = batch_of(data, layout)
        message = np.arange(len(own_texts))
    else:
        own_texts = [text.removesuffix(b"\n") for text in own_texts]
        batch = batch_of(b"\n".join(own_texts) + b"\n", layout)
        # Records know the number of their first line; so does each message.
        first_lines = np.cumsum([1, *(text.count(b"\n") + 1 for text in own_texts[:-1])])
        message = np.searchsorted(first_lines, batch["position"].to_numpy(), side="right") - 1
    if not batch["time"].null_count:
        return [MessageRecords(layout, batch, own[message])], others, rows[:0]
    broken = np.unique(message[batch["time"].is_null().to_numpy(zero_copy_only=False)])
    good = ~np.isin(message, broken)
    return [MessageRecords(layout, _filter(batch, good), own[message[good]])], others, own[broken]


def _filter(batch: pa.RecordBatch, rows: np.ndarray) -> pa.RecordBatch:
    """Some rows of a batch; Arrow cannot take rows of string views."""
    plain = pa.schema([f.with_type(pa.string()) if f.type == pa.string_view() else f for f in batch.schema])
    return batch.cast(plain).filter(pa.array(rows)).cast(batch.schema)
