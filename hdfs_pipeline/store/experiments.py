"""How long experiments on load stay in the store, and what becomes of those whose process was killed."""

from datetime import datetime
from typing import Final

from hdfs_pipeline.store.store import Store, count

_TABLES: Final = ("performance_metrics", "consumer_lag", "experiments")  # what names an experiment goes before it
_OLD: Final = "experiment IN (SELECT experiment FROM experiments WHERE started_at < ?)"
_SPARE_S: Final = 900.0  # seconds that starting, warming up, draining and ending take at most, beside measuring
_OVERDUE: Final = f"""status = 'running'
    AND epoch(started_at) + coalesce((load ->> '$.duration_s')::DOUBLE, 0) + {_SPARE_S} < epoch($now::TIMESTAMPTZ)"""


def old_experiments(store: Store, before: datetime) -> dict[str, int]:
    """By table, how many rows belong to experiments that began before a time."""
    with store.read() as con:
        return {table: count(con.execute(f"SELECT count(*) FROM {table} WHERE {_OLD}", [before])) for table in _TABLES}


def forget_experiments(store: Store, before: datetime) -> int:
    """Delete experiments that began before a time, with all that was measured of them; how many rows went."""
    if not any(old_experiments(store, before).values()):
        return 0
    with store.write() as con:
        return sum(count(con.execute(f"DELETE FROM {table} WHERE {_OLD}", [before])) for table in _TABLES)


def left_running(store: Store, now: datetime) -> int:
    """Mark experiments as failed that must have ended before `now`, and still are 'running'; how many.

    One that is killed outright cannot say so. Where it runs all the same, it says at its end what became of it.
    """
    if not store.path.exists():
        return 0
    with store.read() as con:
        if not count(con.execute(f"SELECT count(*) FROM experiments WHERE {_OVERDUE}", {"now": now})):
            return 0
    with store.write() as con:
        return count(
            con.execute(
                "UPDATE experiments SET status = 'failed', reason = 'it did not end: its process was killed', "
                f"ended_at = $now WHERE {_OVERDUE}",
                {"now": now},
            )
        )
