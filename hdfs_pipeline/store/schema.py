"""The tables of the store, declared once: name, key, comment, and each column's type and comment.

The tables that every domain shares are declared in `tables.txt` beside this file, those of one domain in a file of that
name in the domain's folder. They are read as data: the store imports no domain.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hdfs_pipeline.store.quoting import quoted

SCHEMA_VERSION = 9
_TABLES = "tables.txt"


@dataclass(frozen=True)
class Column:
    """One column: its DuckDB type, what it holds, and how it is compressed ('' lets DuckDB choose)."""

    type: str
    comment: str
    compression: str = ""

    @property
    def ddl(self) -> str:
        """How it is declared, without its name."""
        return f"{self.type} USING COMPRESSION {self.compression}" if self.compression else self.type


@dataclass(frozen=True)
class Table:
    """One table, or a view of the rows of `source` (SQL after FROM).

    `key` names a row; it is enforced (PRIMARY KEY) only if `indexed`, which big tables cannot afford.
    """

    name: str
    comment: str
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    indexed: bool = False
    source: str = ""

    def ddl(self, database: str) -> Iterator[str]:
        """The statements that make it, with its comments, in the attached `database`."""
        if self.source:
            names = ", ".join(f'"{name}"' for name in self.columns)
            yield f'CREATE VIEW {database}."{self.name}" AS SELECT {names} FROM {database}.{self.source}'
            yield from self.comments(database)
            return
        lines = [f'"{name}" {column.ddl}' for name, column in self.columns.items()]
        key = ", ".join(f'"{name}"' for name in self.key)
        yield f'CREATE TABLE {database}."{self.name}" ({", ".join(lines + [f"PRIMARY KEY ({key})"] * self.indexed)})'
        yield from self.comments(database)

    def comments(self, database: str) -> Iterator[str]:
        """The statements that comment the table and each of its columns."""
        kind = "VIEW" if self.source else "TABLE"
        note = f" Key, not enforced: {', '.join(self.key)}." if self.key and not self.indexed else ""
        yield f'COMMENT ON {kind} {database}."{self.name}" IS {quoted(self.comment + note)}'
        for name, column in self.columns.items():
            yield f'COMMENT ON COLUMN {database}."{self.name}"."{name}" IS {quoted(column.comment)}'


def read_tables(folder: Path) -> dict[str, Table]:
    """The tables that `tables.txt` in a folder declares, by name; {} if there is no such file.

    Each table has one line: name, key in brackets, `indexed` if the key is a PRIMARY KEY, or `of` and a source if it is
    a view, and comment. Below it, each column has an indented line: name, type and comment, with two spaces or more
    between them. A type may be followed by `by` and the compression.
    Raises: ValueError for a line that is neither.
    """
    path = folder / _TABLES
    tables: dict[str, Table] = {}
    for number, line in enumerate(path.read_text().splitlines() if path.is_file() else [], start=1):
        heading = re.fullmatch(r"(\w+) \((.*?)\)( indexed)?(?: of (.+?))?: (.+)", line)
        column = re.fullmatch(r" +(\w+) {2,}(\S.*?) {2,}(\S.*)", line)
        if heading:
            name, key, indexed, source, comment = heading.groups()
            tables[name] = Table(name, comment, {}, tuple(re.findall(r"\w+", key)), bool(indexed), source or "")
        elif column and tables:
            name, kind, comment = column.groups()
            kind, _, compression = kind.partition(" by ")
            tables[next(reversed(tables))].columns[name] = Column(kind, comment, compression)
        else:
            raise ValueError(f"{path}, line {number}: neither a table nor a column of one: {line!r}")
    return tables


def _domain_folders() -> Iterator[Path]:
    """The folders of all domains, in the order of their names."""
    package = find_spec("hdfs_pipeline.domains")
    for location in (package and package.submodule_search_locations) or ():
        yield from sorted(path.parent for path in Path(location).glob(f"*/{_TABLES}"))


def _all_tables() -> dict[str, Table]:
    tables: dict[str, Table] = {}
    for folder in (Path(__file__).parent, *_domain_folders()):
        own = read_tables(folder)
        if twice := tables.keys() & own.keys():
            raise ValueError(f"{folder / _TABLES}: another file declares {', '.join(sorted(twice))} as well")
        tables |= own
    return tables


TABLES: dict[str, Table] = _all_tables()
