"""Errors of DuckDB and the system about the store's file, in plain words and with the next step."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from hdfs_pipeline.errors import SetupError

# A pattern of the original error, and what it means with what to do. The original text follows each message.
_DAMAGED = (
    "[Cc]orrupt|checksum|[Cc]ould not read enough bytes|[Ff]ailed to deserialize|database has been invalidated"
    "|[Ss]erialization Error|INTERNAL Error|unexpected end of file",
    "the file is damaged. Put the latest backup in its place, or move it away and ingest the logs again",
)
MIDWAY = (
    (
        "No space left|File too large|quota exceeded|max_temp_directory_size",
        "the disk is full. The unfinished write was undone: free some space, then run the command again",
    ),
    ("Out of Memory", "the memory limit was reached. Raise the setting memory_limit (HDFS_PIPELINE_MEMORY_LIMIT)"),
    _DAMAGED,
)
"""What can be found only once a unit of work is under way."""
CAUSES = (
    *MIDWAY,
    (
        "memory_limit|[Mm]emory (must|limit)|for memory",
        "the setting memory_limit is not one that DuckDB knows. Write it like 1GB or 500MB",
    ),
    (
        "not a valid DuckDB|Is a directory",
        "this is not a DuckDB database. Move it away, or choose another home (HDFS_PIPELINE_HOME)",
    ),
    ("version number|newer version", f"made by a newer DuckDB than this one ({duckdb.__version__}): upgrade duckdb"),
    (
        "Permission denied|Read-only file system|not permitted",
        "no permission to open or write it, or the disk is read-only. Change the permissions, or choose another home",
    ),
    ("cannot encode str as UTF-8", "a folder or file has bytes that are not UTF-8 in its name. Rename it"),
    (
        "Not a directory|File exists|No such file",
        "its folder cannot be made or is gone. Choose another home (HDFS_PIPELINE_HOME)",
    ),
)

WRITING = tuple(cause for cause in CAUSES if cause != _DAMAGED)
"""What can be wrong with a file that is written: if something is damaged, it is what is read."""


def nameable(path: Path) -> Path:
    """`path`, if DuckDB can keep a database there. Raises: SetupError for a name that it would change on its way."""
    odd = "".join(sorted(set("?\\") & set(str(path))))
    try:
        str(path).encode()
    except UnicodeEncodeError:
        odd = "bytes that are not UTF-8"
    if odd:
        raise SetupError(f"{path}: DuckDB keeps no database where a folder or file has {odd} in its name: rename it")
    return path


@contextmanager
def in_plain_words(
    path: Path,
    causes: Sequence[tuple[str, str]] = CAUSES,
    kinds: tuple[type[Exception], ...] = (duckdb.Error, OSError),
) -> Iterator[None]:
    """Turn the errors that a person can mend into a SetupError about `path`; let the others through."""
    try:
        yield
    except kinds as error:
        for pattern, meaning in causes:
            if re.search(pattern, str(error)):
                raise SetupError(f"{path}: {meaning}. ({str(error).splitlines()[0]})") from error
        raise
