"""Samples of one NameNode as arrays over time, from a recording of polls or from the store."""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hdfs_pipeline.domains.namenode.metrics import COLUMNS
from hdfs_pipeline.domains.namenode.process import GAP_S, Document, Processor, Sample, TopUsers
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.store.store import Store

_LONGEST = 64 << 20  # characters of one line of a recording: a NameNode's document has 0.05 to 10 million
_YEAR_9999 = 253_370_764_800.0  # Unix seconds
_NONE = "no samples of a NameNode yet: `hdfs-pipeline collect` polls one"


def iso(seconds: float, precision: str = "milliseconds") -> str:
    """Unix seconds as ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=precision)


@dataclass(frozen=True)
class Series:
    """n samples in the order of their times.

    `times`: (n,) float64, Unix seconds. `values`: (n, m) float32 by `columns`, NaN where nothing was measured. `role`:
    (n,) object. `restarted`, `gap`: (n,) bool. `users`: the top users of each sample, where they were asked for.
    `namenode` is its host:port, where that is known.
    """

    times: np.ndarray
    values: np.ndarray
    columns: tuple[str, ...]
    role: np.ndarray
    restarted: np.ndarray
    gap: np.ndarray
    users: list[TopUsers] | None = None
    namenode: str = ""

    def __len__(self) -> int:
        return len(self.times)

    def slice(self, start: float | datetime | None = None, end: float | datetime | None = None) -> "Series":
        """The samples from `start` (with it) to `end` (without it); Unix seconds or aware times."""
        low, high = (
            default if edge is None else float(np.searchsorted(self.times, _seconds(edge)))
            for edge, default in ((start, 0.0), (end, float(len(self))))
        )
        return self._rows(np.arange(int(low), max(int(low), int(high))))

    def _rows(self, rows: np.ndarray) -> "Series":
        return replace(
            self,
            times=self.times[rows],
            values=self.values[rows],
            role=self.role[rows],
            restarted=self.restarted[rows],
            gap=self.gap[rows],
            users=None if self.users is None else [self.users[row] for row in rows],
        )

    def column(self, name: str) -> np.ndarray:
        """One column, (n,) float32. Raises: KeyError for an unknown one."""
        try:
            return self.values[:, self.columns.index(name)]
        except ValueError:
            raise KeyError(name) from None


def _seconds(when: float | datetime) -> float:
    return when.timestamp() if isinstance(when, datetime) else float(when)


def series_of(samples: Sequence[Sample], columns: tuple[str, ...] = COLUMNS) -> Series:
    """Samples as arrays, in the order of their times."""
    ordered = sorted(samples, key=lambda sample: sample.at)
    indices = {name: index for index, name in enumerate(columns)}
    values = np.full((len(ordered), len(columns)), np.nan, dtype=np.float32)
    for row, sample in enumerate(ordered):
        for name, value in sample.values.items():
            values[row, indices[name]] = value
    return Series(
        np.array([sample.at.timestamp() for sample in ordered], dtype=np.float64),
        values,
        columns,
        np.array([sample.role for sample in ordered], dtype=object),
        np.array([sample.restarted for sample in ordered], dtype=bool),
        np.array([sample.gap for sample in ordered], dtype=bool),
        [sample.top_users for sample in ordered],
    )


@dataclass(frozen=True)
class Poll:
    """One line of a recording: the time of the poll (Unix seconds), and the document, or None if the poll failed."""

    at: float
    document: Document | None


def read_polls(path: Path | str) -> Iterator[Poll]:
    """The polls of a recording: one JSON object a line, `{"ts": Unix seconds, "beans": [...] or null}`, gzip or plain.

    A last line that was cut off while it was written ends the recording. Raises: DataError naming file and line.
    """
    path = Path(path)
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            line, number = "", 0
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST), ""), 1):
                poll = _poll(line)
                if poll is not None:
                    yield poll
                elif line.strip() and (line.endswith("\n") or len(line) == _LONGEST):
                    raise DataError(
                        f"{path}, line {number}: no poll of /jmx, which looks like {{'ts': …, 'beans': […]}}"
                    )
    except EOFError:
        return
    except (OSError, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _poll(line: str) -> Poll | None:
    try:
        record = json.loads(line)
        at, beans = float(record["ts"]), record["beans"]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    if not 0 <= at < _YEAR_9999 or not isinstance(beans, list | None):
        return None
    return Poll(at, None if beans is None else {"beans": beans})


def read_series(path: Path | str, *, gap_s: float = GAP_S) -> Series:
    """A recording of polls (see `read_polls`) as samples. Raises: DataError if there is no sample in it."""
    processor = Processor(gap_s)
    results = (
        processor.add(poll.document, datetime.fromtimestamp(poll.at, UTC))
        for poll in read_polls(path)
        if poll.document is not None
    )
    samples = [sample for sample in results if sample is not None]
    if not samples:
        raise DataError(f"{path} holds no sample of a NameNode: is it a recording of /jmx?")
    return series_of(samples)


def load_series(
    store: Store,
    namenode: str | None = None,
    start: datetime | float | None = None,
    end: datetime | float | None = None,
    *,
    users: bool = False,
) -> Series:
    """The stored samples of a NameNode from `start` (with it) to `end` (without it), with their top users if asked for.

    Without `namenode`, it is the only NameNode with samples. A window without samples gives an empty series.
    Raises: DataError if there are no samples at all, or several NameNodes to choose from.
    """
    wanted = namenode or the_namenode(store, None)
    with store.read() as con:
        conditions = ["namenode = ?"]
        parameters: list[Any] = [wanted]
        for edge, sign in ((start, ">="), (end, "<")):
            if edge is not None:
                conditions.append(f"polled_at {sign} to_timestamp(?)")
                parameters.append(_seconds(edge))
        table = con.sql(
            "SELECT epoch_us(polled_at) AS polled_us, role, restarted, gap, map_keys(metrics) AS names, "
            f"map_values(metrics) AS numbers, {'top_users' if users else 'NULL AS top_users'} "
            f"FROM namenode_metrics WHERE {' AND '.join(conditions)} ORDER BY polled_at",
            params=parameters,
        ).to_arrow_table()
    if not len(table) and start is None and end is None:
        raise DataError(f"no samples of a NameNode {wanted}: `hdfs-pipeline collect` polls one")
    return _series(table, wanted, users)


def the_namenode(store: Store, namenode: str | None) -> str:
    """The named NameNode, or else the only one with samples, or the only active one.

    Raises: DataError if there is none, or if several remain.
    """
    if not store.path.exists():
        raise DataError(_NONE)
    with store.read() as con:
        rows = con.execute(
            "SELECT namenode, arg_max(role, polled_at) = 'active' FROM namenode_metrics GROUP BY 1 ORDER BY 1"
        ).fetchall()
    known = [str(row[0]) for row in rows]
    if namenode is not None and namenode in known:
        return namenode
    for choice in (known, [str(name) for name, active in rows if active]):
        if namenode is None and len(choice) == 1:
            return choice[0]
    raise DataError(f"which NameNode? There are samples of {', '.join(known)}" if known else _NONE)


def latest_samples(store: Store) -> dict[str, float]:
    """Time of the latest sample of each NameNode, Unix seconds."""
    with store.read() as con:
        rows = con.execute("SELECT namenode, epoch(max(polled_at)) FROM namenode_metrics GROUP BY 1 ORDER BY 1")
        return {str(name): float(at) for name, at in rows.fetchall()}


def last_sample(store: Store, namenode: str) -> float:
    """Time of the latest sample, Unix seconds. Raises: DataError if there is none."""
    latest = latest_samples(store).get(namenode)
    if latest is None:
        raise DataError(f"no samples of {namenode} yet: `hdfs-pipeline collect` polls it")
    return latest


def _series(table: Any, namenode: str, users: bool) -> Series:
    names = table["names"].combine_chunks()
    numbers = table["numbers"].combine_chunks()
    lengths = np.asarray(names.value_lengths().fill_null(0))
    encoded = names.flatten().dictionary_encode()
    indices = {name: index for index, name in enumerate(COLUMNS)}
    # -1 for a column of another version, which is left out.
    of_code = np.array([indices.get(name, -1) for name in encoded.dictionary.to_pylist()], dtype=np.int64)
    columns = of_code[np.asarray(encoded.indices)] if len(of_code) else np.empty(0, dtype=np.int64)
    rows = np.repeat(np.arange(len(table)), lengths)
    known = columns >= 0
    values = np.full((len(table), len(COLUMNS)), np.nan, dtype=np.float32)
    values[rows[known], columns[known]] = np.asarray(numbers.flatten(), dtype=np.float64)[known]
    return Series(
        np.asarray(table["polled_us"], dtype=np.float64) / 1e6,
        values,
        COLUMNS,
        np.array(table["role"].to_pylist(), dtype=object),
        np.asarray(table["restarted"]).astype(bool),
        np.asarray(table["gap"]).astype(bool),
        [_users(text) for text in table["top_users"].to_pylist()] if users else None,
        namenode,
    )


def _users(text: str | None) -> TopUsers:
    return {name: [(user, count) for user, count in pairs] for name, pairs in json.loads(text or "{}").items()}
