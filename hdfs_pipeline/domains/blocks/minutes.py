"""Minutes in which records came or went, noted in `changed_minutes` for domains that count `raw_logs` by minute."""

from typing import Final

from hdfs_pipeline.store.counters import next_number
from hdfs_pipeline.store.store import Connection

_REVISION: Final = "minutes_revision"
"""Key of `meta`: number of the last change."""


def note_minutes(con: Connection, relation: str) -> None:
    """Note the minutes of records of a relation with source_id and time, in the transaction that changes them."""
    con.execute(
        f"""INSERT INTO changed_minutes SELECT *, {next_number(con, _REVISION)} FROM (
            SELECT DISTINCT source_id, time_bucket(INTERVAL 1 MINUTE, time) AS minute FROM {relation})"""
    )
