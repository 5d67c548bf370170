"""Folders of a home for unfinished work: deleted at the end, or by the next start after a process was killed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

_GUARD: Final = "scratch.lock"  # of a home: held while a folder is made, and while leftovers are looked for
_WAIT_S: Final = 60.0  # seconds for the folders of killed processes to be deleted by another one
_LOCK: Final = ".in_use"  # in a folder: held as long as its process lives


@contextmanager
def scratch_folder(home: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `home` whose name begins with `prefix`; it is deleted at the end of the block.

    Folders with the prefix that killed processes have left are deleted first; those in use stay.
    Raises: filelock.Timeout if another process deletes such folders for a minute.
    """
    with FileLock(home / _GUARD, timeout=_WAIT_S):
        for leftover in home.glob(f"{prefix}*"):
            _delete_unless_used(leftover)
        folder = Path(tempfile.mkdtemp(dir=home, prefix=prefix))
        lock = FileLock(folder / _LOCK)
        lock.acquire()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _delete_unless_used(folder: Path) -> None:
    try:
        with FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    except (Timeout, OSError):
        pass
