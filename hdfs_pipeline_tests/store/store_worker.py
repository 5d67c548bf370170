"""What the tests of the store run in other processes: `python store_worker.py <what> <store> [number …]`."""

import os
import resource
import sys
import time
from pathlib import Path

import duckdb

from hdfs_pipeline.errors import SetupError
from hdfs_pipeline.store.offsets import OffsetConflict, advance_offsets, offsets
from hdfs_pipeline.store.store import Store

IDS = {"cluster_id": "c", "topic_id": "t"}


def say(text: str) -> None:
    print(text, flush=True)


def count(store: Store, transactions: int) -> None:
    """Write rows (offset, writer) and move the offset that all writers fight for."""
    done = 0
    while done < transactions:
        with store.read() as con:
            expected = offsets(con, "fight", **IDS).get(0)
        try:
            with store.write() as con:
                at = expected or 0
                con.execute("INSERT INTO labels VALUES (?, 'normal', ?)", [at, str(os.getpid())])
                advance_offsets(con, "fight", {0: (expected, at + 1)}, **IDS)
            done += 1
        except OffsetConflict:
            continue


def watch(store: Store, until: int) -> None:
    """Read until the store holds `until` rows; at every look the rows and the offset agree."""
    seen = 0
    while seen < until:
        with store.read() as con:
            row = con.execute(
                "SELECT count(*), count(DISTINCT block_id), (SELECT next FROM offsets) FROM labels"
            ).fetchone()
        assert row is not None
        assert row[0] == row[1] == (row[2] or 0) >= seen, row
        seen = row[0]
    say("agreed")


def hold(store: Store) -> None:
    """Stay inside a transaction, with rows that are not committed, until killed."""
    with store.write() as con:
        con.execute("INSERT INTO labels SELECT range, 'anomaly', '' FROM range(100000)")
        say("holding")
        time.sleep(60)


def hold_reading(store: Store) -> None:
    with store.read():
        say("holding")
        time.sleep(60)


def hold_plain(store: Store) -> None:
    """Hold the file as a DuckDB shell does: without our lock."""
    con = duckdb.connect(str(store.path))
    say("holding")
    time.sleep(60)
    con.close()


def die_after_commit(store: Store) -> None:
    """Die with rows that are committed but still in the write-ahead log."""
    with store.write() as con:
        con.execute("INSERT INTO labels VALUES (2, 'anomaly', 'in the log')")
        con.execute("COMMIT")
        os.kill(os.getpid(), 9)


def overflow(store: Store, limit: int) -> None:
    """Write past the largest file that this process may make."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        with store.write() as con:
            con.execute(
                "INSERT INTO scores BY NAME SELECT range::VARCHAR AS item, random() AS score FROM range(1000000)"
            )
    except SetupError as error:
        say(f"SetupError: {error}")


if __name__ == "__main__":
    what, path, *numbers = sys.argv[1:]
    globals()[what](Store(Path(path)), *map(int, numbers))
