"""The folder `incoming` of a home: which of its files are logs, and which have come to rest."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

LABELS_FILE = "labels.csv"
REST_S = 5.0  # seconds without a change after which a file counts as whole
_TEMPORARY = (".tmp", ".part", ".partial", ".crdownload", ".swp", "~")

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds: what tells a changed file."""


def log_files(folder: Path) -> list[Path]:
    """The files in a folder and below that are taken as logs: neither hidden, nor temporary, nor the labels."""
    return [path for path in _files(folder) if path.name != LABELS_FILE]


def rested(folder: Path, now: float | None = None) -> dict[str, Stamp]:
    """Logs and labels by path that have not changed for `REST_S` seconds.

    The inode's change time counts too: `cp -p` and `rsync` give a file that is just being copied an old `mtime`.
    """
    before = ((time.time() if now is None else now) - REST_S) * 1e9
    found = {}
    for path in _files(folder):
        try:
            stat = path.stat()
        except FileNotFoundError:  # taken away meanwhile
            continue
        if max(stat.st_mtime_ns, stat.st_ctime_ns) <= before:
            found[str(path)] = (stat.st_size, stat.st_mtime_ns)
    return found


def run_key(changed: Mapping[str, Stamp]) -> str:
    """A key that is the same for the same files, sizes and times."""
    text = "\n".join(f"{path}\t{size}\t{changed_at}" for path, (size, changed_at) in sorted(changed.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.rglob("*") if path.is_file() and _is_meant(path.relative_to(folder)))


def _is_meant(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and not path.name.lower().endswith(_TEMPORARY)
