"""The event matrix of a home: made of `parsed_events`, read back as a Dataset for the detectors."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.blocks.catalogue import Catalogue
from hdfs_pipeline.domains.blocks.feedback import overlay, verdicts
from hdfs_pipeline.domains.blocks.kernel import counts_sql, event_matrix
from hdfs_pipeline.domains.blocks.parse import home_catalogue
from hdfs_pipeline.domains.blocks.sequences import block_sequences
from hdfs_pipeline.scoring.dataset import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED, Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into

_LABELS = {"normal": NORMAL, "anomaly": ANOMALY, "ambiguous": AMBIGUOUS}


def build_matrix(store: Store, settings: Settings) -> pa.Table:
    """Count events per block anew and publish them as `event_matrix`, whose rows are returned."""
    catalogue = home_catalogue(store, settings)
    names = ", ".join(f"'{name}'" for name in catalogue.columns)
    events = f"(SELECT block_ids, alarm, time, enum_code(event_id::ENUM({names})) AS event FROM parsed_events)"
    with store.read() as con:
        counts = con.sql(counts_sql(events)).to_arrow_table()
    table = event_matrix(counts, catalogue)
    with store.write() as con:
        publish_into(con, "event_matrix", table, replace="true")
    return table


def load_dataset(store: Store, settings: Settings, families: Iterable[str] = ("events", "keywords")) -> Dataset:
    """The home's blocks as a Dataset, in the order of their ids, with the matrices of `families`.

    "events" and "keywords" come in any case; "sequences" costs a sort of all events, so only where it is asked for.
    What people said of blocks (`feedback`) lies over their labels.
    Raises: DataError where nothing was ingested yet.
    """
    catalogue = home_catalogue(store, settings)
    with store.read() as con:
        table = con.sql(
            "SELECT m.block_id, first_time, alarms, counts, label, kind FROM event_matrix m "
            "LEFT JOIN labels USING (block_id) ORDER BY block_id"
        ).to_arrow_table()
        ordered = {"sequences": block_sequences(con, catalogue)} if "sequences" in families else {}
        said = [(row["block_id"], row["verdict"]) for row in verdicts(con)]
    found = dataset(table, catalogue, table["label"].to_pylist(), table["kind"].to_pylist())
    return overlay(replace(found, matrices=found.matrices | ordered), said)


def dataset(table: pa.Table, catalogue: Catalogue, labels: Iterable[str | None], kinds: Iterable[Any]) -> Dataset:
    """A Dataset of a table of schema `EVENT_MATRIX` and a label (or None) and kind for each of its rows."""
    keys = table["block_id"].to_numpy()
    width = len(catalogue.columns)
    counts = table["counts"].combine_chunks().flatten().to_numpy().reshape(len(keys), width)
    return Dataset(
        features(keys, counts, table["alarms"].to_numpy(), catalogue),
        table["first_time"].cast(pa.int64()).to_numpy(),
        np.array([_LABELS.get(label or "", UNLABELLED) for label in labels], np.int8),
        np.array([kind or "" for kind in kinds], object),
    )


def features(
    keys: np.ndarray, counts: np.ndarray, alarms: np.ndarray, catalogue: Catalogue
) -> dict[str, FeatureMatrix]:
    """What detectors see of blocks, by family: `counts` (n, d) of the catalogue's columns, and `alarms` (n,)."""
    return {
        "events": FeatureMatrix(
            counts.astype(np.float32), keys, catalogue.columns, catalogue.label, catalogue.fingerprint
        ),
        "keywords": FeatureMatrix(alarms.astype(np.float32)[:, None], keys, ("alarms",), "keywords"),
    }
