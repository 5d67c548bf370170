"""The rows of `sources` that stand for partitions of a topic, or for what one sender writes into one."""

from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from hdfs_pipeline.store.offsets import OffsetConflict
from hdfs_pipeline.store.store import Connection, publish_into

SourceName = tuple[str, str, str]
"""Path, host, daemon."""


@dataclass
class Sources:
    """The rows of `sources` that stand for streams: the known ones, and those that this run adds with new numbers.

    `paths` are the path and the number of each known row: older releases had one for each layout.
    """

    topic: str
    known: dict[SourceName, int]
    paths: list[tuple[str, int]]
    lowest: int
    fresh: dict[SourceName, int] = field(default_factory=dict)

    @classmethod
    def of(cls, con: Connection, topic: str) -> "Sources":
        """The sources of `topic` in the store."""
        rows = con.execute(
            "SELECT path, host, daemon, source_id FROM sources WHERE starts_with(path, ?)", [f"kafka:{topic}/"]
        ).fetchall()
        return cls(topic, {row[:3]: row[3] for row in rows}, [(row[0], row[3]) for row in rows], _lowest(con))

    def id_of(self, name: SourceName) -> int:
        """The number of a source."""
        number = self.known.get(name, self.fresh.get(name))
        if number is None:
            number = self.fresh[name] = self.lowest - len(self.fresh) - 1
        return number

    def require_present(self, con: Connection) -> None:
        """Raises: OffsetConflict where another run has numbered sources since these were read."""
        if _lowest(con) != self.lowest:
            raise OffsetConflict(f"{self.topic}: another run added sources meanwhile; run this one again")

    def publish(self, con: Connection, domain: str, now: datetime) -> None:
        """Put the new ones into the store, without any records yet."""
        about = {"domain": domain, "sha256": "", "bytes": 0, "layout": "", "lines": 0, "records": 0, "ingested_at": now}
        fresh = [
            about | {"source_id": number, "path": path, "host": host, "daemon": daemon}
            for (path, host, daemon), number in self.fresh.items()
        ]
        if fresh:
            publish_into(con, "sources", pa.Table.from_pylist(fresh))


def _lowest(con: Connection) -> int:
    return int(con.execute("SELECT least(coalesce(min(source_id), 0), 0) FROM sources").fetchall()[0][0])
