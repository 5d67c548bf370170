"""The features of daemons' minutes: counts of templates, and the rules that they break."""

from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.contract import EVERYTHING, Selection
from hdfs_pipeline.domains.daemons.catalogue import CRASHED, KINDS, RESTARTED, SILENT, described
from hdfs_pipeline.domains.daemons.item import DOMAIN, MINUTE
from hdfs_pipeline.domains.daemons.knowledge import knowledge_of
from hdfs_pipeline.domains.daemons.minutes import lives, told_sql, within
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.feedback import overlay, words_of
from hdfs_pipeline.scoring.knowledge import RULES
from hdfs_pipeline.scoring.labels import UNLABELLED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

FAMILY: Final = "minutes"
_LIVES: Final = {
    RESTARTED: ("restarted", "start_key"),
    CRASHED: ("crashed", "start_key"),
    SILENT: ("silent", "last_key"),
}


def load_dataset(store: Store, settings: Settings, where: Selection = EVERYTHING) -> Dataset:
    """The home's daemon minutes of a selection as a Dataset, in the order of their ids, with all families.

    Raises: DataError where no record of a daemon was read yet.
    """
    import pyarrow.compute as pc

    known = described()
    having, parameters = _having(where)
    with store.read() as con:
        if not con.execute("SELECT 1 FROM daemon_minutes LIMIT 1").fetchall():
            raise DataError("no records of daemons have been read in this home yet: run `hdfs-pipeline ingest PATH`")
        items = con.sql(
            f"""SELECT key, epoch_us(min(first_time)) AS time, any_value(if(topic = '', kind, '')) AS kind
            FROM ({told_sql()}) WHERE true {_named(where)} GROUP BY key {having} ORDER BY key""",
            params=parameters,
        ).to_arrow_table()
        con.register("wanted_minutes", items.select(["key"]))
        try:
            counts = con.sql(
                f"""SELECT key, event_id, sum(records) AS records FROM ({told_sql()})
                SEMI JOIN wanted_minutes USING (key) GROUP BY ALL"""
            ).to_arrow_table()
        finally:
            con.unregister("wanted_minutes")
        around = lives(con, where.items)
        words = words_of(con, DOMAIN, MINUTE.parse)
    keys = np.array(items["key"].to_pylist(), str)
    values = np.zeros((len(keys), len(known.columns)), np.float32)
    place = {name: at for at, name in enumerate(known.columns)}
    events = np.array([place[event] for event in counts["event_id"].to_pylist()], np.int64)
    values[_rows(keys, counts["key"])[0], events] = counts["records"].to_numpy()
    for column, (name, key) in _LIVES.items():
        some = around.filter(pc.greater(around[name], 0))
        rows, there = _rows(keys, some[key])
        values[rows, place[column]] = some[name].to_numpy()[there]
    kind = np.array(items["kind"].to_pylist(), str)
    for name in KINDS:
        values[:, place[name.upper()]] = kind == name
    knowledge, source = knowledge_of(settings), (known.catalogue.label, known.catalogue.fingerprint)
    matrices = {
        FAMILY: FeatureMatrix(values, keys, known.columns, *source),
        RULES: FeatureMatrix(knowledge.grades(values), keys, knowledge.ids, *source),
    }
    unlabelled, no_kind = np.full(len(keys), UNLABELLED, np.int8), np.full(len(keys), "", object)
    time = items["time"].to_numpy().astype(np.int64)
    data = Dataset(DOMAIN, matrices, time, unlabelled, no_kind, plural=MINUTE.plural, alike=MINUTE.alike)
    return overlay(data, words)


def _named(where: Selection) -> str:
    """The named items as SQL; their minutes beside their ids, for only these are read then."""
    if where.items is None:
        return ""
    return "AND minute BETWEEN $first AND $last AND key IN (SELECT unnest($items::VARCHAR[]))"


def _having(where: Selection) -> tuple[str, dict[str, Any]]:
    """The rest of a selection as SQL, and all its parameters."""
    parameters: dict[str, Any] = {}
    if where.items is not None:
        first, last = within(where.items)
        parameters = {"items": list(where.items), "first": first, "last": last}
    if where.began is None:
        return "", parameters
    parameters |= {"begin": where.began[0], "end": where.began[1]}
    return "HAVING min(first_time) >= $begin AND min(first_time) < $end", parameters


def _rows(keys: np.ndarray, wanted: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Indices into sorted `keys` (n,) of those of `wanted` (m,) that are there, and which of them are: (m,) bool."""
    texts = np.array(wanted.to_pylist(), str)
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(len(texts), bool)
    rows = np.searchsorted(keys, texts).clip(max=len(keys) - 1)
    there = keys[rows] == texts
    return rows[there], there
