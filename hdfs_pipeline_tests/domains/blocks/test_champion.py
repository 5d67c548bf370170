"""What the serving model says of blocks that come more than once, and of models that change under it."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdfs_pipeline.detectors import detector_row, make_detector
from hdfs_pipeline.domains.blocks.champion import FINAL, WITHDRAWN, Champion, Counted
from hdfs_pipeline.domains.blocks.stage import counting_catalogue
from hdfs_pipeline.domains.blocks.topics import AGGREGATED_EVENTS
from hdfs_pipeline.domains.blocks.wire import Vector
from hdfs_pipeline.domains.champions import families
from hdfs_pipeline.errors import DataError, NotTrainedError, SetupError
from hdfs_pipeline.scoring.models import load_model, promote_model, save_model
from hdfs_pipeline.scoring.scorer import Scorer
from hdfs_pipeline_tests.homes import BLOCKS, Home, copy_home
from hdfs_pipeline_tests.streaming.workers import batch_flagged


def test_several_vectors_of_one_block_are_judged_in_their_order(trained: Home) -> None:
    """As a start reads them back."""
    champion = Champion(trained.settings, BLOCKS, "random_forest")
    catalogue = counting_catalogue(trained.settings, champion)
    matrix = BLOCKS.features(trained.store, trained.settings).matrix("events")
    wanted = batch_flagged(trained)
    odd = next(row for key, row in zip(matrix.keys, matrix.values, strict=True) if int(key) in wanted)
    plain = next(row for key, row in zip(matrix.keys, matrix.values, strict=True) if int(key) not in wanted)
    vector = Vector(1, catalogue.label, {}, partition=0, first_offset=0)
    other = replace(vector, first_offset=50)

    def judge(*blocks: tuple[Vector, np.ndarray]) -> list[tuple[int, str]]:
        counted = Counted([block for block, _ in blocks], np.array([row for _, row in blocks], np.int32))
        found = champion.judge(counted, catalogue, AGGREGATED_EVENTS)
        return [(verdict.first_offset, verdict.status) for verdict in found]

    assert judge((vector, odd), (vector, plain), (vector, plain)) == [(0, FINAL), (0, WITHDRAWN)]
    assert judge((vector, plain)) == []
    assert judge((vector, plain), (vector, odd)) == [(0, FINAL)]
    assert judge((vector, plain), (other, plain)) == [(0, WITHDRAWN)]
    assert judge((vector, odd), (other, plain), (vector, plain)) == [(0, FINAL), (0, WITHDRAWN)]


def test_a_damaged_model_that_is_made_anew_under_its_number_is_taken_up(trained: Home, tmp_path: Path) -> None:
    home = copy_home(trained, tmp_path / "home")
    cls = detector_row("random_forest").cls
    champion = Champion(home.settings, BLOCKS, "random_forest")
    broken = home.settings.models / BLOCKS.name / "random_forest" / "0002"
    save_model(load_model(cls, home.settings, BLOCKS.name), home.settings)
    shutil.rmtree(broken)
    assert not champion.refresh() and champion.scorer.card.version == 1
    save_model(load_model(cls, home.settings, BLOCKS.name, 1), home.settings, promote=False)
    assert broken.is_dir()
    promote_model(home.settings, BLOCKS.name, "random_forest", 2)
    assert champion.refresh() and champion.scorer.card.version == 2


def test_a_detector_on_sequences_is_refused_and_the_message_says_what_to_do(trained: Home, tmp_path: Path) -> None:
    """Named, and as the champion of the settings."""
    home = copy_home(trained, tmp_path / "home")
    data = BLOCKS.features(home.store, home.settings, families(BLOCKS, ["lstm"]))
    detector = make_detector("lstm", home.settings, steps=2)
    matrix = data.matrix("sequences")
    detector.fit(matrix.values, None, np.ones(len(matrix)))
    card = replace(Champion(home.settings, BLOCKS, "random_forest").scorer.card, detector="lstm", family="sequences")
    save_model(Scorer(detector, card, matrix.values, matrix.values), home.settings)
    with pytest.raises(SetupError, match="lstm reads the events .* in their order.*--detector or the setting"):
        Champion(home.settings, BLOCKS, "lstm")
    chosen = home.settings.model_copy(update={"champion": "lstm"})
    with pytest.raises(SetupError, match="name a detector on counts, such as random_forest"):
        Champion(chosen, BLOCKS)


class Odd:
    """A detector that loads well and then does what `score` does; all else is a real one's."""

    def __init__(self, inner: Any, score: Callable[[np.ndarray], np.ndarray]) -> None:
        self._inner, self.score = inner, score

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def fails(_rows: np.ndarray) -> np.ndarray:
    raise RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT")


ODD_SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "not a number": lambda rows: np.full(len(rows), np.nan),
    "without end": lambda rows: np.full(len(rows), np.inf),
    "too few": lambda rows: np.zeros(1),
    "a table": lambda rows: np.zeros((len(rows), 2)),
    "none at all": fails,
}


@pytest.mark.parametrize("kind", ODD_SCORES)
def test_a_successor_that_cannot_serve_is_refused_before_it_serves(
    trained: Home, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its files are the ones that were saved: what is wrong shows only when it is asked."""
    home = copy_home(trained, tmp_path / "home")
    cls = detector_row("random_forest").cls
    champion = Champion(home.settings, BLOCKS, "random_forest")
    save_model(load_model(cls, home.settings, BLOCKS.name), home.settings)
    load = cls.load
    with monkeypatch.context() as patch:
        patch.setattr(cls, "load", lambda folder: Odd(load(folder), ODD_SCORES[kind]))
        with caplog.at_level(logging.ERROR):
            assert not champion.refresh() and not champion.refresh()
        assert champion.label == "random_forest version 1" and "random_forest version 2" in champion.refused
        (record,) = caplog.records  # once
        assert "random_forest version 1 goes on serving" in record.getMessage()
        with pytest.raises(NotTrainedError, match="what it has learned.*hdfs-pipeline train"):
            Champion(home.settings, BLOCKS, "random_forest")
    save_model(load_model(cls, home.settings, BLOCKS.name), home.settings)
    assert champion.refresh() and champion.refused == ""
    assert champion.scorer.card.version == 3


def test_a_threshold_that_is_no_number_is_refused(trained: Home) -> None:
    with pytest.raises(DataError, match="a threshold of nan"):
        Champion(trained.settings, BLOCKS, "random_forest", float("nan"))
