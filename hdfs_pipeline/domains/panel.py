"""The detectors that judge in a worker: loaded from the home, and exchanged while the worker runs."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hdfs_pipeline.detectors import detector_row
from hdfs_pipeline.domains.champions import load_scorer, ready_detectors, serving_detector
from hdfs_pipeline.domains.contract import Domain
from hdfs_pipeline.domains.voice import Told, Voice
from hdfs_pipeline.errors import DataError, NotTrainedError, PipelineError, SetupError
from hdfs_pipeline.scoring.features import FeatureMatrix
from hdfs_pipeline.scoring.knowledge import Knowledge
from hdfs_pipeline.scoring.models import champion_version, model_folder
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline.settings import Settings

_log = logging.getLogger(__name__)
_State = tuple[tuple[Path, int], ...]


class Panel:
    """The serving detector of a home with the domain's other voices beside it, or the named detector alone.

    The serving one has its own threshold or the given one. Raises: NotTrainedError, SetupError, DataError where the
    home has no model at the start, or one that cannot serve.
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
        self.voices: list[Voice] = []
        self._use(self._load())

    def _names(self) -> tuple[str, ...]:
        """The detectors that are to judge, the serving one first; others once they have a model, or need none."""
        if self._detector:
            return (self._detector,)
        serving = serving_detector(self._settings, self._domain)
        ready = {serving, *ready_detectors(self._settings, self._domain)}
        return tuple(name for name in self._domain.voices(self._settings, serving) if name in ready)

    def _present(self) -> tuple[Path, ...]:
        """The folders of their models; that of version 0, which is never there, of one that needs none."""
        folders = []
        for name in self._names():
            version = champion_version(self._settings, self._domain.name, name)
            if version is None and name in self._domain.untrained:
                version = 0
            folders.append(model_folder(self._settings, self._domain.name, name, version))
        return tuple(folders)

    def _load(self) -> list[Voice]:
        """The detectors that are to judge, the serving one first."""
        name, *others = self._names()
        if detector_row(name).cls.sequential:
            raise SetupError(
                f"{name} reads the events of a {self._domain.item.noun} in their order, and the stream keeps only "
                "their counts: name a detector on counts, such as random_forest, with --detector or the setting "
                "`champion`"
            )
        scorer = self._scorer(name)
        self._require(scorer)
        beside = [Voice(self._settings, self._domain, self._scorer(other)) for other in others]
        return [Voice(self._settings, self._domain, scorer, self._threshold), *beside]

    def _require(self, scorer: Scorer) -> None:
        """Raises: SetupError where the serving detector cannot serve in this domain."""

    def _scorer(self, name: str) -> Scorer:
        try:
            return load_scorer(self._settings, self._domain, name)
        except PipelineError:
            raise
        except Exception as error:  # a library refuses its file in words of its own
            raise NotTrainedError(
                f"the model of {name} cannot be loaded ({error}); run `{self._domain.trained_by.format(name)}`"
            ) from error

    def _use(self, voices: list[Voice]) -> None:
        self.voices = voices

    @property
    def scorer(self) -> Scorer:
        """The serving detector's."""
        return self.voices[0].scorer

    @property
    def threshold(self) -> float:
        """The serving detector's."""
        return self.voices[0].threshold

    @property
    def label(self) -> str:
        """The serving detector and its version, for people."""
        return f"{self.scorer.card.detector} version {self.scorer.card.version}"

    @property
    def beside(self) -> tuple[str, ...]:
        """The detectors that judge beside the serving one."""
        return tuple(voice.detector for voice in self.voices[1:])

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
            self._use(self._load())
        except PipelineError as error:
            if self._refused != _state(folders):
                _log.error("the new model cannot be used, %s goes on serving: %s", self.label, error)
            self._refused, self.refused = _state(folders), str(error)
            return False
        self._folders, self._refused, self.refused = folders, None, ""
        _log.info("now serving: %s, threshold %g", self.label, self.threshold)
        return True

    def weigh(
        self, matrices: Mapping[str, FeatureMatrix], knowledge: Knowledge | None
    ) -> list[tuple[Voice, np.ndarray, dict[int, Told]]]:
        """What each detector says of items, the serving one first: its scores (n,), and why, by row of the anomalous.

        Raises: DataError for columns other than the models'.
        """
        return [(voice, *voice.judge(matrices, knowledge)) for voice in self.voices]


def _state(folders: tuple[Path, ...]) -> _State:
    """Models' folders and the times of their last changes, so that a repaired or rebuilt model is tried again."""
    return tuple((folder, _changed(folder)) for folder in folders)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
