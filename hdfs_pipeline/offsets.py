"""How far each stream partition has been read: kept in the store, fenced, moved with the rows that it stands for."""

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.store import Connection, count


class OffsetConflict(DataError):
    """Another worker has moved the offset since it was read: roll back, read the offset again, carry on from there."""


def offsets(con: Connection, topic: str) -> dict[int, int]:
    """The next offset to read of each partition of `topic` that the store knows."""
    return dict(con.execute("SELECT part, next FROM offsets WHERE topic = ?", [topic]).fetchall())


def advance_offset(
    con: Connection, topic: str, part: int, expected: int | None, next: int, *, cluster_id: str, topic_id: str
) -> None:
    """Move the offset of one partition from `expected` (None: the store knows none yet) to `next`.

    Call it inside `Store.write()` with the rows it stands for; an error rolls them back together.
    Raises: OffsetConflict if the offset is not `expected`; DataError if it would go back, or if the topic or the
    cluster is another one than the offset belongs to.
    """
    rows = con.execute(
        "SELECT next, cluster_id, topic_id FROM offsets WHERE topic = ? AND part = ?", [topic, part]
    ).fetchall()
    row = rows[0] if rows else None
    if row is not None and row[1:] != (cluster_id, topic_id):
        raise DataError(
            f"topic {topic!r} is not the one that was read before: cluster {cluster_id}, topic id {topic_id}; the "
            f"store has cluster {row[1]}, topic id {row[2]}. It was made anew, and its offsets start again: read it "
            f"into another home, or delete the rows of {topic!r} from `offsets` to read it from its beginning."
        )
    if (row[0] if row is not None else None) != expected:
        found = "none" if row is None else row[0]
        raise OffsetConflict(f"{topic}/{part}: the next offset is {found}, not {expected}: another worker moved it.")
    if expected is not None and next < expected:
        raise DataError(f"{topic}/{part}: the next offset would go back from {expected} to {next}.")
    if expected is None:
        con.execute("INSERT INTO offsets VALUES (?, ?, ?, ?, ?)", [topic, part, next, cluster_id, topic_id])
        return
    changed = con.execute(
        "UPDATE offsets SET next = ? WHERE topic = ? AND part = ? AND next = ?", [next, topic, part, expected]
    )
    if count(changed) == 0:
        raise OffsetConflict(f"{topic}/{part}: the next offset is no longer {expected}: another worker moved it.")
