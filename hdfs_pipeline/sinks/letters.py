"""Dead letters of a stream run, staged as Parquet: messages that could not be used, where they stand, and why."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from hdfs_pipeline.sources.wire import excerpt, valid

_SCHEMA: Final = pa.schema(
    [
        ("source_id", pa.int32()),
        ("source", pa.string()),
        ("position", pa.int64()),
        ("reason", pa.string()),
        ("text", pa.string()),
        ("seen_at", pa.timestamp("us", "UTC")),
    ]
)


def source_path(topic: str, epoch: int, part: int) -> str:
    """A partition's name in `sources` and `dead_letters`: `kafka:<topic>/7`, in the topic's second life with `@2`."""
    return f"kafka:{topic}/{part}" + (f"@{epoch}" if epoch > 1 else "")


@dataclass
class Letters:
    """The dead letters of one topic. `files` are there after `close`; none where there were no letters."""

    topic: str
    epoch: int
    path: Path
    count: int = 0
    files: list[Path] = field(default_factory=list)
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _writer: Any = None

    def add(self, part: int, offset: int, reason: str, value: bytes | None, source_id: int | None = None) -> None:
        """Add a message that could not be used."""
        self.count += 1
        self._rows.append(
            {
                "source_id": source_id,
                "source": source_path(self.topic, self.epoch, part),
                "position": offset,
                "reason": valid(reason),
                "text": excerpt(value),
                "seen_at": datetime.now(UTC),
            }
        )

    def flush(self) -> None:
        """Write what was added since the last time."""
        if not self._rows:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self.path, _SCHEMA)
            self.files.append(self.path)
        self._writer.write_table(pa.Table.from_pylist(self._rows, _SCHEMA))
        self._rows.clear()

    def close(self) -> None:
        """Write the rest; the file is whole then."""
        self.flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
