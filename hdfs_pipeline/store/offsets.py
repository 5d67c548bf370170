"""How far each stream partition has been read: kept in the store, fenced, moved with the rows that it stands for.

Offsets belong to one life of a topic, which the cluster's id and the topic's id name. A topic that is made anew, or one
of the same name on another cluster, begins a new life with offsets of its own. The offsets of the old life stay, and
count again if the store reads that topic again. Rows that offsets tell apart carry the number of the life, their
`epoch`.
"""

from collections.abc import Mapping

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.store.store import Connection, count


class OffsetConflict(DataError):
    """Another worker has moved the offset since it was read: roll back, read the offset again, carry on from there."""


def offsets(con: Connection, topic: str, *, cluster_id: str, topic_id: str) -> dict[int, int]:
    """The next offset to read, for each partition of this life of `topic` that the store knows."""
    rows = con.execute(
        "SELECT part, next FROM offsets WHERE topic = ? AND cluster_id = ? AND topic_id = ?",
        [topic, cluster_id, topic_id],
    )
    return dict(rows.fetchall())


def find_epoch(con: Connection, topic: str, *, cluster_id: str, topic_id: str) -> tuple[int, bool]:
    """Number of this life of `topic`, from 1, and whether the store knows it already."""
    rows = con.execute("SELECT cluster_id, topic_id, epoch FROM stream_epochs WHERE topic = ?", [topic]).fetchall()
    known = {row[:2]: row[2] for row in rows}
    epoch = known.get((cluster_id, topic_id))
    return (epoch, True) if epoch is not None else (max(known.values(), default=0) + 1, False)


def begin_epoch(con: Connection, topic: str, epoch: int, *, cluster_id: str, topic_id: str) -> None:
    """Note this life of `topic` as number `epoch`. Call it inside `Store.write()`.

    Raises: OffsetConflict if it has another number by now.
    """
    number, there = find_epoch(con, topic, cluster_id=cluster_id, topic_id=topic_id)
    if number != epoch:
        raise OffsetConflict(f"{topic}: this life is number {number}, not {epoch}: another worker began it")
    if not there:
        con.execute("INSERT INTO stream_epochs VALUES (?, ?, ?, ?, now())", [topic, epoch, cluster_id, topic_id])


def advance_offsets(
    con: Connection,
    topic: str,
    moves: Mapping[int, tuple[int | None, int]],
    *,
    cluster_id: str,
    topic_id: str,
) -> None:
    """Move the offsets of some partitions of this life of `topic`: (expected, next) by partition.

    `expected` None: the store knows no offset yet. Call this inside `Store.write()` with the rows that the offsets
    stand for: an error rolls both back together.
    Raises: OffsetConflict if an offset is not `expected`; DataError if one would go back.
    """
    current = offsets(con, topic, cluster_id=cluster_id, topic_id=topic_id)
    for part, (expected, to) in moves.items():
        if current.get(part) != expected:
            now = current.get(part, "none")
            raise OffsetConflict(f"{topic}/{part}: the next offset is {now}, not {expected}: another worker moved it.")
        if expected is not None and to < expected:
            raise DataError(f"{topic}/{part}: the next offset would go back from {expected} to {to}.")
    # One statement for all partitions: fifty single statements take as long as the rows.
    fresh = [(part, to) for part, (expected, to) in moves.items() if expected is None]
    known = [(part, expected, to) for part, (expected, to) in moves.items() if expected is not None]
    if fresh:
        con.execute(
            "INSERT INTO offsets SELECT $topic, unnest($parts::INTEGER[]), unnest($nexts::BIGINT[]), $cluster, $id",
            {"topic": topic, "cluster": cluster_id, "id": topic_id}
            | dict(zip(("parts", "nexts"), map(list, zip(*fresh, strict=True)), strict=True)),
        )
    if known:
        changed = con.execute(
            """UPDATE offsets SET next = moved.next FROM (SELECT unnest($parts::INTEGER[]) AS part,
            unnest($expected::BIGINT[]) AS expected, unnest($nexts::BIGINT[]) AS next) AS moved
            WHERE offsets.topic = $topic AND offsets.cluster_id = $cluster AND offsets.topic_id = $id
            AND offsets.part = moved.part AND offsets.next = moved.expected""",
            {"topic": topic, "cluster": cluster_id, "id": topic_id}
            | dict(zip(("parts", "expected", "nexts"), map(list, zip(*known, strict=True)), strict=True)),
        )
        if count(changed) != len(known):
            raise OffsetConflict(f"{topic}: an offset was moved by another worker.")
