"""Errors that reach the front door: which words a person gets, and which exit code the shell."""

import errno
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress

from rich.markup import escape

from hdfs_pipeline.cli import terminal
from hdfs_pipeline.errors import DataError, PipelineError, SetupError
from hdfs_pipeline.settings import load_settings
from hdfs_pipeline.shown import without_secrets

_DISK = "free some space, then run the command again; what was not finished was undone"
_PERMISSION = "change the permissions, or choose another home or file"
_SYSTEM = {
    errno.ENOSPC: f"the disk is full: {_DISK}",
    errno.EDQUOT: f"the disk quota is used up: {_DISK}",
    errno.EFBIG: f"no file may grow larger here (ulimit -f, or a full disk): {_DISK}",
    errno.EROFS: f"the disk can only be read: {_PERMISSION}",
    errno.EACCES: f"no permission: {_PERMISSION}",
    errno.EPERM: f"the system does not permit it: {_PERMISSION}",
    errno.ENOENT: "no such file or folder: look at its name, and at the home (--home)",
    errno.ENOTDIR: "a file stands where a folder is needed: choose another home or folder",
    errno.EISDIR: "a folder stands where a file is needed: name another file",
    errno.EEXIST: "there is a file or folder of that name already: name another one",
    errno.ENAMETOOLONG: "the name is too long: name another file or folder",
    errno.ELOOP: "its symbolic links lead in a circle: mend them, or name another file",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.EIO: "the disk cannot be read or written: look at the system's log",
    errno.ENXIO: "nothing that can be read or written: name another file",
    errno.EINVAL: "the system cannot read or write it: name another file",
}
"""What a person can mend, by the system's number of the error."""
_SQLITE = {
    "is full": f"the disk is full: {_DISK}",
    "readonly": f"it can only be read: {_PERMISSION}",
    "unable to open": f"it cannot be opened: {_PERMISSION}",
    "malformed": "it is damaged: put a backup in its place, or move it away to begin a new one",
    "not a database": "it is no SQLite file: move it away to begin a new one",
    "disk I/O": f"the disk cannot be read or written, or is full: {_DISK}",
    "locked": "another program holds it: wait until that has ended",
}
"""What a person can mend of MLflow's and Dagster's files, by a word of SQLite's own message."""


def tell(error: BaseException) -> int:
    """Print an error on standard error, without passwords; an error of ours with its traceback. The exit code."""
    known = next((found for each in _causes(error) if (found := _in_words(each)) is not None), None)
    with suppress(OSError):  # standard error may be full or gone as well
        if known is None:
            # Not rich's traceback: it never ends if a cause leads back to its effect, as in errors of Dagster runs.
            text = "".join(traceback.format_exception(error))
            terminal.err.print(_safe(text), markup=False, highlight=False, soft_wrap=True, end="")
        else:
            words = escape(_safe(str(known)))
            terminal.err.print(f"[bold red]hdfs-pipeline:[/] {words}", highlight=False, soft_wrap=True)
    return 1 if known is None else known.exit_code


def flush() -> int:
    """Write what standard output still holds back. The exit code: 0, or 3 if it could not be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader is gone, as in `… | head`
        return 0
    except OSError as error:
        return tell(error)
    return 0


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it was raised from; of a library's own error also the one that it was raised beside."""
    seen: list[BaseException] = []
    while error not in seen:
        yield error
        seen.append(error)
        ours = type(error).__module__.partition(".")[0] in ("builtins", "hdfs_pipeline")
        cause = error.__cause__ or (None if ours or error.__suppress_context__ else error.__context__)
        if cause is None:
            return
        error = cause


def _in_words(error: BaseException) -> PipelineError | None:
    """What a person can mend of an error, if it is a known one."""
    found: PipelineError | None = None
    match error:
        case PipelineError():
            found = error
        case MemoryError():
            found = SetupError("not enough memory: end other programs, or read fewer files at once")
        case UnicodeEncodeError(reason=reason) if "surrogate" in reason:
            found = DataError("a name or word on the command line has bytes that are not UTF-8: write or rename it")
        case sqlite3.Error():
            meanings = (words for word, words in _SQLITE.items() if word in str(error))
            found = next((SetupError(f"a file of MLflow or Dagster: {words} ({error})") for words in meanings), None)
        case OSError(errno=number, filename=name) if number in _SYSTEM:
            found = SetupError(f"{name if name is not None else 'a file or stream'}: {_SYSTEM[number]}")
        case _ if type(error).__module__.partition(".")[0] in ("duckdb", "_duckdb"):
            found = _of_duckdb(error)
    return found


def _of_duckdb(error: BaseException) -> PipelineError | None:
    """The store has words of its own for what it knows; the rest is raised by work outside of it."""
    from hdfs_pipeline.store.errors import in_plain_words

    try:
        with in_plain_words(load_settings().home, kinds=(Exception,)):
            raise error
    except PipelineError as plain:
        return plain
    except BaseException:  # noqa: BLE001 - it has none: the traceback of the first one is wanted
        return None


def _safe(text: str) -> str:
    try:
        secrets = load_settings().secrets
    except PipelineError:  # which is what this may be about
        secrets = ()
    return without_secrets(text, secrets)
