"""A domain whose items are the records of its lines: what holds for requests and for messages alike."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, ClassVar

from hdfs_pipeline.domains.contract import Again, Domain, Retention
from hdfs_pipeline.domains.lines import Lines, last_change, prune_rows, read_line_again, retention_of
from hdfs_pipeline.scoring.judged import scored_until
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store


class LineDomain(Domain):
    """A domain with a row of a table for each of its lines, as `lines` reads them; no line has a label."""

    lines: ClassVar[type[Lines]]
    days_setting: ClassVar[str]
    """The setting that says for how many days rows are kept."""
    first_setting: ClassVar[str]
    """The setting that says from how many rows on a model learns."""

    def read_again(self, settings: Settings, source_id: int, path: str, position: int, text: str) -> Again:
        """See `Domain.read_again`."""
        return read_line_again(self.lines(settings), source_id, path, position, text)

    def retention(self, store: Store, settings: Settings, now: datetime) -> list[Retention]:
        """See `Domain.retention`: single rows."""
        days = getattr(settings, self.days_setting)
        return [retention_of(store, self.lines.table, "time", self.days_setting, days, now)]

    def prune(self, store: Store, settings: Settings, now: datetime) -> int:
        """See `Domain.prune`."""
        return prune_rows(store, self.name, self.lines.table, "time", getattr(settings, self.days_setting), now)

    def days(self, store: Store) -> dict[date, int]:
        """See `Domain.days`."""
        day = "timezone('UTC', time)::DATE AS day"
        return dict(self._rows(store, f"SELECT {day}, count(*) FROM {self.lines.table} GROUP BY day ORDER BY day"))

    def lacks_to_learn(self, store: Store, settings: Settings) -> str:
        """See `Domain.lacks_to_learn`: how many items there are to be."""
        there, least = self._count(store), getattr(settings, self.first_setting)
        plural = self.item.plural
        return "" if there >= least else f"needs {least:,} {plural}, has {there:,}"

    def learnable(self, store: Store, serving: str) -> tuple[int, int, int]:
        """See `Domain.learnable`: no item has a label."""
        ((scored,),) = self._rows(
            store,
            "SELECT count(*) FROM scores WHERE domain = ? AND detector = ? AND NOT is_anomaly",
            [self.name, serving],
        )
        return 0, self._count(store), int(scored)

    def last_change(self, store: Store) -> int:
        """See `Domain.last_change`."""
        with store.read() as con:
            return last_change(con, self.lines.table)

    def changed(self, store: Store, revision: int) -> list[int]:
        """See `Domain.changed`."""
        key, table = self.lines.key, self.lines.table
        rows = self._rows(store, f"SELECT {key} FROM {table} WHERE revision > ? ORDER BY {key}", [revision])
        return [found for (found,) in rows]

    def waiting(self, store: Store, detector: str, version: int) -> int:
        """See `Domain.waiting`."""
        with store.read() as con:
            scored = scored_until(con, self.name, detector, version)
        return self._count(store, "WHERE revision > ?", [scored])

    def group(self, settings: Settings, topic: str) -> str:
        """See `Domain.group`."""
        return f"{settings.stream_group}.{topic}"

    def _count(self, store: Store, where: str = "", values: Sequence[object] = ()) -> int:
        return int(self._rows(store, f"SELECT count(*) FROM {self.lines.table} {where}", values)[0][0])

    def _rows(self, store: Store, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with store.read() as con:
            return con.execute(sql, list(values)).fetchall()
