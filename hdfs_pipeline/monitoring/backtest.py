"""Backtest: what another model or another threshold would have flagged, day by day, beside what was flagged.

What was flagged is what the store says now: the rows of `scores` of the detector that serves. A day is the UTC day of a
block's first event. Blocks are known to be anomalous or normal by feedback, else by label.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.detectors import detector_row, families
from hdfs_pipeline.domains.blocks.features import dataset, load_dataset
from hdfs_pipeline.domains.blocks.parse import home_catalogue
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.scoring.dataset import ANOMALY, NORMAL
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.models import load_model
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into
from hdfs_pipeline.verdicts.score import serving_detector

COUNTS: Final = (
    "blocks",
    "unscored",
    "flagged_before",
    "flagged_after",
    "gained",
    "lost",
    "anomalies",
    "gained_real",
    "gained_false",
    "lost_real",
    "lost_false",
)
"""Columns of `backtests` that count blocks."""
_LISTED: Final = 6  # days that an error names
_DAY: Final = """SELECT block_id, first_time, alarms, counts, s.is_anomaly AS before, s.score AS score_before,
    coalesce(CASE f.verdict WHEN 'real' THEN 'anomaly' WHEN 'false' THEN 'normal' ELSE f.verdict END, label) AS label
FROM event_matrix LEFT JOIN labels USING (block_id) LEFT JOIN feedback f USING (block_id)
LEFT JOIN (SELECT block_id, is_anomaly, score FROM scores WHERE detector = $serving) s USING (block_id)
WHERE first_time >= $begin AND first_time < $end ORDER BY block_id"""


@dataclass(frozen=True)
class Trial:
    """A model and the threshold that it is tried with."""

    scorer: Scorer
    threshold: float

    @property
    def name(self) -> str:
        """Detector, version and threshold: what names its rows in `backtests`."""
        return f"{self.scorer.card.detector} v{self.scorer.card.version} from {self.threshold!r}"

    @property
    def title(self) -> str:
        """The same for people, with a rounded threshold."""
        return f"{self.scorer.card.detector} version {self.scorer.card.version}, flagged from {self.threshold:.4g}"

    @classmethod
    def of(
        cls, settings: Settings, detector: str | None = None, version: int | None = None, threshold: float | None = None
    ) -> "Trial":
        """The serving detector, its champion and that one's threshold, unless told otherwise.

        Raises: DataError for an unknown detector; NotTrainedError where there is no such version.
        """
        scorer = load_model(detector_row(detector or serving_detector(settings)).cls, settings, version)
        return cls(scorer, scorer.card.threshold if threshold is None else float(threshold))


def days_there(store: Store) -> dict[date, int]:
    """The UTC days on which blocks of the store began, in order, with their number. Raises: DataError without any."""
    with store.read() as con:
        rows = con.execute("SELECT first_time::DATE AS day, count(*) FROM event_matrix GROUP BY day ORDER BY day")
        found = dict(rows.fetchall())
    if not found:
        raise DataError("no blocks to backtest on: run `hdfs-pipeline ingest PATH`")
    return found


def chosen_days(there: Collection[date], first: date | None, last: date | None) -> list[date]:
    """The days of `there` from `first` to `last`, both included. Raises: DataError that names the days there are."""
    if first and last and first > last:
        raise DataError(f"--from {first} is after --to {last}")
    found = [day for day in sorted(there) if (first or day) <= day <= (last or day)]
    if not found:
        days = [str(day) for day in sorted(there)]
        told = ", ".join(days) if len(days) <= _LISTED else f"{len(days):,} days from {days[0]} to {days[-1]}"
        raise DataError(f"no block began between {first or 'the beginning'} and {last or 'the end'}; there are {told}")
    return found


def backtest(
    store: Store,
    settings: Settings,
    trial: Trial,
    days: Sequence[date],
    on_step: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Try a model on the blocks of `days`, one day after the other, and keep what comes of it; the rows of `backtests`.

    What the same trial gave for these days before is replaced. Raises: DataError where the blocks have other columns
    than the model, or where none of them has a verdict of the serving detector to be held against.
    """
    serving = serving_detector(settings)
    rows: list[dict[str, Any]] = []
    changed: list[pa.Table] = []
    for day, matrix, facts in _by_day(store, settings, trial.scorer, serving, days):
        on_step(f"{trial.name}: {day}")
        row, blocks = _held_against(trial, day, matrix, facts)
        rows.append(row | {"against": serving})
        changed.append(blocks)
    if rows and all(row["unscored"] == row["blocks"] for row in rows):
        raise DataError(
            f"none of these blocks has a verdict of {serving} in `scores`, so there is nothing to hold a trial "
            "against: run Dagster's score_job first (`hdfs-pipeline up`, or wait for its schedule)"
        )
    where, parameters = "trial = ? AND list_contains(?::DATE[], day)", [trial.name, list(days)]
    with store.write() as con:
        for table, content in (("backtests", pa.Table.from_pylist(rows)), ("backtest_blocks", _joined(changed))):
            publish_into(con, table, content if len(content) else [], replace=where, parameters=parameters)
    return rows


