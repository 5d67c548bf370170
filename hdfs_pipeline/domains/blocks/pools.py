"""One block pool a home: ids of blocks are unique within a pool only, and those of two pools must never merge.

Each NameNode of a federation has a pool of its own (`BP-<number>-<address>-<time>`), which DataNodes write before the
block. A home takes the first pool that it meets, or the one that the setting `block_pool` names, and keeps its name in
the file `block_pool`; records of another pool become dead letters that say so. Lines without a pool, as NameNodes write
them, are taken as they are.
"""

import logging
import os
from pathlib import Path
from typing import Final

import numpy as np

from hdfs_pipeline.domains.blocks import scan
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_log = logging.getLogger(__name__)
_FILE: Final = "block_pool"
_POOL: Final = r"BP-\d+-[\w.:-]+?-\d+"


class Pool:
    """The block pool that is read: `name`, "" until one is met. `file` keeps it; None for what is read only once."""

    def __init__(self, name: str = "", file: Path | None = None) -> None:
        self.name, self._file = name, file

    @classmethod
    def of(cls, settings: Settings) -> "Pool":
        """The pool of a home."""
        file = settings.home / _FILE
        return cls(settings.block_pool or _read(file), None if settings.block_pool else file)

    @property
    def refusal(self) -> str:
        """Why a record of another pool is none of this home's."""
        return (
            f"of another block pool: this home holds {self.name}, and ids of two pools must not mix; "
            "read the other NameNode's logs into a home of their own (--home)"
        )

    def others(self, text: bytes, pools: np.ndarray, named: np.ndarray) -> np.ndarray:
        """Which records (n,) bool belong to another pool.

        `pools` (n, 2) int32 says where each names its pool in `text`, `named` (n,) bool whether it names a block.
        """
        spoken = named & (pools[:, 1] > 0)
        if not self.name and spoken.any():
            start, stop = pools[int(np.argmax(spoken))].tolist()
            self._claim(text[start:stop].decode("utf-8", "replace"))
        if not self.name:
            return spoken
        return spoken & ~scan.equal(np.frombuffer(text, np.uint8), pools, np.frombuffer(self.name.encode(), np.uint8))

    def _claim(self, name: str) -> None:
        self.name = name
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            self.name = _read(self._file) or name  # another process was first
        except OSError as error:
            _log.warning("the block pool %s cannot be kept in %s: %s", name, self._file, error.strerror)
        else:
            with os.fdopen(handle, "w") as file:
                file.write(f"{name}\n")


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


_LOOKED: Final = "block_pools"
"""Key of `meta`: that the records of a home were looked at, and named no pool. The first one that comes is taken."""


def settle_pool(store: Store, settings: Settings) -> str | None:
    """Give a home of an older release the pool of its records; what to do where it holds several, else None."""
    file = settings.home / _FILE
    if settings.block_pool or file.exists() or not settings.store_path.exists():
        return None
    with store.read() as con:
        if con.execute("SELECT 1 FROM meta WHERE key = ?", [_LOOKED]).fetchall():
            return None
        pools = con.execute(
            f"""SELECT pool, count(*) FROM (SELECT regexp_extract(message, '{_POOL}') AS pool FROM raw_logs
            WHERE len(block_ids) > 0 AND contains(message, 'BP-')) WHERE pool <> '' GROUP BY pool ORDER BY 2 DESC, 1"""
        ).fetchall()
    if not pools:
        with store.write() as con:
            con.execute("INSERT OR REPLACE INTO meta SELECT ?, 'none' FROM raw_logs LIMIT 1", [_LOOKED])
        return None
    Pool(file=file)._claim(pools[0][0])
    if len(pools) == 1:
        return None
    return (
        f"this home mixes blocks of {len(pools)} block pools ({', '.join(name for name, _ in pools[:5])}), "
        "whose ids can be the same: make a home for each NameNode (--home) and ingest its logs there"
    )
