"""The features of blocks: the event matrix of a home, as the detectors see it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks.item import BLOCK
from hdfs_pipeline.domains.blocks.knowledge import knowledge_of
from hdfs_pipeline.domains.blocks.lives import DELETION, unfinished_of
from hdfs_pipeline.domains.blocks.matrix import DOMAIN
from hdfs_pipeline.domains.blocks.sequences import block_sequences
from hdfs_pipeline.domains.blocks.templates import home_catalogue
from hdfs_pipeline.domains.contract import EVERYTHING, Selection
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix, Unfinished
from hdfs_pipeline.scoring.feedback import overlay, words_of
from hdfs_pipeline.scoring.knowledge import Knowledge
from hdfs_pipeline.scoring.labels import LABELS, UNLABELLED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.columns import listed, numbers
from hdfs_pipeline.store.store import Store

# Looked for are the places of rows, by two small columns; only the rows that are chosen are read.
_LIVES: Final = f"""WITH own AS (SELECT first_time AS began FROM event_matrix WHERE block_id = $block),
    near AS (
        SELECT rowid AS row, abs(epoch_us(first_time) - epoch_us(began)) AS apart FROM event_matrix, own
        WHERE first_time BETWEEN began - INTERVAL 1 DAY AND began + INTERVAL 1 DAY
            AND coalesce(unfinished, '') IN ('', '{DELETION}') AND block_id <> $block
        ORDER BY apart LIMIT $most
    )
    SELECT block_id, counts, unfinished FROM (
        SELECT block_id, counts, unfinished, -1 AS apart FROM event_matrix WHERE block_id = $block
        UNION ALL SELECT block_id, counts, unfinished, apart FROM event_matrix m JOIN near ON m.rowid = near.row
    ) ORDER BY apart, block_id"""

_PLACES: Final = "SELECT rowid FROM event_matrix WHERE block_id IN (SELECT unnest($items::BIGINT[]))"

# Logs repeat themselves: a million blocks have a few hundred vectors. So each vector is read once, and of a block just
# its id and its time.
_DISTINCT: Final = """SELECT counts, alarms, unfinished, label, kind,
        list(m.block_id) AS block_ids, list(epoch_us(first_time)) AS first_times
    FROM event_matrix m LEFT JOIN labels USING (block_id) WHERE {} GROUP BY ALL"""


def load_dataset(
    store: Store, settings: Settings, families: Iterable[str] = (), where: Selection = EVERYTHING
) -> Dataset:
    """The home's blocks of a selection as a Dataset, in the order of their ids, with the matrices of `families`.

    "events", "keywords" and "rules" are always there. "sequences" costs a sort of the blocks' events and is there
    only where `families` names it. People's feedback on a block takes the place of its label.
    Raises: DataError where nothing was ingested yet.
    """
    catalogue = home_catalogue(store, settings)
    condition, parameters = _condition(where)
    with store.read() as con:
        table = con.sql(_DISTINCT.format(condition), params=parameters).to_arrow_table()
        ordered = {}
        if "sequences" in families:
            keys = np.sort(listed(table["block_ids"])[0])
            ordered["sequences"] = block_sequences(con, catalogue, keys, only=where != EVERYTHING)
        words = words_of(con, DOMAIN, BLOCK.parse)
    data = dataset(table, catalogue, knowledge_of(catalogue, settings))
    shown = {name: replace(matrix, unfinished=data.main.unfinished) for name, matrix in ordered.items()}
    return overlay(replace(data, matrices=data.matrices | shown), words)


def lives_near(store: Store, settings: Settings, block_id: int, most: int) -> FeatureMatrix:
    """Counts of events: a block's own, then those of up to `most` whole blocks that began within a day of it.

    Empty where the home does not have the block. The nearest in time come first.
    """
    catalogue = home_catalogue(store, settings)
    with store.read() as con:
        about = {"block": block_id, "most": most}
        table = con.sql(_LIVES, params=about).to_arrow_table()
    width, keys = len(catalogue.columns), numbers(table["block_id"])
    counts = listed(table["counts"])[0].reshape(len(keys), width)
    unfinished = unfinished_of(table["unfinished"].to_pylist(), catalogue)
    source = (catalogue.label, catalogue.fingerprint)
    return FeatureMatrix(counts.astype(np.float32), keys, catalogue.columns, *source, unfinished)


def _condition(where: Selection) -> tuple[str, dict[str, Any]]:
    """A selection as SQL over `event_matrix m`, with its parameters."""
    conditions = ["true"]
    parameters: dict[str, Any] = {}
    if where.items is not None:
        conditions.append(f"m.rowid IN ({_PLACES})")
        parameters["items"] = list(where.items)
        if len(where.items) == 1:  # DuckDB skips row groups whose range an equation cannot meet
            conditions, parameters = ["m.block_id = $item"], {"item": where.items[0]}
    if where.began is not None:
        conditions.append("first_time >= $begin AND first_time < $end")
        parameters |= {"begin": where.began[0], "end": where.began[1]}
    return " AND ".join(conditions), parameters


def dataset(table: pa.Table, catalogue: Catalogue, knowledge: Knowledge) -> Dataset:
    """A Dataset of a table with a row for all blocks that are alike: what they share, and lists of what is their own.

    What they share are `counts`, `alarms`, `unfinished`, `label` and `kind` (or null); their own are `block_ids` and
    `first_times`, microseconds since 1970.
    """
    (keys, alike), (times, _) = listed(table["block_ids"]), listed(table["first_times"])
    order = np.argsort(keys, kind="stable")
    at = np.repeat(np.arange(len(table), dtype=np.int32), alike)[order]
    counts = listed(table["counts"])[0].reshape(len(table), len(catalogue.columns))
    unfinished = unfinished_of(table["unfinished"].to_pylist(), catalogue)
    rows = np.arange(len(table))
    distinct = features(rows, counts, numbers(table["alarms"]), catalogue, knowledge, unfinished)
    keys, unfinished = keys[order], unfinished.take(at)
    matrices = {
        family: replace(matrix, keys=keys, at=at, unfinished=None if matrix.unfinished is None else unfinished)
        for family, matrix in distinct.items()
    }
    labels = np.array([LABELS.get(label or "", UNLABELLED) for label in table["label"].to_pylist()], np.int8)
    kinds = np.array([kind or "" for kind in table["kind"].to_pylist()], object)
    return Dataset(DOMAIN, matrices, times[order], labels[at], kinds[at], plural=BLOCK.plural, alike=BLOCK.alike)


def features(
    keys: np.ndarray,
    counts: np.ndarray,
    alarms: np.ndarray,
    catalogue: Catalogue,
    knowledge: Knowledge,
    unfinished: Unfinished | None = None,
) -> dict[str, FeatureMatrix]:
    """What detectors see of blocks, by family.

    `counts` (n, d) of the catalogue's columns, `alarms` (n,), and the severity of each rule of `knowledge` that a block
    breaks.
    """
    values, source = counts.astype(np.float32), (catalogue.label, catalogue.fingerprint)
    return {
        "events": FeatureMatrix(values, keys, catalogue.columns, *source, unfinished),
        "keywords": FeatureMatrix(alarms.astype(np.float32)[:, None], keys, ("alarms",), "keywords"),
        "rules": FeatureMatrix(knowledge.grades(values, unfinished), keys, knowledge.ids, *source),
    }
