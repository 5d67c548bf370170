"""Backtest: what another model or another threshold would have flagged, day by day, beside what was flagged.

What was flagged is read from the store: the rows of `scores` of the detector that serves. A day is the UTC day on which
an item began. Feedback says whether an item is anomalous or normal, and its label where there is no feedback.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hdfs_pipeline.domains.champions import families, load_scorer, serving_detector
from hdfs_pipeline.domains.contract import Domain, Selection
from hdfs_pipeline.errors import DataError, UsageError
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.labels import ANOMALY, NORMAL
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store, publish_into

COUNTS: Final = (
    "items",
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
"""Columns of `backtests` that count items."""
_LISTED: Final = 6  # days that an error names


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
        cls,
        settings: Settings,
        domain: Domain,
        detector: str | None = None,
        version: int | None = None,
        threshold: float | None = None,
    ) -> "Trial":
        """The serving detector, its champion and that one's threshold, unless others are given.

        Raises: DataError for an unknown detector; NotTrainedError where there is no such version.
        """
        scorer = load_scorer(settings, domain, detector or serving_detector(settings, domain), version)
        return cls(scorer, scorer.card.threshold if threshold is None else float(threshold))


def days_there(store: Store, domain: Domain) -> dict[date, int]:
    """The UTC days on which items of the store began, in order, with their number. Raises: DataError without any."""
    days = domain.days(store)
    if not days:
        raise DataError(f"no {domain.item.plural} to backtest on: run `hdfs-pipeline ingest PATH`")
    return days


def chosen_days(there: Collection[date], first: date | None, last: date | None, noun: str) -> list[date]:
    """The days of `there` from `first` to `last`, both included. Raises: DataError that names the days there are."""
    if first and last and first > last:
        raise UsageError(f"--from {first} is after --to {last}")
    chosen = [day for day in sorted(there) if (first or day) <= day <= (last or day)]
    if not chosen:
        days = [str(day) for day in sorted(there)]
        known = ", ".join(days) if len(days) <= _LISTED else f"{len(days):,} days from {days[0]} to {days[-1]}"
        span = f"between {first or 'the beginning'} and {last or 'the end'}"
        raise DataError(f"no {noun} began {span}; there are {known}")
    return chosen


def backtest(
    store: Store,
    settings: Settings,
    domain: Domain,
    trial: Trial,
    days: Sequence[date],
    on_step: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Try a model on the items of `days`, one day after the other, and keep the results; the rows of `backtests`.

    They replace what the same trial gave for these days before. Raises: DataError where the items have other columns
    than the model, or where the serving detector has no verdict on any of them.
    """
    serving = serving_detector(settings, domain)
    rows: list[dict[str, Any]] = []
    changed: list[pa.Table] = []
    for day in days:
        begin = datetime.combine(day, time(), UTC)
        where = Selection(began=(begin, begin + timedelta(days=1)))
        data = domain.features(store, settings, families(domain, [trial.scorer.card.detector]), where)
        if len(data):
            on_step(f"{trial.name}: {day}")
            row, items = _compared(trial, domain, day, data, _verdicts(store, domain, serving, where))
            rows.append(row | {"against": serving})
            changed.append(items)
    if rows and all(row["unscored"] == row["items"] for row in rows):
        raise DataError(
            f"none of these {domain.item.plural} has a verdict of {serving} in `scores`, so there is nothing to hold a "
            "trial against: run Dagster's score_job first (`hdfs-pipeline up`, or wait for its schedule)"
        )
    same, parameters = "domain = ? AND trial = ? AND list_contains(?::DATE[], day)", [domain.name, trial.name, [*days]]
    with store.write() as con:
        for table, content in (("backtests", pa.Table.from_pylist(rows)), ("backtest_items", _joined(changed))):
            publish_into(con, table, content if len(content) else [], replace=same, parameters=parameters)
    return rows


