"""Drift: whether the items that came since a model was trained still look like those that it learned from."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from hdfs_pipeline.domains.champions import families, load_scorer
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError
from hdfs_pipeline.monitoring.stability import Shift, share_shift, shift
from hdfs_pipeline.scoring.dataset import Dataset
from hdfs_pipeline.scoring.features import held
from hdfs_pipeline.scoring.labels import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED
from hdfs_pipeline.scoring.models import marked_items
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store

_NAMED = 4  # columns that a sentence names


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
    return _measure(scorer, domain, data.take(reference), data.take(new[-settings.drift_blocks :]), settings)


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
        if (changed := data.labels != label).any():
            relabelled = replace(data, labels=np.full(len(data), label, np.int8))
            known |= changed & held(relabelled.marks(family), learned)
    return known


def _measure(scorer: Scorer, domain: Domain, reference: Dataset, current: Dataset, settings: Settings) -> Drift:
    """Drift of `current` items from `reference` ones, both in the order of time."""
    card, least = scorer.card, settings.drift_min_blocks
    drift = Drift(card.detector, card.version, len(reference), len(current), least, domain.item.plural)
    if min(len(reference), len(current)) < least:
        return drift
    before, after = (data.main for data in (reference, current))
    repeats = card.family == reference.family and not scorer.detector.ordered
    old, new = (scorer.completed(matrix) if repeats else matrix.values for matrix in (before, after))
    values = (old.astype(np.float64), new.astype(np.float64))
    samples = [(name, _known(values[0][:, at]), _known(values[1][:, at])) for at, name in enumerate(before.columns)]
    columns = [shift(name, old, new, settings.drift_psi) for name, old, new in samples if len(old) and len(new)]
    old, new = (_known(scorer.score(data.matrix(card.family))) for data in (reference, current))
    if min(len(old), len(new)) < least:
        return drift
    unknown = before.columns.index(domain.unknown) if domain.unknown else None
    return replace(
        drift,
        began=_instant(current.time[0]),
        ended=_instant(current.time[-1]),
        columns=tuple(sorted(columns, key=lambda column: (-column.beyond, -column.value))),
        scores=shift("scores", old, new, settings.drift_psi),
        unknown=None if unknown is None else _unknown(values, unknown, settings.drift_unknown),
        unseen=_unseen(scorer, values, settings.drift_unseen) if repeats else None,
    )


def _known(values: np.ndarray) -> np.ndarray:
    """The values (k,) that are known: a series has gaps, and no score where its window is not whole."""
    return values[~np.isnan(values)]


def _unknown(values: tuple[np.ndarray, np.ndarray], column: int, limit: float) -> Shift:
    """Share of the events that match no template."""
    part = (values[0][:, column], values[1][:, column])
    return share_shift("unknown", part, (values[0].sum(axis=1), values[1].sum(axis=1)), limit)


def _unseen(scorer: Scorer, values: tuple[np.ndarray, np.ndarray], limit: float) -> Shift:
    """Share of the items whose features no item in training had; of the reference it is 0."""
    new = ~scorer.knows(values[1])
    part = (np.zeros(len(values[0])), new.astype(np.float64))
    return share_shift("unseen", part, (np.ones(len(values[0])), np.ones(len(new))), limit)


def _instant(microseconds: np.int64) -> datetime:
    return datetime.fromtimestamp(int(microseconds) / 1e6, UTC)
