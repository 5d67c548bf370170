"""Which messages changed, and when: each change of `app_logs` has a number, and each row that of its last change."""

from typing import Final

from hdfs_pipeline.store.counters import counter, next_number
from hdfs_pipeline.store.store import Connection

_COUNTER: Final = "app_logs_revision"


def last_change(con: Connection) -> int:
    """The number of the last change; 0 before the first."""
    return counter(con, _COUNTER)


def next_revision(con: Connection) -> int:
    """The number of a change that is about to be made, in its transaction."""
    return next_number(con, _COUNTER)


def changed_since(con: Connection, revision: int) -> list[int]:
    """The keys of the messages that changed after a change, in order."""
    rows = con.execute("SELECT message_id FROM app_logs WHERE revision > ? ORDER BY message_id", [revision]).fetchall()
    return [key for (key,) in rows]
