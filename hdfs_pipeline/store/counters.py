"""Numbers that only grow, kept in `meta`: they change with the transaction that counts."""

from hdfs_pipeline.store.store import Connection


def counter(con: Connection, key: str) -> int:
    """The last number of a counter; 0 before the first."""
    rows = con.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchall()
    return int(rows[0][0]) if rows else 0


def next_number(con: Connection, key: str) -> int:
    """Count on by one, and return the new number."""
    number = counter(con, key) + 1
    con.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", [key, str(number)])
    return number
