"""Verdicts on the blocks of a home: scores of every block, and the anomalies with their reasons."""

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from hdfs_pipeline.detectors import DETECTORS, detector_row, families
from hdfs_pipeline.domains.blocks.catalogue import Catalogue, catalogues
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.domains.blocks.feedback import verdicts
from hdfs_pipeline.domains.blocks.records import LAYOUTS
from hdfs_pipeline.errors import DataError, SetupError
from hdfs_pipeline.scoring.dataset import ANOMALY, NORMAL
from hdfs_pipeline.scoring.explain import Explanation, explain_rows
from hdfs_pipeline.scoring.explain_sequences import explain_sequences
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.models import load_model, named_champion, trained_detectors
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into

_SAID = {
    ANOMALY: "people called a block with the same events a real anomaly; ",
    NORMAL: "people called a block with the same events a false alarm; ",
}
_LINES = 200  # raw records that `explain` shows


def load_scorer(settings: Settings, name: str) -> Scorer:
    """The champion of a detector. Raises: DataError for an unknown name, NotTrainedError where it is not trained."""
    return load_model(detector_row(name).cls, settings)


def serving_detector(settings: Settings) -> str:
    """The champion (`named_champion`); where it has no model, the first detector on counts that has one stands in."""
    trained, champion = trained_detectors(settings), named_champion(settings)
    if champion in trained:
        return champion
    stand_ins = (name for name in DETECTORS if name in trained and DETECTORS[name].cls.features != "sequences")
    return next(stand_ins, champion)


def score_blocks(store: Store, settings: Settings, name: str) -> pa.Table:
    """Score every block of the home with one detector and publish its rows of `scores`, which are returned."""
    scorer = load_scorer(settings, name)
    matrix = load_dataset(store, settings, families([name])).matrix(scorer.card.family)
    scores = scorer.score(matrix)
    table = pa.table(
        {
            "block_id": matrix.keys,
            "detector": [name] * len(scores),
            "version": np.full(len(scores), scorer.card.version, np.int32),
            "score": scores,
            "threshold": np.full(len(scores), scorer.card.threshold),
            "is_anomaly": scores >= scorer.card.threshold,
            "scored_at": pa.array([datetime.now(UTC)] * len(scores), pa.timestamp("us", "UTC")),
        }
    )
    with store.write() as con:
        publish_into(con, "scores", table, replace="detector = ?", parameters=[name])
    return table


def publish_anomalies(store: Store, settings: Settings, name: str) -> int:
    """Explain the blocks that a detector's `scores` call anomalous and publish them as `anomalies`; how many."""
    scorer = load_scorer(settings, name)
    data = load_dataset(store, settings, families([name]))
    with store.read() as con:
        found = con.sql(
            """SELECT block_id, version, score, threshold, first_time, last_time, lines
            FROM scores JOIN event_matrix USING (block_id) WHERE detector = $name AND is_anomaly ORDER BY block_id""",
            params={"name": name},
        ).to_arrow_table()
    matrix = data.matrix(scorer.card.family)
    rows = np.searchsorted(matrix.keys, found["block_id"].to_numpy())
    reasons = explain_matrix(scorer, settings, matrix.values[rows])
    table = found.append_column("detector", pa.array([name] * len(rows), pa.string()))
    table = table.append_column("reason", pa.array([found.reason for found in reasons], pa.string()))
    details = [json.dumps(found.to_json()) for found in reasons]
    table = table.append_column("explanation", pa.array(details, pa.string()))
    with store.write() as con:
        publish_into(con, "anomalies", table, replace="detector = ?", parameters=[name])
    return len(rows)


def explain_matrix(scorer: Scorer, settings: Settings, values: np.ndarray) -> list[Explanation]:
    """Explanations of rows of a matrix, each distinct row explained once."""
    return explain_values(scorer, catalogues(settings.catalogues).get(scorer.card.source), values)


