"""The requests of a home as a Dataset, and what changed of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.contract import EVERYTHING, Selection
from hdfs_pipeline.domains.weblogs.features import READ, matrices
from hdfs_pipeline.domains.weblogs.item import DOMAIN, REQUEST
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix, joined_matrices
from hdfs_pipeline.scoring.feedback import overlay, words_of
from hdfs_pipeline.scoring.labels import UNLABELLED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Connection, Store

COUNTS: Final = ("hits", "misses", "paths")  # what a client did before in its minute
_ROWS: Final = 1 << 19  # requests that are worked on at once, so that memory stays bounded
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE: Final = "time_bucket(INTERVAL 1 MINUTE, time)"
_COLUMNS: Final = ", ".join(("source_id", "position", "service", *READ))


def load_dataset(store: Store, settings: Settings, where: Selection = EVERYTHING) -> Dataset:
    """The home's requests of a selection as a Dataset, in the order of their ids, with all families.

    What a client did before in its minute is counted anew; of named requests only the minutes of their clients are
    read. Raises: DataError where no request was read yet.
    """
    with store.read() as con:
        if not con.execute("SELECT 1 FROM requests LIMIT 1").fetchall():
            raise DataError(
                f"no access logs have been read in this home yet: run `hdfs-pipeline ingest --domain {DOMAIN} PATH`"
            )
        only, parameters = _minutes_of(con, where)
        query = f"SELECT {_COLUMNS} FROM requests WHERE {only} ORDER BY source_id, position"
        reader = con.sql(query, params=parameters).to_arrow_reader(_ROWS)
        time, found = _featured(reader, settings, where)
        words = words_of(con, DOMAIN, REQUEST.parse)
    order = np.argsort(next(iter(found.values())).keys, kind="stable")
    found = {family: matrix.take(order) for family, matrix in found.items()}
    count = len(order)
    unlabelled, no_kind = np.full(count, UNLABELLED, np.int8), np.full(count, "", object)
    data = Dataset(DOMAIN, found, time[order], unlabelled, no_kind, plural=REQUEST.plural, alike=REQUEST.alike)
    return overlay(data, words)


def _minutes_of(con: Connection, where: Selection) -> tuple[str, dict[str, Any]]:
    """SQL of the requests whose minutes and clients a selection is about, and its parameters."""
    only = ["true"]
    parameters: dict[str, Any] = {}
    if where.items is not None:
        items = {"items": list(where.items)}
        named = "request_id IN (SELECT unnest($items::BIGINT[]))"
        first, last = con.execute(
            f"SELECT min({_MINUTE}), max({_MINUTE}) FROM requests WHERE {named}", items
        ).fetchall()[0]
        only.append("time >= $first AND time < $last::TIMESTAMPTZ + INTERVAL 1 MINUTE")
        only.append(f"""(source_id, service, client, {_MINUTE}) IN (
            SELECT (source_id, service, client, {_MINUTE}) FROM requests WHERE time >= $first
            AND time < $last::TIMESTAMPTZ + INTERVAL 1 MINUTE AND {named})""")
        parameters |= items | {"first": first, "last": last}
    if where.began is not None:
        only.append("time >= time_bucket(INTERVAL 1 MINUTE, $begin::TIMESTAMPTZ) AND time < $end")
        parameters |= {"begin": where.began[0], "end": where.began[1]}
    return " AND ".join(only), parameters


def _featured(
    reader: pa.RecordBatchReader, settings: Settings, where: Selection
) -> tuple[np.ndarray, dict[str, FeatureMatrix]]:
    """Times (n,) int64 and features of the selected requests among those read, which come in the order of sources."""
    from hdfs_pipeline.domains.weblogs.clients import Clients

    clients: dict[int, Clients] = {}
    times: list[np.ndarray] = []
    found: dict[str, FeatureMatrix] = {}
    for table in _tables(reader):
        source = table["source_id"].to_numpy()
        begins = np.flatnonzero(np.append(True, source[1:] != source[:-1])[: len(source)]).tolist()
        counts = np.zeros((len(source), 3), np.int32)
        for begin, end in zip(begins, [*begins[1:], len(source)][: len(begins)], strict=True):
            own = int(source[begin])
            clients = {own: clients.get(own) or Clients()}  # of the sources before it nothing comes any more
            counts[begin:end] = clients[own].count(table.slice(begin, end - begin))
        chosen = _selected(table, where)
        own_rows = with_clients(table.filter(pa.array(chosen)), counts[chosen])
        times.append(_microseconds(own_rows))
        new = matrices(own_rows, settings)
        found = {name: joined_matrices(found[name], own) for name, own in new.items()} if found else new
    return np.concatenate(times), found


def _tables(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """What is read, piece by piece: at least one piece."""
    some = False
    for batch in reader:
        some = True
        yield pa.Table.from_batches([batch])
    if not some:
        yield pa.Table.from_batches([], reader.schema)


def with_clients(requests: pa.Table, counts: np.ndarray) -> pa.Table:
    """The requests with `hits`, `misses` and `paths`, from `counts` (n, 3) of `clients.Clients`."""
    for name, column in zip(COUNTS, counts.T, strict=True):
        requests = requests.append_column(name, pa.array(np.ascontiguousarray(column)))
    return requests


def _selected(table: pa.Table, where: Selection) -> np.ndarray:
    """Which requests (n,) bool are selected, of those of their minutes."""
    chosen = np.ones(len(table), bool)
    if where.items is not None:
        chosen &= np.isin(table["request_id"].to_numpy(), np.array([*where.items], np.int64))
    if where.began is not None:
        begin, end = ((at - _EPOCH) // timedelta(microseconds=1) for at in where.began)
        chosen &= (_microseconds(table) >= begin) & (_microseconds(table) < end)
    return chosen


def _microseconds(table: pa.Table) -> np.ndarray:
    times: np.ndarray = table["time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    return times
