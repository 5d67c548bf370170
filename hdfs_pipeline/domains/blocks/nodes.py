"""Nodes: which DataNode wrote a log, by the address at which its own records receive blocks."""

from typing import Final

import pyarrow as pa

from hdfs_pipeline.store.quoting import quoted
from hdfs_pipeline.store.store import Connection, Store

IPV6: Final = r"\[[0-9A-Fa-f:.]+(?:%[\w.]+)?\]|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}"
"""An IPv6 address, in brackets or, as DataNodes name themselves, without."""
ADDRESS: Final = rf"(?:[\w.-]*/)?((?:{IPV6}|[\w.-]+):\d{{2,5}})"
"""A DataNode's address as messages write it, `host:port` or `host/ip:port`; the group is what names the DataNode."""
RECEIVES: Final = rf"^Receiving .*dest: {ADDRESS}"
"""The message of a DataNode that begins to receive a block, with its own address."""
_SURE: Final = 0.9  # share of such records by which a log is one DataNode's
_ASKED: Final = 1_000
"""So many of the first such records of a log decide."""
_VOTES: Final = f"""SELECT source_id, node, count(*)::INTEGER AS records FROM (
        SELECT source_id, regexp_extract(message, {quoted(RECEIVES)}, 1) AS node FROM (
            SELECT source_id, message, row_number() OVER (PARTITION BY source_id ORDER BY position) AS place
            FROM $records WHERE starts_with(message, 'Receiving ')
            AND source_id IN (SELECT source_id FROM sources WHERE node IS NULL AND daemon <> 'namenode')
        ) LEFT JOIN (SELECT source_id, sum(records) AS votes FROM node_votes GROUP BY source_id) USING (source_id)
        WHERE place + coalesce(votes, 0) <= {_ASKED}
    ) GROUP BY ALL"""
_NAME: Final = f"""UPDATE sources SET node = own.node FROM (
        SELECT source_id, arg_max(node, records) FILTER (records >= {_SURE} * total) AS node FROM (
            SELECT source_id, node, sum(records) AS records,
                sum(sum(records)) OVER (PARTITION BY source_id) AS total
            FROM node_votes WHERE node <> '' GROUP BY source_id, node
        ) GROUP BY source_id
    ) own WHERE own.source_id = sources.source_id AND sources.node IS NULL AND own.node IS NOT NULL"""

# Rotated logs of a host too short to name its DataNode are of the one that its other logs name.
_HEARD: Final = """WITH of_host AS (SELECT host, any_value(node) AS node FROM sources WHERE host <> '' AND node <> ''
        GROUP BY host HAVING count(DISTINCT node) = 1)
    SELECT CASE WHEN source_id < 0 THEN 'topic ' || regexp_extract(path, ':(.+)/', 1)
            ELSE coalesce(nullif(s.node, ''), CASE WHEN daemon <> 'namenode' THEN o.node END,
                concat_ws(' ', nullif(daemon, ''), nullif(s.host, ''))) END AS server, epoch(max(ended))
    FROM sources s LEFT JOIN of_host o ON o.host = s.host WHERE ended IS NOT NULL GROUP BY server ORDER BY server"""


_ALIASES: Final = """INSERT OR REPLACE INTO entities BY NAME
    SELECT host AS alias, any_value(node) AS entity, 'blocks' AS domain FROM sources WHERE host <> '' AND node <> ''
    GROUP BY host HAVING count(DISTINCT node) = 1"""


def node_votes(con: Connection, records: str) -> pa.Table:
    """What the first new records of each source tell of its node: rows of `node_votes`; `records` is a relation.

    A record that names none has a vote too, for ''.
    """
    return con.sql(_VOTES.replace("$records", records)).to_arrow_table()


def name_nodes(con: Connection) -> None:
    """Give each source that lacks one its `node`, where nearly all of its records that tell of one tell of the same.

    The name of a host that has one DataNode becomes another name of that.
    """
    con.execute(_NAME)
    con.execute(_ALIASES)


def usual_share(store: Store) -> dict[str, float]:
    """Each DataNode's share of the records that DataNodes wrote, 0 to 1."""
    with store.read() as con:
        rows = con.execute(
            "SELECT node, sum(records) / sum(sum(records)) OVER () FROM sources WHERE node <> '' GROUP BY node"
        ).fetchall()
    return {node: float(share) for node, share in rows}


def heard(store: Store) -> dict[str, float]:
    """When the latest record of each daemon and topic was written, Unix seconds; by a DataNode's address if known."""
    with store.read() as con:
        return {server or "an unnamed daemon": at for server, at in con.execute(_HEARD).fetchall()}
