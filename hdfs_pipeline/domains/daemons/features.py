"""The features of daemons' minutes: counts of templates, and the rules that they break."""

from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.contract import EVERYTHING, Selection
from hdfs_pipeline.domains.daemons.catalogue import KINDS, described
from hdfs_pipeline.domains.daemons.item import DOMAIN, MINUTE
from hdfs_pipeline.domains.daemons.knowledge import knowledge_of
from hdfs_pipeline.domains.daemons.minutes import OF_ITEMS, minutes_of, told_sql
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.feedback import overlay, words_of
from hdfs_pipeline.scoring.knowledge import RULES
from hdfs_pipeline.scoring.labels import UNLABELLED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

FAMILY: Final = "minutes"
_ITEMS: Final = """SELECT key, epoch_us(first_time) AS time, kind FROM (
        SELECT key, min(first_time) AS first_time, any_value(if(topic = '', kind, '')) AS kind
        FROM ({told}) GROUP BY key
    ) WHERE {named} ORDER BY key"""
_COUNTS: Final = """SELECT key, event_id, sum(records)::BIGINT AS records FROM ({told})
        SEMI JOIN wanted_minutes USING (key) GROUP BY ALL
    UNION ALL SELECT item, event_id, number FROM daemon_lives SEMI JOIN wanted_minutes ON key = item"""


def load_dataset(store: Store, settings: Settings, where: Selection = EVERYTHING) -> Dataset:
    """The home's daemon minutes of a selection as a Dataset, in the order of their ids, with all families.

    Raises: DataError where no record of a daemon was read yet.
    """
    known = described()
    only, named, parameters = _selected(where)
    with store.read() as con:
        if not con.execute("SELECT 1 FROM daemon_minutes LIMIT 1").fetchall():
            raise DataError("no records of daemons have been read in this home yet: run `hdfs-pipeline ingest PATH`")
        told = told_sql(only)
        items = con.sql(_ITEMS.format(told=told, named=named), params=parameters).to_arrow_table()
        con.register("wanted_minutes", items.select(["key"]))
        try:
            minutes = {name: value for name, value in parameters.items() if f"${name}" in only}
            counts = con.sql(_COUNTS.format(told=told), params=minutes).to_arrow_table()
        finally:
            con.unregister("wanted_minutes")
        words = words_of(con, DOMAIN, MINUTE.parse)
    keys = np.array(items["key"].to_pylist(), str)
    values = np.zeros((len(keys), len(known.columns)), np.float32)
    place = {name: at for at, name in enumerate(known.columns)}
    events = np.array([place[event] for event in counts["event_id"].to_pylist()], np.int64)
    rows = np.searchsorted(keys, np.array(counts["key"].to_pylist(), str))
    values[rows, events] = counts["records"].to_numpy()
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


def _selected(where: Selection) -> tuple[str, str, dict[str, Any]]:
    """A selection as SQL: over rows of `daemon_minutes` that it may be about, over items, and the parameters."""
    only, named = ["true"], ["true"]
    parameters: dict[str, Any] = {}
    if where.items is not None:
        only.append(OF_ITEMS)
        named.append("key IN (SELECT unnest($items::VARCHAR[]))")
        parameters |= {"items": list(where.items), "minutes": minutes_of(where.items)}
    if where.began is not None:
        only.append("minute > $begin - INTERVAL 1 MINUTE AND minute < $end")
        named.append("first_time >= $begin AND first_time < $end")
        parameters |= {"begin": where.began[0], "end": where.began[1]}
    return " AND ".join(only), " AND ".join(named), parameters
