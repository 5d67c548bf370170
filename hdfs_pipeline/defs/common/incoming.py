"""The folder `incoming` of a home: which of its files belong to a domain, and which are no longer being written."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from hdfs_pipeline.domains import DOMAINS
from hdfs_pipeline.domains.contract import Domain

LABELS_FILE = "labels.csv"
REST_S = 5.0  # seconds without a change after which a file counts as whole
_TEMPORARY = (".tmp", ".part", ".partial", ".crdownload", ".swp", "~")

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds; a changed file has another stamp."""


def log_files(incoming: Path, domain: Domain) -> list[Path]:
    """The files of a domain that count as logs: neither hidden, nor temporary, nor labels."""
    return [path for path in _files(incoming, domain) if path.name != LABELS_FILE]


def rested(incoming: Path, domain: Domain, now: float | None = None) -> dict[str, Stamp]:
    """The stamps of a domain's logs and labels, by path, that have not changed for `REST_S` seconds.

    The inode's change time counts too: `cp -p` and `rsync` give a file that is just being copied an old `mtime`.
    """
    before = ((time.time() if now is None else now) - REST_S) * 1e9
    stamps = {}
    for path in _files(incoming, domain):
        try:
            stat = path.stat()
        except OSError:  # removed meanwhile, or in a folder that may not be entered
            continue
        if max(stat.st_mtime_ns, stat.st_ctime_ns) <= before:
            stamps[str(path)] = (stat.st_size, stat.st_mtime_ns)
    return stamps


def run_key(changed: Mapping[str, Stamp]) -> str:
    """A key that is the same for the same files, sizes and times."""
    text = "\n".join(f"{path}\t{size}\t{changed_at}" for path, (size, changed_at) in sorted(changed.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _files(incoming: Path, domain: Domain) -> list[Path]:
    return sorted(path for path in _walk(incoming, domain) if _is_meant(path.relative_to(incoming)) and _is_file(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        return False


def _walk(incoming: Path, domain: Domain) -> Iterator[Path]:
    """All paths below `incoming/<domain>/`; for the first domain also those that lie in no other domain's folder."""
    if domain.name != next(iter(DOMAINS)):
        yield from (incoming / domain.name).rglob("*")
        return
    others = DOMAINS.keys() - {domain.name}
    yield from (path for path in incoming.rglob("*") if path.relative_to(incoming).parts[0] not in others)


def _is_meant(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and not path.name.lower().endswith(_TEMPORARY)
