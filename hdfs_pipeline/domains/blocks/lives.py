"""How much of a block's life the logs show: blocks whose beginning or end lies outside of them are unfinished.

- Its *beginning* lies outside if no record says that it was allocated (in logs without an allocation: received),
  or if it was allocated before the logs of every daemon begin. Logs that begin with a daemon's start lack nothing.
- Its *end* lies outside if its last record is within `unfinished_s` of the end of the logs, and a replica that was
  begun is not received and stored yet, or not all of its replicas are deleted yet.
- Its *deletion* is still to come if it is at rest. That is the normal state of a block: models learn from it.
"""

from collections.abc import Collection
from typing import Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.scoring.catalogue import FAILURE, Catalogue
from hdfs_pipeline.scoring.features import Partly, Unfinished
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.columns import listed
from hdfs_pipeline.store.store import Connection

BEGINNING, END, BOTH, DELETION = WORDS = (
    *("beginning missing", "end missing", "beginning and end missing"),
    "deletion to come",
)
"""What of a block's life the logs do not show, as `event_matrix.unfinished` says it."""
_FIRST_LINES: Final = 5  # in which a daemon's log says that it starts
_STATED: Final = f"""SELECT source_id, min(time) AS began, max(time) AS ended, bool_or(len(block_ids) > 0) AS told,
    bool_or(contains(message, 'STARTUP_MSG')) FILTER (position <= {_FIRST_LINES}) AS started, NULL AS node
    FROM {{records}} GROUP BY source_id"""
_STATE: Final = """UPDATE sources SET began = s.began, ended = s.ended, told = s.told,
        started = s.started, node = s.node
    FROM (SELECT source_id, min(began) AS began, max(ended) AS ended, coalesce(bool_or(told), false) AS told,
        coalesce(bool_or(started), false) AS started, any_value(node) AS node FROM stated GROUP BY source_id) s
    WHERE s.source_id = sources.source_id"""
_WINDOW: Final = """WITH daemons AS (
        SELECT host, CASE WHEN host = '' THEN '' ELSE daemon END AS kind, min(began) AS began, max(ended) AS ended,
            coalesce(arg_min(started, began), false) AS started
        FROM sources WHERE told GROUP BY ALL
    )
    SELECT coalesce(epoch_us(max(began) FILTER (NOT started)), 0),
        coalesce((SELECT epoch_us(min(ended)) FROM (SELECT max(ended) AS ended FROM daemons GROUP BY kind)), 0)
    FROM daemons"""


def collect_stated(con: Connection, records: str) -> None:
    """Collect what new records of a relation state of their sources, and what is known of all, for `publish_stated`."""
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE stated AS {_STATED.format(records=records)}
        UNION ALL SELECT source_id, began, ended, told, started, node FROM sources"""
    )


def publish_stated(con: Connection) -> None:
    """Put what was collected into `sources`, whose rows may have been put in anew meanwhile."""
    con.execute(_STATE)
    con.execute("DROP TABLE stated")


def recorded(con: Connection) -> tuple[int, int]:
    """From when to when the logs of a home show all that happened to a block, in microseconds since 1970.

    The files of one daemon on one host follow each other, and so do all files whose names tell no host. All daemons are
    needed: so it begins where the last of them does. A daemon that ends early may have died, which is what logs are
    read for: only a kind of daemon of which all have ended ends it. Both are 0 where nothing was read.
    """
    begin, end = con.execute(_WINDOW).fetchall()[0]
    return begin, end


def unfinished_words(
    table: pa.Table, catalogue: Catalogue, window: tuple[int, int], settings: Settings, seen: Collection[str]
) -> list[str]:
    """One of `WORDS` for each row of a table of schema `EVENT_MATRIX`, or '' if the logs show the whole life.

    `window`: see `recorded`; `seen` are the events that the logs show at all.
    """
    count = len(table)
    counts = listed(table["counts"])[0].reshape(count, len(catalogue.columns))
    first, last = (table[name].cast(pa.int64()).to_numpy() for name in ("first_time", "last_time"))
    begin, end = window
    shown = np.array([column in seen for column in catalogue.columns])
    allocate, receive, received, store = (
        counts[:, catalogue.at_stage(stage)].sum(axis=1) for stage in ("allocate", "receive", "received", "store")
    )
    near = settings.unfinished_s * 1e6
    no_beginning = (allocate == 0) | (first < begin)
    # Without the NameNode's log nothing says when the first of the replicas was begun.
    if not (shown & catalogue.at_stage("allocate")).any():
        no_beginning = (receive == 0) | (first < begin + near)
    deletions = counts[:, shown & catalogue.at_stage("delete")]
    deleted = (deletions >= np.maximum(receive, 1)[:, None]).all(axis=1) & bool(deletions.shape[1])
    behind = np.zeros(count, bool)
    for stage, replicas in (("received", received), ("store", store)):
        behind |= (replicas < receive) & bool((shown & catalogue.at_stage(stage)).any())
    begun = deletions.any(axis=1)
    no_end = (last >= end - near) & (behind | (begun & ~deleted))
    words = np.where(begun, "", DELETION).astype(object)
    words[no_end], words[no_beginning] = END, BEGINNING
    words[no_end & no_beginning] = BOTH
    return list(words)


def unfinished_of(words: list[str | None], catalogue: Catalogue) -> Unfinished:
    """What is unfinished of blocks, by their `WORDS` ('' and None: nothing).

    All but failures may lie outside; of a block at rest reads, checks and its deletion.
    """
    anything = np.array([catalogue.severity(column) != FAILURE for column in catalogue.columns])
    later = np.array(catalogue.at_stage("read", "verify", "delete"))
    kinds = (
        Partly(BEGINNING, anything, begins_before=True),
        Partly(END, anything),
        Partly(BOTH, anything, begins_before=True),
        Partly(DELETION, later, cut=False),
    )
    codes = {word: code for code, word in enumerate(WORDS, start=1)}
    return Unfinished(np.array([codes.get(word or "", 0) for word in words], np.int8), kinds)
