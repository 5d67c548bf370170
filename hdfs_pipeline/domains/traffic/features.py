"""The features of traffic windows: measures with what is usual of them, signs of trouble, and the rules they break."""

from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.contract import EVERYTHING, Selection
from hdfs_pipeline.domains.traffic.item import DOMAIN, KEY_SQL, WINDOW, take_apart, window_id
from hdfs_pipeline.domains.traffic.knowledge import COLUMNS, knowledge_of
from hdfs_pipeline.domains.traffic.signs import columns_of, signs
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.feedback import overlay, words_of
from hdfs_pipeline.scoring.knowledge import RULES
from hdfs_pipeline.scoring.labels import UNLABELLED
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

FAMILY: Final = "windows"
_HOUR_US: Final = 3_600_000_000
_MONDAY: Final = 72  # hours from the first Monday before 1970-01-01 until then
_CODES: Final = 1 << 23  # of groups: each is a whole number that float32 holds exactly
# With the windows of whole services, which say what of their endpoints they explain.
_WINDOWS: Final = f"""WITH chosen AS (SELECT * EXCLUDE (revision), {KEY_SQL} AS key FROM request_windows WHERE {{only}})
    SELECT *, true AS chosen FROM chosen
    UNION ALL BY NAME SELECT * EXCLUDE (revision), {KEY_SQL} AS key, false AS chosen FROM request_windows r
        WHERE endpoint = '*' AND minute IN (SELECT minute FROM chosen)
        AND NOT EXISTS (FROM chosen c WHERE c.service = r.service AND c.minute = r.minute AND c.endpoint = '*')
    ORDER BY key"""


def matrices(windows: pa.Table, settings: Settings, wanted: np.ndarray | None = None) -> dict[str, FeatureMatrix]:
    """What detectors see of windows (schema `weblogs.windows.WINDOWS`), in their order: the main family first.

    With `wanted` (n,) bool only those; the others say what of them their service explains.
    """
    rows = np.arange(len(windows)) if wanted is None else np.flatnonzero(wanted)
    found = signs(windows, settings)[rows].astype(np.float32)
    own = {name: np.nan_to_num(column[rows]) for name, column in columns_of(windows).items()}
    columns = own | _made(windows, rows, own)
    measures = [columns[name] for name in COLUMNS if name in columns]
    values = np.concatenate([np.array(measures, np.float32).T, found], axis=1)
    minutes, services, endpoints = (
        windows[name].take(pa.array(rows)).to_pylist() for name in ("minute", "service", "endpoint")
    )
    keys = np.array([window_id(*each) for each in zip(minutes, services, endpoints, strict=True)], str)
    knowledge = knowledge_of(settings)
    return {
        FAMILY: FeatureMatrix(values, keys, COLUMNS, FAMILY),
        RULES: FeatureMatrix(knowledge.grades(values), keys, knowledge.ids, FAMILY),
    }


def _made(windows: pa.Table, rows: np.ndarray, own: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns that are made of others: the group's code, the hour of the week from Monday on, shares per mille."""
    import pyarrow.compute as pc

    from hdfs_pipeline.domains.weblogs.texts import text_hashes

    group = pc.binary_join_element_wise(windows["service"], windows["endpoint"], " ")
    hours = windows["minute"].combine_chunks().cast(pa.int64()).to_numpy()[rows] // _HOUR_US
    requests = np.maximum(own["requests"], 1)
    return {
        "group": (text_hashes(group)[rows] % np.uint64(_CODES)).astype(np.float64),
        "hour_of_week": (hours + _MONDAY) % 168,
        "error_share": 1000 * own["errors"] / requests,
        "client_error_share": 1000 * own["client_errors"] / requests,
    }


def load_dataset(store: Store, settings: Settings, where: Selection = EVERYTHING) -> Dataset:
    """The home's traffic windows of a selection as a Dataset, in the order of their ids, with all families.

    Raises: DataError where no window was counted yet.
    """
    import pyarrow.compute as pc

    only, parameters = _selected(where)
    with store.read() as con:
        if not con.execute("SELECT 1 FROM request_windows LIMIT 1").fetchall():
            raise DataError(
                "no minutes of web traffic have been counted in this home yet: run `hdfs-pipeline ingest --domain "
                "weblogs PATH`"
            )
        windows = con.sql(_WINDOWS.format(only=only), params=parameters).to_arrow_table()
        words = words_of(con, DOMAIN, WINDOW.parse)
    chosen = windows["chosen"].combine_chunks().to_numpy(zero_copy_only=False)
    first = pc.fill_null(windows["first_time"], windows["minute"]) if len(windows) else windows["minute"]
    time = first.combine_chunks().cast(pa.int64()).to_numpy()[chosen]
    found = matrices(windows, settings, chosen)
    count = int(chosen.sum())
    unlabelled, no_kind = np.full(count, UNLABELLED, np.int8), np.full(count, "", object)
    data = Dataset(DOMAIN, found, time, unlabelled, no_kind, plural=WINDOW.plural, alike=WINDOW.alike)
    return overlay(data, words)


def _selected(where: Selection) -> tuple[str, dict[str, Any]]:
    """A selection as SQL over rows of `request_windows`, and its parameters."""
    only, parameters = ["true"], dict[str, Any]()
    if where.items is not None:
        only.append(f"{OF_MINUTES} AND {KEY_SQL} IN (SELECT unnest($items::VARCHAR[]))")
        parameters |= {"items": list(where.items), "minutes": sorted({take_apart(key).minute for key in where.items})}
    if where.began is not None:
        only.append(
            "minute > $begin::TIMESTAMPTZ - INTERVAL 1 MINUTE AND minute < $end "
            "AND coalesce(first_time, minute) >= $begin AND coalesce(first_time, minute) < $end"
        )
        parameters |= {"begin": where.began[0], "end": where.began[1]}
    if where.entity:
        only.append("service = $entity")
        parameters["entity"] = where.entity
    return " AND ".join(only), parameters


OF_MINUTES: Final = "minute IN (SELECT unnest($minutes::TIMESTAMPTZ[]))"
"""Of rows of `request_windows` those of some minutes: to make the ids of all takes far longer."""
