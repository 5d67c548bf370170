"""What the store takes and keeps: its file, its tables, how long rows stay, and what is free on its disk."""

import shutil
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hdfs_pipeline.domains import all_domains
from hdfs_pipeline.domains.contract import Retention
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.experiments import forget_experiments, left_running, old_experiments
from hdfs_pipeline.store.schema import TABLES
from hdfs_pipeline.store.store import Connection, Store

_COLLECTED: Final = ("server", "kind", "role", "polled_at", "answered_at", "error", "note")


def store_facts(store: Store, settings: Settings, *, now: datetime | None = None) -> dict[str, Any]:
    """The store as a whole, each table by size, and the retention of each table that has one; sizes in bytes.

    A table's bytes are those of the pieces of the file that hold its columns; small tables may share one. Whoever
    collects metrics, or brings incidents up to date, prunes every ten minutes. Raises: SetupError where the store
    cannot be read.
    """
    path = settings.store_path
    if not path.is_file():
        free = shutil.disk_usage(settings.home).free if settings.home.is_dir() else None
        return {"path": str(path), "bytes": 0, "free": free, "schema_version": None, "tables": [], "retention": []}
    log = path.with_name(f"{path.name}.wal")
    with store.read() as con:
        facts = dict(con.execute("SELECT key, value FROM meta").fetchall())
        tables = _tables(con)
        kept = _retention(store, settings, now or datetime.now(UTC))
    return {
        "path": str(path),
        "bytes": path.stat().st_size + (log.stat().st_size if log.is_file() else 0),
        "free": shutil.disk_usage(path.parent).free,
        "schema_version": int(facts["schema_version"]),
        "tables": tables,
        "retention": [each._asdict() for each in kept],
    }


def prune(store: Store, settings: Settings) -> int:
    """Delete what is older than the retention of every domain, and of experiments, says; how many rows went.

    Experiments on load that were killed are marked as failed. Raises: SetupError while the store is busy.
    """
    if not store.path.exists():
        return 0
    now = datetime.now(UTC)
    left_running(store, now)
    gone = sum(domain.prune(store, settings, now) for domain in all_domains())
    return gone + forget_experiments(store, now - timedelta(days=settings.experiments_days))


def _retention(store: Store, settings: Settings, now: datetime) -> list[Retention]:
    """What is kept for some days: of every domain, and experiments on load with what was measured of them."""
    days = settings.experiments_days
    old = old_experiments(store, now - timedelta(days=days))
    return [
        *(each for domain in all_domains() for each in domain.retention(store, settings, now)),
        *(Retention(table, "experiments_days", days, rows) for table, rows in old.items()),
    ]


def _tables(con: Connection) -> list[dict[str, Any]]:
    """Each table with its rows and bytes, the largest first."""
    stored = [table.name for table in TABLES.values() if not table.source]
    rows = con.execute(" UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in stored)).fetchall()
    size = con.execute("SELECT block_size FROM pragma_database_size() WHERE database_name = 'store'").fetchall()[0][0]
    held = " UNION ALL ".join(
        f"""SELECT '{name}', count(DISTINCT block_id) + coalesce(sum(len(additional_block_ids)), 0)
        FROM pragma_storage_info('{name}') WHERE persistent"""
        for name in stored
    )
    pieces = dict(con.execute(held).fetchall())
    found = [
        {"name": name, "about": TABLES[name].comment, "rows": number, "bytes": pieces[name] * size}
        for name, number in rows
    ]
    return sorted(found, key=lambda table: (-table["bytes"], -table["rows"], table["name"]))


def collectors_of(store: Store, settings: Settings) -> list[dict[str, Any]]:
    """Every server that is polled, with the times of its last poll and its last answer in ISO 8601."""
    if not settings.store_path.is_file():
        return []
    with store.read():
        found = [each for domain in all_domains() for each in domain.collectors(store)]
    return [{name: _plain(value) for name, value in zip(_COLLECTED, each, strict=True)} for each in found]


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat(timespec="seconds") if isinstance(value, datetime) else value
