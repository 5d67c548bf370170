"""Anomalies one by one, the newest first: what the store has, what is new in it, and verdicts as a stream has them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.sources.wire import Verdict
from hdfs_pipeline.store.store import Connection, Store, dicts
from hdfs_pipeline.verdicts.score import BATCH

_REASON: Final = 300  # characters of a reason
_TIMES: Final = ("first_time", "last_time", "scored_at")
_COLUMNS: Final = """domain, item, detector, version, status, coalesce(kind, '') AS kind,
    coalesce(nullif(entity, ''), host, '') AS entity, coalesce(score, 0) AS score, threshold,
    coalesce(reason, '') AS reason, first_time, last_time,
    coalesce(scored_at, last_time, to_timestamp(0)) AS scored_at"""
_NEWEST: Final = "ORDER BY scored_at DESC, first_time DESC, item, detector LIMIT $limit"
_LATEST: Final = f"SELECT {_COLUMNS} FROM anomalies {_NEWEST}"
_OF_BATCHES: Final = f"FROM anomalies WHERE origin = '{BATCH}'"
_SINCE: Final = f"{_OF_BATCHES} AND scored_at >= $since"
_NAME: Final = "hash(domain, item, detector, status, kind)"


def anomaly_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as plain JSON values: times in ISO 8601, UTC, and the beginning of the reason."""
    times = {name: _iso(row[name]) for name in _TIMES}
    return {**row, **times, "reason": row["reason"][:_REASON]}


def told(verdict: Verdict) -> dict[str, Any]:
    """A verdict of a stream, as `latest` has those of the store.

    Raises: OverflowError for a time that is none in UTC.
    """
    names = ("domain", "item", "detector", "version", "status", "kind", "entity", "score", "threshold", "reason")
    return anomaly_json({name: getattr(verdict, name) for name in (*names, *_TIMES)})


def latest(store: Store, limit: int) -> list[dict[str, Any]]:
    """The newest anomalies of the store: those that were scored last, of these the latest items first.

    Each has domain, item, detector, version, status, kind, entity, score, threshold, reason, first_time, last_time and
    scored_at.
    """
    with store.read() as con:
        return [anomaly_json(row) for row in dicts(con, _LATEST, {"limit": limit})]


def scored_since(store: Store, since: datetime, limit: int) -> tuple[int, list[dict[str, Any]]]:
    """How many anomalies of batches were scored at a time or later, and the newest `limit` of them, the oldest first.

    Those that a stream worker found are on the topic of verdicts.
    """
    about = {"since": since}
    with store.read() as con:
        number = con.execute(f"SELECT count(*) {_SINCE}", about).fetchall()[0][0]
        rows = dicts(con, f"SELECT {_COLUMNS} {_SINCE} {_NEWEST}", about | {"limit": limit})
    return int(number), [anomaly_json(row) for row in reversed(rows)]


class News:
    """What is new among the anomalies of batches from one look at the store to the next.

    An item that is judged again, as those of a series are, is new where its verdict has another kind or status.
    """

    def __init__(self) -> None:
        self._known: np.ndarray | None = None
        self._mark: tuple[Any, ...] = ()

    def look(self, store: Store, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """How many are new, and the newest `limit` of them, the oldest first. At the first look nothing is."""
        if not store.path.is_file():
            self._known = np.zeros(0, np.uint64)
            return 0, []
        with store.read() as con:
            mark = con.execute(f"SELECT count(*), max(scored_at) {_OF_BATCHES}").fetchall()[0]
            if mark == self._mark:
                return 0, []
            names = np.unique(con.execute(f"SELECT {_NAME} AS name {_OF_BATCHES}").fetchnumpy()["name"])
            known = names if self._known is None else self._known
            new = np.setdiff1d(names, known, assume_unique=True)
            found = _named(con, new, limit) if len(new) else []
        self._known, self._mark = names, mark
        return len(new), found


def _named(con: Connection, names: np.ndarray, limit: int) -> list[dict[str, Any]]:
    con.register("new_names", pa.table({"name": names}))
    try:
        query = f"SELECT {_COLUMNS} {_OF_BATCHES} AND {_NAME} IN (SELECT name FROM new_names) {_NEWEST}"
        return [anomaly_json(row) for row in reversed(dicts(con, query, {"limit": limit}))]
    finally:
        con.unregister("new_names")


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds")
