"""Orders: each has a life of events, written to CSV files as order_id,time,event."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.contract import EVERYTHING, Domain, Facts, Item, Read, Selection
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.explain import Vocabulary
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.feedback import overlay, words_of
from hdfs_pipeline.scoring.incidents import Grouping
from hdfs_pipeline.scoring.labels import LABELS, UNLABELLED
from hdfs_pipeline.scoring.runs import Persistence
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into

EVENTS = ("placed", "paid", "packed", "sent", "returned", "UNKNOWN")


def parse_order_id(text: str) -> str:
    if not re.fullmatch(r"order-\d{1,9}", text.strip()):
        raise DataError(f"{text!r} is no id of an order; one looks like order-17")
    return text.strip()


class Orders(Domain):
    """Orders of a shop, by how often each event happened to them."""

    name = "orders"
    item = Item("order", "orders", "order_id", "order-17", parse_order_id, str, "the same events")
    default_detector = "exact_match"
    families = ("events",)
    unknown = "UNKNOWN"

    def read(
        self,
        store: Store,
        settings: Settings,
        paths: Sequence[str],
        labels: Path | pa.Table | None = None,
        on_step: Callable[[str, int | None, int | None], None] = lambda *_: None,
        *,
        propose: bool = True,
    ) -> Read:
        on_step("reading", 0, len(paths))
        known = None if labels is None else labels if isinstance(labels, pa.Table) else self.labels(labels)[1]
        rows = pa.concat_tables([_csv(path) for path in paths]) if paths else None
        with store.write() as con:
            if rows is not None:
                same = "(order_id, time, event) IN (SELECT (order_id, time, event) FROM publish_source)"
                publish_into(con, "order_events", rows, replace=same)
            if known is not None:
                publish_into(con, "order_labels", known, replace="order_id IN (SELECT order_id FROM publish_source)")
            lines, items = con.execute("SELECT count(*), count(DISTINCT order_id) FROM order_events").fetchall()[0]
        return Read(len(paths), lines, lines, 0, items, "shop", 1.0, None if known is None else len(known))

    def labels(self, path: Path | str) -> tuple[np.ndarray, pa.Table]:
        table = duckdb.sql(f"SELECT order_id, label FROM read_csv('{path}', header = true)").to_arrow_table()
        return np.array(table["order_id"].to_pylist()), table

    def features(
        self, store: Store, settings: Settings, families: Iterable[str] = (), where: Selection = EVERYTHING
    ) -> Dataset:
        conditions, parameters = ["true"], {}
        if where.items is not None:
            conditions.append("list_contains($items, order_id)")
            parameters["items"] = list(where.items)
        if where.began is not None:
            conditions.append("begun >= $begin AND begun < $end")
            parameters |= {"begin": where.began[0], "end": where.began[1]}
        counts = ", ".join(f"count(*) FILTER (event = '{event}') AS {event}" for event in EVENTS[:-1])
        with store.read() as con:
            if not con.execute("SELECT 1 FROM order_events LIMIT 1").fetchall():
                raise DataError("no orders have been read in this home yet: run `hdfs-pipeline ingest PATH`")
            table = con.sql(
                f"""SELECT order_id, begun, label, {counts}, 0 AS UNKNOWN FROM
                (SELECT *, min(time) OVER (PARTITION BY order_id) AS begun FROM order_events)
                LEFT JOIN order_labels USING (order_id) WHERE {" AND ".join(conditions)} GROUP BY ALL
                ORDER BY order_id""",
                params=parameters,
            ).to_arrow_table()
            words = words_of(con, self.name, self.item.parse)
        keys = np.array(table["order_id"].to_pylist(), dtype="<U20")
        values = np.column_stack([table[event].to_numpy() for event in EVENTS]).astype(np.float32)
        labels = np.array([LABELS.get(label or "", UNLABELLED) for label in table["label"].to_pylist()], np.int8)
        time = table["begun"].cast(pa.int64()).to_numpy()
        matrix = FeatureMatrix(values, keys, EVENTS, "shop")
        kinds = np.full(len(keys), "", object)
        data = Dataset(
            self.name,
            {"events": matrix},
            time,
            labels,
            kinds,
            plural=self.item.plural,
            alike=self.item.alike,
        )
        return overlay(data, words)

    def grouping(self, settings: Settings) -> Grouping:
        return Grouping(Persistence(least_s=0.0, gap_s=2 * 3600.0), self.detectors)

    def vocabulary(self, settings: Settings, source: str) -> Vocabulary:
        return Vocabulary(lambda column: f"“{column}”", self.item.noun, self.item.alike, EVENTS)

    def facts(self, store: Store, keys: Sequence[str] | None = None) -> dict[str, Facts]:
        with store.read() as con:
            rows = con.execute(
                """SELECT order_id, min(time), max(time), count(*), any_value(label) FROM order_events
                LEFT JOIN order_labels USING (order_id) GROUP BY order_id"""
            ).fetchall()
        return {row[0]: Facts(*row[1:]) for row in rows if keys is None or row[0] in keys}

    def evidence(
        self, store: Store, settings: Settings, key: str, limit: int, telling: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        with store.read() as con:
            rows = con.execute(
                "SELECT time, event FROM order_events WHERE order_id = ? ORDER BY time LIMIT ?", [key, limit]
            ).fetchall()
        return [{"time": time, "line": f"{time:%H:%M:%S} {event}"} for time, event in rows]

    def days(self, store: Store) -> dict[date, int]:
        with store.read() as con:
            rows = con.execute(
                """SELECT begun::DATE AS day, count(*) FROM
                (SELECT min(time) AS begun FROM order_events GROUP BY order_id) GROUP BY day ORDER BY day"""
            ).fetchall()
        return dict(rows)

    def learnable(self, store: Store, serving: str) -> tuple[int, int, int]:
        with store.read() as con:
            return con.execute(
                """SELECT count(*) FILTER (label IN ('normal', 'anomaly')), count(*) FILTER (label IS NULL), 0
                FROM (SELECT DISTINCT order_id FROM order_events) LEFT JOIN order_labels USING (order_id)"""
            ).fetchall()[0]


def _csv(path: str) -> pa.Table:
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file of orders")
    columns = "{'order_id': 'VARCHAR', 'time': 'TIMESTAMPTZ', 'event': 'VARCHAR'}"
    return duckdb.sql(f"SELECT * FROM read_csv('{path}', header = true, columns = {columns})").to_arrow_table()
