"""The detectors that judge in a worker: loaded from the home, exchanged while the worker runs, asked for verdicts."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.domains.blocks.catalogue import catalogues
from hdfs_pipeline.domains.blocks.features import features
from hdfs_pipeline.domains.blocks.item import parse_block_id
from hdfs_pipeline.domains.blocks.knowledge import knowledge_of
from hdfs_pipeline.domains.blocks.voice import Told, Voice
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.champions import load_scorer, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.errors import DataError, NotTrainedError, PipelineError, SetupError
from hdfs_pipeline.scoring.catalogue import Catalogue
from hdfs_pipeline.scoring.knowledge import Knowledge
from hdfs_pipeline.scoring.models import champion_version, model_folder
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings
from hdfs_pipeline.sources.wire import Verdict

_log = logging.getLogger(__name__)
_REMEMBERED: Final = 100_000  # verdicts that may still be withdrawn

FINAL, PROVISIONAL, WITHDRAWN = "final", "provisional", "withdrawn"
_State = tuple[tuple[Path, int], ...]


@dataclass(frozen=True)
class Counted:
    """Blocks to judge: their vectors, and the same counts as a matrix (n, d) in the catalogue's columns."""

    vectors: list[Vector]
    counts: np.ndarray


class Champion:
    """The serving detector of a home with the domain's other voices beside it, or the named detector alone.

    The serving one has its own threshold or the given one. Workers count the events of a block and forget their order:
    a detector that reads it cannot serve here.

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
        self._folders = self._present()
        self._refused: _State | None = None
        self.refused = ""
        self._flagged: dict[tuple[int, str], tuple[str, int, int]] = {}  # by block and detector, the oldest first
        self._known: dict[str, Knowledge] = {}  # by the fingerprint of the catalogue that it is of
        self._use(*self._load())

    def _names(self) -> tuple[str, ...]:
        """The detectors that are to judge, the serving one first."""
        if self._detector:
            return (self._detector,)
        return self._domain.voices(self._settings, serving_detector(self._settings, self._domain))

    def _present(self) -> tuple[Path, ...]:
        """The folders of their models; that of version 0, which is never there, of one that needs none."""
        folders = []
        for name in self._names():
            version = champion_version(self._settings, self._domain.name, name)
            if version is None and name in self._domain.untrained:
                version = 0
            folders.append(model_folder(self._settings, self._domain.name, name, version))
        return tuple(folders)

    def _load(self) -> tuple[list[Voice], Catalogue | None]:
        """The detectors that are to judge, the serving one first, and the source of its columns."""
        name, *others = self._names()
        if detector_row(name).cls.sequential:
            raise SetupError(
                f"{name} reads the events of a block in their order, and the stream keeps only their counts: name a "
                "detector on counts, such as random_forest, with --detector or the setting `champion`"
            )
        known = catalogues(self._settings.catalogues)
        scorer = self._scorer(name)
        if scorer.card.family not in self._domain.unbound and scorer.card.source not in known:
            raise SetupError(f"the model was trained on the catalogue {scorer.card.source}, which is not in this home")
        beside = [Voice(self._settings, self._scorer(other)) for other in others]
        if scorer.card.source in known:  # a file of rules that cannot be used is told at the start
            knowledge_of(known[scorer.card.source], self._settings)
        return [Voice(self._settings, scorer, self._threshold), *beside], known.get(scorer.card.source)

    def _scorer(self, name: str) -> Scorer:
        try:
            return load_scorer(self._settings, self._domain, name)
        except PipelineError:
            raise
        except Exception as error:  # a library refuses its file in words of its own
            raise NotTrainedError(
                f"the model of {name} cannot be loaded ({error}); run `hdfs-pipeline train --detector {name}`"
            ) from error

    def _use(self, voices: list[Voice], catalogue: Catalogue | None) -> None:
        self._voices = voices
        self.catalogue = catalogue  # the source of the serving model's columns; None for a model without one
        self.scorer, self.threshold = voices[0].scorer, voices[0].threshold
        self._flagged = {(block, self._heir(name)): place for (block, name), place in self._flagged.items()}

    def _heir(self, name: str) -> str:
        """Who may withdraw a detector's verdicts: itself or, where it judges no more, the one that serves."""
        return name if any(voice.detector == name for voice in self._voices) else self._voices[0].detector

    @property
    def label(self) -> str:
        """The serving detector and its version, for people."""
        return f"{self.scorer.card.detector} version {self.scorer.card.version}"

    @property
    def beside(self) -> tuple[str, ...]:
        """The detectors that judge beside the serving one."""
        return tuple(voice.detector for voice in self._voices[1:])

    def refresh(self) -> bool:
        """Switch to the present champion if it is another one; return whether it is.

        A model that cannot serve changes nothing; `refused` says which one and why, until another one serves.
        """
        folders = self._folders
        try:
            folders = self._present()
            if folders == self._folders:
                self._refused, self.refused = None, ""
                return False
            if _state(folders) == self._refused:
                return False
            self._use(*self._load())
        except PipelineError as error:
            if self._refused != _state(folders):
                _log.error("the new model cannot be used, %s goes on serving: %s", self.label, error)
            self._refused, self.refused = _state(folders), str(error)
            return False
        self._folders, self._refused, self.refused = folders, None, ""
        _log.info("now serving: %s, threshold %g", self.label, self.threshold)
        return True

    def weigh(
        self, keys: np.ndarray, counts: np.ndarray, alarms: np.ndarray, catalogue: Catalogue
    ) -> Iterator[tuple[Voice, np.ndarray, dict[int, Told]]]:
        """What each detector says of blocks, the serving one first: its scores (n,), and why, by row of the anomalous.

        `keys` (n,) are the blocks, `counts` (n, d) of the catalogue's columns, `alarms` (n,). Raises: DataError for a
        catalogue other than the model's.
        """
        knowledge = self._knowledge(catalogue)
        matrices = features(keys, counts, alarms, catalogue, knowledge)
        for voice in self._voices:
            yield voice, *voice.judge(matrices, catalogue, knowledge)

    def judge(self, counted: Counted, catalogue: Catalogue, origin: str, status: str = FINAL) -> list[Verdict]:
        """Verdicts on the anomalous blocks, and withdrawals for blocks that were called anomalous and no longer are.

        Each detector gives its own, the serving one first.
        """
        vectors = counted.vectors
        if not vectors:
            return []
        keys = np.array([vector.block_id for vector in vectors], np.int64)
        alarms = np.array([vector.alarms for vector in vectors])
        verdicts = []
        for voice, scores, explained in self.weigh(keys, counted.counts, alarms, catalogue):
            detector, flagged = voice.detector, self._flagged
            # In this order, since a start reads back several vectors of one block.
            for at, (vector, score) in enumerate(zip(vectors, scores.tolist(), strict=True)):
                key = (vector.block_id, detector)
                if at in explained:
                    verdicts.append(voice.verdict(vector, origin, status, score, explained[at]))
                    self._keep(key, _place(vector, origin))
                elif key in flagged and status == FINAL and flagged[key] == _place(vector, origin):
                    verdicts.append(voice.verdict(vector, origin, WITHDRAWN, score, None))
                    del flagged[key]
        return verdicts

    def remember(self, verdict: Verdict) -> None:
        """Remember a verdict, so that it can be withdrawn."""
        key = parse_block_id(verdict.item), self._heir(verdict.detector)
        if verdict.status == WITHDRAWN:
            self._flagged.pop(key, None)
            return
        self._keep(key, _place(verdict, verdict.origin))

    def _keep(self, key: tuple[int, str], place: tuple[str, int, int]) -> None:
        self._flagged[key] = place
        if len(self._flagged) > _REMEMBERED:
            del self._flagged[next(iter(self._flagged))]

    def _knowledge(self, catalogue: Catalogue) -> Knowledge:
        if catalogue.fingerprint not in self._known:
            self._known[catalogue.fingerprint] = knowledge_of(catalogue, self._settings)
        return self._known[catalogue.fingerprint]


def _state(folders: tuple[Path, ...]) -> _State:
    """Models' folders and the times of their last changes, so that a repaired or rebuilt model is tried again."""
    return tuple((folder, _changed(folder)) for folder in folders)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _place(named: Vector | Verdict, origin: str) -> tuple[str, int, int]:
    """What distinguishes two vectors of one block."""
    return origin, named.partition, named.first_offset
