"""Errors of DuckDB and the system about the store's file, in plain words and with the next step."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from hdfs_pipeline.errors import SetupError

# A pattern of the original error, and what it means with what to do. The original text follows each message.
EXHAUSTED = (
    (
        "No space left|File too large|quota exceeded|max_temp_directory_size",
        "the disk is full. The unfinished write was undone: free some space, then run the command again",
    ),
    ("Out of Memory", "the memory limit was reached. Raise the setting memory_limit (HDFS_PIPELINE_MEMORY_LIMIT)"),
)
CAUSES = (
    *EXHAUSTED,
    (
        "memory_limit|[Mm]emory (must|limit)|for memory",
        "the setting memory_limit is not one that DuckDB knows. Write it like 1GB or 500MB",
    ),
    (
        "not a valid DuckDB|Is a directory",
        "this is not a DuckDB database. Move it away, or choose another home (HDFS_PIPELINE_HOME)",
    ),
    ("version number|newer version", f"made by a newer DuckDB than this one ({duckdb.__version__}): upgrade duckdb"),
    ("Corrupt|checksum", "the file is damaged. Put the latest backup in its place"),
    (
        "Permission denied|Read-only file system|not permitted",
        "no permission to open or write it, or the disk is read-only. Change the permissions, or choose another home",
    ),
    (
        "Not a directory|File exists|No such file",
        "its folder cannot be made or is gone. Choose another home (HDFS_PIPELINE_HOME)",
    ),
)


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
