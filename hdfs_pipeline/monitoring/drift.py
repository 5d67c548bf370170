"""Drift: whether the items that came since a model was trained still look like those that it learned from."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from hdfs_pipeline.domains.champions import families, load_scorer
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.monitoring.stability import Shift, Sides, share_shift, shift_of
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import FeatureMatrix, held
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED
from hdfs_pipeline.scoring.models import marked_items
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_NAMED = 4  # columns that a sentence names
_Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Drift:
    """What has moved since version `version` of a detector's model was trained.

    It compares `reference` items that the model learned from with `current` ones that it did not: the latest, which
    began between `began` and `ended` (UTC). `columns` are those of the main features, the furthest beyond its limit
    first. `unknown` is None where there are no templates. `unseen` is None for a detector that reads other features, or
    steps in time, of which none repeats another. With fewer than `least` items on either side there are no figures.
    `plural` is what people call the items.
    """

    detector: str
    version: int
    reference: int
    current: int
    least: int
    plural: str
    began: datetime | None = None
    ended: datetime | None = None
    columns: tuple[Shift, ...] = ()
    scores: Shift | None = None
    unknown: Shift | None = None
    unseen: Shift | None = None

    @property
    def status(self) -> Literal["steady", "drifted", "too few"]:
        """What the figures come to, in a word."""
        if self.scores is None:
            return "too few"
        return "drifted" if any(figure.drifted for figure in self.figures()) else "steady"

    def figures(self) -> Iterator[Shift]:
        """All figures."""
        yield from self.columns
        yield from (figure for figure in (self.scores, self.unknown, self.unseen) if figure is not None)

    @property
    def compared(self) -> str:
        """What was compared with what, in words."""
        new = f"the latest {self.current:,} new {self.plural}"
        return f"{new} against {self.reference:,} that version {self.version} learned"

    @property
    def conclusion(self) -> str:
        """What the figures come to, in a sentence."""
        if self.scores is None:
            return (
                f"too few to say: {self.current:,} {self.plural} came since version {self.version} of {self.detector} "
                f"was trained, and {self.reference:,} that it learned from are in the store; {self.least:,} of each "
                "are needed (drift_min_blocks)"
            )
        moved = [column.name for column in self.columns if column.drifted]
        reasons = []
        if moved:
            names = ", ".join(moved[:_NAMED]) + (", …" if len(moved) > _NAMED else "")
            reasons.append(f"{len(moved)} of {len(self.columns)} columns have moved ({names})")
        if self.scores.drifted:
            reasons.append(f"the scores have moved (PSI {self.scores.value:.2f})")
        if self.unknown is not None and self.unknown.drifted:
            reasons.append(
                f"{self.unknown.after:.1%} of the events match no template ({self.unknown.before:.1%} before)"
            )
        if self.unseen is not None and self.unseen.drifted:
            reasons.append(f"{self.unseen.after:.1%} of the {self.plural} have counts that it has never seen")
        return f"drifted: {'; '.join(reasons)}; {self.compared}" if reasons else f"steady: {self.compared}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        about = {name: getattr(self, name) for name in ("detector", "version", "status")}
        sides = {name: getattr(self, name) for name in ("reference", "current", "least", "began", "ended")}
        figures = {"scores": self.scores, "unknown": self.unknown, "unseen": self.unseen}
        return (
            about
            | {"verdict": self.conclusion}
            | sides
            | {name: figure.to_json() if figure else None for name, figure in figures.items()}
            | {"columns": [column.to_json() for column in self.columns]}
        )


def measure_drift(store: Store, settings: Settings, domain: Domain, name: str) -> Drift:
    """Drift of the items in the store since the champion of detector `name` was trained.

    Raises: NotTrainedError where there is no champion, or one that learned nothing; DataError where the model does not
    say which items it learned from, or where the items have other columns than the model.
    """
    scorer = load_scorer(settings, domain, name)
    if not scorer.card.version:
        raise NotTrainedError(
            f"{name} serves without a training, so that nothing can have moved since; "
            f"`{domain.trained_by.format('NAME')}` makes a model that can be watched"
        )
    marked = marked_items(settings, domain.name, name, scorer.card.version)
    if marked is None:
        raise DataError(
            f"version {scorer.card.version} of {name} is of an older release and does not say which "
            f"{domain.item.plural} it learned from: run `hdfs-pipeline retrain --detector {name} --force`"
        )
    data = domain.features(store, settings, families(domain, [name]))
    usable = (data.labels != AMBIGUOUS) & ~data.cut  # no model learns from the others: they would always be new
    known = learned_rows(data, scorer.card.family, marked[0])
    reference, new = (_by_time(data, usable & side) for side in (known, ~known))
    return _measure(scorer, domain, data, (reference, new[-settings.drift_blocks :]), settings)


def _by_time(data: Dataset, chosen: np.ndarray) -> np.ndarray:
    """Indices (k,) of the `chosen` items (n,) bool, in the order of time."""
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(data.time[rows], kind="stable")]


def learned_rows(data: Dataset, family: str, learned: np.ndarray) -> np.ndarray:
    """Which items (n,) bool a model learned from, even if their labels have changed since.

    `learned` (m,) uint64 are the marks of what it learned, in their order.
    """
    known = held(data.marks(family), learned)
    for label in (NORMAL, ANOMALY, UNLABELLED):
        rows = np.flatnonzero(~known & (data.labels != label))
        if len(rows):
            relabelled = replace(data.take(rows), labels=np.full(len(rows), label, np.int8))
            known[rows] = held(relabelled.marks(family), learned)
    return known


def _measure(scorer: Scorer, domain: Domain, data: Dataset, rows: _Rows, settings: Settings) -> Drift:
    """Drift of items from reference ones: `rows` of `data`, the reference first, both in the order of time."""
    card, least = scorer.card, settings.drift_min_blocks
    drift = Drift(card.detector, card.version, len(rows[0]), len(rows[1]), least, domain.item.plural)
    if min(len(side) for side in rows) < least:
        return drift
    once, sides = _sides(scorer, data.main, rows)
    repeats = card.family == data.family and not scorer.detector.ordered
    values = (scorer.completed(once) if repeats else once.values).astype(np.float64)
    columns = [_shift(name, values[:, at], sides, settings, least=1) for at, name in enumerate(data.main.columns)]
    scores = _scores(scorer, data.matrix(card.family), rows, settings)
    if scores is None:
        return drift
    unknown = data.main.columns.index(domain.unknown) if domain.unknown else None
    return replace(
        drift,
        began=_instant(data.time[rows[1][0]]),
        ended=_instant(data.time[rows[1][-1]]),
        columns=tuple(sorted((each for each in columns if each), key=lambda column: (-column.beyond, -column.value))),
        scores=scores,
        unknown=None if unknown is None else _unknown(values, unknown, sides, settings.drift_unknown),
        unseen=_unseen(scorer, values, sides, settings.drift_unseen) if repeats else None,
    )


def _sides(scorer: Scorer, matrix: FeatureMatrix, rows: _Rows) -> tuple[FeatureMatrix, Sides]:
    """An item for each case that the items of a matrix are, and which of them each of the `rows` is.

    Steps of a series repeat no other: each of the `rows` stands for itself.
    """
    if scorer.detector.ordered:
        both, first = np.concatenate(rows), len(rows[0])
        places = np.arange(len(both))
        return matrix.take(both), Sides(places[:first], places[first:], len(both))
    cases = matrix.cases
    before, after = (cases.inverse[side] for side in rows)
    return matrix.take(cases.first), Sides(before, after, len(cases.first))


def _shift(name: str, values: np.ndarray, sides: Sides, settings: Settings, least: int) -> Shift | None:
    """How far `values` (k,) have moved; None where fewer than `least` are known on a side.

    A series has gaps, and no score where its window is not whole.
    """
    known = ~np.isnan(values)
    if not known.all():
        before, after = (side[known[side]] for side in (sides.before, sides.after))
        values, sides = np.where(known, values, 0), Sides(before, after, sides.values)
    if min(len(sides.before), len(sides.after)) < least:
        return None
    return shift_of(name, values, sides, settings.drift_psi)


def _scores(scorer: Scorer, matrix: FeatureMatrix, rows: _Rows, settings: Settings) -> Shift | None:
    """How far the scores of items have moved; None where too few have one."""
    once, sides = _sides(scorer, matrix, rows)
    if scorer.detector.ordered:
        scores = np.concatenate([scorer.score(matrix.take(side)) for side in rows])
    else:
        scores = scorer.score(once)
    return _shift("scores", scores, sides, settings, settings.drift_min_blocks)


def _unknown(values: np.ndarray, column: int, sides: Sides, limit: float) -> Shift:
    """Share of the events that match no template."""
    return share_shift("unknown", values[:, column], values.sum(axis=1), sides.counts, limit)


def _unseen(scorer: Scorer, values: np.ndarray, sides: Sides, limit: float) -> Shift:
    """Share of the items whose features no item in training had; of the reference it is 0."""
    new, none = ~scorer.knows(values), np.zeros(len(values))
    return share_shift("unseen", new.astype(np.float64), np.ones(len(new)), (none, sides.counts[1]), limit)


def _instant(microseconds: np.int64) -> datetime:
    return datetime.fromtimestamp(int(microseconds) / 1e6, UTC)
