"""The model that serves in a worker: loaded from the home, exchanged while the worker runs, asked for verdicts."""

import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.domains.blocks import explain
from hdfs_pipeline.domains.blocks.catalogue import Catalogue, catalogues
from hdfs_pipeline.domains.blocks.features import DOMAIN, features
from hdfs_pipeline.domains.blocks.item import parse_block_id, show_block_id
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.champions import load_scorer, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError, PipelineError, SetupError
from hdfs_pipeline.scoring.explain import Explanation, Vocabulary
from hdfs_pipeline.scoring.models import model_folder, try_out
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.wire import Verdict

_log = logging.getLogger(__name__)
_REMEMBERED: Final = 100_000  # anomalous blocks that may still be withdrawn
_EXPLAINED: Final = 20_000  # explanations kept by count vector: HDFS repeats itself

FINAL, PROVISIONAL, WITHDRAWN = "final", "provisional", "withdrawn"


@dataclass(frozen=True)
class Counted:
    """Blocks to judge: their vectors, and the same counts as a matrix (n, d) in the catalogue's columns."""

    vectors: list[Vector]
    counts: np.ndarray


class Champion:
    """The serving detector of a home, or the named one, with its own threshold or the given one.

    Workers count the events of a block and forget their order: a detector that reads it cannot serve here.

    Raises: NotTrainedError, SetupError, DataError where the home has no model at the start, or one that cannot serve.
    """

    def __init__(
        self, settings: Settings, domain: Domain, detector: str | None = None, threshold: float | None = None
    ) -> None:
        if detector is not None:
            domain.row(detector)
        if threshold is not None and not math.isfinite(threshold):
            raise DataError(f"a threshold of {threshold} would flag nothing or all: give a number")
        self._settings, self._domain, self._detector, self._threshold = settings, domain, detector, threshold
        self._folder = self._present()
        self._refused: tuple[Path, int] | None = None
        self.refused = ""
        self._flagged: dict[int, tuple[str, int, int]] = {}  # by block, the oldest first
        self._use(*self._load())

    def _name(self) -> str:
        return self._detector or serving_detector(self._settings, self._domain)

    def _present(self) -> Path:
        return model_folder(self._settings, self._domain.name, self._name())

    def _load(self) -> tuple[Scorer, Catalogue | None, Vocabulary]:
        """The model that is to serve, tried on rows."""
        name = self._name()
        if detector_row(name).cls.sequential:
            raise SetupError(
                f"{name} reads the events of a block in their order, and the stream keeps only their counts: name a "
                "detector on counts, such as random_forest, with --detector or the setting `champion`"
            )
        try:
            scorer = load_scorer(self._settings, self._domain, name)
        except PipelineError:
            raise
        except Exception as error:  # a library refuses its file in words of its own
            raise NotTrainedError(
                f"the model of {name} cannot be loaded ({error}); run `hdfs-pipeline train --detector {name}`"
            ) from error
        known = catalogues(self._settings.catalogues)
        if scorer.card.family not in self._domain.unbound and scorer.card.source not in known:
            raise SetupError(f"the model was trained on the catalogue {scorer.card.source}, which is not in this home")
        vocabulary = explain.vocabulary(self._settings, scorer.card.source)
        try_out(scorer, vocabulary)
        return scorer, known.get(scorer.card.source), vocabulary

    def _use(self, scorer: Scorer, catalogue: Catalogue | None, vocabulary: Vocabulary) -> None:
        self.scorer = scorer
        self.catalogue = catalogue  # the source of the model's columns; None for a model without one (keywords)
        self.threshold = self._threshold if self._threshold is not None else scorer.card.threshold
        self._vocabulary = vocabulary
        self._explained: dict[bytes, Explanation] = {}

    @property
    def label(self) -> str:
        """Detector and version, for people."""
        return f"{self.scorer.card.detector} version {self.scorer.card.version}"

    def refresh(self) -> bool:
        """Switch to the present champion if it is another one; return whether it is.

        A model that cannot serve changes nothing; `refused` says which one and why, until another one serves.
        """
        folder = self._folder
        try:
            folder = self._present()
            if folder == self._folder:
                self._refused, self.refused = None, ""
                return False
            if _state(folder) == self._refused:
                return False
            self._use(*self._load())
        except PipelineError as error:
            if self._refused != _state(folder):
                _log.error("the new model cannot be used, %s goes on serving: %s", self.label, error)
            self._refused, self.refused = _state(folder), str(error)
            return False
        self._folder, self._refused, self.refused = folder, None, ""
        _log.info("now serving: %s, threshold %g", self.label, self.threshold)
        return True

    def judge(self, counted: Counted, catalogue: Catalogue, origin: str, status: str = FINAL) -> list[Verdict]:
        """Verdicts on the anomalous blocks, and withdrawals for blocks that were called anomalous and no longer are."""
        vectors = counted.vectors
        if not vectors:
            return []
        blocks = [vector.block_id for vector in vectors]
        alarms = np.array([vector.alarms for vector in vectors])
        matrix = features(np.array(blocks, np.int64), counted.counts, alarms, catalogue)[self.scorer.card.family]
        scores = self.scorer.score(matrix)
        anomalous = np.flatnonzero(scores >= self.threshold)
        reasons = dict(zip(anomalous.tolist(), self._explain(matrix.values[anomalous]), strict=True))
        verdicts = []
        for at, block in enumerate(blocks):  # in this order: a start reads back several vectors of one block
            if at in reasons:
                verdicts.append(self._verdict(vectors[at], origin, status, float(scores[at]), reasons[at]))
                self._keep(block, _place(vectors[at], origin))
            elif block in self._flagged and status == FINAL and self._flagged[block] == _place(vectors[at], origin):
                verdicts.append(self._verdict(vectors[at], origin, WITHDRAWN, float(scores[at]), None))
                del self._flagged[block]
        return verdicts

    def remember(self, verdict: Verdict) -> None:
        """Remember a verdict, so that it can be withdrawn."""
        block = parse_block_id(verdict.item)
        if verdict.status == WITHDRAWN:
            self._flagged.pop(block, None)
            return
        self._keep(block, _place(verdict, verdict.origin))

    def _keep(self, block: int, place: tuple[str, int, int]) -> None:
        self._flagged[block] = place
        if len(self._flagged) > _REMEMBERED:
            del self._flagged[next(iter(self._flagged))]

    def _explain(self, values: np.ndarray) -> list[Explanation]:
        keys = [row.tobytes() for row in values]
        if len(self._explained) > _EXPLAINED:
            self._explained.clear()
        fresh = {key: at for at, key in enumerate(keys) if key not in self._explained}
        reasons = self.scorer.explain(values[list(fresh.values())], self._vocabulary)
        self._explained.update(zip(fresh, reasons, strict=True))
        return [self._explained[key] for key in keys]

    def _verdict(
        self, vector: Vector, origin: str, status: str, score: float, explanation: Explanation | None
    ) -> Verdict:
        card, item = self.scorer.card, show_block_id(vector.block_id)
        return Verdict(
            domain=DOMAIN,
            item=item,
            status=status,
            detector=card.detector,
            version=card.version,
            score=score,
            threshold=self.threshold,
            reason=explanation.reason if explanation else "later records made it normal",
            explanation=explanation.to_json() if explanation else {},
            lines=vector.lines,
            first_time=vector.first_time,
            last_time=vector.last_time,
            origin=origin,
            partition=vector.partition,
            first_offset=vector.first_offset,
            last_offset=vector.last_offset,
            scored_at=datetime.now(UTC),
            closed_by=vector.closed_by,
            more={"block_id": item, "catalogue": vector.catalogue},
        )


def _state(folder: Path) -> tuple[Path, int]:
    """A model's folder and the time of its last change, so that a repaired or rebuilt model is tried again."""
    try:
        return folder, folder.stat().st_mtime_ns
    except OSError:
        return folder, 0


def _place(named: Vector | Verdict, origin: str) -> tuple[str, int, int]:
    """What distinguishes two vectors of one block."""
    return origin, named.partition, named.first_offset