def _by_day(
    store: Store, settings: Settings, scorer: Scorer, serving: str, days: Sequence[date]
) -> Iterator[tuple[date, FeatureMatrix, pa.Table]]:
    """Each day that has blocks, with their matrix of the model's family and their facts, both by block id."""
    catalogue, family = home_catalogue(store, settings), scorer.card.family
    whole = None
    if family not in ("events", "keywords"):  # which are not kept by day
        whole = load_dataset(store, settings, families([scorer.card.detector])).matrix(family)
    for day in days:
        begin = datetime.combine(day, time(), UTC)
        with store.read() as con:
            table = con.sql(
                _DAY, params={"serving": serving, "begin": begin, "end": begin + timedelta(days=1)}
            ).to_arrow_table()
        if not len(table):
            continue
        found = dataset(table, catalogue, table["label"].to_pylist(), [None] * len(table))
        facts = table.drop_columns(["counts"]).append_column("truth", pa.array(found.labels))
        if whole is None:
            yield day, found.matrix(family), facts
        else:
            yield day, whole.take(np.searchsorted(whole.keys, table["block_id"].to_numpy())), facts


def _held_against(trial: Trial, day: date, matrix: FeatureMatrix, facts: pa.Table) -> tuple[dict[str, Any], pa.Table]:
    """One row of `backtests`, and the blocks whose verdict changes, as rows of `backtest_blocks`."""
    scores = trial.scorer.score(matrix)
    compared = facts["before"].is_valid().to_numpy()
    before = facts["before"].fill_null(False).to_numpy() & compared
    after = (scores >= trial.threshold) & compared
    truth = facts["truth"].to_numpy()
    real, false = truth == ANOMALY, truth == NORMAL
    gained, lost = after & ~before, before & ~after
    card = trial.scorer.card
    masks = {
        "unscored": ~compared,
        "flagged_before": before,
        "flagged_after": after,
        "gained": gained,
        "lost": lost,
        "anomalies": real & compared,
        "gained_real": gained & real,
        "gained_false": gained & false,
        "lost_real": lost & real,
        "lost_false": lost & false,
    }
    row = {
        "trial": trial.name,
        "day": day,
        "detector": card.detector,
        "version": card.version,
        "threshold": trial.threshold,
        "blocks": len(scores),
        **{name: int(mask.sum()) for name, mask in masks.items()},
        "tested_at": datetime.now(UTC),
    }
    at = np.flatnonzero(gained | lost)
    names = {ANOMALY: "anomaly", NORMAL: "normal"}
    changed = pa.table(
        {
            "trial": pa.array([trial.name] * len(at), pa.string()),
            "day": pa.array([day] * len(at), pa.date32()),
            "block_id": matrix.keys[at],
            "change": pa.array(np.where(gained[at], "gained", "lost").tolist(), pa.string()),
            "known": pa.array([names.get(label) for label in truth[at].tolist()], pa.string()),
            "score": scores[at],
            "score_before": facts["score_before"].to_numpy()[at],
        }
    )
    return row, changed


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables) if tables else pa.table({})


def totals(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Sums of the counts over days."""
    return {name: sum(row[name] for row in rows) for name in COUNTS}


def kept(store: Store, trial: str, days: Sequence[date]) -> list[dict[str, Any]]:
    """What `backtests` holds of a trial for these days, by day."""
    with store.read() as con:
        found = con.sql(
            "SELECT * FROM backtests WHERE trial = $trial AND list_contains($days::DATE[], day) ORDER BY day",
            params={"trial": trial, "days": list(days)},
        )
        return found.to_arrow_table().to_pylist()


def changes(store: Store, trial: str, days: Sequence[date]) -> list[dict[str, Any]]:
    """The blocks that a trial would have changed on these days: gained first, the highest scores first."""
    with store.read() as con:
        found = con.sql(
            """SELECT 'blk_' || block_id AS block_id, day, change, known, score, score_before FROM backtest_blocks
            WHERE trial = $trial AND list_contains($days::DATE[], day) ORDER BY change, score DESC, block_id""",
            params={"trial": trial, "days": list(days)},
        )
        return found.to_arrow_table().to_pylist()