def explain_values(scorer: Scorer, catalogue: Catalogue | None, values: np.ndarray) -> list[Explanation]:
    """The same with the catalogue at hand that gave the columns their names (None for alarms)."""
    if not len(values):
        return []
    distinct, inverse = np.unique(values, axis=0, return_inverse=True)
    describe = catalogue.describe if catalogue else _describe_alarms
    if scorer.card.family == "sequences":
        if catalogue is None:
            raise SetupError(
                f"the model's catalogue {scorer.card.source} is not in this home: put it back, or train again"
            )
        shares = scorer.detector.explain(distinct, distinct)
        reasons = explain_sequences(distinct, scorer.normals, shares, catalogue.columns, describe)
    else:
        nearest, shares = scorer.explain(distinct)
        reasons = explain_rows(distinct, nearest, shares, scorer.card.columns, describe)
    said = [_SAID.get(label, "") for label in scorer.said(distinct).tolist()]
    reasons = [replace(found, reason=told + found.reason) for found, told in zip(reasons, said, strict=True)]
    return [reasons[at] for at in inverse.reshape(-1)]


def _describe_alarms(column: str) -> str:
    return "record with WARN, ERROR, exception or corrupt" if column == "alarms" else column


@dataclass(frozen=True)
class BlockReport:
    """All there is to say of one block; `lines` are its raw records by time, the first 200 of `records`.

    `feedback` is its row in that table, None where nobody has said anything of it.
    """

    block_id: str
    detector: str
    score: float
    threshold: float
    is_anomaly: bool
    explanation: Explanation
    first_time: datetime
    last_time: datetime
    label: str | None
    records: int
    lines: list[dict[str, Any]]
    feedback: dict[str, Any] | None = None


def parse_block_id(text: str) -> int:
    """The number of a block id, written with or without ``blk_``. Raises: DataError."""
    found = re.fullmatch(r"\s*(?:blk_)?(-?\d{1,19})(?:_\d+)?\s*", text)
    if not found or not -(2**63) <= int(found[1]) < 2**63:
        raise DataError(f"{text!r} is no block id; one looks like blk_1073741825")
    return int(found[1])


def score_block(store: Store, settings: Settings, scorer: Scorer, block_id: int) -> tuple[FeatureMatrix, float]:
    """The row of one block of the home, and its score. Raises: IndexError for a block that the home does not have."""
    matrix = load_dataset(store, settings, families([scorer.card.detector])).matrix(scorer.card.family)
    row = matrix.take(np.flatnonzero(matrix.keys == block_id))
    return row, float(scorer.score(row)[0])


def explain_block(store: Store, settings: Settings, text: str, name: str) -> BlockReport:
    """Score and explain one block with a detector's champion. Raises: DataError for a block that no log names."""
    block_id = parse_block_id(text)
    scorer = load_scorer(settings, name)
    with store.read() as con:
        known = con.execute(
            """SELECT first_time, last_time, label, lines
            FROM event_matrix LEFT JOIN labels USING (block_id) WHERE block_id = ?""",
            [block_id],
        ).fetchall()
        if not known:
            raise DataError(f"no log of this home names blk_{block_id}; `hdfs-pipeline ingest PATH` reads more")
        lines = _raw_lines(con, block_id, settings.log_timezone)
        said = next(iter(verdicts(con, block_id)), None)
    row, score = score_block(store, settings, scorer, block_id)
    first, last, label, records = known[0]
    reason = explain_matrix(scorer, settings, row.values)[0]
    anomalous = score >= scorer.card.threshold
    return BlockReport(
        f"blk_{block_id}",
        name,
        score,
        scorer.card.threshold,
        anomalous,
        reason,
        first,
        last,
        label,
        records,
        lines,
        said,
    )


def _raw_lines(con: Any, block_id: int, timezone: str) -> list[dict[str, Any]]:
    """The records of a block as they were written (in the daemons' `timezone`), merged over their files by time."""
    local = "timezone($timezone, r.time)"
    stamp = " ".join(f"WHEN '{layout.name}' THEN strftime({local}, '{layout.format}')" for layout in LAYOUTS.values())
    cursor = con.execute(
        f"""SELECT r.time, s.host, s.daemon, e.event_id,
            (CASE s.layout {stamp} END) || r.origin || ': ' || r.message
            || CASE WHEN r.more = '' THEN '' ELSE chr(10) || r.more END AS line
        FROM raw_logs r JOIN parsed_events e USING (source_id, position) JOIN sources s USING (source_id)
        WHERE list_contains(r.block_ids, $block) ORDER BY r.time, r.source_id, r.position LIMIT {_LINES}""",
        {"block": block_id, "timezone": timezone},
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