def _verdicts(store: Store, domain: Domain, serving: str, where: Selection) -> dict[str, tuple[bool, float]]:
    """Whether the serving detector called each item of a day anomalous, and its score, by the item's text."""
    assert where.began is not None
    with store.read() as con:
        rows = con.execute(
            """SELECT item, is_anomaly, score FROM scores
            WHERE domain = ? AND detector = ? AND time >= ? AND time < ?""",
            [domain.name, serving, *where.began],
        ).fetchall()
    return {item: (flagged, score) for item, flagged, score in rows}


def _truth(data: Dataset) -> np.ndarray:
    """What is known of items (n,) int8: from feedback or, without it, from the label."""
    truth = data.labels.copy()
    if data.feedback is not None:
        truth[np.searchsorted(data.keys, data.feedback.keys)] = data.feedback.labels
    return truth


def _compared(
    trial: Trial, domain: Domain, day: date, data: Dataset, verdicts: dict[str, tuple[bool, float]]
) -> tuple[dict[str, Any], pa.Table]:
    """One row of `backtests`, and the items whose verdict changes, as rows of `backtest_items`."""
    card = trial.scorer.card
    scores = trial.scorer.score(data.matrix(card.family))
    items = np.array([domain.item.show(key) for key in data.keys.tolist()], object)
    scored = np.array([item in verdicts for item in items])
    before = np.array([item in verdicts and verdicts[item][0] for item in items])
    after = (scores >= trial.threshold) & scored
    truth = _truth(data)
    real, false = truth == ANOMALY, truth == NORMAL
    gained, lost = after & ~before, before & ~after
    masks = {
        "unscored": ~scored,
        "flagged_before": before,
        "flagged_after": after,
        "gained": gained,
        "lost": lost,
        "anomalies": real & scored,
        "gained_real": gained & real,
        "gained_false": gained & false,
        "lost_real": lost & real,
        "lost_false": lost & false,
    }
    row = {
        "domain": domain.name,
        "trial": trial.name,
        "day": day,
        "detector": card.detector,
        "version": card.version,
        "threshold": trial.threshold,
        "items": len(scores),
        **{name: int(mask.sum()) for name, mask in masks.items()},
        "tested_at": datetime.now(UTC),
    }
    at = np.flatnonzero(gained | lost)
    names = {ANOMALY: "anomaly", NORMAL: "normal"}
    changed = pa.table(
        {
            "domain": pa.array([domain.name] * len(at), pa.string()),
            "trial": pa.array([trial.name] * len(at), pa.string()),
            "day": pa.array([day] * len(at), pa.date32()),
            "item": pa.array(items[at].tolist(), pa.string()),
            "change": pa.array(np.where(gained[at], "gained", "lost").tolist(), pa.string()),
            "known": pa.array([names.get(label) for label in truth[at].tolist()], pa.string()),
            "score": scores[at],
            "score_before": pa.array([verdicts[item][1] for item in items[at]], pa.float64()),
        }
    )
    return row, changed


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables) if tables else pa.table({})


def totals(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Sums of the counts over days."""
    return {name: sum(row[name] for row in rows) for name in COUNTS}


def kept(store: Store, domain: Domain, trial: str, days: Sequence[date]) -> list[dict[str, Any]]:
    """The rows of `backtests` of a trial for these days, by day."""
    with store.read() as con:
        rows = con.sql(
            """SELECT * FROM backtests WHERE domain = $domain AND trial = $trial AND list_contains($days::DATE[], day)
            ORDER BY day""",
            params={"domain": domain.name, "trial": trial, "days": list(days)},
        )
        return rows.to_arrow_table().to_pylist()


def changes(store: Store, domain: Domain, trial: str, days: Sequence[date]) -> list[dict[str, Any]]:
    """The items that a trial would have changed on these days: gained first, the highest scores first."""
    column = domain.item.column
    with store.read() as con:
        cursor = con.sql(
            f"""SELECT item AS {column}, day, change, known, score, score_before FROM backtest_items
            WHERE domain = $domain AND trial = $trial AND list_contains($days::DATE[], day)""",
            params={"domain": domain.name, "trial": trial, "days": list(days)},
        )
        rows = cursor.to_arrow_table().to_pylist()
    return sorted(rows, key=lambda row: (row["change"], -row["score"], domain.item.parse(row[column])))
