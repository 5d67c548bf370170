"""Which daemon wrote each source: its kind, and its address, or its host or file where no address is known.

The names are kept in `daemon_sources`, so that the ids of minutes change only when the minutes are brought up to date.
"""

from typing import Final

from hdfs_pipeline.domains.daemons.item import DOMAIN
from hdfs_pipeline.store.store import Connection

UNKNOWN_DAEMON: Final = "unknown"
"""The entity of records that came without a host and tell no address: of any number of daemons."""
ANY_KIND: Final = "daemon"
"""The kind of daemon where none is known."""
_NAMES: Final = rf"""WITH
    named AS (SELECT source_id, path, regexp_replace(host, '\s+', '_', 'g') AS host,
        if(regexp_full_match(lower(daemon), '[a-z_]\w*'), lower(daemon), '{ANY_KIND}') AS kind,
        if(host = '', source_id::VARCHAR, daemon || ' ' || host) AS daemon FROM sources
            WHERE domain = 'blocks'),
    votes AS (SELECT daemon, address, sum(records) AS records
        FROM daemon_addresses JOIN named USING (source_id) GROUP BY ALL),
    addresses AS (SELECT daemon, arg_max(address, ROW(records, address)) AS address,
            max(records) / sum(records) AS share FROM votes GROUP BY daemon)
    SELECT source_id, kind || ' ' || coalesce(if(share > .5, address, NULL), nullif(host, ''),
            if(source_id < 0, NULL, nullif(regexp_extract(path, '([^/\s.]+)[^/\s]*$', 1), '')), '{UNKNOWN_DAEMON}')
        AS daemon FROM named LEFT JOIN addresses USING (daemon)"""
"""The daemon of each source: the address that most of its records tell, else its host or file."""


def name_daemons(con: Connection) -> None:
    """Name the daemon of each counted source; of one that has another name now all minutes are judged anew."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE daemons_now AS {_NAMES}")
    renamed = "EXISTS (FROM daemon_sources d JOIN daemons_now n USING (source_id) WHERE d.daemon <> n.daemon)"
    con.execute(f"DELETE FROM judged WHERE domain = ? AND {renamed}", [DOMAIN])
    con.execute(
        """UPDATE daemon_sources SET daemon = n.daemon FROM daemons_now n
        WHERE n.source_id = daemon_sources.source_id AND daemon_sources.daemon IS DISTINCT FROM n.daemon"""
    )
    con.execute("DROP TABLE daemons_now")


def daemon_names_sql() -> str:
    """SELECT of source_id, path, kind and entity of the daemon of every source that was counted."""
    return """SELECT source_id, path, split_part(d.daemon, ' ', 1) AS kind, split_part(d.daemon, ' ', 2) AS entity
        FROM daemon_sources d LEFT JOIN sources USING (source_id) WHERE d.daemon IS NOT NULL"""
