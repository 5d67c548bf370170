"""A detector that judges blocks in a worker: its scores, its reasons, its verdicts."""

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from hdfs_pipeline.domains.blocks import explain
from hdfs_pipeline.domains.blocks.item import show_block_id
from hdfs_pipeline.domains.blocks.matrix import DOMAIN
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.explain import Explanation, Vocabulary
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.knowledge import Knowledge
from hdfs_pipeline.scoring.models import try_out
from hdfs_pipeline.scoring.reasons import reasons
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.wire import Verdict

_EXPLAINED: Final = 20_000  # explanations kept by count vector: HDFS repeats itself
Told = tuple[Explanation, dict[str, Any]]
"""An explanation, and the same as plain values: making these takes longer than all else about a verdict."""


class Voice:
    """A scorer with its threshold, or with the given one.

    Raises: NotTrainedError where its model cannot score or explain what it has learned.
    """

    def __init__(self, settings: Settings, scorer: Scorer, threshold: float | None = None) -> None:
        self._settings, self.scorer = settings, scorer
        self.threshold = scorer.card.threshold if threshold is None else threshold
        self._vocabularies: dict[str, Vocabulary] = {}  # by the label of their catalogue: reading one takes long
        if scorer.card.source:
            try_out(scorer, self._words(scorer.card.source))
        self._explained: dict[bytes, Told] = {}

    @property
    def detector(self) -> str:
        """The detector's name."""
        return self.scorer.card.detector

    def judge(
        self, matrices: dict[str, FeatureMatrix], catalogue: Catalogue, knowledge: Knowledge
    ) -> tuple[np.ndarray, dict[int, Told]]:
        """Scores (n,) of the blocks of `matrices`, and the explanations of the anomalous ones, by row."""
        scores = self.scorer.score(matrices[self.scorer.card.family])
        anomalous = np.flatnonzero(scores >= self.threshold)
        told = self._explain(matrices, catalogue, knowledge, anomalous)
        return scores, dict(zip(anomalous.tolist(), told, strict=True))

    def _explain(
        self, matrices: dict[str, FeatureMatrix], catalogue: Catalogue, knowledge: Knowledge, rows: np.ndarray
    ) -> list[Told]:
        values = (next(iter(matrices.values())).values[rows], matrices[self.scorer.card.family].values[rows])
        start = catalogue.fingerprint.encode()
        keys = [start + main.tobytes() + own.tobytes() for main, own in zip(*values, strict=True)]
        if len(self._explained) > _EXPLAINED:
            self._explained.clear()
        fresh = {key: at for key, at in zip(keys, rows.tolist(), strict=True) if key not in self._explained}
        if fresh:
            vocabulary = self._words(self.scorer.card.source or catalogue.label)
            at, flagged = np.array(list(fresh.values()), np.int64), np.ones(len(fresh), bool)
            told = reasons(self.scorer, matrices, vocabulary, knowledge, at, flagged)
            self._explained.update((key, (each, each.to_json())) for key, each in zip(fresh, told, strict=True))
        return [self._explained[key] for key in keys]

    def _words(self, label: str) -> Vocabulary:
        if label not in self._vocabularies:
            self._vocabularies[label] = explain.vocabulary(self._settings, label)
        return self._vocabularies[label]

    def verdict(self, vector: Vector, origin: str, status: str, score: float, told: Told | None) -> Verdict:
        """The verdict on a block; without an explanation it is normal after all."""
        item = show_block_id(vector.block_id)
        explanation, plain = told or (None, {})
        return Verdict(
            domain=DOMAIN,
            item=item,
            status=status,
            detector=self.detector,
            version=self.scorer.card.version,
            score=score,
            threshold=self.threshold,
            reason=explanation.reason if explanation else "later records made it normal",
            explanation=plain,
            lines=vector.lines,
            first_time=vector.first_time,
            last_time=vector.last_time,
            origin=origin,
            partition=vector.partition,
            first_offset=vector.first_offset,
            last_offset=vector.last_offset,
            scored_at=datetime.now(UTC),
            closed_by=vector.closed_by,
            kind=explanation.kind if explanation else "",
            entity=vector.host,
            more={"block_id": item, "catalogue": vector.catalogue},
        )
