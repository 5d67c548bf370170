"""Drift: whether the blocks that came since a model was trained still look like those that it learned from."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from hdfs_pipeline.detectors import families
from hdfs_pipeline.domains.blocks.catalogue import UNKNOWN
from hdfs_pipeline.domains.blocks.features import load_dataset
from hdfs_pipeline.errors import DataError
from hdfs_pipeline.monitoring.stability import Shift, share_shift, shift
from hdfs_pipeline.scoring.dataset import AMBIGUOUS, ANOMALY, NORMAL, UNLABELLED, Dataset
from hdfs_pipeline.scoring.models import marked_blocks
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.store.store import Store
from hdfs_pipeline.verdicts.score import load_scorer

_NAMED = 4  # columns that a sentence names


@dataclass(frozen=True)
class Drift:
    """What has moved since version `version` of a detector's model was trained.

    `reference` blocks that it learned from are held against `current` ones that it has not, those that began latest,
    from `began` to `ended` (of their first events, UTC). `columns` are the counts of the event matrix, the furthest
    beyond its limit first; `unseen` is None for a detector that does not read counts. With too few blocks on either
    side there are no figures.
    """

    detector: str
    version: int
    reference: int
    current: int
    least: int
    began: datetime | None = None
    ended: datetime | None = None
    columns: tuple[Shift, ...] = ()
    scores: Shift | None = None
    unknown: Shift | None = None
    unseen: Shift | None = None

    @property
    def status(self) -> Literal["steady", "drifted", "too few"]:
        """What it comes to."""
        if self.scores is None:
            return "too few"
        return "drifted" if any(each.drifted for each in self.figures()) else "steady"

    def figures(self) -> Iterator[Shift]:
        """All figures."""
        yield from self.columns
        yield from (each for each in (self.scores, self.unknown, self.unseen) if each is not None)

    @property
    def held(self) -> str:
        """What was held against what, in words."""
        return f"the latest {self.current:,} new blocks against {self.reference:,} that version {self.version} learned"

    @property
    def verdict(self) -> str:
        """What it comes to, in plain words."""
        if self.scores is None:
            return (
                f"too few to say: {self.current:,} blocks came since version {self.version} of {self.detector} was "
                f"trained, and {self.reference:,} that it learned from are in the store; {self.least:,} of each are "
                "needed (drift_min_blocks)"
            )
        moved = [each.name for each in self.columns if each.drifted]
        told = []
        if moved:
            names = ", ".join(moved[:_NAMED]) + (", …" if len(moved) > _NAMED else "")
            told.append(f"{len(moved)} of {len(self.columns)} columns have moved ({names})")
        if self.scores.drifted:
            told.append(f"the scores have moved (PSI {self.scores.value:.2f})")
        if self.unknown is not None and self.unknown.drifted:
            told.append(f"{self.unknown.after:.1%} of the events match no template ({self.unknown.before:.1%} before)")
        if self.unseen is not None and self.unseen.drifted:
            told.append(f"{self.unseen.after:.1%} of the blocks have counts that it has never seen")
        return f"drifted: {'; '.join(told)}; {self.held}" if told else f"steady: {self.held}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        names = ("detector", "version", "status", "verdict", "reference", "current", "least", "began", "ended")
        found = {name: getattr(self, name) for name in names}
        figures = {name: getattr(self, name) for name in ("scores", "unknown", "unseen")}
        found |= {name: each.to_json() if each else None for name, each in figures.items()}
        return found | {"columns": [each.to_json() for each in self.columns]}


def watch(store: Store, settings: Settings, name: str) -> Drift:
    """Drift of the blocks in the store since the champion of detector `name` was trained.

    Raises: NotTrainedError where there is none; DataError where it cannot be told what it learned from, or where the
    blocks have other columns than it.
    """
    scorer = load_scorer(settings, name)
    marked = marked_blocks(settings, name, scorer.card.version)
    if marked is None:
        raise DataError(
            f"version {scorer.card.version} of {name} is of an older release and does not say which blocks it learned "
            f"from: run `hdfs-pipeline retrain --detector {name} --force`"
        )
    data = load_dataset(store, settings, families([name]))
    data = data.take(data.labels != AMBIGUOUS)  # nothing learns from them, so they are no news either
    data = data.take(np.argsort(data.time, kind="stable"))
    known = learned_rows(data, scorer.card.family, marked[0])
    latest = np.flatnonzero(~known)[-settings.drift_blocks :]
    return measure(scorer, data.take(known), data.take(latest), settings)


def learned_rows(data: Dataset, family: str, learned: np.ndarray) -> np.ndarray:
    """Which blocks (n,) bool a model learned from, by their marks `learned`, whatever their labels say by now."""
    found = np.isin(data.marks(family), learned)
    for label in (NORMAL, ANOMALY, UNLABELLED):
        rows = np.flatnonzero(~found)
        other = replace(data.take(rows), labels=np.full(len(rows), label, np.int8))
        found[rows] = np.isin(other.marks(family), learned)
    return found


def measure(scorer: Scorer, reference: Dataset, current: Dataset, settings: Settings) -> Drift:
    """Drift of `current` blocks from `reference` ones, both in the order of time."""
    card, least = scorer.card, settings.drift_min_blocks
    found = Drift(card.detector, card.version, len(reference), len(current), least)
    if min(len(reference), len(current)) < least:
        return found
    before, after = (data.matrix("events") for data in (reference, current))
    values = (before.values.astype(np.float64), after.values.astype(np.float64))
    columns = [
        shift(name, values[0][:, at], values[1][:, at], settings.drift_psi) for at, name in enumerate(before.columns)
    ]
    scores = [scorer.score(data.matrix(card.family)) for data in (reference, current)]
    return replace(
        found,
        began=_instant(current.time[0]),
        ended=_instant(current.time[-1]),
        columns=tuple(sorted(columns, key=lambda each: (-each.beyond, -each.value))),
        scores=shift("scores", scores[0], scores[1], settings.drift_psi),
        unknown=_unknown(values, before.columns.index(UNKNOWN), settings.drift_unknown),
        unseen=_unseen(scorer, values, settings.drift_unseen),
    )


def _unknown(values: tuple[np.ndarray, np.ndarray], column: int, limit: float) -> Shift:
    """Share of the events of blocks that match no template."""
    part = (values[0][:, column], values[1][:, column])
    return share_shift("unknown", part, (values[0].sum(axis=1), values[1].sum(axis=1)), limit)


def _unseen(scorer: Scorer, values: tuple[np.ndarray, np.ndarray], limit: float) -> Shift | None:
    """Share of the blocks whose counts no training block had: none of the reference."""
    if scorer.card.family != "events":
        return None
    new = ~scorer.knows(values[1])
    part = (np.zeros(len(values[0])), new.astype(np.float64))
    return share_shift("unseen", part, (np.ones(len(values[0])), np.ones(len(new))), limit)


def _instant(microseconds: np.int64) -> datetime:
    return datetime.fromtimestamp(int(microseconds) / 1e6, UTC)
