"""A detector that judges in a worker: its scores, its reasons, its verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.scoring.explain import Explanation, Vocabulary
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.knowledge import Knowledge
from hdfs_pipeline.scoring.models import try_out
from hdfs_pipeline.scoring.reasons import reasons
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.wire import Verdict

_EXPLAINED: Final = 20_000  # explanations kept by their rows: logs repeat themselves
Told = tuple[Explanation, dict[str, Any]]
"""An explanation, and the same as plain values: making these takes longer than all else about a verdict."""


@dataclass(frozen=True)
class Place:
    """What a verdict says of an item beside the judgement: see `Verdict`."""

    item: str
    origin: str
    partition: int
    first_offset: int
    last_offset: int
    lines: int
    first_time: datetime | None
    last_time: datetime | None
    entity: str = ""
    closed_by: str | None = None
    more: dict[str, Any] = field(default_factory=dict)


class Voice:
    """A scorer with its threshold, or with the given one.

    Raises: NotTrainedError where its model cannot score or explain what it has learned.
    """

    def __init__(self, settings: Settings, domain: Domain, scorer: Scorer, threshold: float | None = None) -> None:
        self._settings, self._domain, self.scorer = settings, domain, scorer
        self.threshold = scorer.card.threshold if threshold is None else threshold
        self._vocabularies: dict[str, Vocabulary] = {}  # by their source: reading one takes long
        if scorer.card.columns:
            try_out(scorer, self._words(scorer.card.source))
        self._explained: dict[bytes, Told] = {}

    @property
    def detector(self) -> str:
        """The detector's name."""
        return self.scorer.card.detector

    def judge(
        self, matrices: Mapping[str, FeatureMatrix], knowledge: Knowledge | None
    ) -> tuple[np.ndarray, dict[int, Told]]:
        """Scores (n,) of the items of `matrices`, the main family first; why, by row, of the anomalous ones."""
        scores = self.scorer.score(matrices[self.scorer.card.family])
        anomalous = np.flatnonzero(scores >= self.threshold)
        told = self._explain(matrices, knowledge, anomalous)
        return scores, dict(zip(anomalous.tolist(), told, strict=True))

    def _explain(
        self, matrices: Mapping[str, FeatureMatrix], knowledge: Knowledge | None, rows: np.ndarray
    ) -> list[Told]:
        main = next(iter(matrices.values()))
        start = main.fingerprint.encode()
        values = (main.take(rows).values, matrices[self.scorer.card.family].take(rows).values)
        keys = [start + first.tobytes() + own.tobytes() for first, own in zip(*values, strict=True)]
        if len(self._explained) > _EXPLAINED:
            self._explained.clear()
        fresh = {key: at for key, at in zip(keys, rows.tolist(), strict=True) if key not in self._explained}
        if fresh:
            vocabulary = self._words(self.scorer.card.source or main.source)
            at, flagged = np.array(list(fresh.values()), np.int64), np.ones(len(fresh), bool)
            told = reasons(self.scorer, matrices, vocabulary, knowledge, at, flagged)
            self._explained.update((key, (each, each.to_json())) for key, each in zip(fresh, told, strict=True))
        return [self._explained[key] for key in keys]

    def _words(self, source: str) -> Vocabulary:
        if source not in self._vocabularies:
            self._vocabularies[source] = self._domain.vocabulary(self._settings, source)
        return self._vocabularies[source]

    def verdict(self, place: Place, status: str, score: float, told: Told | None) -> Verdict:
        """The verdict on an item; without an explanation it is normal after all."""
        explanation, plain = told or (None, {})
        return Verdict(
            domain=self._domain.name,
            status=status,
            detector=self.detector,
            version=self.scorer.card.version,
            score=score,
            threshold=self.threshold,
            reason=explanation.reason if explanation else "later records made it normal",
            explanation=plain,
            kind=explanation.kind if explanation else "",
            scored_at=datetime.now(UTC),
            **vars(place),
        )
