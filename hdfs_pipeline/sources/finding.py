"""Where log files are: files, folders, globs, standard input ("-"); and what of these is left out or cannot be read."""

import glob
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from hdfs_pipeline.errors import DataError
from hdfs_pipeline.sources.files import Identity, LogFile, identity_of

_LOG_NAME: Final = re.compile(r"(?i)\.(?:log|out)(?P<rest>(?:[._-][\w+@:-]*)*)$")
_NO_LOG: Final = "neither .log nor .out in its name; name the file itself to read it"
_KINDS: Final = (
    (re.compile(r"(?i)\.(?:tar(?:\.\w+)?|tgz|tbz2|txz|zip|7z|rar)$"), "an archive; unpack it first"),
    (re.compile(r"(?i)(?:\.(?:tmp|part|partial|crdownload|sw[op])|~)$"), "a temporary name"),
    (re.compile(r"(?i)\.(?:crc|md5|sha\d*|sig|asc|lock|pos|offset)$"), "no log, but a file that lies beside one"),
)
"""Names that are no logs although they may have .log in them, and why."""
_SHOWN: Final = 3  # files that a note names before it counts the rest


class LeftOut(NamedTuple):
    """A file or a subfolder that a scan of a folder did not take, and why."""

    path: str
    why: str


@dataclass
class Found:
    """What some paths name: files to read, what cannot be read and why, and what scans of folders left out."""

    files: list[LogFile] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def find_files(paths: Iterable[str], spool: Path) -> Found:
    """The files that `paths` name: files, globs, folders (in which names with ``.log`` or ``.out`` count), "-".

    "-" is standard input, which is kept in the folder `spool` to be read like a file.

    Raises: DataError naming the paths where there is nothing to read at all.
    """
    finder = _Finder()
    for name in paths:
        if name == "-":
            finder.take(_spool_stdin(spool))
        else:
            finder.add(name)
    if not finder.found.files and finder.found.unread:
        raise DataError("; ".join(finder.found.unread))
    return finder.found


def folded(left_out: Sequence[LeftOut]) -> list[str]:
    """A sentence for each reason that names the first few files and counts the others."""
    by_reason: dict[str, list[str]] = {}
    for path, why in left_out:
        by_reason.setdefault(why, []).append(Path(path).name)
    return [f"left out: {shortened(names)}: {why}" for why, names in by_reason.items()]


def shortened(names: Sequence[str]) -> str:
    """The first few names, and how many others there are."""
    others = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {others:,} other{'s' * (others > 1)}" if others > 0 else "")


class _Finder:
    def __init__(self) -> None:
        self.found = Found()
        self._taken: set[str] = set()
        self._told: set[str | LeftOut] = set()
        self._folders: set[Identity] = set()  # of the present scan
        self._some = False  # whether the present name led to anything

    def add(self, name: str) -> None:
        """What a path or a glob names."""
        matches = [name] if os.path.lexists(name) else sorted(glob.glob(name, recursive=True))
        if not matches:
            self._fail(f"{_shown(name)}: no such file")
            return
        self._some = False
        for match in matches:
            try:
                found = os.stat(match)
            except OSError as error:
                self._fail(_because(match, error))
                continue
            if stat.S_ISDIR(found.st_mode):
                self._scan(match)
            elif stat.S_ISREG(found.st_mode):
                self.take(Path(match), found)
            else:
                reason = "no file to be read twice; give a stream as standard input, with -"
                self._fail(f"{_shown(match)}: {reason}")
        if not self._some:
            reason = "no file in this folder has .log or .out in its name; name the files themselves"
            self._fail(f"{_shown(name)}: {reason}")

    def take(self, path: Path, found: os.stat_result | None = None) -> None:
        """A file to read, once under whatever name."""
        self._some, real = True, os.path.realpath(path)
        if real not in self._taken:
            self._taken.add(real)
            self.found.files.append(LogFile(Path(real), identity_of(found or os.stat(real))))

    def _fail(self, sentence: str) -> None:
        self._some = True
        if sentence not in self._told:
            self._told.add(sentence)
            self.found.unread.append(sentence)

    def _leave(self, path: str, why: str) -> None:
        left = LeftOut(_shown(path), why)
        if left not in self._told:
            self._told.add(left)
            self.found.left_out.append(left)

    def _scan(self, folder: str) -> None:
        self._folders = {identity_of(os.stat(folder))}
        for parent, folders, names in os.walk(folder, onerror=self._unread, followlinks=True):
            folders[:] = [name for name in sorted(folders) if self._is_new(os.path.join(parent, name), name)]
            for name in sorted(names):
                self._look_at(os.path.join(parent, name), name)

    def _unread(self, error: OSError) -> None:
        self._fail(_because(str(error.filename), error))

    def _is_new(self, path: str, name: str) -> bool:
        """Whether to walk through a folder: it is not hidden, and no link led to it before (or to one above it)."""
        if name.startswith("."):
            self._leave(path, "hidden")
            return False
        try:
            identity = identity_of(os.stat(path))
        except OSError as error:
            self._unread(error)
            return False
        if identity in self._folders:
            self._leave(path, "a link to a folder that is looked through anyway")
            return False
        self._folders.add(identity)
        return True

    def _look_at(self, path: str, name: str) -> None:
        why = _why_not(name)
        if not why:
            try:
                found = os.stat(path)
            except OSError as error:
                self._fail(_because(path, error))
                return
            if stat.S_ISREG(found.st_mode):
                self.take(Path(path), found)
                return
            why = "no regular file"
        self._leave(path, why)


def _why_not(name: str) -> str:
    """Why a name in a folder is none of a log; '' if it is."""
    if name.startswith("."):
        return "hidden"
    for pattern, why in _KINDS:
        if pattern.search(name):
            return why
    return "" if _LOG_NAME.search(name) else _NO_LOG


def _because(path: str, error: OSError) -> str:
    dangling = isinstance(error, FileNotFoundError) and os.path.islink(path)
    return f"{_shown(path)}: {'a link to a file that is gone' if dangling else error.strerror or error}"


def _shown(path: str) -> str:
    return os.fsencode(path).decode(errors="replace")


def _spool_stdin(folder: Path) -> Path:
    if sys.stdin is None:
        raise DataError("-: standard input is closed: send the log to it, as in `zcat x.gz | hdfs-pipeline ingest -`")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="stdin.", suffix=".log", delete=False) as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return Path(file.name)
