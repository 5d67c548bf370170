"""Text from outside as SQL: strings, names, and files that DuckDB reads. Use parameters where SQL takes them."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path


def quoted(text: str) -> str:
    """A SQL string of `text`."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A SQL name of `name`: of a column or a table."""
    return '"' + name.replace('"', '""') + '"'


def quoted_list(texts: Iterable[str]) -> str:
    """SQL strings of `texts` with commas between."""
    return ", ".join(map(quoted, texts))


def one_file(path: Path | str) -> str:
    """The pattern, for DuckDB's readers, of this one file: they take `*`, `?` and `[` in a path for a pattern."""
    return re.sub(r"[*?[]", r"[\g<0>]", str(path))


def parquet(files: Sequence[Path]) -> str:
    """SQL of the rows of Parquet files (one or more).

    A folder on the way that is called `name=value` does not become a column.
    """
    return f"read_parquet([{quoted_list(map(one_file, files))}], hive_partitioning = false)"
